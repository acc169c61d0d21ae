# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts Tryton's web client together from npm packages, in a folder that
trytond serves.  The client is published ready to use, the libraries that its
page loads are not part of it.
"""
import re
import shutil
import tempfile
from pathlib import Path

from npm import fetch, made_of

CLIENT = 'tryton-sao'
# npm package: where the page looks for it, below bower_components
LIBRARIES = {
    'jquery': 'jquery',
    'bootstrap': 'bootstrap',
    'moment': 'moment',
    'gettext.js': 'gettext.js',
    'd3': 'd3',
    'c3': 'c3',
    'papaparse': 'papaparse',
    'fullcalendar': 'fullcalendar',
    'mousetrap': 'mousetrap',
    'sortablejs': 'Sortable',
    }
# Libraries whose npm package keeps its files one folder deeper than the page
# expects.
DEEPER = {'d3': 'dist'}
# Files that a hospital may add to change the client.
OPTIONAL = {'custom.js', 'custom.css'}


class WebClientError(Exception):
    """The web client cannot be installed."""


def make_web_client(folder):
    """Install the web client in a folder unless the same packages are there.

    :param folder: the folder
    :return: whether it was installed
    :raises npm.NpmError: a package cannot be fetched
    :raises WebClientError: a file of the page is missing
    """
    folder = Path(folder)
    packages = made_of([CLIENT, *LIBRARIES])
    state = folder / 'packages'
    if (state.is_file() and state.read_text() == packages
            and not missing_files(folder)):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / 'client'
        _assemble(made)
        missing = missing_files(made)
        if missing:
            raise WebClientError("The web client misses %s."
                % ', '.join(sorted(missing)))
        (made / 'packages').write_text(packages)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return True


def missing_files(folder):
    """Return the names of missing files that the page loads.

    :param folder: folder of the web client
    """
    page = (folder / 'index.html').read_text(encoding='utf-8')
    names = re.findall(r'(?:src|href)="([^"#:?]+)"', page)
    return {
        name for name in names
        if name not in OPTIONAL and not (folder / name).is_file()}


def _assemble(folder):
    fetch(CLIENT, folder)
    for package, name in LIBRARIES.items():
        target = folder / 'bower_components' / name
        fetch(package, target)
        if name in DEEPER:
            shutil.copytree(
                target / DEEPER[name], target, dirs_exist_ok=True)
