# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies that name more numbers of requests than a statement may have."""
import pytest
from support.records import (
    make_exam, make_institution, make_patients, make_professional,
    make_request)
from support.statements import counted

from trytond.modules.health_orthanc import matching
from trytond.modules.health_orthanc.links import facts


@pytest.mark.sqlite
def test_more_numbers_than_a_statement_takes(transaction):
    """SQLite takes 32 766 values by default, some of its builds more."""
    make_institution()
    request = make_request(
        *make_patients(1), make_exam("Head CT"), make_professional())
    request.requested([request])
    study = matching.StudyFacts('study', requested_ids=(
            *map('N{}'.format, range(10_000)), request.request_line))
    with counted() as sent:
        found = facts.index_of([study])
    assert list(found.requests) == [request.id]
    assert max(len(s.params) for s in sent) <= 32_766
