# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody prints what takes LibreOffice very long, or very much at once: it
ends in time, nothing of it runs on, and the others get their turn."""
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.records import (
    PASSWORD, Rpc, RpcError, commit, make_institution, make_radiologist,
    make_requested, make_result)

from trytond.modules.health_imaging import office, result_report
from trytond.modules.health_imaging.exceptions import OfficeError
from trytond.modules.health_imaging.programs import Busy, Slots
from trytond.pool import Pool
from trytond.transaction import Transaction

NAME = 'patient.imaging_report_results'
REPORT = f'report.{NAME}.execute'
TO_PDF = types.SimpleNamespace(template_extension='txt', extension='pdf')
# It takes LibreOffice minutes.
LONG = b'Impression: normal. ' * 5 * 10 ** 5
SHORT = b'Impression: normal.\n'


@pytest.fixture(scope='module')
def hospital(activated):
    "The radiologist, over RPC."
    def make():
        make_institution()
        make_radiologist(PASSWORD)
    commit(make)
    return Rpc('radiologist')


@pytest.fixture
def results(hospital):
    def make():
        ids = [make_result(make_requested()).id for _ in range(3)]
        return ids
    return commit(make)


@pytest.fixture(autouse=True)
def own_places(monkeypatch, tmp_path):
    "The places of this test alone."
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))


@pytest.fixture
def make_office(monkeypatch, tmp_path):
    "Return a function that puts a script in the place of LibreOffice."
    def make(script):
        folder = tmp_path / 'bin'
        folder.mkdir()
        program = folder / 'soffice'
        program.write_text(f'#!/bin/sh\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv('PATH', f'{folder}:{os.environ["PATH"]}')
    return make


# What a script needs to write what it is asked for.
MAKE = 'for made; do :; done; echo %PDF- > "${made%.*}.pdf"'


class Watch:
    """Sees which programs run under a process while a block runs.

    :ivar groups: the process groups of what the guards started
    :ivar commands: the names of the programs in them
    :ivar most: how many guards there were at once
    """

    def __init__(self, parent=None):
        self._parent = parent or os.getpid()
        self.groups, self.commands, self.most = set(), set(), 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()

    def _run(self):
        while not self._over.is_set():
            table = processes()
            guards = {
                p.pid for p in table if p.parent == self._parent
                and 'office_guard' in p.command}
            # Right after the fork they are in the group of the guard yet.
            self.groups |= {p.group for p in table
                if p.parent in guards and p.group == p.pid}
            self.commands |= {
                p.name for p in table if p.group in self.groups}
            self.most = max(self.most, len(guards))
            time.sleep(0.02)

    def left(self):
        "Return the names of what is left of the groups after a moment."
        end = time.monotonic() + 5
        while time.monotonic() < end:
            found = [p.name for p in processes()
                if p.group in self.groups and p.state != 'Z']
            if not found:
                break
            time.sleep(0.05)
        return found


def processes():
    "Return the processes of this computer, as far as they can be seen."
    found = []
    for path in Path('/proc').glob('[0-9]*'):
        try:
            stat = (path / 'stat').read_text()
            command = (path / 'cmdline').read_bytes().decode(errors='replace')
        except OSError:
            continue
        name, _, rest = stat.partition('(')[2].rpartition(')')
        state, parent, group, *_ = rest.split()
        found.append(types.SimpleNamespace(
                pid=int(path.name), name=name, state=state,
                parent=int(parent), group=int(group), command=command))
    return found


def convert(data=SHORT, seconds=100, slots=None):
    return office.convert(
        data, 'txt', 'pdf', seconds, slots or Slots('test', 2))


# One that takes too long


def test_nothing_runs_on_when_the_time_is_over():
    "With LibreOffice itself, which is another process than its launcher."
    started = time.monotonic()
    with Watch() as watch:
        with pytest.raises(office.TooSlow):
            convert(LONG, 6)
    assert time.monotonic() - started < 6 + office.GRACE
    assert 'soffice.bin' in watch.commands
    assert os.getpgid(0) not in watch.groups
    assert not watch.left()
    assert not list(Path(tempfile.tempdir).glob('trytond_*'))


def test_nothing_runs_on_when_the_launcher_ends_first(make_office):
    make_office(f'sleep 60 &\n{MAKE}; sleep 1')
    with Watch() as watch:
        assert convert().startswith(b'%PDF')
    assert 'sleep' in watch.commands
    assert not watch.left()


_CONVERTING = '''
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from trytond.modules.health_imaging import office
from trytond.modules.health_imaging.programs import Slots
office.convert(
    b'Impression: normal. ' * 5 * 10 ** 5, 'txt', 'pdf', 300, Slots('test', 1))
'''


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_nothing_runs_on_when_the_server_ends(tmp_path, number):
    server = subprocess.Popen([
            sys.executable, '-W', 'ignore', '-c', _CONVERTING, str(tmp_path)])
    try:
        with Watch(server.pid) as watch:
            end = time.monotonic() + 60
            while ('soffice.bin' not in watch.commands
                    and time.monotonic() < end):
                time.sleep(0.05)
            # It ends by itself when this happens before it is at work.
            time.sleep(2)
            with pytest.raises(Busy), Slots('test', 1).hold(0):
                pytest.fail("Somebody else has the place.")
            server.send_signal(number)
            server.wait()
    finally:
        server.kill()
        server.wait()
    assert 'soffice.bin' in watch.commands
    assert not watch.left()
    with Slots('test', 1).hold(5):
        pass


# Many at once


def test_few_are_made_at_once():
    slots = Slots('test', 2)
    with Watch() as watch, ThreadPoolExecutor(4) as pool:
        made = list(pool.map(
                lambda _: convert(slots=slots, seconds=200), range(4)))
    assert all(content.startswith(b'%PDF') for content in made)
    assert watch.most == 2
    # None of them took the documents of another one.
    assert len(watch.groups) == 4


def test_who_finds_no_place_is_told_so(hospital, results, monkeypatch):
    """The places are those of all processes."""
    monkeypatch.setattr(result_report, '_SECONDS', 2)
    taken = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', f'''
import tempfile, time
tempfile.tempdir = {tempfile.tempdir!r}
from trytond.modules.health_imaging.programs import Slots
with Slots('office', 1).hold(0):
    print('taken', flush=True)
    time.sleep(60)
'''], stdout=subprocess.PIPE)
    try:
        assert taken.stdout.readline() == b'taken\n'
        monkeypatch.setattr(
            result_report, '_office_slots', Slots('office', 1))
        started = time.monotonic()
        with pytest.raises(RpcError) as error:
            hospital(REPORT, results[:1], {})
        assert "Other reports are being made" in error.value.message
        assert time.monotonic() - started < 10
    finally:
        taken.kill()
        taken.wait()
    monkeypatch.setattr(result_report, '_SECONDS', 100)
    assert hospital(REPORT, results[:1], {})[0] == 'pdf'


def test_a_folder_of_somebody_else_is_not_used(tmp_path):
    """Nobody keeps all places by being there first."""
    folder = tmp_path / f'gnuhealth-imaging-{os.getuid()}'
    folder.symlink_to(tmp_path)
    with Slots('office', 1).hold(0):
        assert not list(tmp_path.glob('office-*'))
    folder.unlink()
    folder.mkdir()
    folder.chmod(0o777)
    with Slots('office', 1).hold(0):
        assert not list(folder.iterdir())


def test_the_same_result_is_printed_once(hospital, results, make_office):
    make_office(f'echo >> {tempfile.tempdir}/count\n{MAKE}')
    one, two, _ = results
    extension, content, *_ = hospital(REPORT, [one, one, one], {})
    assert extension == 'pdf'
    extension, content, *_ = hospital(REPORT, [one, two, one, two], {})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert len(archive.namelist()) == 2
    count = Path(tempfile.tempdir, 'count').read_text()
    assert len(count.splitlines()) == 3


# How long


def test_a_call_takes_no_longer_however_many_it_prints(
        hospital, results, make_office, monkeypatch):
    make_office(f'sleep 1.5\n{MAKE}')
    monkeypatch.setattr(result_report, '_SECONDS', 2)
    started = time.monotonic()
    with pytest.raises(RpcError) as error:
        hospital(REPORT, results, {})
    assert "was not ready after 2 seconds" in error.value.message
    assert time.monotonic() - started < 2 + office.GRACE


def test_who_waits_gets_a_minute_and_a_task_more(transaction):
    context = Transaction().set_context
    assert result_report._seconds() == 300
    with context(_request={}):
        assert result_report._seconds() == 60
        # As the queue does.
        with context(_skip_warnings=True):
            assert result_report._seconds() == 300


def test_a_report_ends_in_the_time_of_who_asked(
        hospital, results, make_office, monkeypatch):
    """A client has no word in it."""
    make_office('sleep 60')
    monkeypatch.setattr(result_report, '_SECONDS', 1)
    monkeypatch.setattr(result_report, '_TASK_SECONDS', 2)
    with pytest.raises(RpcError) as error:
        hospital(REPORT, results[:1], {}, _skip_warnings=True,
            imaging_report_end=10 ** 12)
    assert "after 1 seconds" in error.value.message
    with pytest.raises(OfficeError) as error:
        commit(lambda: Pool().get(NAME, type='report').execute(
                results[:1], {}))
    assert "after 2 seconds" in error.value.message
