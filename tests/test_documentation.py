# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation becomes web pages without a warning."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_pages_are_made_without_a_warning(tmp_path):
    result = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going',
            '-d', tmp_path / 'trees', ROOT / 'doc', tmp_path / 'pages'],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for page in ['index', 'operation', 'nothing_arrives']:
        assert (tmp_path / 'pages' / f'{page}.html').is_file()


@pytest.mark.parametrize('name', ['README.rst', 'CHANGELOG.rst'])
def test_single_pages_are_well_formed(name, tmp_path):
    result = subprocess.run(
        [sys.executable, '-m', 'docutils', '--report=2', ROOT / name,
            tmp_path / 'page.html'],
        capture_output=True, text=True)
    assert not result.stderr
