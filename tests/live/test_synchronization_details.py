# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a synchronization reads beyond the usual attributes: the kind of the
images, what was ordered, who gave the patient ID, and what was corrected in
place."""
import datetime as dt

import pydicom.uid
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from support import archive
from support.fault_server import (
    FaultServer, answer, change, drop, html, status)
from support.images import variant
from support.records import make_patient, make_requested
from support.statements import counted
from support.synchronizing import (
    new_server, orthanc_tree, stored_tree, studies, synchronize, transaction)

from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.archive.pictures_kind import is_picture
from trytond.modules.health_orthanc.sync import details as looking
from trytond.modules.health_orthanc.sync import reading, storage
from trytond.modules.health_orthanc.sync.run import Run as Synchronization
from trytond.modules.health_orthanc.sync.transactions import transact
from trytond.pool import Pool
from trytond.transaction import Transaction

STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
SERVER = 'gnuhealth.orthanc.config'
CT = str(pydicom.uid.CTImageStorage)


@pytest.fixture(autouse=True)
def in_transaction(activated):
    with transaction():
        yield


@pytest.fixture
def proxy(orthanc):
    with FaultServer(orthanc.url) as proxy:
        yield proxy


def not_listing(items):
    "Take out what Orthanc lists of what was ordered, since 1.11."
    for item in items:
        item['MainDicomTags'].pop('RequestAttributesSequence', None)
    return items


@pytest.fixture
def unlisted(proxy):
    "A proxy that lists what every Orthanc does, and no more."
    proxy.on('bulk-content', change(not_listing))
    return proxy


def send(orthanc, *files):
    for data in files:
        orthanc.rest('POST', '/instances', data)


def requested(step, procedure=None, accession=None):
    "Return an item of a RequestAttributesSequence."
    item = Dataset()
    item.ScheduledProcedureStepID = step
    if procedure:
        item.RequestedProcedureID = procedure
    if accession:
        item.AccessionNumber = accession
    return item


def ordered(*items, uid=None, **values):
    "Return an image that carries what was ordered."
    return variant('CT_small.dcm', uid, PatientID='P',
        RequestAttributesSequence=list(items), **values)


def classes(server):
    Series = Pool().get(SERIES)
    return {
        s.series_UID: s.sop_class_UID for s in Series.search([
                ('study.orthanc_server', '=', server)])}


# The kind of the images

def kinds(orthanc):
    "Send images of several kinds in one study; return UIDs by modality."
    study, sent = generate_uid(), {}
    for modality, name in [
            ('CT', 'CTImageStorage'), ('SR', 'ComprehensiveSRStorage'),
            ('MR', 'RawDataStorage'), ('DOC', 'EncapsulatedPDFStorage'),
            ('OT', 'SecondaryCaptureImageStorage')]:
        series = generate_uid()
        sent[modality] = series, str(getattr(pydicom.uid, name))
        for number in range(3):
            send(orthanc, variant('CT_small.dcm', study, series,
                    PatientID='K', Modality=modality,
                    SOPClassUID=sent[modality][1], InstanceNumber=number))
    return sent


@pytest.mark.parametrize('few', [500, 0])
@pytest.mark.parametrize('large', [False, True])
@pytest.mark.parametrize('bulk', [False, True])
def test_kind_of_each_series(
        orthanc, proxy, monkeypatch, few, large, bulk):
    monkeypatch.setattr(
        'trytond.modules.health_orthanc.archive.orthanc.FEW_INSTANCES', few)
    if large:
        monkeypatch.setattr(reading, 'BLOCK_INSTANCES', 2)
    if not bulk:
        proxy.on('bulk-content', status(403))
    sent = kinds(orthanc)
    server = new_server(proxy.url)
    assert synchronize(server).state == 'done'
    assert classes(server) == dict(sent.values())
    study, = studies(server)
    assert {s.modality for s in study.series
        if is_picture(s.modality, s.sop_class_UID)} == {'CT', 'OT'}
    # All of them are counted.
    assert (study.number_of_series, study.number_of_instances) == (5, 15)
    run = synchronize(server, full=True)
    assert not (run.studies_changed or run.series_changed)


def test_kind_is_the_same_whichever_image_comes_first(orthanc):
    study, series = generate_uid(), generate_uid()
    for number in range(4):
        send(orthanc, variant('CT_small.dcm', study, series, PatientID='K',
                InstanceNumber=number))
    server = new_server(orthanc)
    synchronize(server)
    with FaultServer(orthanc.url) as proxy:
        proxy.on('bulk-content', change(lambda items: [
                    {**i, 'Instances': i['Instances'][::-1]}
                    if i['Type'] == 'Series' else i for i in items][::-1]))
        Server = Pool().get(SERVER)
        Server.write([Server(server)], {'domain': proxy.url})
        Transaction().commit()
        assert synchronize(server).series_changed == 0
    assert classes(server) == {series: CT}


def without_classes(items):
    return [
        {k: v for k, v in item.items() if k != 'Metadata'} for item in items]


def test_kind_that_is_not_told_takes_nothing_away(orthanc, proxy):
    send(orthanc, variant('CT_small.dcm'))
    server = new_server(proxy.url)
    synchronize(server)
    for alter in [without_classes, lambda items: [
                {**i, 'Metadata': m} for i in items for m in [[5]]]]:
        proxy.clear()
        proxy.on('bulk-content', change(alter))
        run = synchronize(server, full=True)
        assert (run.state, run.series_changed) == ('done', 0)
        assert set(classes(server).values()) == {CT}


def test_kinds_come_with_the_first_full_run_after_an_upgrade(orthanc):
    sent = kinds(orthanc)
    server = new_server(orthanc)
    synchronize(server)
    Series = Pool().get(SERIES)
    tables.set_values(Series, [s.id for s in Series.search(
                [('study.orthanc_server', '=', server)])],
        sop_class_UID=None)
    Transaction().commit()
    assert synchronize(server, full=True).series_changed == 5
    assert classes(server) == dict(sent.values())


def test_kinds_cost_no_call_for_few_images_and_one_for_many(orthanc):
    archive.upload(orthanc, [archive.study(1)])
    server = new_server(orthanc)
    synchronize(server)
    archive.upload(orthanc, [archive.study(2)])
    assert synchronize(server).calls == 6
    archive.upload(orthanc, [archive.study(3, instances=200)])
    assert synchronize(server).calls == 7
    assert synchronize(server).calls == 3
    assert len(classes(server)) == 9
    assert set(classes(server).values()) == {CT}


# What was ordered, and who gave the patient ID

def look(server, ids=None):
    "Let a run look into studies, return its record and what was found."
    Run = Pool().get('gnuhealth.orthanc.sync_run')
    run = Synchronization(Pool().get(SERVER)(server))
    transact(run._start)
    found = run.details.look_into(
        [s.id for s in studies(server)] if ids is None else ids)
    transact(lambda: run._finish('done', True, None))
    return Run(run.run), found


def details(server):
    return [
        (s.requested_ids, s.issuer, bool(s.details_at))
        for s in studies(server)]


def test_what_was_ordered_is_read_of_one_image(orthanc, unlisted):
    send(orthanc, ordered(
            requested('STEP-1', 'PROC-1', 'ACC-1'), requested('STEP-2'),
            IssuerOfPatientID='Other Hospital'))
    send(orthanc, variant('CT_small.dcm', PatientID='Q'))
    server = new_server(unlisted.url)
    assert synchronize(server).state == 'done'
    assert details(server) == [(None, None, False)] * 2
    run, found = look(server)
    both = [
        (s.requested_ids, s.issuer, bool(s.details_at), s.id in found)
        for s in studies(server)]
    assert sorted(both, key=str) == sorted([
            ('STEP-1\\PROC-1\\ACC-1\\STEP-2', 'Other Hospital', True, True),
            (None, None, True, False)], key=str)
    # The structure of a file is checked before the server parses it.
    assert run.calls == 4
    # Nothing of it is another change, nor goes with the next full run.
    run = synchronize(server, full=True)
    assert not (run.studies_changed or run.series_changed)
    assert all(s.details_at for s in studies(server))
    assert any(s.requested_ids for s in studies(server))


def test_details_are_read_again_when_a_series_changes(orthanc, unlisted):
    uid = generate_uid()
    send(orthanc, ordered(requested('ONE'), uid=uid))
    server = new_server(unlisted.url)
    synchronize(server)
    look(server)
    assert details(server) == [('ONE', None, True)]
    send(orthanc, ordered(requested('TWO'), uid=uid))
    synchronize(server)
    # What is known stays until it is read again.
    assert details(server) == [('ONE', None, False)]


def test_details_are_those_of_a_picture(orthanc, unlisted):
    uid = generate_uid()
    send(orthanc, ordered(requested('REPORT'), uid=uid, Modality='SR',
            SOPClassUID=str(pydicom.uid.ComprehensiveSRStorage)))
    server = new_server(unlisted.url)
    synchronize(server)
    run, found = look(server)
    assert (run.calls, found) == (0, set())
    assert details(server) == [(None, None, True)]
    send(orthanc, ordered(requested('IMAGE'), uid=uid))
    synchronize(server)
    assert look(server)[1] == {studies(server)[0].id}
    assert details(server) == [('IMAGE', None, True)]


@pytest.mark.parametrize('fault', [
        status(401), status(403), status(404), html(404), status(500),
        html(502), html(), answer('{'), answer('[]'), answer('null')],
    ids=range(10))
def test_image_that_cannot_be_read_costs_one_study(orthanc, unlisted, fault):
    for number in range(3):
        send(orthanc, ordered(requested(f'S{number}')))
    server = new_server(unlisted.url)
    synchronize(server)
    rule = unlisted.on('simplified-tags', fault, nth=2)
    _, found = look(server)
    assert (rule.applied, len(found)) == (1, 2)
    # It is not asked for ever.
    assert all(s.details_at for s in studies(server))
    assert sum(bool(s.requested_ids) for s in studies(server)) == 2


def test_nobody_answers_when_images_are_read(orthanc, unlisted):
    for number in range(3):
        send(orthanc, ordered(requested(f'S{number}')))
    server = new_server(unlisted.url)
    synchronize(server)
    # Each is tried three times.
    unlisted.on('simplified-tags', drop(), nth=range(2, 10))
    _, found = look(server)
    assert len(found) == 1
    assert sorted(bool(s.details_at) for s in studies(server)) == [
        False, False, True]
    unlisted.clear()
    assert len(look(server)[1]) == 3


def test_images_are_read_of_some_studies_only(orthanc, proxy, monkeypatch):
    monkeypatch.setattr(looking, 'LOOKED_INTO', 2)
    monkeypatch.setattr(looking, 'MAX_REFUSED', 0)
    for number in range(3):
        send(orthanc, ordered(requested(f'S{number}')))
    server = new_server(proxy.url)
    synchronize(server)
    assert len(look(server)[1]) == 2
    assert look(server, [])[1] == set()
    proxy.on('simplified-tags', status(500))
    proxy.calls.clear()
    assert look(server)[1] == set()
    # A server that refuses more of them is ill.
    assert proxy.count('simplified-tags') == 1


def test_reading_images_costs_few_statements(orthanc):
    for number in range(8):
        send(orthanc, ordered(requested(f'S{number}')))
    server = new_server(orthanc)
    synchronize(server)
    lengths, all_ = [], [s.id for s in studies(server)]
    for ids in [all_[:2], all_[:2], all_]:
        with counted() as statements:
            look(server, ids)
        lengths.append(len(statements))
    # One for each row that is written, and no more.
    assert lengths[2] - lengths[1] == 6


# Where the server lists them: by itself since 1.11, ExtraMainDicomTags

def test_what_was_ordered_is_listed_by_newer_servers(orthanc):
    send(orthanc, ordered(requested('STEP-1', 'PROC-1', 'ACC-1')))
    tags = orthanc.rest('GET', '/system').get('MainDicomTags') or {}
    listed = '0040,0275' in tags.get('Series', '')
    server = new_server(orthanc)
    synchronize(server)
    # The issuer is not listed, so an image has to be read all the same.
    assert details(server) == [(
            'STEP-1\\PROC-1\\ACC-1' if listed else None, None, False)]


def test_number_of_another_hospital_is_seen_whatever_is_listed(orthanc):
    "What was ordered elsewhere does not keep from looking who gave a number."
    patient = make_patient("Ana", "Betz")
    uid = generate_uid()
    send(orthanc, *[
            variant('CT_small.dcm', uid, PatientID=patient.puid,
                PatientName='Betz^Ana', PatientBirthDate='', PatientSex='F',
                IssuerOfPatientID='Other Hospital', Modality=modality,
                RequestAttributesSequence=[requested(step)])
            for step, modality in [('STEP-9', 'CT'), ('STEP-8', 'MR')]])
    server = new_server(orthanc)
    synchronize(server)
    study, = studies(server)
    assert (study.issuer, study.link_state) == ('Other Hospital', 'review')
    if '0040,0275' in str(orthanc.rest('GET', '/system')):
        assert {*study.requested_ids.split('\\')} == {'STEP-8', 'STEP-9'}


@pytest.mark.parametrize('own', [False, True])
def test_images_of_two_requests_are_of_both(orthanc, own):
    """They name both (RequestAttributesSequence), whether the study has the
    UID of one of them or another one."""
    patient = make_patient(
        "Ana", "Gemini", ref=f'GROUP-{own}', dob=dt.date(1961, 2, 3))
    requests = [make_requested(patient=patient) for _ in range(2)]
    uid = requests[0].merge_id if own else generate_uid()
    send(orthanc, *[
            variant('CT_small.dcm', uid, PatientID=patient.puid,
                PatientName='Gemini^Ana', PatientBirthDate='19610203',
                PatientSex='F', StudyDate=f'{dt.date.today():%Y%m%d}',
                AccessionNumber='', RequestAttributesSequence=[
                    requested(r.step_id, r.step_id, r.accession_number)
                    for r in requests])
            for _ in range(2)])
    server = new_server(orthanc)
    synchronize(server)
    study, = studies(server)
    assert study.link_rule == ('merge_id' if own else 'accession')
    assert list(study.requests) == requests
    for request in requests:
        request = type(request)(request.id)
        assert request.number_of_images == 2
        assert request.worklist_status == 'done'
        assert list(request.orthanc_studies) == [study]


def listing(sequence, issuer):
    def alter(items):
        for item in items:
            if item['Type'] == 'Series' and sequence is not None:
                item['MainDicomTags']['RequestAttributesSequence'] = sequence
            if item['Type'] == 'Study' and issuer is not None:
                item['PatientMainDicomTags']['IssuerOfPatientID'] = issuer
        return items
    return change(alter)


@pytest.mark.parametrize('sequence, issuer, expected', [
        ([{'ScheduledProcedureStepID': 'A', 'RequestedProcedureID': 'B'}],
            'X', ('A\\B', 'X', True)),
        ([], 'X', (None, 'X', True)),
        (None, 'X', (None, 'X', False)),
        ([{'ScheduledProcedureStepID': 'A'}], None, ('A', None, False)),
        ([None, 5, 'x', ['y']], [None], (None, None, True)),
        ])
def test_details_that_the_server_lists(
        orthanc, proxy, sequence, issuer, expected):
    archive.upload(orthanc, [archive.study(1, series=2, instances=2)])
    proxy.on('bulk-content', listing(sequence, issuer))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert run.calls == 8
    assert details(server) == [expected]
    run = synchronize(server, full=True)
    assert not (run.studies_changed or run.series_changed)
    assert details(server) == [expected]


def test_change_of_what_the_server_lists_is_decided_on(
        orthanc, proxy, monkeypatch):
    archive.upload(orthanc, [archive.study(1, series=1, instances=2)])
    proxy.on('bulk-content', listing(
            [{'ScheduledProcedureStepID': 'A'}], 'X'))
    server = new_server(proxy.url)
    synchronize(server)
    touched = []
    store = storage.Tree.store

    def note(self, items):
        store(self, items)
        touched.append(set(self.touched))
    monkeypatch.setattr(storage.Tree, 'store', note)
    synchronize(server, full=True)
    proxy.clear()
    proxy.on('bulk-content', listing(
            [{'ScheduledProcedureStepID': 'B'}], 'X'))
    synchronize(server, full=True)
    study, = studies(server)
    assert touched == [set(), {study.id}]
    assert study.requested_ids == 'B'


# Corrected in place

@pytest.fixture
def overwriting(make_orthanc):
    "An Orthanc in which an image that comes again replaces the former one."
    return make_orthanc(extra={'OverwriteInstances': True})


def corrected(number, **changes):
    return archive.study(number, **{
            'series': 1, 'instances': 1, 'patient_name': 'Right^Name',
            'charset': '', 'encoding': 'ascii', 'date': '20200102',
            'accession_number': 'RIGHT', **changes})


def test_study_corrected_in_place_is_seen(overwriting):
    archive.upload(overwriting, [
            archive.study(n, series=1, instances=1) for n in range(3)])
    server = new_server(overwriting)
    synchronize(server)
    archive.upload(overwriting, [corrected(1)])
    run = synchronize(server)
    assert (run.full, run.studies_changed) == (False, 1)
    study, = Pool().get(STUDY).search([
            ('orthanc_server', '=', server),
            ('patient_name', '=', 'Right^Name')])
    assert study.accession_number == 'RIGHT'
    assert study.study_date.isoformat() == '2020-01-02'
    assert study.orthanc_patient.name == 'Right^Name'
    assert stored_tree(server) == orthanc_tree(overwriting)


def expect_corrected(server):
    study, = studies(server)
    assert (study.patient_name, study.accession_number) == (
        'Right^Name', 'RIGHT')
    assert study.study_date.isoformat() == '2020-01-02'


@pytest.mark.parametrize('large', [False, True])
def test_images_corrected_in_place_are_seen(overwriting, monkeypatch, large):
    "Orthanc lists what the first image said until it reconstructs a study."
    if large:
        monkeypatch.setattr(reading, 'BLOCK_INSTANCES', 2)
    whole = {'series': 2, 'instances': 3}
    archive.upload(overwriting, [archive.study(1, **whole)])
    server = new_server(overwriting)
    synchronize(server)
    archive.upload(overwriting, [corrected(1, **whole)])
    listed, = overwriting.rest('GET', '/studies?expand')
    assert listed['MainDicomTags']['AccessionNumber'] != 'RIGHT'
    run = synchronize(server)
    assert (run.full, run.studies_changed) == (False, 1)
    expect_corrected(server)
    # No later run takes it back.
    for full in [True, False]:
        run = synchronize(server, full=full)
        assert not run.studies_changed
        assert full or run.calls == 3
        expect_corrected(server)
    overwriting.rest('POST', f'/studies/{listed["ID"]}/reconstruct', {})
    assert not synchronize(server, full=True).studies_changed
    expect_corrected(server)
    # Nor does it stand in the way of the next correction.
    archive.upload(overwriting, [corrected(1, description='New', **whole)])
    synchronize(server)
    assert studies(server)[0].description == 'New'


def test_correction_that_was_taken_back(overwriting):
    whole = {'series': 1, 'instances': 3}
    archive.upload(overwriting, [archive.study(1, **whole)])
    server = new_server(overwriting)
    synchronize(server)
    before = studies(server)[0].patient_name
    archive.upload(overwriting, [corrected(1, **whole)])
    synchronize(server)
    archive.upload(overwriting, [archive.study(1, **whole)])
    assert synchronize(server).studies_changed == 1
    assert studies(server)[0].patient_name == before
    assert not studies(server)[0].correction


def test_images_that_came_again_unchanged(overwriting):
    archive.upload(overwriting, [archive.study(1), archive.study(2)])
    server = new_server(overwriting)
    synchronize(server)
    archive.upload(overwriting, [archive.study(1)])
    run = synchronize(server)
    # One image is looked into, after the structure of its file.
    assert (run.calls, run.studies_changed) == (8, 0)


def test_corrected_image_that_cannot_be_read(overwriting):
    whole = {'series': 1, 'instances': 3}
    archive.upload(overwriting, [archive.study(1, **whole)])
    with FaultServer(overwriting.url) as proxy:
        server = new_server(proxy.url)
        synchronize(server)
        archive.upload(overwriting, [corrected(1, **whole)])
        proxy.on('simplified-tags', html(403))
        assert synchronize(server).state == 'done'
