# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the benchmarks on PostgreSQL with the modules and scripts of a former
state of this repository and with those of this checkout, in turns, and writes
``doc/benchmarks.rst``::

    python tests/support/compare.py [COMMIT]

Both are measured by the benchmarks of this checkout, see support.former, and
nothing ends because it is slower than it may be.
"""
import argparse
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / 'tests'), str(ROOT / 'his-utils' / 'demo')]

from support import benchmark_page  # noqa: E402
from support.releases import Releases  # noqa: E402

#: The state before issue 20 was begun.
BEFORE = '65ec582da191bf12e4ef8b942e3b1d7a593e91ef'
BENCHMARKS = ROOT / 'tests' / 'benchmarks'
PAGE = ROOT / 'doc' / 'benchmarks.rst'
#: Seconds that what is interrupted has to end.
PATIENCE = 60
#: These measure no time.
LEFT_OUT = {'conftest.py', 'growth.py'}
FULL = ['--full'], "the numbers of a hospital"
TENTH = ['--share', '0.1'], "a tenth of the numbers of a hospital"
SMALL = [], "small numbers"
#: What is run without --full, as arguments of pytest and in words; small
#: numbers where nothing stands here.
NUMBERS = {
    'imaging_requests.py': FULL,
    'large_hospital.py': FULL,
    'linking.py': FULL,
    'many_images.py': (
        [*FULL[0], '-k', 'test_many_images or test_rows'], FULL[1]),
    'matching.py': FULL,
    'safety.py': FULL,
    'synchronization.py': TENTH,
    'worklist.py': FULL,
    'worklist_node.py': FULL,
    }

State = namedtuple('State', 'name tree python options minutes')


def main(arguments):
    "Measure, write the page, return the exit status."
    options = make_options().parse_args(arguments)
    names = options.only or sorted(
        {path.name for path in BENCHMARKS.glob('*.py')} - LEFT_OUT)
    folder = Path(
        os.environ.get('TOX_WORK_DIR', ROOT / '.tox'), 'releases').resolve()
    folder.mkdir(parents=True, exist_ok=True)
    releases = Releases(folder, None, 'postgresql://')
    begin = now()
    with releases.installed(options.commit, 'measured') as (source, programs):
        with tempfile.TemporaryDirectory(prefix='imaging-before-') as work:
            states = [
                State('before', overlay(source, Path(work)),
                    programs / 'python', ['--former'], options.minutes),
                State('after', ROOT, sys.executable, [], options.minutes)]
            found = [
                measure(name, options.numbers or NUMBERS.get(name, SMALL),
                    states[::(-1) ** number], Path(work))
                for number, name in enumerate(names)]
    PAGE.write_text(benchmark_page.page(
            found, begin, now(), described(options.commit),
            described('HEAD')))
    return any(
        'failure' in line for section in found for line in section.after)


def now():
    return dt.datetime.now(dt.timezone.utc)


def make_options():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('commit', nargs='?', default=BEFORE)
    parser.add_argument('--full', dest='numbers', action='store_const',
        const=FULL, help="all numbers are those of a hospital, for hours")
    parser.add_argument('--small', dest='numbers', action='store_const',
        const=SMALL, help="all numbers are small, to see whether it works")
    parser.add_argument('--only', nargs='+', metavar='FILE',
        help="names of files in tests/benchmarks")
    parser.add_argument('--minutes', type=int, default=10,
        help="of a file, after which it is ended: what former modules never "
        "do is not waited for; default 10")
    return parser


def overlay(source, work):
    "Return a folder with the files of a state and the tests of this one."
    tree = work / 'tree'
    shutil.copytree(source, tree, ignore=lambda folder, names: (
            ['tests'] if Path(folder) == source else []))
    shutil.copytree(ROOT / 'tests', tree / 'tests',
        ignore=shutil.ignore_patterns('__pycache__', '.pytest_cache'))
    return tree


def measure(name, numbers, states, work):
    """Run the benchmarks of a file with each state, in their order.

    :param numbers: arguments of pytest, and what they mean
    :return: benchmark_page.Section
    """
    (arguments, numbers), lines = numbers, {}
    for state in states:
        print(f"{name}, {state.name} ..", file=sys.stderr, flush=True)
        lines[state.name] = run(name, state, arguments, work)
    return benchmark_page.Section(
        BENCHMARKS / name, numbers, lines['before'], lines['after'])


def run(name, state, arguments, work):
    "Run the benchmarks of a file, return the dicts that they told."
    path = work / 'lines'
    path.unlink(missing_ok=True)
    process = subprocess.Popen([
            # Limits are no matter here.
            state.python, ROOT / 'tests/support/postgres.py', state.python,
            '-O', '-m', 'pytest', '--assert=plain', '-q', '-W', 'ignore',
            '-o', f'cache_dir={ROOT / ".pytest_cache"}', '--lines', path,
            *state.options, *arguments, f'tests/benchmarks/{name}'],
        cwd=state.tree, env={
            **{name: value for name, value in os.environ.items()
                if not name.startswith(('PYTHON', 'TRYTOND', 'DB_'))},
            'PYTHONUTF8': '1', 'ORTHANC_ARCHIVES': str(work / 'archives')},
        stdout=sys.stderr, start_new_session=True)
    in_time = wait_for(process, state.minutes * 60)
    text = path.read_text() if path.exists() else ''
    lines = [json.loads(line) for line in text.splitlines()]
    if not lines or not in_time:
        lines.append({'test': name, 'failure': (
                    "nothing was measured" if in_time else "took too long")})
    return lines


def wait_for(process, seconds):
    """Wait for a process, and end it and all that it started when it takes
    longer; return whether it did not."""
    for sign in [signal.SIGINT, signal.SIGKILL]:
        try:
            process.wait(seconds)
            return sign == signal.SIGINT
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, sign)
            seconds = PATIENCE
    process.wait()
    return False


def described(commit):
    "Return a commit and its date, with a word if files differ from HEAD."
    text = git('log', '-1', '--format=%H of %cs', commit)
    changed = commit == 'HEAD' and git('status', '--porcelain',
        '--untracked-files=no', '--', '.', ':!doc/benchmarks.rst')
    return f'{text}, changed' if changed else text


def git(*words):
    return subprocess.run(['git', '-C', ROOT, *words], text=True,
        capture_output=True, check=True).stdout.strip()


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
