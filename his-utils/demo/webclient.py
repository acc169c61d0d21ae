# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts Tryton's web client together from npm packages, in a folder that
trytond serves.  The client is published ready to use, the libraries that its
page loads are not part of it.
"""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

CLIENT = 'tryton-sao@7.0'
# npm package: where the page looks for it, below bower_components
LIBRARIES = {
    'jquery@3': 'jquery',
    'bootstrap@3': 'bootstrap',
    'moment@2': 'moment',
    'gettext.js@0.7': 'gettext.js',
    'd3@5': 'd3',
    'c3@0.7': 'c3',
    'papaparse@5': 'papaparse',
    'fullcalendar@3': 'fullcalendar',
    'mousetrap@1': 'mousetrap',
    'sortablejs@1': 'Sortable',
    }
# Libraries whose npm package keeps its files one folder deeper than the page
# expects.
DEEPER = {'d3': 'dist'}
# Files that a hospital may add to change the client.
OPTIONAL = {'custom.js', 'custom.css'}


class WebClientError(Exception):
    "The web client cannot be put together."


def make_web_client(folder):
    """Make the web client in a folder unless it is there already.

    :return: whether it had to be made
    :raises WebClientError: npm fails or a file of the page is missing
    """
    folder = Path(folder)
    if (folder / 'index.html').exists() and not missing_files(folder):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / 'client'
        _assemble(made, Path(work))
        missing = missing_files(made)
        if missing:
            raise WebClientError("The web client misses %s."
                % ', '.join(sorted(missing)))
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return True


def missing_files(folder):
    "Return the names of the files that the page loads and that are missing."
    page = (folder / 'index.html').read_text(encoding='utf-8')
    names = re.findall(r'(?:src|href)="([^"#:?]+)"', page)
    return {
        name for name in names
        if name not in OPTIONAL and not (folder / name).is_file()}


def _assemble(folder, work):
    unpack(download(CLIENT, work), folder)
    for package, name in LIBRARIES.items():
        target = folder / 'bower_components' / name
        unpack(download(package, work), target)
        if name in DEEPER:
            shutil.copytree(
                target / DEEPER[name], target, dirs_exist_ok=True)


def download(package, work):
    "Download an npm package, run nothing of it, and return its archive."
    folder = Path(tempfile.mkdtemp(dir=work))
    try:
        result = subprocess.run(
            ['npm', 'pack', '--silent', '--pack-destination', folder, package],
            cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
            text=True)
    except FileNotFoundError:
        raise WebClientError("There is no npm: install the package npm.")
    archives = list(folder.glob('*.tgz'))
    if result.returncode or len(archives) != 1:
        raise WebClientError(
            f"npm cannot fetch {package}: {result.stderr.strip()}")
    return archives[0]


def unpack(archive, folder):
    "Unpack an npm archive without its outermost folder."
    unpacked = archive.parent / 'unpacked'
    shutil.unpack_archive(archive, unpacked, 'gztar')
    root, = unpacked.iterdir()
    folder.parent.mkdir(parents=True, exist_ok=True)
    root.rename(folder)
