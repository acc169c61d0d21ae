# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who acts in the tests of the models."""
import datetime as dt

import pytest
from support.records import (
    as_user, commit, make_institution, make_radiologist, user)

from trytond.modules.health_imaging import dashboard


@pytest.fixture(scope='module')
def practice(activated):
    "The id of an institution that is there for the file, with a radiologist."
    company, _ = commit(lambda: (make_institution().id, make_radiologist()))
    return company


@pytest.fixture
def acting(practice, transaction):
    """The radiologist, who acts with access checks on, as over RPC.

    The helpers that make records work without rights; what else a test does
    without them stands in a ``with without_check_access()``.
    """
    with as_user(user('radiologist'), company=practice) as radiologist:
        yield radiologist


@pytest.fixture
def noon(monkeypatch):
    "Noon in Lima on a day, as stored."
    monkeypatch.setattr(
        dashboard, 'today', lambda zone: dt.date(2025, 6, 10))
    return dt.datetime(2025, 6, 10, 17)
