# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration: makes a hospital on servers of its own, runs the story,
and leaves the web client running until it is told to end.  Called by
demo.sh, which installs what it needs.
"""
import argparse
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ohif
import seed
from proteus.config import set_xmlrpc_session
from seed import PASSWORD
from services import DICOMWEB, Orthanc, ServiceError, Trytond, create_database
from sources import MODULES, sources_hash
from story import Story
from webclient import WebClientError, make_web_client

DATABASE = 'demo'
URI = 'sqlite://'
RIGHT, WRONG, USAGE, NOT_READY = range(4)


def parse(arguments):
    "Return the options of the command line; demo.sh has the manual."
    parser = argparse.ArgumentParser(prog='demo.sh')
    parser.add_argument('--check', action='store_true',
        help="end after the story, with its exit status")
    parser.add_argument('--keep', metavar='DIR', type=Path,
        help="work in a new folder and keep it")
    return parser.parse_args(arguments)


def say(*words):
    "Print at once, also into a pipe."
    print(*words, flush=True)


def cache_folder():
    "Return the folder of what later runs use again."
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'gnuhealth-imaging-suite'


@contextmanager
def work_folder(keep):
    "Give the folder to work in: the one to keep, or one that goes away."
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
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
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        create_database(folder, URI, DATABASE, MODULES, PASSWORD)
        with Trytond(folder, URI, DATABASE) as server:
            with set_xmlrpc_session(f'{server.url}/{DATABASE}/', 'admin',
                    PASSWORD) as config:
                seed.seed(config)
        Path(folder, f'{DATABASE}.sqlite').rename(kept)


def prepare_viewer(cache):
    """Return the options of Orthanc that let it serve a viewer, none when it
    could not show anything."""
    if not os.path.exists(DICOMWEB):
        say("Viewer: none, the Orthanc of this machine has no DICOMweb.")
        return {}
    if ohif.make_viewer(cache / 'ohif'):
        say("Viewer: put together from an npm package.")
    return ohif.serve(cache / 'ohif')


def start_servers(stack, folder, web_client, database, viewer):
    "Start the servers in a folder; they end with the stack."
    shutil.copyfile(database, folder / f'{DATABASE}.sqlite')
    orthanc = stack.enter_context(Orthanc(
            folder / 'orthanc', users={'gnuhealth': PASSWORD},
            modalities={exam.aetitle: exam.aetitle for exam in seed.EXAMS},
            extra=viewer))
    # LibreOffice keeps a profile in its home.
    server = stack.enter_context(Trytond(
            folder / 'trytond', URI, DATABASE, database_path=folder,
            web_root=web_client, environment={'HOME': str(folder)}))
    say(f"Orthanc {orthanc.rest('GET', '/system')['Version']}: {orthanc.url}, "
        f"DICOM port {orthanc.dicom_port}")
    say(f"trytond: {server.url}")
    return server, orthanc


def web_client_answers(server):
    "Whether the page of the web client and its program are served."
    try:
        for name in ['', 'dist/tryton-sao.min.js']:
            urllib.request.urlopen(f'{server.url}/{name}', timeout=30).close()
    except urllib.error.URLError:
        return False
    return True


def wait(server, orthanc, viewer):
    """Tell how to look around, and wait until the person has seen enough;
    ServiceError when a server ends before."""
    try:
        tell_how_to_look_around(server, orthanc, viewer)
        while server.running and orthanc.running:
            time.sleep(1)
    except KeyboardInterrupt:
        say("\nEnded.")
        return
    raise ServiceError("A server ended by itself, see its log.")


def tell_how_to_look_around(server, orthanc, viewer):
    "Print the addresses, users and passwords."
    say("\nLook around in a web browser, until you press Ctrl-C here:")
    say(f"   GNU Health  {server.url}/#{DATABASE}")
    for login in ['admin', *(user.login for user in seed.LOGINS)]:
        say(f"      user {login}, password {PASSWORD}")
    say(f"   Orthanc     {orthanc.url}/app/explorer.html")
    say(f"      user {orthanc.user}, password {orthanc.password}")
    if viewer:
        say("   OHIF        the link in the form of a study, with this user")
    say(f"To end it from elsewhere: kill {os.getpid()}")


def demonstrate(options, folder):
    "Make the servers, run the story, and return the exit status."
    cache = cache_folder()
    if make_web_client(cache / 'web-client'):
        say("Web client: put together from npm packages.")
    viewer = prepare_viewer(cache)
    database = prepare_database(cache)
    with ExitStack() as stack:
        server, orthanc = start_servers(
            stack, folder, cache / 'web-client', database, viewer)
        story = Story(server, orthanc, folder, say, bool(viewer))
        story.run()
        say("\nThe web client")
        story.check("its page is served", web_client_answers(server))
        story.summarize()
        if not options.check:
            wait(server, orthanc, viewer)
    return WRONG if story.wrong else RIGHT


def _end(number, frame):
    raise SystemExit(128 + number)


def main(arguments=None):
    "Run the demonstration and return its exit status."
    options = parse(arguments)
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        print(f"demo.sh: {options.keep} is not empty, give a new folder.",
            file=sys.stderr)
        return USAGE
    for number in [signal.SIGTERM, signal.SIGHUP]:
        signal.signal(number, _end)
    try:
        with work_folder(options.keep) as folder:
            return demonstrate(options, folder)
    except (ServiceError, WebClientError) as error:
        print(f"demo.sh: {error}", file=sys.stderr)
        return NOT_READY
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == '__main__':
    sys.exit(main())
