# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows when the link of a study changes: each row of the table in the
documentation is a cause, brought about over RPC by who may cause it or in a
real PACS; each cell is what is seen afterwards."""
import csv
import datetime as dt
import io
import itertools
import os
from pathlib import Path

import pytest
from services import Orthanc
from support import archive
from support.images import STUDY, Hospital, context_of
from support.links import EVENT, REQUEST, RESULT, World, ledger_only
from support.records import (
    PASSWORD, RpcError, make_patient, make_request, make_result, make_user,
    shipped_reason)
from support.synchronizing import with_queue

from trytond.modules.health_orthanc import encapsulated_report
from trytond.pool import Pool

DOC = Path(__file__).parents[2] / 'health_orthanc/doc/links.rst'
TITLE = "What follows from a changed link"
STATES = ['none', 'draft', 'final']
COLUMNS = [
    "Study", "History", "Access log", "Candidates", "Worklist",
    "Of the request", "Of the result", "Picture", "Signed", "Stored PDF"]
# In which state of the result a column is seen, when the cause knows it.
SEEN_IN = {
    "Of the result": ['draft', 'final'], "Picture": ['draft', 'final'],
    "Signed": ['final'], "Stored PDF": ['final']}
ALTERNATIVE = 'gnuhealth.person_alternative_identification'
NAME = 'gnuhealth.person_name'
CANDIDATE = 'gnuhealth.imaging_orthanc.link_candidate'
PARTY, PATIENT = 'party.party', 'gnuhealth.patient'
DESK = {
    'desk': 'health.group_health_frontdesk',
    'nurse': 'health.group_health_nursing',
    'doctor': 'health.group_health_doctor',
    'health_admin': 'health.group_health_admin',
    }
CAUSES = []


def cause(title, by, *states, **world):
    """Note a cause.

    :param by: login of who causes it; PACS for what happens there
    :param states: of the result with which it is tried, all by default
    :param world: options of World
    """
    def note(function):
        CAUSES.append(
            (title, by, states or STATES, states or STATES, world, function))
        return function
    return note


def write(login, model):
    "Return a function that writes over RPC as a user."
    def call(world, id_, values):
        world.hospital.rpc(login)(f'model.{model}.write', [id_], values)
    return call


# Rules at synchronization

@cause("Images arrive", 'PACS', study=False)
def images_arrive(world):
    world.store()


@cause("Report without pictures arrives", 'PACS', 'none', study=False)
def report_arrives(world):
    world.store(modality='SR')


@cause("Images of somebody unknown arrive", 'PACS', 'none', study=False)
def unknown_arrives(world):
    world.store(patient_id='', accession_number='', patient_name='X^Y',
        birth_date='19500101')


@cause("PatientID corrected to another patient's", 'PACS')
def patient_id_of_other(world):
    world.correct(PatientID=f'EVA{world.number}', PatientName='Other^Eva',
        PatientBirthDate='19700102')


@cause("PatientID corrected to nobody's", 'PACS')
def patient_id_of_nobody(world):
    world.correct(PatientID=f'NOBODY{world.number}')


@cause("Birth date corrected in place", 'PACS')
def birth_date_in_place(world):
    world.correct(PatientBirthDate='19600101')


@cause("Name corrected in place", 'PACS')
def name_in_place(world):
    world.correct(PatientName='Smith^John', PatientSex='M')


@cause("Accession number corrected in place to another request's", 'PACS')
def accession_in_place(world):
    world.correct(AccessionNumber=another_request(world))


def another_request(world):
    "Return the number of another request of Ana."
    with world.hospital.transaction():
        pool = Pool()
        Request = pool.get(REQUEST)
        request = make_request(
            pool.get(PATIENT)(world.patient),
            pool.get('gnuhealth.imaging.test')(world.exam))
        Request.requested([request])
        world.second = request.id
        return request.request


@cause("Study deleted or recycled", 'PACS')
def study_deleted(world):
    world.delete_in_pacs()
    world.hospital.sync(full=True)


@cause("Series deleted", 'PACS')
def series_deleted(world):
    world.delete_in_pacs('series')
    world.hospital.sync(full=True)


@cause("One of two series deleted", 'PACS', series=2)
def one_series_deleted(world):
    world.delete_in_pacs('series', 1)
    world.hospital.sync(full=True)


@cause("Study returned", 'PACS')
def study_returned(world):
    world.delete_in_pacs()
    world.hospital.sync(full=True)
    world.store()


# What a person chooses

@cause("Another patient chosen", 'radiologist')
def patient_chosen(world):
    write('radiologist', STUDY)(world, world.study, {'patient': world.other})


@cause("Another result of the patient chosen", 'radiologist')
def result_chosen(world):
    with world.hospital.transaction():
        pool = Pool()
        Request = pool.get(REQUEST)
        request = make_request(pool.get(PATIENT)(world.patient),
            pool.get('gnuhealth.imaging.test')(world.exam))
        Request.requested([request])
        result = make_result(request).id
    write('radiologist', STUDY)(world, world.study, {'imaging_test': result})


@cause("Candidate taken", 'radiologist', 'none', birth_date='19600505')
def candidate_taken(world):
    candidate, = world.hospital.ids(CANDIDATE, [('study', '=', world.study)])
    world.hospital.rpc('radiologist').run_wizard(
        'gnuhealth.imaging_orthanc.choose_candidate', [('choose', {})],
        **context_of(CANDIDATE, candidate))


@cause("None of these", 'radiologist', 'none', birth_date='19600505')
def none_of_these(world):
    world.hospital.rpc('radiologist')(
        f'model.{STUDY}.reject', [world.study])


@cause("Link undone", 'radiologist', 'none', 'draft')
def link_undone(world):
    world.hospital.rpc('radiologist')(
        f'model.{STUDY}.undo_link', [world.study])


@cause("Link to a signed result undone: refused", 'radiologist', 'final')
def undo_refused(world):
    with pytest.raises(RpcError, match="Amend the result first"):
        link_undone(world)


# Data of a person

_turns = itertools.cycle(STATES)


def by_desk(title, *states, **world):
    """Note a cause that several roles bring about, each in one of the states:
    one after the other, from cause to cause too, for all take minutes."""
    def note(function):
        for login in world.pop('by', DESK):
            state = next(_turns) if not states else states[0]
            CAUSES.append(
                (title, login, states or STATES, [state], world, function))
        return function
    return note


@by_desk("Birth date corrected")
def birth_date(world):
    write(world.login, PARTY)(world, world.party, {'dob': dt.date(1960, 1, 1)})


@by_desk("Name corrected")
def name(world):
    write(world.login, PARTY)(
        world, world.party, {'name': "John", 'lastname': "Smith"})


@by_desk("Sex corrected")
def sex(world):
    write(world.login, PARTY)(world, world.party, {'gender': 'm'})


@by_desk("PUID corrected")
def puid(world):
    write(world.login, PARTY)(
        world, world.party, {'ref': f'NEW{world.number}'})


@by_desk("Alternative ID added", 'none', patient_id='CARD')
def alternative_id_added(world):
    world.card(world.login)


@by_desk("Alternative ID changed", 'none', patient_id='CARD')
def alternative_id_changed(world):
    id_ = world.card('health_admin')
    world._before = world._last_ids()
    write(world.login, ALTERNATIVE)(world, id_, {'code': 'x' * 9})


@by_desk("Alternative ID removed", 'none', patient_id='CARD')
def alternative_id_removed(world):
    id_ = world.card('health_admin')
    world._before = world._last_ids()
    world.hospital.rpc(world.login)(f'model.{ALTERNATIVE}.delete', [id_])


@by_desk("Patient registered after the images", 'none',
    patient_id='LATE', patient_name='Late^Ida', birth_date='20000101',
    accession_number='', by=['desk', 'doctor', 'health_admin'])
def registered(world):
    rpc = world.hospital.rpc(world.login)
    party, = rpc(f'model.{PARTY}.create', [{
                'name': "Ida", 'lastname': "Late", 'gender': 'f',
                'dob': dt.date(2000, 1, 1), 'is_person': True,
                'is_patient': True, 'ref': world.values['patient_id'],
                'fed_country': 'XXX', 'create_target': False}])
    rpc(f'model.{PATIENT}.create', [{'party': party}])


@cause("Patient deactivated", 'health_admin')
def deactivated(world):
    write('health_admin', PATIENT)(world, world.patient, {'active': False})


@cause("Patient deleted", 'health_admin', 'none', patient_id='DEL',
    accession_number='')
def deleted(world):
    patient = with_queue(lambda: make_patient(
            "Ana", "Betz", 'f', world.born, ref=world.values['patient_id'])).id
    world._before = world._last_ids()
    world.hospital.rpc('health_admin')(f'model.{PATIENT}.delete', [patient])


def merge(world, source, destination):
    with world.hospital.transaction():
        Warning_ = Pool().get('res.user.warning')
        Warning_.create([{
                    'user': world.hospital.users['merger'],
                    'name': f'party.replace name {source} {destination}',
                    'always': False}])
    world.hospital.rpc('merger').run_wizard('party.replace', [
            ('replace', {'ask': {
                        'source': source, 'destination': destination}})],
        **context_of(PARTY, source))


@cause("Merged into another record of the same person", 'merger')
def merged(world):
    with world.hospital.transaction():
        party = make_patient("Ana", "Betz", 'f', world.born,
            ref=f'TWICE{world.number}').party.id
    merge(world, world.party, party)


@cause("Another record of the same person merged into this one", 'merger')
def merged_other_way(world):
    with world.hospital.transaction():
        party = make_patient("Ana", "Betz", 'f', world.born,
            ref=f'TWICE{world.number}').party.id
    merge(world, party, world.party)


@cause("Merged into somebody whom the images contradict", 'merger')
def merged_wrongly(world):
    merge(world, world.party, world.other_party)


@cause("Images arrive under the PUID of who was merged", 'merger', 'none',
    study=False)
def images_of_merged(world):
    merged(world)
    world.store()


# Requests and results

@cause("Request written after the images", 'radiologist', 'none',
    accession_number='')
def request_later(world):
    world.hospital.rpc('radiologist')(f'model.{REQUEST}.create', [{
                'patient': world.patient, 'requested_test': world.exam,
                'doctor': world.hospital.doctor}])


@cause("Draft request sent", 'radiologist', 'none')
def sent(world):
    back_to_draft(world)
    world._before = world._last_ids()
    world.hospital.rpc('radiologist')(
        f'model.{REQUEST}.requested', [world.request])


@cause("Request canceled", 'radiologist', 'none')
def canceled(world):
    with world.hospital.transaction():
        reason = shipped_reason()
    world.hospital.rpc('radiologist').run_wizard(
        f'{REQUEST}.cancel', [('cancel', {'start': {'choice': reason}})],
        **context_of(REQUEST, world.request))


@cause("Request back to draft", 'radiologist', 'none')
def back_to_draft(world):
    canceled(world)
    world.hospital.rpc('radiologist')(
        f'model.{REQUEST}.draft', [world.request])


@cause("Draft request moved to another patient", 'radiologist', 'none')
def moved(world):
    back_to_draft(world)
    write('radiologist', REQUEST)(
        world, world.request, {'patient': world.other})


@cause("Result made", 'radiologist', 'none')
def result_made(world):
    world.hospital.rpc('radiologist')(
        f'model.{REQUEST}.generate_results', [world.request])


@cause("Empty result deleted", 'radiologist', 'none')
def result_deleted(world):
    result_made(world)
    world._before = world._last_ids()
    result, = world.hospital.ids(RESULT, [('request', '=', world.request)])
    world.hospital.rpc('radiologist')(f'model.{RESULT}.delete', [result])


@cause("Draft request deleted", 'radiologist', 'none')
def request_deleted(world):
    back_to_draft(world)
    world._before = world._last_ids()
    world.hospital.rpc('radiologist')(
        f'model.{REQUEST}.delete', [world.request])


@cause("Result signed", 'radiologist', 'draft')
def signed(world):
    world.hospital.rpc('radiologist')(
        f'model.{RESULT}.finalize', [world.result])


@cause("Result amended", 'radiologist', 'final')
def amended(world):
    world.hospital.rpc('radiologist').run_wizard(
        f'{RESULT}.amend', [('amend', {'start': {'reason': "x"}})],
        **context_of(RESULT, world.result))


@cause("Signed result that lost its study amended", 'radiologist', 'final')
def amended_without_study(world):
    patient_chosen(world)
    amended(world)


# What is done here with the PACS

@cause("Images uploaded from here", 'radiologist', 'none', study=False)
def uploaded(world):
    content, = archive.files(archive.study(world.number, **world.values))
    world.hospital.rpc('radiologist').run_wizard(
        'gnuhealth.imaging_orthanc.upload_image_data', [('upload', {'start': {
                        'server_config': world.hospital.server,
                        'file_name': 'a.dcm', 'data_to_upload': content}})])


@cause("Same study on a second server", 'PACS', 'none')
def second_server(world):
    with Orthanc(world.hospital.folder / 'second') as second:
        archive.upload(
            second, [archive.study(world.number, **world.values)])
        with world.hospital.transaction():
            Server = Pool().get('gnuhealth.orthanc.config')
            server, = Server.create([{
                        'label': "Second", 'domain': second.url,
                        'user': second.user, 'password': second.password}])
            Server.sync_server(server)


@cause("Server removed", 'keeper', 'none')
def removed(world):
    """It is refused: studies are of it."""
    with pytest.raises(RpcError):
        world.hospital.rpc('keeper')('model.gnuhealth.orthanc.config.delete',
            [world.hospital.server])


@cause("Server wiped", 'PACS', 'none')
def wiped(world):
    """Nothing of the server is believed to be gone, for so looks one whose
    disk is not mounted."""
    orthanc = world.hospital.orthanc
    for study in orthanc.rest('GET', '/studies'):
        orthanc.rest('DELETE', f'/studies/{study}')
    world.hospital.sync(full=True)


@cause("Study deleted on the server from here", 'keeper', 'none', 'draft')
def deleted_from_here(world):
    world.hospital.rpc('keeper').run_wizard(
        'gnuhealth.imaging_orthanc.delete', [
            ('remove', {'start': {'reason': "x"}})],
        **context_of(STUDY, world.study))


# The table

@pytest.fixture(scope='module')
def hospital(activated, tmp_path_factory):
    folder = tmp_path_factory.mktemp('orthanc')
    hospital = Hospital(folder / 'first', extra={'OverwriteInstances': True})
    hospital.folder = folder
    with hospital.transaction():
        pool = Pool()
        for login, group in DESK.items():
            if login not in hospital.users:
                hospital.users[login] = make_user(
                    login, group, password=PASSWORD).id
        hospital.users['merger'] = make_user(
            'merger', 'party.group_party_admin', 'health.group_health_admin',
            password=PASSWORD).id
        professional, = pool.get('gnuhealth.healthprofessional').search([
                ('party.internal_user', '=', hospital.users['radiologist'])])
        hospital.doctor = professional.id
    hospital.write_server(store_reports=True)
    yield hospital
    hospital.close()


@pytest.fixture(autouse=True)
def one_writer():
    with ledger_only() as foreign:
        yield
    assert not foreign


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    "LibreOffice is tried elsewhere."
    monkeypatch.setattr(encapsulated_report.StoredReport, '_render',
        lambda self: b'%PDF-1.4\n')


class CauseWorld(World):
    "A World in which somebody acts."

    login = None

    def card(self, login):
        "Give Ana the number of her study as a card, and return its id."
        id_, = self.hospital.rpc(login)(f'model.{ALTERNATIVE}.create', [{
                    'party': self.party, 'code': self.values['patient_id'],
                    'alternative_id_type': 'other'}])
        return id_


def bring_about(hospital, by, state, options, function):
    "Bring a cause about, and return what is seen."
    options = dict(options)
    if 'patient_id' in options:
        options['patient_id'] += f'{next(_cards)}'
    world = CauseWorld(hospital, state, **options)
    world.login = by
    function(world)
    waiting = hospital.ids(EVENT, [('decided_at', '=', None)])
    assert not waiting
    return world.seen()


_cards = itertools.count(1)


def documented():
    "Return the cells of the documentation, by title and column."
    text = DOC.read_text(encoding='utf-8')
    lines = text.split(f'.. csv-table:: {TITLE}\n')[1].splitlines()
    body = itertools.takewhile(str.strip, lines[2:])
    _, *rows = csv.reader([
            lines[0].partition(':header:')[2], *map(str.strip, body)],
        skipinitialspace=True)
    return {row[0]: dict(zip(["By", *COLUMNS], row[1:])) for row in rows}


def seen_cells(hospital, by, states, tried, options, function):
    """Return the cells that are seen, by column.

    :param states: of the result in which the cause may be
    :param tried: those in which it is brought about; what is seen in another
        one is left out
    """
    seen = {
        state: bring_about(hospital, by, state, options, function)
        for state in tried}
    cells = {}
    for column in COLUMNS:
        state = next(
            (s for s in SEEN_IN.get(column, states) if s in states), None)
        if not state:
            cells[column] = ''
        elif state in seen:
            cells[column] = seen[state][column]
    if "History" in cells:
        # A user of the role may be anybody of it.
        cells["History"] = cells["History"].replace(f' by {by}', '').replace(
            ' by admin', '')
    return cells


@pytest.mark.parametrize('title, by, states, tried, options, function', [
        pytest.param(*case, id=f'{case[0]}-{case[1]}') for case in CAUSES])
def test_what_follows(hospital, title, by, states, tried, options, function):
    if os.environ.get('IMAGING_LINK_TABLE'):
        cells = seen_cells(hospital, by, states, states, options, function)
        line = io.StringIO()
        csv.writer(line, quoting=csv.QUOTE_ALL).writerow(
            [title, by, *cells.values()])
        with open(os.environ['IMAGING_LINK_TABLE'], 'a') as table:
            table.write(line.getvalue())
        return
    cells = seen_cells(hospital, by, states, tried, options, function)
    assert cells == {
        column: documented()[title][column] for column in cells}
