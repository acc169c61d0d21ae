# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that several files of tests have as their ``hospital``: a file
says ``hospital = with_pacs``."""
import pytest

from trytond.transaction import Transaction

from .images import Hospital
from .records import make_institution


@pytest.fixture(scope='module')
def with_pacs(activated, tmp_path_factory):
    "An images.Hospital, whose users come over RPC."
    hospital = Hospital(tmp_path_factory.mktemp('orthanc'))
    yield hospital
    hospital.close()


@pytest.fixture
def with_company(transaction):
    "The company of an institution, in which the administrator works."
    company = make_institution()
    with Transaction().set_context(company=company.id):
        yield company
