# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synchronisation with a real Orthanc: what changes there changes here."""
import contextlib
import datetime as dt
import logging
import os
import socket
import threading
import time
from pathlib import Path

import pydicom.data
import pytest
from services import Orthanc
from support import archive
from support.fault_server import (
    FaultServer, after, answer, change, hang, status)
from support.orthancs import wipe
from support.records import make_patient
from support.statements import counted
from support.synchronizing import (
    count_rows, new_server, orthanc_tree, stored_tree, studies, synchronize,
    transaction)

from trytond import backend
from trytond.modules.health_imaging.minute import now
from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.archive.orthanc import OrthancClient
from trytond.modules.health_orthanc.sync import (
    lease, reading, storage, transactions)
from trytond.modules.health_orthanc.sync.storing import Keeper
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
INSTANCE = 'gnuhealth.imaging_orthanc.series_instances'
SERVER = 'gnuhealth.orthanc.config'
RUN = 'gnuhealth.orthanc.sync_run'
#: The most statements of a run that finds nothing; SQLite checks no constraint
#: on the id of the new run's row, trytond does by a statement.
NOTHING_NEW = 21 + (backend.name == 'sqlite')


@pytest.fixture(autouse=True)
def in_transaction(activated):
    with transaction():
        yield


@pytest.fixture
def make_orthanc(tmp_path):
    """Return a function that starts an Orthanc.

    As nothing is kept they are killed, which is much faster than to stop
    them.
    """
    servers = []

    def make():
        servers.append(Orthanc(tmp_path / str(len(servers))))
        servers[-1].start()
        return servers[-1]
    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def filled(orthanc):
    "An Orthanc with five small studies."
    archive.upload(orthanc, [small(number) for number in range(5)])
    return orthanc


@pytest.fixture
def server(filled):
    "The id of a server that was synchronized."
    server = new_server(filled)
    assert synchronize(server).state == 'done'
    return server


@pytest.fixture
def proxy(filled):
    "A fault server in front of the Orthanc."
    with FaultServer(filled.url) as proxy:
        yield proxy


def small(number, **changes):
    return archive.study(number, **{'series': 2, 'instances': 3, **changes})


def find(server, **values):
    "Return the one study of a server that has some values."
    study, = Pool().get(STUDY).search([
            ('orthanc_server', '=', server),
            *((name, '=', value) for name, value in values.items())])
    return study


def uid(number):
    return archive.study(number).uid


def orthanc_id(orthanc, level, **query):
    found, = orthanc.rest('POST', '/tools/find', {
            'Level': level, 'Query': query})
    return found


def delete(orthanc, level, **query):
    collection = {'Study': 'studies', 'Instance': 'instances'}.get(
        level, level.lower())
    orthanc.rest(
        'DELETE', f'/{collection}/{orthanc_id(orthanc, level, **query)}')


def counts(run, **expected):
    "Whether a run counted just this."
    names = [
        f'{level}_{what}' for level in ['studies', 'series', 'instances']
        for what in ['new', 'changed', 'gone']]
    return {n: getattr(run, n) for n in names if getattr(run, n)} == expected


# How much it costs

def test_first_and_second_run(filled):
    server = new_server(filled)
    run = synchronize(server)
    assert (run.state, run.error, run.full) == ('done', None, True)
    assert counts(run, studies_new=5, series_new=10, instances_new=30)
    assert (run.done, run.total, run.skipped) == (5, 5, 0)
    assert count_rows(server) == (5, 10, 30)
    assert stored_tree(server) == orthanc_tree(filled)
    assert {s.link_state for s in studies(server)} == {'unlinked'}
    assert not Pool().get('gnuhealth.orthanc.link_log').search(
        [('study.orthanc_server', '=', server)])
    run = synchronize(server, full=True)
    assert (run.state, run.full, run.done, run.total) == ('done', True, 5, 5)
    assert counts(run)


def test_nothing_new_is_cheap(server):
    with counted() as statements:
        run = synchronize(server)
    assert (run.state, run.full, run.calls) == ('done', False, 3)
    assert counts(run)
    assert len(statements) <= NOTHING_NEW


def test_one_new_study_is_cheap(filled, server):
    archive.upload(filled, [archive.study(100)])
    run = synchronize(server)
    assert counts(run, studies_new=1, series_new=3, instances_new=75)
    assert run.calls <= 8
    assert stored_tree(server) == orthanc_tree(filled)


def test_cost_does_not_depend_on_old_studies(make_orthanc):
    costs = []
    for old in [2, 60]:
        orthanc = make_orthanc()
        archive.upload(orthanc, [
                small(n, series=1, instances=1) for n in range(old)])
        server = new_server(orthanc)
        synchronize(server)
        archive.upload(orthanc, [small(500)])
        with counted() as statements:
            run = synchronize(server)
        assert counts(run, studies_new=1, series_new=2, instances_new=6)
        costs.append((run.calls, len(statements)))
    assert costs[0] == costs[1]


def test_what_is_stored_of_a_study(make_orthanc):
    orthanc = make_orthanc()
    archive.upload(orthanc, [small(3)])
    server = new_server(orthanc)
    synchronize(server)
    study, = studies(server)
    assert study.server == orthanc.url
    assert study.study_instance_UID == uid(3)
    assert study.orthanc_UID == orthanc_id(orthanc, 'Study')
    assert (study.patient_name, study.patient_id) == ('王^小東', 'SYN000001')
    assert study.patient_birth_date == dt.date(1913, 4, 15)
    assert study.patient_sex == 'F'
    assert (study.date, study.study_date) == (
        '20081004', dt.date(2008, 10, 4))
    assert study.study_time == dt.time(10, 15, 30)
    assert (study.description, study.study_id) == ('Study 3', '1')
    assert study.accession_number == 'ACC000003'
    assert study.referring_physician_name == 'House^G'
    assert study.modalities == 'CT'
    assert (study.number_of_series, study.number_of_instances) == (2, 6)
    patient = study.orthanc_patient
    assert (patient.server.id, patient.name, patient.ident) == (
        server, '王^小東', 'SYN000001')
    assert (patient.bd, patient.sex) == (dt.date(1913, 4, 15), 'F')
    series = study.series[1]
    assert (series.series_number, series.modality, series.body_part) == (
        '2', 'CT', 'HEAD')
    assert (series.series_UID, series.number_of_instances) == (
        f'{uid(3)}.2', 3)
    instance = series.instances[2]
    assert (instance.instance_number, instance.sop_instance_UID) == (
        3, f'{uid(3)}.2.3')
    assert instance.image_position_patient == '-120\\-120\\15'


def test_what_is_no_date_heads_no_list(make_orthanc):
    orthanc = make_orthanc()
    archive.upload(orthanc, [
            small(1), small(5, date='00010101', birth_date='14000101'),
            small(7, date='25230506', birth_date='00010101')])
    server = new_server(orthanc)
    synchronize(server)
    found = {study.study_instance_UID: study for study in studies(server)}
    for number, date, born in [
            (5, '00010101', '14000101'), (7, '25230506', '00010101')]:
        study = found[uid(number)]
        assert (study.study_date, study.date) == (None, date)
        assert study.patient_birth_date is None
        assert study.patient_birth_date_text == born
        patient = study.orthanc_patient
        assert (patient.bd, patient.bd_text) == (None, born)
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    first, *_ = Study.search([('orthanc_server', '=', server)])
    assert first == found[uid(1)]
    assert first.patient_birth_date_text is None
    run = synchronize(server, full=True)
    assert counts(run)


# What changes on the server

def test_new_series_and_instances_in_an_old_study(filled, server):
    archive.upload(filled, [small(2, series=3, instances=4)])
    run = synchronize(server)
    assert not run.full
    assert counts(run, studies_changed=1, series_new=1, series_changed=2,
        instances_new=6)
    assert stored_tree(server) == orthanc_tree(filled)
    study = find(server, study_instance_UID=uid(2))
    assert (study.number_of_series, study.number_of_instances) == (3, 12)


def test_corrections_arrive_and_nothing_of_the_user_is_lost(filled, server):
    study = find(server, study_instance_UID=uid(1))
    Study = Pool().get(STUDY)
    Series = Pool().get(SERIES)
    Study.write([study], {'notes': "Mine", 'merge_comment': "Also mine"})
    Series.write(list(study.series), {'notes': "Of the series"})
    Transaction().commit()
    before = study.id, study.orthanc_UID, [s.id for s in study.series]
    delete(filled, 'Study', StudyInstanceUID=uid(1))
    archive.upload(filled, [
            small(1, patient_name='Иванова^Мария', description='Corrected')])
    run = synchronize(server)
    assert counts(run, studies_changed=1)
    study = find(server, study_instance_UID=uid(1))
    assert before == (
        study.id, study.orthanc_UID, [s.id for s in study.series])
    assert (study.patient_name, study.description) == (
        'Иванова^Мария', 'Corrected')
    assert study.orthanc_patient.name == 'Иванова^Мария'
    assert (study.notes, study.merge_comment) == ("Mine", "Also mine")
    assert {s.notes for s in study.series} == {"Of the series"}


def test_deleted_study_is_marked_and_unmarked(filled, server):
    delete(filled, 'Study', StudyInstanceUID=uid(3))
    run = synchronize(server)
    assert not run.full
    assert counts(run, studies_gone=1)
    assert find(server, study_instance_UID=uid(3)).missing_since
    assert count_rows(server) == (5, 10, 30)
    assert counts(synchronize(server))
    archive.upload(filled, [small(3)])
    run = synchronize(server)
    assert counts(run, studies_changed=1)
    assert not find(server, study_instance_UID=uid(3)).missing_since
    assert stored_tree(server) == orthanc_tree(filled)


@pytest.mark.parametrize('full', [False, True])
def test_deleted_series_is_marked_and_unmarked(filled, server, full):
    delete(filled, 'Series', SeriesInstanceUID=f'{uid(3)}.2')
    run = synchronize(server, full=full)
    assert counts(run, studies_changed=1, series_gone=1)
    study = find(server, study_instance_UID=uid(3))
    assert [bool(s.missing_since) for s in study.series] == [False, True]
    assert (study.number_of_series, study.number_of_instances) == (1, 3)
    assert counts(synchronize(server, full=full))
    archive.upload(filled, [small(3)])
    run = synchronize(server, full=full)
    assert counts(run, studies_changed=1, series_changed=1)
    assert stored_tree(server) == orthanc_tree(filled)


@pytest.mark.parametrize('full', [False, True])
def test_deleted_instance_goes(filled, server, full):
    delete(filled, 'Instance', SOPInstanceUID=f'{uid(3)}.2.1')
    run = synchronize(server, full=full)
    assert counts(
        run, studies_changed=1, series_changed=1, instances_gone=1)
    assert stored_tree(server) == orthanc_tree(filled)


def test_exchanged_instance_is_found_although_counts_agree(filled, server):
    delete(filled, 'Instance', SOPInstanceUID=f'{uid(3)}.2.1')
    archive.upload(filled, [small(4, series=1, instances=1, first=9)])
    synchronize(server)
    assert stored_tree(server) == orthanc_tree(filled)


def missing_patients(server):
    "Return the PatientIDs of the Orthanc patients that are marked."
    Patient = Pool().get('gnuhealth.orthanc.patient')
    return sorted(p.ident for p in Patient.search([
                ('server', '=', server), ('missing_since', '!=', None)]))


@pytest.mark.parametrize('full', [False, True])
def test_patient_without_studies_is_marked_and_unmarked(
        filled, server, full):
    # Two studies belong to one patient.
    delete(filled, 'Study', StudyInstanceUID=uid(2))
    synchronize(server, full=full)
    assert not missing_patients(server)
    delete(filled, 'Study', StudyInstanceUID=uid(3))
    synchronize(server, full=full)
    assert missing_patients(server) == ['SYN000001']
    with counted() as statements:
        synchronize(server, full=full)
    assert missing_patients(server) == ['SYN000001']
    assert full or len(statements) <= NOTHING_NEW
    archive.upload(filled, [small(3)])
    assert counts(synchronize(server, full=full), studies_changed=1)
    assert not missing_patients(server)


def test_patients_lost_before_they_were_marked(filled, server):
    "What an earlier release left is put right by the first full run."
    delete(filled, 'Study', StudyInstanceUID=uid(4))
    synchronize(server)
    Patient = Pool().get('gnuhealth.orthanc.patient')
    tables.set_values(Patient, [p.id for p in Patient.search(
                [('server', '=', server)])], missing_since=None)
    Transaction().commit()
    synchronize(server)
    assert not missing_patients(server)
    synchronize(server, full=True)
    assert missing_patients(server) == ['SYN000002']


def test_server_that_lists_nothing_marks_no_patient(filled, server):
    wipe(filled)
    for full in [False, True]:
        synchronize(server, full=full)
        assert not missing_patients(server)


def test_emptied_change_log_loses_nothing(filled, server):
    archive.upload(filled, [small(7), small(2, instances=5)])
    filled.rest('DELETE', '/changes')
    run = synchronize(server)
    assert not run.full
    assert counts(run, studies_new=1, studies_changed=1, series_new=2,
        series_changed=2, instances_new=10)
    assert stored_tree(server) == orthanc_tree(filled)


def test_reset_server_is_read_again(filled, server):
    wipe(filled)
    archive.upload(filled, [small(4), small(11)])
    run = synchronize(server)
    assert (run.state, run.full) == ('done', True)
    assert counts(run, studies_new=1, studies_gone=4, series_new=2,
        instances_new=6)
    assert stored_tree(server) == orthanc_tree(filled)
    assert count_rows(server) == (6, 12, 36)
    assert Pool().get(SERVER)(server).last_changed_index == filled.rest(
        'GET', '/changes?last')['Last']


@pytest.mark.parametrize('full', [False, True])
def test_server_that_lists_nothing_wipes_nothing(filled, server, full):
    wipe(filled)
    for _ in range(2):
        run = synchronize(server, full=full)
        assert run.state == 'done'
        assert counts(run)
        assert '5' in run.error
        assert Pool().get(SERVER)(server).last_error == run.error
    assert not any(s.missing_since for s in studies(server))
    archive.upload(filled, [small(number) for number in range(5)])
    run = synchronize(server)
    assert (run.state, run.error) == ('done', None)
    assert counts(run)
    assert stored_tree(server) == orthanc_tree(filled)


def resend(orthanc, number, **changes):
    "Send a study again, under another PatientID for instance."
    delete(orthanc, 'Study', StudyInstanceUID=uid(number))
    archive.upload(orthanc, [small(number, **changes)])


@pytest.mark.parametrize('full', [False, True])
def test_study_sent_again_under_another_patient_id(filled, server, full):
    resend(filled, 2, patient_id='RIGHT')
    run = synchronize(server, full=full)
    assert counts(run, studies_new=1, studies_gone=1, series_new=2,
        instances_new=6)
    old = find(server, study_instance_UID=uid(2), patient_id='SYN000001')
    new = find(server, study_instance_UID=uid(2), patient_id='RIGHT')
    assert old.missing_since and not new.missing_since
    assert new.link_state == 'unlinked'


def linked_by(server, rule, patient):
    "Link the study 2 of a server to a patient."
    Study = Pool().get(STUDY)
    old = find(server, study_instance_UID=uid(2))
    if rule == 'person':
        Study.write([old], {'patient': patient.id})
    else:
        tables.set_values(Study, [old.id], patient=patient.id,
            link_rule=rule, link_state='linked')
    Transaction().commit()
    return old


def opened_by(run):
    "Return how many studies the button of a run opens, by tab."
    opened = type(run).show_studies([run])
    decode = PYSONDecoder().decode
    return {
        name: Pool().get(STUDY).search_count(
            [decode(opened['pyson_domain']), decode(domain)])
        for name, domain, _ in opened['domains']}


@pytest.mark.parametrize('rule', ['person', 'patient_id'])
def test_former_link_is_offered(filled, server, rule):
    wrong = make_patient(lastname="Wrong")
    linked_by(server, rule, wrong)
    resend(filled, 2, patient_id='NOBODY')
    run = synchronize(server)
    assert run.outcome == "1 new, 0 linked, 1 to review"
    opened = opened_by(run)
    # Those that another run stored in the same second are new, too.
    assert opened.pop("New") >= 1
    assert opened == {"To Review": 1, "Not Decided": 0}
    old = find(server, study_instance_UID=uid(2), patient_id='SYN000001')
    new = find(server, study_instance_UID=uid(2), patient_id='NOBODY')
    # The study that is there has to be decided, the missing one is history.
    assert old.missing_since and not old.patient
    line = old.link_log[0]
    assert (line.cause, line.patient_before, line.rule_before) == (
        'replaced', wrong, rule)
    assert new.link_state == 'review' and not new.patient
    assert 'SYN000001' in new.review_reason
    candidate, = new.candidates
    assert candidate.patient == wrong
    # A later change of the study does not withdraw it.
    archive.upload(filled, [small(2, patient_id='NOBODY', series=3)])
    synchronize(server)
    new = find(server, study_instance_UID=uid(2), patient_id='NOBODY')
    assert new.link_state == 'review' and len(new.candidates) == 1
    type(candidate).link(list(new.candidates))
    new = find(server, study_instance_UID=uid(2), patient_id='NOBODY')
    assert (new.patient, new.link_rule) == (wrong, 'person')
    assert synchronize(server, full=True).state == 'done'
    new = find(server, study_instance_UID=uid(2), patient_id='NOBODY')
    assert (new.patient, new.link_state) == (wrong, 'linked')


@pytest.mark.parametrize('rule, state', [
        ('person', 'review'), ('patient_id', 'linked')])
def test_corrected_patient_id_is_matched_afresh(filled, server, rule, state):
    wrong = make_patient(lastname="Wrong")
    right = make_patient("Jürgen", "Müller", gender='m',
        dob=dt.date(1990, 5, 17), ref=f'RIGHT{server}')
    linked_by(server, rule, wrong)
    resend(filled, 2, patient_id=right.puid, patient_name='Müller^Jürgen',
        charset='ISO_IR 100', encoding='latin-1', birth_date='19900517',
        sex='M')
    synchronize(server)
    new = find(server, study_instance_UID=uid(2), patient_id=right.puid)
    assert new.link_state == state
    assert new.patient == (right if state == 'linked' else None)
    if state == 'review':
        assert {c.patient for c in new.candidates} == {wrong}


@pytest.fixture
def seen(server):
    "The server has all viewers."
    Server = Pool().get(SERVER)
    Server.write([Server(server)], {
            'viewers': ['explorer', 'ohif', 'stone']})
    Transaction().commit()
    return server


def test_one_uid_under_two_patient_ids_is_two_studies(filled, seen):
    one = find(seen, study_instance_UID=uid(2), patient_id='SYN000001')
    assert one.ohif_viewer_link and one.stone_viewer_link
    archive.upload(filled, [small(2, patient_id='OTHER', instances=1)])
    run = synchronize(seen)
    assert counts(run, studies_new=1, series_new=2, instances_new=2)
    one = find(seen, study_instance_UID=uid(2), patient_id='SYN000001')
    other = find(seen, study_instance_UID=uid(2), patient_id='OTHER')
    assert one.orthanc_patient != other.orthanc_patient
    assert (one.number_of_instances, other.number_of_instances) == (6, 2)
    assert not one.missing_since
    assert stored_tree(seen) == orthanc_tree(filled)
    # A viewer that is told the UID alone would open the pictures of both.
    for study in [one, other]:
        assert study.orthanc_UID in study.orthanc_explorer_link
        assert not study.ohif_viewer_link
        assert not study.stone_viewer_link
        assert not study.series[0].stone_viewer_link
    delete(filled, 'Study', StudyInstanceUID=uid(2), PatientID='OTHER')
    synchronize(seen)
    one = find(seen, study_instance_UID=uid(2), patient_id='SYN000001')
    other = find(seen, study_instance_UID=uid(2), patient_id='OTHER')
    assert one.ohif_viewer_link and not other.orthanc_explorer_link


def test_same_studies_on_two_servers(filled, server, make_orthanc):
    other = make_orthanc()
    archive.upload(other, [small(number) for number in range(5)])
    second = new_server(other)
    run = synchronize(second)
    assert counts(run, studies_new=5, series_new=10, instances_new=30)
    assert stored_tree(second) == stored_tree(server)
    delete(other, 'Study', StudyInstanceUID=uid(3))
    synchronize(second)
    assert find(second, study_instance_UID=uid(3)).missing_since
    assert not find(server, study_instance_UID=uid(3)).missing_since


def test_server_that_moved_is_compared(filled, server):
    Server = Pool().get(SERVER)
    with FaultServer(filled.url) as proxy:
        Server.write([Server(server)], {
                'domain': proxy.url, 'label': 'Moved'})
        Transaction().commit()
        run = synchronize(server)
    assert (run.state, run.full) == ('done', True)
    assert counts(run)
    assert {s.server for s in studies(server)} == {proxy.url}


def test_change_log_of_an_old_server_is_long(filled, proxy):
    proxy.on('^/changes', change(lambda c: {**c, 'Last': c['Last'] + 2 ** 33}))
    server = new_server(proxy.url)
    assert synchronize(server).state == 'done'
    assert Pool().get(SERVER)(server).last_changed_index > 2 ** 33
    assert synchronize(server).calls == 3


# Odd data

def test_every_file_of_pydicom(orthanc):
    folder = Path(pydicom.data.__file__).parent / 'test_files'
    accepted = 0
    for path in sorted(folder.rglob('*')):
        if path.suffix in {'.dcm', ''} and path.is_file():
            try:
                orthanc.rest('POST', '/instances', path.read_bytes())
            except Exception:
                continue
            accepted += 1
    assert accepted > 60
    server = new_server(orthanc)
    run = synchronize(server)
    assert (run.state, run.skipped, run.skipped_reasons) == ('done', 0, None)
    assert stored_tree(server) == orthanc_tree(orthanc)
    assert counts(synchronize(server, full=True))


def odd(kind):
    "Return a fault that makes the answers to bulk-content odd."
    def alter(items):
        return [kind(dict(item)) for item in items]
    return change(alter)


def with_tags(value):
    def kind(item):
        for name in ['MainDicomTags', 'PatientMainDicomTags']:
            item[name] = {
                n: v if n.endswith('InstanceUID') else value
                for n, v in item.get(name, {}).items()}
        return item
    return kind


ODD = {
    'none': with_tags(None),
    'lists': with_tags(['a', ['b'], None, 5]),
    'numbers': with_tags(10 ** 30),
    'dicts': with_tags({'Alphabetic': 'x'}),
    'nul': with_tags('a\0b\0'),
    'surrogates': with_tags('\ud800x'),
    'long': with_tags('x' * 100_000),
    'percent': with_tags("%s %(x)s ? ' \" \\"),
    'no tags': lambda item: {
        n: {k: v for k, v in value.items() if k.endswith('InstanceUID')}
        if n.endswith('DicomTags') else value for n, value in item.items()},
    'no patient': lambda item: {
        n: v for n, v in item.items()
        if n not in {'PatientMainDicomTags', 'ParentPatient'}},
    }


@pytest.mark.parametrize('kind', ODD)
def test_odd_values_do_not_stop_a_run(filled, proxy, kind):
    rule = proxy.on('/tools/bulk-content', odd(ODD[kind]))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert rule.applied >= 3
    assert (run.state, run.skipped) == ('done', 0)
    assert counts(run, studies_new=5, series_new=10, instances_new=30)
    assert stored_tree(server) == orthanc_tree(filled)
    run = synchronize(server, full=True)
    assert counts(run)
    proxy.clear()
    run = synchronize(server, full=True)
    assert run.studies_changed == 5
    study, *_ = studies(server)
    assert study.description.startswith('Study ')


def without(name, level):
    def kind(item):
        if item.get('Type') == level and item['MainDicomTags'].get(
                name, '').endswith('.1'):
            item['MainDicomTags'] = {}
        return item
    return kind


@pytest.mark.parametrize('name, level, rows', [
        ('StudyInstanceUID', 'Study', (4, 8, 24)),
        ('SeriesInstanceUID', 'Series', (5, 5, 15)),
        ('SOPInstanceUID', 'Instance', (5, 10, 20)),
        ])
def test_what_has_no_uid_is_listed(filled, proxy, name, level, rows):
    proxy.on('/tools/bulk-content', odd(without(name, level)))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert run.state == 'done'
    assert count_rows(server) == rows
    levels = {'Study': 0, 'Series': 1, 'Instance': 2}
    assert run.skipped == (5, 10, 30)[levels[level]] - rows[levels[level]]
    skipped, text = run.skipped_reasons.splitlines()[0].split(': ')
    assert len(skipped) == 44 and text == "it has no UID"
    # After a second look it does not make runs dearer.
    synchronize(server)
    assert synchronize(server).calls == 3


def test_duplicates_and_strays_in_an_answer(filled, proxy):
    def double(items):
        strays = [None, 5, ['x'], {}, 'x' * 500, '', '\0']
        return [*items, *items, {}, *({'ID': stray} for stray in strays)]
    proxy.on('/tools/bulk-content', change(double))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert run.state == 'done'
    assert stored_tree(server) == orthanc_tree(filled)
    assert counts(synchronize(server, full=True))


def test_two_instances_with_one_uid(filled, proxy):
    def same(items):
        return [
            {**i, 'MainDicomTags': {
                    **i['MainDicomTags'], 'SOPInstanceUID': '1.2.3'}}
            if i['Type'] == 'Instance' else i for i in items]
    proxy.on('/tools/bulk-content', change(same))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert (run.state, run.skipped) == ('done', 20)
    assert 'has the same UID' in run.skipped_reasons
    assert count_rows(server) == (5, 10, 10)
    assert counts(synchronize(server, full=True))


def test_study_that_is_empty(filled, proxy):
    def empty(items):
        return [{**i, 'Series': []} for i in items if i['Type'] == 'Study']
    proxy.on('/tools/bulk-content', change(empty))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert run.state == 'done'
    assert count_rows(server) == (5, 0, 0)
    proxy.clear()
    assert synchronize(server, full=True).state == 'done'
    assert stored_tree(server) == orthanc_tree(filled)


@pytest.mark.parametrize('path', ['/studies', '/series', '/instances'])
def test_ids_that_are_none(filled, proxy, path):
    proxy.on(f'^{path}$', change(lambda ids: ['', '../x', 'ü', *ids, *ids]))
    server = new_server(proxy.url)
    assert synchronize(server).state == 'done'
    assert stored_tree(server) == orthanc_tree(filled)


def test_large_study_comes_in_blocks(orthanc, monkeypatch):
    monkeypatch.setattr(reading, 'BLOCK_INSTANCES', 40)
    monkeypatch.setattr(
        'trytond.modules.health_orthanc.archive.orthanc.INSTANCES_BLOCK', 40)
    blocks = OrthancClient.instances
    monkeypatch.setattr(
        OrthancClient, 'instances',
        lambda self, series, first=(): blocks(
            self, series, first, block=40))
    archive.upload(orthanc, [
            archive.study(1, series=2, instances=60), small(2),
            archive.study(3, series=3, instances=30)])
    server = new_server(orthanc)
    run = synchronize(server)
    assert counts(run, studies_new=3, series_new=7, instances_new=216)
    assert (run.done, run.total) == (3, 3)
    assert stored_tree(server) == orthanc_tree(orthanc)
    study = find(server, study_instance_UID=uid(1))
    assert (study.number_of_series, study.number_of_instances) == (2, 120)
    assert [s.number_of_instances for s in study.series] == [60, 60]
    assert counts(synchronize(server, full=True))
    delete(orthanc, 'Instance', SOPInstanceUID=f'{uid(1)}.2.7')
    archive.upload(orthanc, [
            archive.study(3, series=1, instances=1, first=50)])
    run = synchronize(server)
    assert counts(run, studies_changed=2, series_changed=2, instances_new=1,
        instances_gone=1)
    assert stored_tree(server) == orthanc_tree(orthanc)
    assert synchronize(server).calls == 3


# Servers without bulk-content, that receive, that fail on one study

@pytest.mark.parametrize('code', [403, 404, 405])
def test_server_without_bulk_content(filled, proxy, code):
    proxy.on('/tools/bulk-content', status(code))
    server = new_server(proxy.url)
    assert synchronize(server).state == 'done'
    assert stored_tree(server) == orthanc_tree(filled)
    archive.upload(filled, [small(9)])
    assert counts(
        synchronize(server), studies_new=1, series_new=2, instances_new=6)


def test_server_that_receives_while_it_is_read(filled, proxy):
    numbers = iter(range(50, 100))

    def receive(statistics):
        archive.upload(filled, [small(next(numbers))])
        return filled.rest('GET', '/statistics')
    proxy.on('/statistics', change(receive))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert run.state == 'done'
    # Series and instances of all studies are not listed for that.
    assert not proxy.count('^/(series|instances)$')
    proxy.clear()
    assert synchronize(server).state == 'done'
    assert stored_tree(server) == orthanc_tree(filled)


def test_long_change_log_reads_no_study_twice(orthanc, monkeypatch):
    archive.upload(orthanc, [small(0)])
    server = new_server(orthanc)
    synchronize(server)
    archive.upload(orthanc, [
            archive.study(1, series=1, instances=40), small(2)])
    client = OrthancClient
    changes = client.all_changes
    monkeypatch.setattr(
        client, 'all_changes', lambda self, since: changes(self, since, 10))
    run = synchronize(server)
    assert counts(run, studies_new=2, series_new=3, instances_new=46)
    assert (run.done, run.total) == (2, 2)
    assert stored_tree(server) == orthanc_tree(orthanc)


def failing_on(*texts):
    "Return a fault: 500 for requests in which one of some texts is."
    def fault(exchange):
        body = exchange.read()
        if any(text in body.decode() for text in texts):
            return status(500)(exchange)
        exchange._unread = 0
        return pass_on(exchange, body)
    return fault


def pass_on(exchange, body):
    import http.client
    from urllib.parse import urlsplit

    from support.fault_server import Reply
    target = urlsplit(exchange.server.target)
    connection = http.client.HTTPConnection(target.hostname, target.port)
    connection.request('POST', exchange.call.path, body, {
            'Authorization': exchange.call.headers['authorization']})
    response = connection.getresponse()
    reply = Reply(response.status, response.read(), {
            'Content-Type': 'application/json'})
    connection.close()
    return reply


def test_one_bad_study_stops_no_other(filled, proxy):
    bad = orthanc_id(filled, 'Study', StudyInstanceUID=uid(3))
    proxy.on('/tools/bulk-content', failing_on(bad))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert run.state == 'done'
    assert counts(run, studies_new=4, series_new=8, instances_new=24)
    assert run.skipped_reasons.startswith(f'{bad}: the server reports')
    proxy.clear()
    assert synchronize(server, full=True).state == 'done'
    assert stored_tree(server) == orthanc_tree(filled)


def test_many_bad_studies_stop_no_other(filled, proxy, monkeypatch):
    monkeypatch.setattr(reading, 'MAX_REFUSED', 1)
    bad = sorted(filled.rest('GET', '/studies'))[::2]
    proxy.on('/tools/bulk-content', failing_on(*bad))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert run.state == 'done'
    assert counts(run, studies_new=2, series_new=4, instances_new=12)
    assert {line.partition(':')[0]
        for line in run.skipped_reasons.splitlines()} == set(bad)


def test_server_that_fails_on_all_studies_is_ill(filled, proxy, monkeypatch):
    monkeypatch.setattr(reading, 'MAX_REFUSED', 2)
    proxy.on('/tools/bulk-content', status(500))
    server = new_server(proxy.url)
    run = synchronize(server)
    assert (run.state, count_rows(server)) == ('failed', (0, 0, 0))
    assert not Pool().get(SERVER)(server).validated
    proxy.clear()
    assert synchronize(server).state == 'done'
    assert stored_tree(server) == orthanc_tree(filled)


def test_interrupted_full_run_goes_on_where_it_was(
        filled, proxy, monkeypatch):
    monkeypatch.setattr(reading, 'GROUP_STUDIES', 1)
    server = new_server(proxy.url)
    # Three calls for each study
    proxy.on('/tools/bulk-content', status(503), nth=range(8, 100))
    run = synchronize(server)
    assert (run.state, run.done, run.total) == ('failed', 2, 5)
    assert count_rows(server) == (2, 4, 12)
    archive.upload(filled, [small(0, description='New'), small(20)])
    proxy.clear()
    run = synchronize(server)
    assert (run.state, run.full, run.done) == ('done', True, run.total)
    bulks = proxy.count('bulk-content')
    assert counts(run, studies_new=4, series_new=8, instances_new=24)
    assert stored_tree(server) == orthanc_tree(filled)
    assert bulks < 18
    assert not Pool().get(SERVER)(server).resume


# The database

def test_block_is_repeated_when_the_database_was_busy(filled, monkeypatch):
    store, failures = storage.Tree.store, []

    def fail_at_first(self, items):
        store(self, items)
        if len(failures) < 2:
            failures.append(1)
            raise backend.DatabaseOperationalError("could not serialize")
    monkeypatch.setattr(storage.Tree, 'store', fail_at_first)
    monkeypatch.setattr(transactions, 'PAUSE', 0)
    server = new_server(filled)
    run = synchronize(server)
    assert (run.state, len(failures)) == ('done', 2)
    assert counts(run, studies_new=5, series_new=10, instances_new=30)
    assert stored_tree(server) == orthanc_tree(filled)


def test_study_that_cannot_be_stored_is_listed(
        filled, monkeypatch, caplog):
    store = storage.Tree.store

    def refuse(self, items):
        for item in items:
            if item.study['study_instance_UID'] == uid(3):
                raise backend.DatabaseIntegrityError(
                    f'Failing row contains {item.study["patient_name"]}')
        store(self, items)
    monkeypatch.setattr(storage.Tree, 'store', refuse)
    server = new_server(filled)
    with caplog.at_level(logging.INFO):
        run = synchronize(server)
    assert (run.state, run.done, run.total) == ('done', 5, 5)
    assert counts(run, studies_new=4, series_new=8, instances_new=24)
    bad = orthanc_id(filled, 'Study', StudyInstanceUID=uid(3))
    assert run.skipped_reasons.startswith(f'{bad}: it could not be stored')
    assert 'IntegrityError' in caplog.text
    assert '小東' not in caplog.text


def test_study_that_cannot_be_linked_is_stored(filled, monkeypatch):
    def fail(ids):
        if ids:
            raise ValueError
        return 0
    monkeypatch.setattr(
        'trytond.modules.health_orthanc.links.deciding.link_studies', fail)
    server = new_server(filled)
    run = synchronize(server)
    assert run.state == 'done'
    assert counts(run, studies_new=5, series_new=10, instances_new=30)
    assert run.skipped == 5
    assert 'could not be linked' in run.skipped_reasons
    assert run.outcome == (
        "5 new, 0 linked, 0 to review, 5 wait for a decision")
    assert stored_tree(server) == orthanc_tree(filled)


def test_log_tells_nothing_of_patients(filled, proxy, caplog):
    server = new_server(proxy.url)
    with caplog.at_level(logging.INFO):
        synchronize(server)
        proxy.on('/changes', status(500, '{"Details": "Doe^John"}'))
        synchronize(server)
    assert f'server {server}: run' in caplog.text
    for number in range(5):
        study = small(number)
        for text in [study.patient_name, study.patient_id, study.description,
                study.uid, study.accession_number]:
            assert text not in caplog.text
    assert 'secret' not in caplog.text


def administer(*statements):
    "Run statements of the database cluster, on a connection of its own."
    import psycopg2
    connection = psycopg2.connect(
        f'{os.environ["POSTGRESQL_URI"].rstrip("/")}/postgres')
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def end_connections():
    administer('SELECT pg_terminate_backend(pid) FROM pg_stat_activity '
        f"WHERE datname = '{DB_NAME}' AND pid != pg_backend_pid()")


def restart_database():
    "Let the database be away for some time, as when it is restarted."
    administer(f'ALTER DATABASE "{DB_NAME}" ALLOW_CONNECTIONS false')
    end_connections()
    threading.Timer(2, administer, [
            f'ALTER DATABASE "{DB_NAME}" ALLOW_CONNECTIONS true']).start()


@pytest.mark.postgresql
@pytest.mark.parametrize('happening, number', [
        (end_connections, 1), (end_connections, 3), (end_connections, 6),
        (end_connections, 7), (restart_database, 3), (restart_database, 6)])
def test_database_goes_away(filled, proxy, happening, number):
    server = new_server(proxy.url)
    proxy.on('', after(happening), nth=number)
    run = synchronize(server)
    assert run.state == 'done'
    assert counts(run, studies_new=5, series_new=10, instances_new=30)
    assert stored_tree(server) == orthanc_tree(filled)


# One run at a time

@pytest.mark.postgresql
def test_one_of_many_gets_the_server(server):
    barrier, got = threading.Barrier(4), []

    def claim():
        with transaction():
            mine = lease.Lease(server)
            barrier.wait()
            try:
                transactions.transact(mine.claim)
                got.append(mine)
            except lease.Busy:
                pass
    for _ in range(5):
        got.clear()
        threads = [threading.Thread(target=claim) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        Transaction().rollback()
        transactions.transact(got[0].release)


def claimed_by(server, token, minutes=5):
    Server = Pool().get(SERVER)
    tables.set_values(Server, [server], lease=token,
        lease_until=now() + dt.timedelta(minutes=minutes))
    Transaction().commit()


def token(place=None, pid=None, program='0'):
    return f'{place or lease._place()} {pid or os.getppid()} {program} 1'


@pytest.mark.parametrize('other, minutes, busy', [
        (token, 5, True),
        (token, -1, False),
        (lambda: token(place='elsewhere'), 5, True),
        (lambda: token(place='elsewhere'), -1, False),
        (lambda: token(
                f'{socket.gethostname()}/pid:[1]', pid=2 ** 22 + 1), 5, True),
        (lambda: token(pid=2 ** 22 + 1), 5, False),
        (lambda: token(pid=os.getpid()), 5, False),
        (lambda: token(pid=os.getpid(), program=lease._PROGRAM), 5, True),
        (lambda: 'nonsense', 5, False),
        ], ids=[
        'alive', 'expired', 'elsewhere', 'expired elsewhere',
        'other container', 'dead',
        'former program', 'own program', 'nonsense'])
def test_server_belongs_to_one_living_run(server, other, minutes, busy):
    Server, other = Pool().get(SERVER), other()
    claimed_by(server, other, minutes)
    run = Server.sync_server(Server(server))
    assert (run is None) == busy
    assert (Server(server).lease == other) == busy


def test_dead_run_is_shown_as_interrupted(server):
    Run = Pool().get(RUN)
    dead, = Run.create([{
                'server': server, 'state': 'running',
                'start': dt.datetime(2026, 1, 1)}])
    claimed_by(server, token(pid=2 ** 22 + 1))
    run = synchronize(server)
    assert run.state == 'done'
    dead = Run(dead.id)
    assert dead.state == 'interrupted' and dead.end


def test_run_that_lost_its_server_stores_nothing_more(
        filled, monkeypatch):
    monkeypatch.setattr(reading, 'GROUP_STUDIES', 2)
    server = new_server(filled)
    store, calls = storage.Tree.store, []

    def lose(self, items):
        store(self, items)
        calls.append(1)
        if len(calls) == 1:
            Transaction().atexit(int)
        else:
            tables.set_values(
                Pool().get(SERVER), [server], lease='somebody else')
    monkeypatch.setattr(storage.Tree, 'store', lose)
    run = synchronize(server)
    assert (run.state, run.studies_new, len(calls)) == ('interrupted', 2, 2)
    assert count_rows(server) == (2, 4, 12)


@pytest.mark.parametrize('error, state', [
        (lease.LostLease, 'interrupted'), (RecursionError, 'failed')])
def test_run_that_fails_leaves_no_request_behind(
        filled, proxy, monkeypatch, error, state):
    hanging = threading.Event()

    def hang_here(exchange):
        hanging.set()
        return hang()(exchange)

    def fail(*args, **values):
        assert hanging.wait(30)
        raise error
    monkeypatch.setattr(reading, 'GROUP_STUDIES', 2)
    # Three calls for each group
    proxy.on('/tools/bulk-content', hang_here, nth=4)
    server = new_server(proxy.url)
    monkeypatch.setattr(Keeper, 'store_items', fail)
    start = time.monotonic()
    assert synchronize(server).state == state
    assert time.monotonic() - start < 30
    assert not any(
        t.name.startswith('read-ahead') for t in threading.enumerate())
    monkeypatch.undo()
    proxy.clear()
    claimed_by(server, None)
    assert synchronize(server).state == 'done'
    assert stored_tree(server) == orthanc_tree(filled)


def test_long_run_shows_signs_of_life(filled, monkeypatch):
    kept = []
    keep = lease.Lease.keep
    monkeypatch.setattr(lease, 'PROLONG_SECONDS', 0)
    monkeypatch.setattr(
        lease.Lease, 'keep', lambda self, **v: kept.append(v) or keep(
            self, **v))
    synchronize(new_server(filled))
    assert {} in kept


def test_a_run_ends_what_is_left_of_others_and_deletes_none(server):
    Run = Pool().get(RUN)
    Run.create([{
                'server': server, 'state': 'done',
                'start': dt.datetime(2026, 1, 1) + dt.timedelta(minutes=i)}
            for i in range(105)])
    Run.create([{
                'server': server, 'state': 'running',
                'start': dt.datetime(2026, 1, 2)}])
    Transaction().commit()
    run = synchronize(server)
    runs = Run.search([('server', '=', server)])
    # A task deletes them, see test_retention.py.
    assert (len(runs), runs[0]) == (108, run)
    ended, = [r for r in runs if r.state != 'done']
    assert (ended.state, ended.end) == ('interrupted', run.start)


def test_run_tells_what_started_it(server):
    for name in [
            'button', 'cron', 'nightly', 'wizard', 'script', 'upload',
            'notice']:
        run = synchronize(server, started_by=name)
        assert run.started_by == name
        assert run.start <= run.end


def test_answer_that_is_older_than_expected(filled, proxy):
    "A change log that goes back in the middle is a reset too."
    server = new_server(proxy.url)
    synchronize(server)
    archive.upload(filled, [small(8)])
    proxy.on('/changes.since', answer(
            {'Changes': [], 'Last': 0, 'Done': True}), times=1)
    run = synchronize(server)
    assert (run.state, run.full) == ('done', True)
    assert stored_tree(server) == orthanc_tree(filled)
