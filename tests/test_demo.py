# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration as a program: how it ends, and that nothing of it is left
behind."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import busy_plan
import pytest
from services import HOST
from sources import sources_hash
from support.databases import SEEDED

RUN = Path(__file__).parents[1] / 'his-utils' / 'demo' / 'run.py'
# Root may run it in tests only.
AS_ROOT = ['--as-root'] if os.geteuid() == 0 else []
# The demonstration has a database of SQLite, whatever the tests run on.
pytestmark = pytest.mark.sqlite


@pytest.fixture
def environment(templates, request, tmp_path):
    "Where it finds the hospital that the tests made, and keeps its client."
    templates.need_seeded()
    cache = request.config.cache.mkdir('demo') / 'gnuhealth-imaging-suite'
    databases = cache / 'databases'
    databases.mkdir(parents=True, exist_ok=True)
    for old in databases.glob('demo-*.sqlite'):
        old.unlink()
    shutil.copyfile(
        templates.path(SEEDED), databases / f'demo-{sources_hash()}.sqlite')
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    return {**os.environ, 'XDG_CACHE_HOME': str(cache.parent),
        'TMPDIR': str(temporary)}


@contextmanager
def demonstration(environment, until, *words):
    "A running demonstration that has said something, and all that it said."
    process = subprocess.Popen(
        [sys.executable, RUN, *AS_ROOT, *words], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if until in line:
                break
        yield process, ''.join(lines)
    finally:
        process.kill()
        process.communicate()


def listening(port):
    with socket.socket() as probe:
        return not probe.connect_ex((HOST, int(port)))


def wait_until_closed(ports):
    end = time.monotonic() + 20
    while any(map(listening, ports)) and time.monotonic() < end:
        time.sleep(0.1)
    return [port for port in ports if listening(port)]


def check_end(environment, until, number, status, *words):
    "Let a demonstration end by a signal, and what it started with it."
    with demonstration(environment, until, *words) as (process, text):
        assert 'WRONG' not in text, text
        ports = set(re.findall(r'127\.0\.0\.1:(\d+)', text))
        ports |= set(re.findall(r'DICOM port (\d+)', text))
        # That of the node, too, when it was reached.
        assert len(ports) == 3 + ('may ask the node' in text)
        assert all(map(listening, ports))
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(30) == status
    assert not wait_until_closed(ports)
    if number != signal.SIGKILL:
        assert not os.listdir(environment['TMPDIR'])


@pytest.mark.parametrize('until, number, status', [
        ('CT1 sent', signal.SIGINT, 130),
        ('4. ', signal.SIGTERM, 143),
        ('3. ', signal.SIGKILL, -9),
        ])
def test_demonstration_ends_what_it_started(
        environment, until, number, status):
    check_end(environment, until, number, status)


def run(environment, *words):
    return subprocess.run(
        [sys.executable, RUN, *AS_ROOT, *words], env=environment, text=True,
        capture_output=True, timeout=300)


def test_demonstration_keeps_its_folder(environment, tmp_path):
    "It is told to its end; .ci/run tries that it ends there with --check."
    folder = tmp_path / 'kept'
    check_end(environment, 'To end it', signal.SIGINT, 0, '--keep', folder)
    assert {'demo.sqlite', 'orthanc', 'report.pdf'} <= set(os.listdir(folder))
    again = run(environment, '--check', '--keep', str(folder))
    assert again.returncode == 2
    assert again.stderr.count('\n') == 1


def test_demonstration_refuses_an_unknown_option(environment):
    assert run(environment, '--chekc').returncode == 2


def test_demonstration_says_what_it_cannot_start(environment):
    result = run({**environment, 'PATH': '/nonexistent'}, '--check')
    assert result.returncode == 3
    assert 'Traceback' not in result.stderr


def test_busy_hospital_has_all_there_is():
    cases, extras = busy_plan.cases(), busy_plan.extras()
    assert cases == busy_plan.cases() and extras == busy_plan.extras()
    assert len(cases) >= 200
    assert Counter(c.fate for c in cases) == {
        fate: count for fate, (count, _) in busy_plan.FATES.items()}
    assert Counter(e.kind for e in extras) == busy_plan.EXTRAS
    days = {c.day for c in cases}
    assert max(days) - min(days) >= 60
    assert len({c.patient.puid for c in cases}) >= 60
    assert len({c.exam.code for c in cases}) >= 20
    assert {c.urgent for c in cases} == {True, False}
    # Each order is of one person and one day, its exams differ.
    orders = {(c.order, c.patient.puid, c.day, c.doctor) for c in cases}
    assert len(orders) == len({c.order for c in cases})
    assert len({(c.order, c.exam.code) for c in cases}) == len(cases)
