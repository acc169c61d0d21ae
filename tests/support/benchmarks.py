# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the benchmarks measure, and what they all tell: how many rows, what was
called or asked for, seconds, and how many times the floor that is, the least
that the same work can cost."""
import json
import os
import time
from pathlib import Path

#: What was told, dicts: a measure with what `show` gets, a remark with its
#: `text`, or a failure with its `failure`; each with the id of its `test`.
LINES = []
#: File to which they go, too, each a line of JSON; none without a name.
FILE = None


def measure(action, times=3, clock=time.perf_counter):
    "Return the least seconds of an action, and what it gave last."
    seconds = []
    for _ in range(times):
        begin = clock()
        result = action()
        seconds.append(clock() - begin)
    return min(seconds), result


def processor(pid):
    "Return the seconds of the processor that a process used, float."
    # Not schedstat, which does not have what threads used that ended.
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf('SC_CLK_TCK')


def show(what, rows, seconds, calls='', floor=None):
    """Add a measure to the table.

    :param what: what was done
    :param int rows: with how many
    :param float seconds: how long it took
    :param calls: how many calls or statements it took, int or str
    :param floor: the least seconds that it can take
    """
    _add(what=what, rows=rows, seconds=seconds, calls=str(calls), floor=floor)


def tell(text):
    "Add a remark to the table."
    _add(text=text)


def fail(test, failure):
    "Add that a test failed, and why."
    _add(test=test, failure=failure)


def _add(test=None, **values):
    test = test or os.environ['PYTEST_CURRENT_TEST'].rpartition(' ')[0]
    LINES.append({'test': test, **values})
    if FILE:
        with open(FILE, 'a') as file:
            file.write(json.dumps(LINES[-1]) + '\n')


def table():
    "Return the table, a list of texts."
    return [
        f"{'':74}{'rows':>8} {'calls':>14} {'time':>10}",
        *(_text(line) for line in LINES if 'failure' not in line)]


def _text(line):
    if 'text' in line:
        return line['text']
    seconds, floor = line['seconds'], line['floor']
    ratio = f'{seconds / floor:8.2f} x floor' if floor else ''
    return (f'{line["what"]:<74}{line["rows"]:>8} {line["calls"]:>14} '
        f'{seconds:10.4f} s {ratio}'.rstrip())
