# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Sphinx makes web pages of the documentation of the whole suite:
``sphinx-build -W doc FOLDER``.  The pages of the modules are those of their
own folders."""
import configparser
import shutil
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_MODULES = ['health_imaging', 'health_imaging_worklist', 'health_orthanc']
_setup = configparser.ConfigParser()
_setup.read(_ROOT / 'setup.cfg', encoding='utf-8')

project = "Medical imaging for GNU Health"
author = "The GNU Health Imaging Suite authors"
release = _setup['metadata']['version']
html_theme = 'basic'
exclude_patterns = ['_build']


def setup(app):
    "Bring the pages of the modules to those of the suite."
    target = Path(app.srcdir) / 'modules'
    for module in _MODULES:
        shutil.rmtree(target / module, ignore_errors=True)
        shutil.copytree(_ROOT / module / 'doc', target / module)
