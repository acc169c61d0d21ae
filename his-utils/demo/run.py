# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration: makes a hospital on servers of its own, runs the story,
and leaves the web client running until it is stopped.  Called by
demo.sh, which installs what it needs.
"""
import argparse
import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import sqlite3
import stat
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import busy_plan
import gateway
import ohif
import seed
from busy import Busy
from npm import NpmError
from proteus.config import set_xmlrpc_session
from services import (
    DICOMWEB, Orthanc, ServiceError, Trytond, create_database,
    prefer_system_programs, request)
from sources import MODULES, sources_hash
from story import Story
from webclient import make_web_client

DATABASE = 'demo'
URI = 'sqlite://'
RIGHT, WRONG, USAGE, NOT_READY = range(4)


def _parse(arguments):
    # demo.sh has the manual.
    parser = argparse.ArgumentParser(prog='demo.sh')
    parser.add_argument('--check', action='store_true',
        help="end after the story, with its exit status")
    parser.add_argument('--busy', action='store_true',
        help="fill the hospital with the work of two months")
    parser.add_argument('--keep', metavar='DIR', type=Path,
        help="work in a new folder and keep it")
    parser.add_argument('--prepare', action='store_true',
        help="put the clients together and end")
    parser.add_argument('--as-root', action='store_true',
        help="root may run it, for tests")
    return parser.parse_args(arguments)


def _say(*words):
    # At once, also into a pipe.
    print(*words, flush=True)


def cache_folder():
    """Return the folder of what later runs use again."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'gnuhealth-imaging-suite'


@contextmanager
def _work_folder(keep):
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        keep.chmod(0o700)
        yield keep.absolute()
    else:
        with tempfile.TemporaryDirectory(prefix='imaging-demo-') as folder:
            yield Path(folder)


def _prepare_database(cache):
    """Return the file of a database with the hospital in it, which is made
    when there is none of these sources."""
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f'demo-{sources_hash()}.sqlite'
    with open(cache / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            _say("Database: a copy of the one that an earlier run made.")
        else:
            _say("Database: activating the modules, this takes a minute.")
            for old in cache.glob('demo-*.sqlite'):
                old.unlink()
            _make_database(kept)
    return kept


def _make_database(kept):
    # Nobody needs it again: each run sets passwords of its own.
    password = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        create_database(folder, DATABASE, [*MODULES, *(
                    name for name in seed.SOFT_MODULES
                    if importlib.util.find_spec(f'trytond.modules.{name}'))],
            password)
        with Trytond(folder, URI, DATABASE) as server:
            with set_xmlrpc_session(f'{server.url}/{DATABASE}/', 'admin',
                    password) as config:
                seed.seed(config, password)
        Path(folder, f'{DATABASE}.sqlite').rename(kept)


def set_passwords(path, password):
    """Give all users of a database of SQLite one password."""
    from trytond.res.user import User
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            'UPDATE res_user SET password_hash = ? '
            'WHERE password_hash IS NOT NULL', [User.hash_password(password)])


def _prepare_clients(cache):
    """Return the folder of the web client, and the options of Orthanc that
    serve the viewer, none without DICOMweb."""
    if make_web_client(cache / 'web-client'):
        _say("Web client: put together from npm packages.")
    if not os.path.exists(DICOMWEB):
        _say("Viewer: none, the Orthanc of this machine has no DICOMweb.")
        return cache / 'web-client', {}
    if ohif.make_viewer(cache / 'ohif'):
        _say("Viewer: put together from an npm package.")
    return cache / 'web-client', ohif.serve(cache / 'ohif')


def _start_servers(stack, folder, web_client, viewer):
    """Start the servers in a folder; they end with the stack."""
    orthanc = stack.enter_context(Orthanc(
            folder / 'orthanc', users={'gnuhealth': secrets.token_urlsafe(12)},
            modalities={exam.aetitle: exam.aetitle for exam in seed.EXAMS},
            extra=viewer))
    temporary = folder / 'tmp'
    temporary.mkdir()
    # Fontconfig would make it with access for everybody.
    (folder / 'cache' / 'fontconfig').mkdir(parents=True)
    # LibreOffice keeps a profile in its home, trytond locks and reports in the
    # temporary folder.
    server = stack.enter_context(Trytond(
            folder / 'trytond', URI, DATABASE, database_path=folder,
            web_root=web_client, environment={
                'HOME': str(folder), 'XDG_CACHE_HOME': str(folder / 'cache'),
                'TMPDIR': str(temporary)}))
    _say(f"Orthanc {orthanc.rest('GET', '/system')['Version']}: "
        f"{orthanc.url}, DICOM port {orthanc.dicom_port}")
    _say(f"trytond: {server.url}")
    return server, orthanc


def _web_client_answers(server):
    try:
        return all(
            request('GET', f'{server.url}/{name}', timeout=30).ok
            for name in ['', 'dist/tryton-sao.min.js'])
    except OSError:
        return False


def has_rights_of_root(pid):
    """Return whether a process runs as root, or can become it."""
    status = Path(f'/proc/{pid}/status').read_text()
    fields = dict(line.split(':', 1) for line in status.splitlines())
    return '0' in fields['Uid'].split() or bool(int(fields['CapPrm'], 16))


def files_of_others(folder):
    """Return the files and folders that other users can reach.

    The group may read worklist entries, as in packages of Orthanc, so no other
    user may enter the folder.
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
                for process in [story.server, story.orthanc, story.node]
                if process))
    found = files_of_others(story.folder)
    story.check("its files are nobody else's", not found,
        ', '.join(map(str, found[:3])))


def _wait(story, logins, guarded):
    """Print how to look around, and wait until the user ends it."""
    try:
        _tell_how_to_look_around(story, logins, guarded)
        while story.server.running and story.orthanc.running:
            time.sleep(1)
    except KeyboardInterrupt:
        _say("\nEnded.")
        return
    raise ServiceError("A server ended by itself, see its log.")


def _fill(story):
    """Fill the hospital with two months of work, claims among the story's."""
    story.say("\nTwo months of a busy hospital")
    busy = Busy(
        story.server, story.orthanc, story.folder, story.say, story.viewer,
        story.password, connect=lambda: sqlite3.connect(
            story.folder / f'{DATABASE}.sqlite', timeout=60))
    busy.run()
    story.right += busy.right
    story.wrong += busy.wrong


def _tell_how_to_look_around(story, logins, guarded):
    orthanc = story.orthanc
    _say("\nLook around in a web browser, until you press Ctrl-C here:")
    _say(f"   GNU Health  {story.server.url}/#{DATABASE}")
    for login in ['admin', *(user.login for user in logins)]:
        _say(f"      user {login}, password {story.password}")
    _say(f"   Orthanc     {orthanc.url}/app/explorer.html")
    _say(f"      user {orthanc.user}, password {orthanc.password}")
    if guarded:
        _say("   OHIF        Open in Viewer of a study, without a password")
    elif story.viewer:
        _say("   OHIF        the link in the form of a study, with this user")
    _say(f"To end it from elsewhere: kill {os.getpid()}")


def _demonstrate(options, folder):
    """Make the servers, run the story, and return the exit status."""
    web_client, viewer = _prepare_clients(cache_folder())
    database = _prepare_database(cache_folder() / 'databases')
    copy = shutil.copyfile(database, folder / f'{DATABASE}.sqlite')
    password = secrets.token_urlsafe(12)
    set_passwords(copy, password)
    with ExitStack() as stack:
        server, orthanc = _start_servers(stack, folder, web_client, viewer)
        story = Story(
            server, orthanc, folder, _say, bool(viewer), password, stack)
        logins = seed.LOGINS
        told = story.run()
        if told and options.busy:
            _fill(story)
            logins = logins + busy_plan.LOGINS
        guarded = told and gateway.guard(stack, story, cache_folder())
        _say("\nThe web client")
        story.check("its page is served", _web_client_answers(server))
        check_what_others_may(story, options)
        story.summarize()
        if not options.check:
            _wait(story, logins, guarded)
    return WRONG if story.wrong else RIGHT


def _end(number, frame):
    raise SystemExit(128 + number)


def _refusal(options):
    """Return why the demonstration cannot run, None when it can."""
    if os.geteuid() == 0 and not (options.as_root or options.prepare):
        return "root runs his-utils/demo.sh, which gives up its rights."
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        return f"{options.keep} is not empty, give a new folder."


def main(arguments=None):
    """Run the demonstration and return its exit status."""
    options = _parse(arguments)
    problem = _refusal(options)
    if problem:
        print(f"demo.sh: {problem}", file=sys.stderr)
        return USAGE
    for number in [signal.SIGTERM, signal.SIGHUP]:
        signal.signal(number, _end)
    prefer_system_programs()
    try:
        if options.prepare:
            _prepare_clients(cache_folder())
            return RIGHT
        os.umask(0o077)
        with _work_folder(options.keep) as folder:
            return _demonstrate(options, folder)
    except (ServiceError, NpmError) as error:
        print(f"demo.sh: {error}", file=sys.stderr)
        return NOT_READY
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == '__main__':
    sys.exit(main())
