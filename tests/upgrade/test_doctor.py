# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown before and after the upgrade of a database."""
import functools

import pytest
from support import releases
from support.releases import execute

INSTANCE = 'gnuhealth_imaging_orthanc_series_instances'


@pytest.fixture
def examined(database_504):
    "A database of 5.0.4, and a function that runs the script on it."
    copy = database_504()
    return copy, functools.partial(releases.doctor, copy)


def test_it_tells_what_will_happen_and_compares(examined, released):
    copy, run = examined
    result = run('before', python=released.environment('5.0.4') / 'python')
    assert (result.returncode, result.stderr) == (0, '')
    for line in [
            "Made by GNU Health 5.0.",
            "1 gnuhealth_imaging_test: code is there already",
            "2 gnuhealth_imaging_test_result: request is there already",
            "2 gnuhealth_imaging_orthanc_study are there twice",
            "No server has the address http://gone.example:8042"]:
        assert line in result.stdout, line
    assert 'secret' not in result.stdout
    releases.upgrade(copy)
    result = run('after')
    assert (result.returncode, result.stderr) == (0, ''), result.stdout
    assert "Every row is accounted for." in result.stdout
    execute(copy, f'DELETE FROM "{INSTANCE}" WHERE id = ?', 3)
    result = run('after')
    assert result.returncode == 1
    assert f"{INSTANCE}  ROWS ARE MISSING" in result.stdout


def test_it_tells_what_is_in_the_way(examined, released):
    copy, run = examined
    run('before')
    result = run('after', python=released.environment('5.0.4') / 'python')
    assert result.returncode == 1
    assert "pip uninstall gnuhealth-imaging" in result.stdout
    assert "was not upgraded" in result.stdout


@pytest.mark.parametrize('arguments, status', [
        (['-d', 'nothing-there', 'before'], 3),
        (['-c', '/nowhere/trytond.conf', 'before'], 2),
        (['--file', '/nowhere/counts.json', 'before'], 5),
        (['--file', '/nowhere/counts.json', 'after'], 5),
        (['sometimes'], 2)])
def test_what_cannot_be_done_is_one_sentence(examined, arguments, status):
    _, run = examined
    result = run(*arguments)
    assert result.returncode == status
    assert 'Traceback' not in result.stderr
    assert status == 2 or len(result.stderr.splitlines()) == 1
