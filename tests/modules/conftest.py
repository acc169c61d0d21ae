# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who acts in the tests of the models."""
import pytest
from support.records import (
    as_user, make_institution, make_professional, make_user)


@pytest.fixture
def acting(transaction):
    """The radiologist, who acts with access checks on, as over RPC.

    The helpers that make records work without rights; what else a test does
    without them stands in a ``with without_check_access()``.
    """
    company = make_institution()
    user = make_user('radiologist', 'health.group_health_doctor',
        'health_imaging.group_health_imaging')
    make_professional(user, "Rosa", "Luna")
    with as_user(user, company=company.id):
        yield user
