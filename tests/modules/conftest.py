# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who acts in the tests of the models."""
import datetime as dt

import pytest
from support.records import as_user, make_institution, make_radiologist

from trytond.modules.health_imaging import dashboard


@pytest.fixture
def acting(transaction):
    """The radiologist, who acts with access checks on, as over RPC.

    The helpers that make records work without rights; what else a test does
    without them stands in a ``with without_check_access()``.
    """
    company = make_institution()
    user = make_radiologist()
    with as_user(user, company=company.id):
        yield user


@pytest.fixture
def noon(monkeypatch):
    "Noon in Lima on a day, as stored."
    monkeypatch.setattr(
        dashboard, 'today', lambda zone: dt.date(2025, 6, 10))
    return dt.datetime(2025, 6, 10, 17)
