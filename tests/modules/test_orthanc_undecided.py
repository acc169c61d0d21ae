# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A decision that raises: what caused it is kept, others are decided, it is
shown, and tried again by the next run."""
import datetime as dt
import itertools

import pytest
from support.records import as_user, make_institution, make_patient, make_user
from support.synchronizing import new_server, transaction, with_queue

from trytond import backend
from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.links import deciding
from trytond.pool import Pool
from trytond.transaction import Transaction

STUDY = 'gnuhealth.imaging_orthanc.study'
EVENT = 'gnuhealth.orthanc.link_event'
SERVER = 'gnuhealth.orthanc.config'
PARTY = 'party.party'
BORN, OTHER = dt.date(1985, 10, 4), dt.date(1960, 5, 5)
# What a column of dates can hold, and no Python date can.
NO_DATE = 'no date' if backend.name == 'sqlite' else '0044-03-15 BC'

_numbers = itertools.count(1)


@pytest.fixture(scope='module')
def hospital(activated):
    "The ids of a user and of a server that does not answer."
    with transaction():
        make_institution()
        user = make_user(
            'radiographer', 'health_imaging.group_health_imaging')
        Transaction().commit()
        return user.id, new_server('http://127.0.0.1:9')


@pytest.fixture
def ana(hospital):
    "The ids of a party and of five studies of its patient."
    _, server = hospital
    with transaction():
        number = next(_numbers)
        patient = make_patient("Ana", "Betz", 'f', BORN, ref=f'PUID{number}')
        studies = Pool().get(STUDY).create([{
                    'orthanc_server': server,
                    'orthanc_UID': f'{number}-{n}',
                    'study_instance_UID': f'1.2.{number}.{n}',
                    'patient_id': patient.puid, 'patient_name': 'Betz^Ana',
                    'patient_birth_date': BORN, 'patient_sex': 'F',
                    } for n in range(5)])
        deciding.link_studies([s.id for s in studies])
        assert {s.link_state for s in studies} == {'linked'}
        Event = Pool().get(EVENT)
        Event.delete(Event.search([]))
        return patient.party.id, [s.id for s in studies]


def store(model, id_, **values):
    "Write what no field would take."
    with transaction():
        tables.set_values(Pool().get(model), [id_], **values)


def correct(party, born):
    "Correct a birth date as a person does."
    def write():
        Party = Pool().get(PARTY)
        Party.write([Party(party)], {'dob': born})
    with_queue(write)


def seen(ids):
    "Return the state of studies, and whether it could not be decided."
    with transaction():
        Study = Pool().get(STUDY)
        return [
            (row['link_state'], bool(row['undecided_since']))
            for row in sorted(
                Study.read(ids, ['link_state', 'undecided_since']),
                key=lambda row: ids.index(row['id']))]


def run(server):
    "Synchronize with a server that does not answer."
    with transaction():
        pool = Pool()
        Server = pool.get(SERVER)
        run = Server.sync_server(Server(server))
        assert pool.get('gnuhealth.orthanc.sync_run')(run).state == 'failed'


def test_one_study_that_cannot_be_decided(hospital, ana):
    user, server = hospital
    party, ids = ana
    store(STUDY, ids[2], patient_birth_date=NO_DATE)
    correct(party, OTHER)
    with transaction():
        assert Pool().get(PARTY)(party).dob == OTHER
    expected = [('review', False)] * 5
    expected[2] = ('linked', True)
    assert seen(ids) == expected
    with transaction():
        with as_user(Pool().get('res.user')(user)):
            assert Pool().get(STUDY).search_count([
                    ('undecided_since', '!=', None),
                    ('id', 'in', ids)]) == 1
    # As long as it is so, each run tries, and comes to its end.
    run(server)
    assert seen(ids) == expected
    store(STUDY, ids[2], patient_birth_date=BORN)
    run(server)
    assert seen(ids) == [('review', False)] * 5


def test_a_change_that_cannot_be_read(hospital, ana):
    "Another change is decided all the same."
    _, server = hospital
    party, ids = ana
    with transaction():
        Event = Pool().get(EVENT)
        broken, = Event.create([{
                    'kind': 'people', 'cause': 'people', 'changed': '{',
                    'at': dt.datetime.now().replace(microsecond=0)}])
    correct(party, OTHER)
    run(server)
    assert seen(ids) == [('review', False)] * 5
    with transaction():
        event = Pool().get(EVENT)(broken.id)
        assert event.attempts == 1 and not event.decided_at
        assert "error" in event.error
    store(EVENT, broken.id, changed=f'[[{party}], []]')
    run(server)
    with transaction():
        event = Pool().get(EVENT)(broken.id)
        assert event.decided_at and not event.error


def test_a_person_who_cannot_be_compared(hospital, ana):
    "His studies wait, and are decided when he can."
    _, server = hospital
    party, ids = ana
    store(PARTY, party, dob=NO_DATE)
    with transaction():
        Event = Pool().get(EVENT)
        Event.note('study', ids, 'people')
        event, = Event.search([('decided_at', '=', None)])
    run(server)
    assert seen(ids) == [('linked', True)] * 5
    store(PARTY, party, dob=OTHER)
    run(server)
    assert seen(ids) == [('review', False)] * 5
    with transaction():
        assert Pool().get(EVENT)(event.id).decided_at
