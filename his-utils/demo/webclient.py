# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts Tryton's web client together from npm packages, in a folder that
trytond serves.  The client is published ready to use, the libraries that its
page loads are not part of it."""
import re
import shutil
from pathlib import Path

from npm import NpmError, fetch, install

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
# Files that a hospital may add to change the client.
OPTIONAL = {'custom.js', 'custom.css'}
#: How it looks better, see the file.
STYLE = Path(__file__).parents[1] / 'web' / 'custom.css'


class WebClientError(NpmError):
    """The web client cannot be installed."""


def make_web_client(folder):
    """Install the web client unless the same is there, and the style of these
    modules; see npm.install.

    :raises WebClientError: a file of the page is missing
    """
    made = install(folder, [CLIENT, *LIBRARIES], _assemble)
    style = folder / STYLE.name
    # Root has installed it for the user who runs the demonstration.
    if not style.is_file() or style.read_bytes() != STYLE.read_bytes():
        shutil.copyfile(STYLE, style)
    return made


def _assemble(folder):
    fetch(CLIENT, folder)
    for package, name in LIBRARIES.items():
        fetch(package, folder / 'bower_components' / name)
    # Its package keeps the files one folder deeper than the page expects.
    d3 = folder / 'bower_components' / 'd3'
    shutil.copytree(d3 / 'dist', d3, dirs_exist_ok=True)
    page = (folder / 'index.html').read_text(encoding='utf-8')
    missing = sorted(
        name for name in set(re.findall(r'(?:src|href)="([^"#:?]+)"', page))
        if name not in OPTIONAL and not (folder / name).is_file())
    if missing:
        raise WebClientError(f"The web client misses {', '.join(missing)}.")
