# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two commands beside each other: both run to their end, and each may
fail."""
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / 'support' / 'beside.py'
# It comes to its end only when the other one runs at the same time.
MEETS = """
import pathlib, sys, time
mine, other, status = sys.argv[1:]
pathlib.Path(mine).touch()
end = time.monotonic() + 60
while not pathlib.Path(other).exists():
    assert time.monotonic() < end
    time.sleep(.01)
print('met', pathlib.Path(other).name)
sys.exit(int(status))
"""


def command(long, short):
    return [sys.executable, PROGRAM, sys.executable, '-c', *long, '--',
        sys.executable, '-c', *short]


@pytest.mark.parametrize('long, short', [(0, 0), (3, 0), (0, 4), (3, 4)])
def test_both_run_at_once_and_each_may_fail(tmp_path, long, short):
    result = subprocess.run(command(
            [MEETS, tmp_path / 'long', tmp_path / 'short', str(long)],
            [MEETS, tmp_path / 'short', tmp_path / 'long', str(short)]),
        capture_output=True, text=True, timeout=120)
    assert result.returncode == (short or long), result.stderr
    assert result.stdout == 'met long\nmet short\n'


def test_the_long_one_is_interrupted_with_the_other(tmp_path):
    waits = ("import pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "try:\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    print('tidied up')\n")
    both = [tmp_path / 'long', tmp_path / 'short']
    with subprocess.Popen(
            command(*([waits, path] for path in both)),
            stdout=subprocess.PIPE, text=True) as process:
        while not all(path.exists() for path in both):
            assert process.poll() is None
            time.sleep(.01)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=90)
    assert process.returncode and 'tidied up' in said
