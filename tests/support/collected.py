# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin of pytest that writes which tests were collected, with their
parameters, and whether they tell what they assert, to the file that
COLLECTED_TESTS names: a line of JSON each."""
import datetime as dt
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

_PLAIN = (
    str, bytes, bool, int, float, Decimal, type(None), dt.date, dt.time,
    dt.timedelta)


def pytest_collection_finish(session):
    lines = [
        json.dumps([item.nodeid, _parameters(item), _tells(item)])
        for item in session.items]
    Path(os.environ['COLLECTED_TESTS']).write_text('\n'.join(lines))


def _tells(item):
    # What pytest adds to a module whose asserts it rewrites
    return '@pytest_ar' in vars(getattr(item, 'module', pytest))


def _parameters(item):
    callspec = getattr(item, 'callspec', None)
    return _comparable(callspec.params) if callspec else None


def _comparable(value):
    """Return a text of a value that is the same in each process whenever the
    value is; of what has no such text, the name of its type."""
    if isinstance(value, dict):
        return [
            [_comparable(key), _comparable(v)] for key, v in value.items()]
    if isinstance(value, (list, tuple)):
        return [_comparable(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_comparable(v)) for v in value)
    return repr(value) if type(value) in _PLAIN else type(value).__name__
