# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The soak sees what is lost, twice, left or growing: here all is so on
purpose."""
import os
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from services import Process

# Behind the folder of the demonstration, which has a program run.py, too.
sys.path.append(str(Path(__file__).parents[1] / 'soak'))

import counts  # noqa: E402
import parts  # noqa: E402

# It does something as soon as a file is there, and then tells so by another.
PROGRAM = """
import os, pathlib, sys, tempfile, time
folder = pathlib.Path(tempfile.gettempdir())
while not (folder.parent / 'go').exists():
    time.sleep(.01)
if sys.argv[1] == 'grow':
    kept = os.urandom(60 << 20)
elif sys.argv[1] == 'leave a file':
    tempfile.mkstemp()
elif sys.argv[1] == 'take a place':
    (folder / f'gnuhealth-imaging-{os.getuid()}').mkdir()
    (folder / f'gnuhealth-imaging-{os.getuid()}' / 'office-0').touch()
(folder.parent / 'gone').touch()
time.sleep(60)
"""


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """A function that lets a program do something in the second half of an
    hour, and returns the parts.Parts that watched it."""
    monkeypatch.setattr(parts, 'WARMING', 0)
    monkeypatch.setattr(parts, 'STAYS', 0.2)
    program = Process([sys.executable, '-c', PROGRAM], tmp_path / 'log')
    part = parts.Part('program', program, tmp_path)

    def watch(what):
        program.command.append(what)
        program.start()
        watched = parts.Parts([part], SimpleNamespace(restart=None), 60)
        watched.begin -= 30 * 60
        part.measure()
        (tmp_path / 'go').touch()
        while not (tmp_path / 'gone').exists():
            assert program.running, (tmp_path / 'log').read_text()
            time.sleep(.01)
        part.measure()
        time.sleep(.3)
        part.measure()
        return watched
    yield watch
    program.kill()


@pytest.mark.parametrize('what, grown', [('grow', True), ('rest', False)])
def test_a_process_that_grows_is_seen(watch, what, grown):
    found = counts.growing(watch(what))
    assert [text.split(':')[0] for text in found] == ['program'] * grown


@pytest.mark.parametrize('what, leaked', [
        ('leave a file', 1), ('rest', 0), ('take a place', 0)])
def test_a_file_that_stays_is_seen_even_when_it_is_removed_at_the_kill(
        watch, what, leaked):
    watched = watch(what)
    part, = watched.parts.values()
    assert len(parts.leaks(part.temporary)) == leaked
    part.kill()
    part._back_at = 0
    part.supervise()
    assert parts.leaks(part.temporary) == []
    assert part.left == len(part.leaked) == leaked


def test_a_file_among_the_places_is_no_place(tmp_path):
    places = tmp_path / f'gnuhealth-imaging-{os.getuid()}'
    places.mkdir()
    (places / 'office-0').touch()
    assert parts.leaks(tmp_path) == []
    with tempfile.NamedTemporaryFile(dir=places) as file:
        assert parts.leaks(tmp_path) == [Path(file.name)]


@pytest.mark.parametrize('told, found, wrong', [
        ({1, 2}, [1, 2], []),
        ({1, 2}, [1], [(2, 1, None)]),
        ({1, 2}, [1, 2, 2], [(2, 1, 2)]),
        ({1, 2}, [1, 2, 3], [(3, None, 1)]),
        ({'a': ('a', True, 3)}, {'a': ('b', True, 3)},
            [('a', ('a', True, 3), ('b', True, 3))])])
def test_what_is_lost_or_there_twice_is_seen(told, found, wrong):
    compared = counts.Counts(SimpleNamespace(journal=None))
    compared._same('things', told, found)
    assert compared.wrong == [
        f"not as told, things: {len(wrong)}, {wrong}"] * bool(wrong)


def test_a_traceback_is_seen_and_an_outage_is_none(tmp_path):
    for folder in ['health', 'node']:
        (tmp_path / folder).mkdir()
    for name in counts.LOGS:
        (tmp_path / f'{name}.log').touch()
    outage = ("1 2 [date] ERROR trytond x\nTraceback (most recent call last)\n"
        "psycopg2.OperationalError: terminating connection\n")
    log = tmp_path / 'health' / 'trytond.log'
    log.write_text(outage)
    assert counts.surprises(tmp_path) == []
    log.write_text(outage
        + "3 4 [date] INFO trytond y\nTraceback (most recent call last)\n"
        "KeyError: 'z'\n")
    assert counts.surprises(tmp_path) == [
        "1 x health/trytond: 3 4 [date] INFO trytond y | KeyError: 'z'"]
