# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronisation where the module of the worklists is installed, but not
activated."""
import datetime as dt

import pytest
from services import Orthanc
from support import archive
from support.databases import activate
from support.records import make_institution, make_patient, make_requested
from support.synchronizing import (
    new_server, orthanc_tree, stored_tree, studies, synchronize, transaction)

from trytond.pool import Pool
from trytond.transaction import Transaction

MODULES = ('health_orthanc',)


@pytest.fixture(autouse=True)
def alone(templates, files):
    templates.need(MODULES)
    activate(MODULES)
    with transaction():
        yield


@pytest.fixture
def orthanc(tmp_path):
    orthanc = Orthanc(tmp_path)
    orthanc.start()
    yield orthanc
    orthanc.kill()


def test_synchronization_without_worklists(orthanc):
    Request = Pool().get('gnuhealth.imaging.test.request')
    assert 'merge_id' not in Request._fields
    make_institution()
    patient = make_patient(
        "Jürgen", "Müller", gender='m', dob=dt.date(1990, 5, 17), ref='P1')
    request = make_requested(patient=patient)
    Transaction().commit()
    person = {
        'patient_id': 'P1', 'patient_name': 'Müller^Jürgen',
        'charset': 'ISO_IR 100', 'encoding': 'latin-1',
        'birth_date': '19900517', 'sex': 'M', 'series': 1, 'instances': 2}
    today = dt.date.today().strftime('%Y%m%d')
    archive.upload(orthanc, [
            archive.study(1, accession_number=request.request_line,
                date=today, **person),
            archive.study(2, **person),
            archive.study(3, series=2)])
    server = new_server(orthanc)
    run = synchronize(server)
    assert (run.state, run.skipped) == ('done', 0)
    assert stored_tree(server) == orthanc_tree(orthanc)
    found = {
        s.study_instance_UID: (s.link_state, s.link_rule, s.request)
        for s in studies(server)}
    assert found == {
        f'{archive.ROOT}.1': ('linked', 'accession', request),
        f'{archive.ROOT}.2': ('linked', 'patient_id', None),
        f'{archive.ROOT}.3': ('unlinked', None, None),
        }
    assert synchronize(server, full=True).studies_changed == 0
