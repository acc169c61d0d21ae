# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that carries over links of 4.4, over RPC: interrupted, repeated,
refused."""
import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import seed
from services import Trytond
from support.databases import SEEDED
from support.former_studies import PASSWORD, make_former_studies
from support.releases import execute

SCRIPT = (Path(__file__).parents[2] / 'his-utils' / 'scripts'
    / 'upgrade_utils' / '5.0' / 'migrate_orthanc_module.py')
STUDY = 'gnuhealth_imaging_orthanc_study'
LOG = 'gnuhealth_orthanc_link_log'
SIZE = 1200


@pytest.fixture(scope='module')
def hospital(templates, copies, files, tmp_path_factory):
    "A running trytond with many former studies; its copy of a database."
    templates.need_seeded()
    copy = copies.make(SEEDED, tmp_path_factory.mktemp('former'))
    make_former_studies(copy, SIZE)
    with Trytond(tmp_path_factory.mktemp('server'), **copy.options) as server:
        copy.port = server.port
        yield copy
    copies.drop(copy)


@pytest.fixture
def start(hospital):
    "Return a function that starts the script."
    def run(*arguments, password=PASSWORD):
        return subprocess.Popen(
            [sys.executable, SCRIPT, '-p', str(hospital.port), '-d',
                hospital.name, '--timeout', '300', *map(str, arguments)],
            env={**os.environ, 'GNUHEALTH_PASSWORD': password}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return run


@pytest.fixture
def script(start):
    "Return a function that runs the script to its end."
    def run(*arguments, **options):
        process = start(*arguments, **options)
        process.output, process.errors = process.communicate(timeout=120)
        return process
    return run


def linked(copy):
    return execute(copy, f'SELECT COUNT(*) FROM "{STUDY}" '
        "WHERE merge_comment = 'NEED TO VERIFY!'")[0][0]


def test_interrupted_it_goes_on(hospital, start, script, tmp_path):
    process = start()
    end = time.monotonic() + 60
    while not linked(hospital) and time.monotonic() < end:
        time.sleep(.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    report = tmp_path / 'links.csv'
    process = script('--csv', report)
    assert (process.returncode, process.errors) == (0, '')
    # The server may finish a block after the script has ended.
    with open(report, newline='') as file:
        lines = list(csv.DictReader(file))
    before = Counter(line['outcome'] for line in lines)['already']
    assert 0 < before < SIZE
    assert Counter(line['outcome'] for line in lines) == {
        'linked': SIZE - before, 'already': before}
    assert f"{SIZE - before} linked, and marked" in process.output
    assert f"{before} linked so already" in process.output
    assert linked(hospital) == SIZE
    assert report.stat().st_mode & 0o077 == 0
    # Once, not twice.
    assert execute(hospital, f'SELECT COUNT(*) FROM "{LOG}"')[0][0] == SIZE


def test_conflicts_are_listed(hospital, script, tmp_path):
    script()
    ids = [id_ for id_, in execute(hospital,
            'SELECT id FROM gnuhealth_patient ORDER BY id')]
    study, other = execute(hospital, f'SELECT id, patient FROM "{STUDY}" '
        'WHERE "orthanc_UID" = \'study-3\'')[0]
    other = next(id_ for id_ in ids if id_ != other)
    execute(hospital, f'UPDATE "{STUDY}" SET patient = ?, '
        'merge_comment = \'mine\' WHERE id = ?', other, study)
    report = tmp_path / 'links.csv'
    process = script('--csv', report)
    assert process.returncode == 1
    assert "1 skipped, the study is linked to something else" in (
        process.output)
    with open(report, newline='') as file:
        line, = [
            line for line in csv.DictReader(file)
            if line['outcome'] == 'conflict']
    assert (line['orthanc_id'], line['study']) == ('study-3', str(study))
    assert line['patient'] != line['has_patient']
    assert execute(hospital, f'SELECT patient, merge_comment FROM "{STUDY}" '
        'WHERE id = ?', study) == [(other, 'mine')]


@pytest.mark.parametrize('arguments, options, status', [
        (['--nonsense'], {}, 2),
        (['-d', 'nothing-there'], {}, 3),
        (['-p', '1'], {}, 3),
        ([], {'password': 'wrong'}, 4),
        (['-n', '--csv', '/nowhere/links.csv'], {}, 5)])
def test_what_cannot_be_done_is_one_sentence(
        script, arguments, options, status):
    process = script(*arguments, **options)
    assert process.returncode == status
    assert 'Traceback' not in process.errors
    assert status == 2 or len(process.errors.splitlines()) == 1


@pytest.mark.parametrize('login', seed.LOGINS)
def test_it_is_for_administrators(script, login):
    process = script('-n', '-u', login.login, password=seed.PASSWORD)
    assert process.returncode == 4
    assert len(process.errors.splitlines()) == 1
