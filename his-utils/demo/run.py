# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration: makes a hospital on servers of its own, runs the story,
and leaves the web client running until it is stopped.  Called by
demo.sh, which installs what it needs.
"""
import argparse
import fcntl
import os
import secrets
import shutil
import signal
import sqlite3
import stat
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import ohif
import seed
from npm import NpmError
from proteus.config import set_xmlrpc_session
from services import (
    DICOMWEB, Orthanc, ServiceError, Trytond, create_database,
    prefer_system_programs)
from sources import MODULES, sources_hash
from story import Story
from webclient import WebClientError, make_web_client

DATABASE = 'demo'
URI = 'sqlite://'
RIGHT, WRONG, USAGE, NOT_READY = range(4)


def parse(arguments):
    """Return the options of the command line; demo.sh has the manual."""
    parser = argparse.ArgumentParser(prog='demo.sh')
    parser.add_argument('--check', action='store_true',
        help="end after the story, with its exit status")
    parser.add_argument('--keep', metavar='DIR', type=Path,
        help="work in a new folder and keep it")
    parser.add_argument('--prepare', action='store_true',
        help="put the clients together and end")
    parser.add_argument('--as-root', action='store_true',
        help="root may run it, for tests")
    return parser.parse_args(arguments)


def say(*words):
    """Print words at once, also into a pipe."""
    print(*words, flush=True)


def cache_folder():
    """Return the folder of what later runs use again."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'gnuhealth-imaging-suite'


@contextmanager
def work_folder(keep):
    """Context manager that yields the work folder.

    :param keep: the folder to keep, None for a temporary one
    """
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        keep.chmod(0o700)
        yield keep.absolute()
    else:
        with tempfile.TemporaryDirectory(prefix='imaging-demo-') as folder:
            yield Path(folder)


def prepare_database(cache):
    """Return the file of a database with the hospital in it.

    It is made when there is none of these sources.
    """
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f'demo-{sources_hash()}.sqlite'
    with open(cache / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            say("Database: a copy of the one that an earlier run made.")
        else:
            say("Database: activating the modules, this takes a minute.")
            for old in cache.glob('demo-*.sqlite'):
                old.unlink()
            _make_database(kept)
    return kept


def _make_database(kept):
    # Nobody needs it again: each run sets passwords of its own.
    password = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        create_database(folder, URI, DATABASE, MODULES, password)
        with Trytond(folder, URI, DATABASE) as server:
            with set_xmlrpc_session(f'{server.url}/{DATABASE}/', 'admin',
                    password) as config:
                seed.seed(config, password)
        Path(folder, f'{DATABASE}.sqlite').rename(kept)


def set_passwords(path, password):
    """Give all users of a database one password."""
    from trytond.res.user import User
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            'UPDATE res_user SET password_hash = ? '
            'WHERE password_hash IS NOT NULL', [User.hash_password(password)])


def prepare_web_client(cache):
    """Return the folder of the web client."""
    if make_web_client(cache / 'web-client'):
        say("Web client: put together from npm packages.")
    return cache / 'web-client'


def prepare_viewer(cache):
    """Return the options of Orthanc that serve the viewer.

    :param cache: folder that later runs use again
    :return: dict, empty when Orthanc has no DICOMweb
    """
    if not os.path.exists(DICOMWEB):
        say("Viewer: none, the Orthanc of this machine has no DICOMweb.")
        return {}
    if ohif.make_viewer(cache / 'ohif'):
        say("Viewer: put together from an npm package.")
    return ohif.serve(cache / 'ohif')


def start_servers(stack, folder, web_client, database, viewer, password):
    """Start the servers in a folder; they end with the stack."""
    copy = folder / f'{DATABASE}.sqlite'
    shutil.copyfile(database, copy)
    set_passwords(copy, password)
    orthanc = stack.enter_context(Orthanc(
            folder / 'orthanc', users={'gnuhealth': secrets.token_urlsafe(12)},
            modalities={exam.aetitle: exam.aetitle for exam in seed.EXAMS},
            extra=viewer))
    temporary = folder / 'tmp'
    temporary.mkdir()
    # LibreOffice keeps a profile in its home, trytond locks and reports in the
    # temporary folder.
    server = stack.enter_context(Trytond(
            folder / 'trytond', URI, DATABASE, database_path=folder,
            web_root=web_client, environment={
                'HOME': str(folder), 'XDG_CACHE_HOME': str(folder / 'cache'),
                'TMPDIR': str(temporary)}))
    say(f"Orthanc {orthanc.rest('GET', '/system')['Version']}: {orthanc.url}, "
        f"DICOM port {orthanc.dicom_port}")
    say(f"trytond: {server.url}")
    return server, orthanc


def web_client_answers(server):
    """Return whether the page of the web client and its program are served."""
    try:
        for name in ['', 'dist/tryton-sao.min.js']:
            urllib.request.urlopen(f'{server.url}/{name}', timeout=30).close()
    except urllib.error.URLError:
        return False
    return True


def has_rights_of_root(pid):
    """Return whether a process runs as root, or can become it."""
    status = Path(f'/proc/{pid}/status').read_text()
    fields = dict(line.split(':', 1) for line in status.splitlines())
    return '0' in fields['Uid'].split() or bool(int(fields['CapPrm'], 16))


def files_of_others(folder):
    """Return the files and folders that other users can reach.

    The group may read worklist entries, as in packages of Orthanc, so no other
    user may enter the folder.

    :param folder: the folder
    """
    return [
        path for path in [folder, *folder.rglob('*')]
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode)
        & (0o77 if path == folder else 0o07)]


def check_what_others_may(story, options):
    """Check that the demonstration opens nothing to other users."""
    story.say("\nWhat others may")
    if not options.as_root:
        story.check("no server has the rights of root", not any(
                has_rights_of_root(process.pid)
                for process in [story.server, story.orthanc]))
    found = files_of_others(story.folder)
    story.check("its files are nobody else's", not found,
        ', '.join(map(str, found[:3])))


def wait(story):
    """Print how to look around, and wait until the user ends it.

    :param story: the Story
    :raises ServiceError: a server ended before
    """
    try:
        tell_how_to_look_around(story)
        while story.server.running and story.orthanc.running:
            time.sleep(1)
    except KeyboardInterrupt:
        say("\nEnded.")
        return
    raise ServiceError("A server ended by itself, see its log.")


def tell_how_to_look_around(story):
    """Print the addresses, users and passwords."""
    orthanc = story.orthanc
    say("\nLook around in a web browser, until you press Ctrl-C here:")
    say(f"   GNU Health  {story.server.url}/#{DATABASE}")
    for login in ['admin', *(user.login for user in seed.LOGINS)]:
        say(f"      user {login}, password {story.password}")
    say(f"   Orthanc     {orthanc.url}/app/explorer.html")
    say(f"      user {orthanc.user}, password {orthanc.password}")
    if story.viewer:
        say("   OHIF        the link in the form of a study, with this user")
    say(f"To end it from elsewhere: kill {os.getpid()}")


def demonstrate(options, folder):
    """Make the servers, run the story, and return the exit status."""
    cache = cache_folder()
    web_client = prepare_web_client(cache)
    viewer = prepare_viewer(cache)
    database = prepare_database(cache / 'databases')
    password = secrets.token_urlsafe(12)
    with ExitStack() as stack:
        server, orthanc = start_servers(
            stack, folder, web_client, database, viewer, password)
        story = Story(server, orthanc, folder, say, bool(viewer), password)
        story.run()
        say("\nThe web client")
        story.check("its page is served", web_client_answers(server))
        check_what_others_may(story, options)
        story.summarize()
        if not options.check:
            wait(story)
    return WRONG if story.wrong else RIGHT


def _end(number, frame):
    raise SystemExit(128 + number)


def refuse(options):
    """Return why the demonstration cannot run, None when it can.

    :param options: of the command line
    """
    if os.geteuid() == 0 and not (options.as_root or options.prepare):
        return "root runs his-utils/demo.sh, which gives up its rights."
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        return f"{options.keep} is not empty, give a new folder."


def run(options):
    """Do what the options say, and return the exit status."""
    if options.prepare:
        prepare_web_client(cache_folder())
        prepare_viewer(cache_folder())
        return RIGHT
    os.umask(0o077)
    with work_folder(options.keep) as folder:
        return demonstrate(options, folder)


def main(arguments=None):
    """Run the demonstration and return its exit status."""
    options = parse(arguments)
    problem = refuse(options)
    if problem:
        print(f"demo.sh: {problem}", file=sys.stderr)
        return USAGE
    for number in [signal.SIGTERM, signal.SIGHUP]:
        signal.signal(number, _end)
    prefer_system_programs()
    try:
        return run(options)
    except (ServiceError, WebClientError, NpmError) as error:
        print(f"demo.sh: {error}", file=sys.stderr)
        return NOT_READY
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == '__main__':
    sys.exit(main())
