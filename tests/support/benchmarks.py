# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the benchmarks measure, and the table in which they all tell it: how
many rows, what was called or asked for, seconds, and how many times the floor
that is, the least that the same work can cost."""
import os
import time
from pathlib import Path

#: The lines of the table, printed at the end of the run.
LINES = []


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
    """Add a line to the table.

    :param what: what was done
    :param int rows: with how many
    :param float seconds: how long it took
    :param calls: how many calls or statements it took, int or str
    :param floor: the least seconds that it can take
    """
    ratio = f'{seconds / floor:8.2f} x floor' if floor else ''
    LINES.append(
        f'{what:<74}{rows:>8} {calls:>14} {seconds:10.4f} s {ratio}'.rstrip())


def tell(text):
    "Add a remark to the table."
    LINES.append(text)


def title():
    "Return the head of the table."
    return f"{'':74}{'rows':>8} {'calls':>14} {'time':>10}"
