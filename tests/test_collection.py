# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests and their parameters are the same in every process, whatever its
clock, hash seed, folder and language are: processes that share the work must
collect the same."""
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The program faketime moves the clock of what it runs.
PROCESSES = [
    ([], {'PYTHONHASHSEED': '1', 'TZ': 'UTC', 'LC_ALL': 'C.UTF-8'}),
    (['faketime', '-f', '+401d5h6m7s'], {
            'PYTHONHASHSEED': '2', 'TZ': 'Asia/Tokyo', 'LC_ALL': 'C'}),
    ]


def start(folder, prefix, environment):
    "Start to collect all tests, return the process and the file it writes."
    (folder / 'temporary').mkdir(parents=True)
    collected = folder / 'collected'
    command = [
        *prefix, sys.executable, '-m', 'pytest', '--collect-only', '-q',
        '-p', 'support.collected', '-o', f'cache_dir={folder / "cache"}',
        # What needs more packages and is run alone.
        f'--ignore={ROOT / "tests" / "web"}',
        f'--rootdir={ROOT}', ROOT / 'tests',
        ROOT / 'tests' / 'benchmarks']
    return subprocess.Popen(
        [str(word) for word in command], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={
            **os.environ, **environment, 'COLLECTED_TESTS': str(collected),
            'PYTHONPATH': str(ROOT / 'tests'),
            'TMPDIR': str(folder / 'temporary')}), collected


def test_collected_tests_are_the_same_in_every_process(tmp_path):
    started = [
        start(tmp_path / str(number), *process)
        for number, process in enumerate(PROCESSES)]
    collected = []
    for process, file in started:
        output, _ = process.communicate()
        assert process.returncode == 0, output[-3000:]
        collected.append([
                json.loads(line) for line in file.read_text().splitlines()])
    first, second = collected
    differing = [pair for pair in zip(first, second) if pair[0] != pair[1]]
    assert not differing, '\n'.join(
        f'{str(one)[:500]}\n{str(other)[:500]}' for one, other in differing)
    assert len(first) == len(second) > 1000
    assert not [name for name, _, tells in first
        if not tells and '.py::' in name]
