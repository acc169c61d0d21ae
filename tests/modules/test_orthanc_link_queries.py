# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links of many studies take hardly more statements than those of few."""
import datetime as dt
import itertools

import pytest
from support.archive_rows import make_rows
from support.records import (
    as_user, make_exam, make_institution, make_patients, make_professional,
    make_request, make_user, settle)
from support.statements import counted

from trytond import backend
from trytond.modules.health_imaging.minute import now
from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.archive import values as archive_values
from trytond.modules.health_orthanc.links import deciding, facts, ledger
from trytond.modules.health_orthanc.links.link import COLUMNS, Link
from trytond.modules.health_orthanc.sync import storage
from trytond.modules.health_orthanc.sync.rows import Converter
from trytond.pool import Pool
from trytond.transaction import Transaction

STUDY = 'gnuhealth.imaging_orthanc.study'
STUDY_TABLE = '"gnuhealth_imaging_orthanc_study"'
REQUEST = 'gnuhealth.imaging.test.request'
BORN, OTHER = dt.date(1985, 10, 4), dt.date(1960, 5, 5)
# trytond asks for 200 records at once, so that four hundred take more.
MORE = 24

_numbers = itertools.count(1)


@pytest.fixture
def server(transaction):
    company = make_institution()
    make_exam("Head CT")
    make_professional()
    server, = Pool().get('gnuhealth.orthanc.config').create([{
                'label': "PACS", 'domain': 'http://127.0.0.1:9',
                'user': 'u', 'password': 'p'}])
    with Transaction().set_context(company=company.id):
        yield server.id


def make_studies(server, rows):
    "Make studies, all with the values of the first, and return their ids."
    common = {
        'orthanc_server': server, 'patient_sex': 'F', 'modalities': 'CT',
        'study_date': dt.date.today()}
    found = []
    for values in rows:
        number = next(_numbers)
        found.append({
                **common, 'orthanc_UID': f's{number}',
                'study_instance_UID': f'1.2.3.{number}', **values})
    return [s.id for s in Pool().get(STUDY).create(found)]


def studies_of(patient, count, **values):
    return [{
            'patient_id': patient.puid, 'patient_birth_date': BORN,
            'patient_name': f'{patient.party.lastname}^{patient.party.name}',
            **values} for _ in range(count)]


def statements(work):
    "Return the statements of some work that finds nothing in caches."
    for cache in Transaction().cache.values():
        cache.clear()
    with counted() as found:
        work()
    return found


def check(few, many):
    assert len(many) <= len(few) + MORE, '\n'.join(sorted(many))


def requests_of(patients):
    Request = Pool().get(REQUEST)
    first = make_request(patients[0])
    requests = [first, *Request.create([{
                    'patient': p.id, 'requested_test': first.requested_test.id,
                    'doctor': first.doctor.id} for p in patients[1:]])]
    Request.requested(requests)
    return requests


def decided(server, count):
    "Decide on studies: with a request, of a patient, to review, nobody's."
    quarter = count // 4
    patients = make_patients(3 * quarter)
    rows = [{
            **studies_of(r.patient, 1)[0], 'study_instance_UID': r.merge_id,
            'accession_number': r.request}
        for r in requests_of(patients[:quarter])]
    rows += [
        row for p in patients[quarter:2 * quarter] for row in studies_of(p, 1)]
    rows += [
        row for p in patients[2 * quarter:]
        for row in studies_of(p, 1, patient_birth_date=OTHER)]
    rows += [{'patient_id': f'X{n}', 'patient_birth_date': OTHER}
        for n in itertools.islice(_numbers, quarter)]
    ids = make_studies(server, rows)
    settle()
    tables.set_values(Pool().get(STUDY), ids, **{
            **dict(zip(COLUMNS, Link())), 'link_state': 'unlinked'})
    found = statements(lambda: deciding.link_studies(ids))
    states = [s.link_state for s in Pool().get(STUDY).browse(ids)]
    assert states.count('linked') == 2 * quarter
    assert states.count('review') == quarter
    return found, ids


def test_decisions(server):
    decided(server, 8)
    (few, _), (many, ids) = decided(server, 40), decided(server, 400)
    check(few, many)
    again = statements(lambda: deciding.link_studies(ids))
    # It writes nothing, but PostgreSQL is told that it was here.
    assert not [
        s for s in again if not s.startswith('SELECT')
        and '"write_date" = "a"."write_date" WHERE' not in s]


ODD = {
    'StudyInstanceUID': '1.2.840', 'StudyDate': '20230512',
    'StudyTime': '240000', 'StudyDescription': ' a\x00\x1b "quoted" \u202e',
    'AccessionNumber': 'A' * 600, 'ReferringPhysicianName': "O'Hara^\ud800",
    'RequestAttributesSequence': [{'ScheduledProcedureStepID': 'STEP'}],
    'IssuerOfPatientID': 'Other',
    }


@pytest.mark.parametrize('tags, patient', [
        ({'StudyInstanceUID': '1.2'}, {}),
        (ODD, {'PatientName': '王^小東', 'PatientID': " P'1 ",
            'PatientBirthDate': '19800229', 'PatientSex': 'f'}),
        (ODD, {'PatientBirthDate': '0000', 'PatientSex': 'X'}),
        ])
def test_what_is_known_of_new_studies_is_what_is_stored(
        server, tags, patient):
    study = archive_values.study({
            'ID': 'st', 'MainDicomTags': tags,
            'PatientMainDicomTags': patient})
    series = archive_values.series({
            'ID': 'se', 'ParentStudy': 'st', 'MainDicomTags': {
                'SeriesInstanceUID': '1.3', 'Modality': 'CT'}})
    item = Converter(None).study(study, [series])
    item.add_totals()
    item.set_classes({})
    tree = storage.Tree(server, now())
    tree.store([item])
    known, = tree.new_studies()
    stored, = facts.read_studies([known.id])
    assert stored._replace(create_date=None) == known._replace(
        create_date=None)
    # Both as the matching sees them
    assert facts.study_facts(stored).arrived - facts.study_facts(
        known).arrived < dt.timedelta(minutes=1)


def test_new_studies_are_not_read_again(server):
    patients = make_patients(3)
    items = []
    for patient in patients:
        item = make_rows(next(_numbers), [1])
        item.study.update(studies_of(patient, 1)[0], patient_sex='F')
        items.append(item)
    tree = storage.Tree(server, now())
    tree.store(items)
    found = statements(lambda: deciding.link_studies(
            tree.touched, new=tree.new_studies()))
    studies = Pool().get(STUDY).browse(sorted(tree.touched))
    assert [s.patient for s in studies] == patients
    assert {s.link_rule for s in studies} == {'patient_id'}
    assert all(len(s.link_log) == 1 for s in studies)
    assert not [
        s for s in found
        if 'FOR UPDATE' in s or '"patient_name"' in s and STUDY_TABLE in s]
    # Decided again they are read, with a lock where there is one.
    again = statements(lambda: deciding.link_studies(tree.touched))
    assert [s for s in again if '"patient_name"' in s and STUDY_TABLE in s]
    assert all(len(s.link_log) == 1 for s in studies)
    # A run knows nothing newer, others make who knows less decide again.
    last = statements(lambda: deciding.link_studies(tree.touched, 'people'))
    update = f'UPDATE {STUDY_TABLE}'
    assert not [s for s in again if s.startswith(update)]
    assert any(s.startswith(update) for s in last) \
        == Transaction().database.has_select_for()


def test_events(server):
    def correct(count):
        patient, = make_patients(1)
        ids = make_studies(server, studies_of(patient, count))
        deciding.link_studies(ids)
        settle()
        patient.party.dob = OTHER
        patient.party.save()
        found = statements(settle)
        assert {s.link_state for s in Pool().get(STUDY).browse(ids)} == {
            'review'}
        return found
    correct(2)
    check(correct(40), correct(400))


def test_a_corrected_birth_date(server):
    "The statements of who corrects it, and of the decision that follows."
    Party = Pool().get('party.party')
    clerk = make_user(
        'clerk', 'party.group_party_admin', 'health.group_health_admin')

    def correct():
        (request,) = requests_of(make_patients(1))
        request.make_results([request])
        study, = make_studies(server, [{
                    **studies_of(request.patient, 1)[0],
                    'study_instance_UID': request.merge_id}])
        deciding.link_studies([study])
        settle()
        party = request.patient.party.id
        with as_user(clerk):
            found = statements(lambda: Party.write(
                    [Party(party)], {'dob': OTHER}))
        found += statements(settle)
        study, = Pool().get(STUDY).browse([study])
        assert study.review_code == 'birth_date_differs'
        return found
    correct()
    found = correct()
    # PostgreSQL tells workers, and other transactions that it was here.
    assert len(found) == (
        55 if backend.name == 'postgresql' else 65), '\n'.join(found)


def test_kept_links(server):
    def keep(count):
        Study = Pool().get(STUDY)
        ids = make_studies(server, [{}] * count)
        patients = make_patients(count)
        found = statements(lambda: ledger.choose(
                Study.browse(ids), {'patient': patients[0].id}))
        links = {
            id_: ledger.Link(patient=patient.id, link_state='linked')
            for id_, patient in zip(ids, patients)}
        return found + statements(lambda: ledger.keep(links, 'people'))
    keep(2)
    check(keep(40), keep(400))


def test_effects_on_drafts(server):
    def leave(count):
        pool = Pool()
        Attachment, Study = pool.get('ir.attachment'), pool.get(STUDY)
        requests = requests_of(make_patients(count))
        ids = make_studies(server, [{
                    **studies_of(r.patient, 1)[0],
                    'study_instance_UID': r.merge_id} for r in requests])
        settle()
        deciding.link_studies(ids)
        results = pool.get(REQUEST).make_results(requests)
        settle()
        studies = Study.browse(ids)
        Attachment.create([{
                    'name': 'a.png', 'type': 'data', 'data': b'x',
                    'resource': str(study.imaging_test),
                    'imaging_study': study.id} for study in studies])
        found = statements(lambda: ledger.choose(studies, {'patient': None}))
        assert not any(r.images for r in results)
        assert all(
            r.worklist_status == 'done' for r in pool.get(REQUEST).browse(
                requests))
        return found
    leave(2)
    check(leave(4), leave(40))
