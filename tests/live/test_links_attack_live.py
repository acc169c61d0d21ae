# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""People who are merged while a synchronization decides on their images."""
import datetime as dt
import threading

import pytest
from support.hospitals import with_pacs
from support.images import STUDY, context_of, variant
from support.records import PASSWORD, make_patient, make_user

from trytond.modules.health_orthanc.links import ledger

hospital = with_pacs

BORN = dt.date(1966, 7, 8)


@pytest.mark.postgresql
def test_merged_while_a_run_links(hospital, monkeypatch):
    "The merge is saved between the decision and its commit."
    with hospital.transaction():
        goes, stays = (
            make_patient("Zofia", "Mazur", 'f', BORN, ref=puid)
            for puid in ['ZM-1', 'ZM-2'])
        parties, patient = (goes.party.id, stays.party.id), stays.id
        hospital.users['merger'] = make_user(
            'merger', 'party.group_party_admin', 'health.group_health_admin',
            password=PASSWORD).id
    merger = hospital.rpc('merger')
    decided, merged = threading.Event(), threading.Event()
    keep = ledger.decide

    def wait(*args):
        changes = keep(*args)
        if not decided.is_set():
            decided.set()
            assert merged.wait(60)
        return changes

    def merge():
        assert decided.wait(60)
        try:
            merger.run_wizard('party.replace', [('replace', {'ask': {
                                'source': parties[0],
                                'destination': parties[1]}})],
                **context_of('party.party', parties[0]))
        finally:
            merged.set()

    monkeypatch.setattr(ledger, 'decide', wait)
    thread = threading.Thread(target=merge)
    thread.start()
    study = hospital.store(variant(
            'CT_small.dcm', PatientID='ZM-1', PatientName='Mazur^Zofia',
            PatientBirthDate=f'{BORN:%Y%m%d}', PatientSex='F'))
    thread.join()
    assert hospital.read(STUDY, study, 'patient')['patient'] == patient
