# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spans of time at a machine: which overlap, and what is free between."""
import datetime as dt

#: New exams begin at such minutes of the hour.
GRID = dt.timedelta(minutes=5)
# Where a machine is closed, later begins are tried in these steps.
_PAUSE = dt.timedelta(minutes=15)


def overlapping(spans):
    """Return the ids of the spans that overlap another one.

    :param spans: tuples of begin, end and id
    :rtype: set
    """
    found, last = set(), None
    for begin, end, id_ in sorted(spans):
        if last and begin < last[0]:
            found |= {id_, last[1]}
        if not last or end > last[0]:
            last = end, id_
    return found


def free(busy, is_open, after, until, length, count):
    """Return when an exam may begin, the first of these moments.

    :param busy: pairs of begin and end
    :param is_open: function of begin and end, whether exams are done then
    :param datetime.datetime after: not before this
    :param datetime.datetime until: nor after this
    :param datetime.timedelta length: how long the exam takes
    :param int count: how many moments are wanted
    :rtype: list of datetime.datetime
    """
    found, begin, busy = [], _rounded(after), sorted(busy)
    while len(found) < count and begin < until:
        end = begin + length
        taken = [e for b, e in busy if b < end and begin < e]
        if taken:
            begin = _rounded(max(taken))
        elif is_open(begin, end):
            found.append(begin)
            begin = _rounded(end)
        else:
            begin += _PAUSE
    return found


def _rounded(moment):
    "Return a moment, or the first after it at which exams begin."
    midnight = dt.datetime.combine(moment.date(), dt.time())
    return midnight - (midnight - moment) // GRID * GRID
