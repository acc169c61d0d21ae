# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How benchmarks are run with a former state."""
import signal
import subprocess
import sys

import pytest
from support import compare, former

SLEEP = 'import time; time.sleep(60)'
LATER = 'trytond.modules.health_orthanc.of_later'


def test_what_is_new_can_be_imported_and_not_used(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, 'meta_path', [*sys.meta_path, former.Later()])
        from trytond.modules.health_orthanc.of_later import work
        for name in [LATER, f'{LATER}.work']:
            patch.delitem(sys.modules, name)
        with pytest.raises(ModuleNotFoundError):
            import trytond.modules.of_nobody  # noqa: F401
    with pytest.raises(NotImplementedError, match=f"{LATER}.work is new"):
        work(1, of=2)


@pytest.mark.parametrize('command, seconds, handler, sign', [
        ('pass', 60, 'SIG_DFL', 0),
        (SLEEP, .5, 'SIG_DFL', signal.SIGINT),
        (SLEEP, .5, 'SIG_IGN', signal.SIGKILL)])
def test_what_takes_too_long_is_ended(
        monkeypatch, command, seconds, handler, sign):
    monkeypatch.setattr(compare, 'PATIENCE', 1)
    process = subprocess.Popen(
        [sys.executable, '-c', 'import signal; '
            f'signal.signal(signal.SIGINT, signal.{handler}); '
            f'print(flush=True); {command}'],
        start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    assert compare.wait_for(process, seconds) == (not sign)
    assert process.returncode == -sign


def test_benchmarks_with_numbers_of_their_own_exist():
    assert all((compare.BENCHMARKS / name).exists()
        for name in {*compare.NUMBERS, *compare.LEFT_OUT})
