# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to the machine and back through the modality node: trytond,
the node and a machine, with GNU Health away in the middle."""
import datetime as dt
import sys
import time
from pathlib import Path

import pytest
import seed
from live.test_worklist_roundtrip import UNASKED, make_user
from proteus import Model
from proteus import config as proteus_config
from pydicom.dataset import Dataset
from pynetdicom import AE
from services import HOST, Process, Trytond, free_port
from support.databases import SEEDED
from unit.test_node_parts import keys, step_attributes
from unit.test_script_connection import environment, wait_for

NODE = (Path(__file__).parents[2]
    / 'his-utils/scripts/imaging/modality_node.py')
WORKLIST = '1.2.840.10008.5.1.4.31'
STEP = '1.2.840.10008.3.1.2.3.3'
MACHINE = 'gnuhealth.imaging_worklist.machine'
NAME = ("Čapek", "Łukasz")


class Hospital:
    "What the test looks at in GNU Health."

    def __init__(self, server):
        self.server = server
        self.config = proteus_config.set_xmlrpc(
            server.rpc_url('admin', seed.PASSWORD))
        make_user(self.config)
        Exam = self.model('gnuhealth.imaging.test')
        exam, = Exam.find([('aetitle', '=', 'CT1')])
        self.exams = [exam, *(
                Exam.duplicate([exam], {'code': code, **UNASKED})[0]
                for code in ['CT-2', 'CT-3'])]
        self.doctor = self.model('gnuhealth.healthprofessional').find([])[0]
        machine = self.model(MACHINE)(
            name="CT", aetitle='CT1', modality=exam.test_type)
        machine.exams.extend(self.exams[:2])
        machine.save()

    def add_site(self):
        "Add a hospital with a CT, and the user of its node."
        Company, Party = self.model('company.company'), self.model(
            'party.party')
        company, = Company.find([])
        party = Party(name="Annapurna Clinic", create_target=False)
        party.save()
        other = Company(party=party, currency=company.currency)
        other.save()
        self.model(MACHINE)(
            name="CT 2", aetitle='CT2', company=other,
            exams=[self.model('gnuhealth.imaging.test')(self.exams[2].id)],
            ).save()
        seed.make_user(self.config, seed.Login(
                'elsewhere', seed.Person("Node", "B", *[None] * 4),
                ['health_imaging_worklist.group_worklist_script']), other)

    def model(self, name):
        return Model.get(name, self.config)

    def machine(self, **values):
        "Return the CT, with changed values."
        machine, = self.model(MACHINE).find([('aetitle', '=', 'CT1')])
        for name, value in values.items():
            setattr(machine, name, value)
        machine.save()
        return machine

    def order(self, puid, count=1, first=0):
        "Request some of the exams for a new patient; return the last one."
        family, given = NAME
        patient = seed.make_patient(self.config, seed.Person(
                given, family, dt.date(1980, 1, 1), 'm', puid, 'fg'))
        for exam in self.exams[first:first + count]:
            request = self.model('gnuhealth.imaging.test.request')(
                patient=patient, requested_test=exam, doctor=self.doctor)
            request.save()
            request.click('requested')
        return request

    def steps(self):
        "Return the performed steps by their UID."
        return {step.uid: step for step in self.model(
                'gnuhealth.imaging_worklist.performed_step').find([])}


@pytest.fixture(scope='module')
def hospital(templates, copies, tmp_path_factory):
    templates.need_seeded()
    database = copies.make(SEEDED, tmp_path_factory.mktemp('database'))
    with Trytond(tmp_path_factory.mktemp('trytond'),
            **database.options) as server:
        yield Hospital(server)
    copies.drop(database)


@pytest.fixture
def make_node(hospital, tmp_path):
    """Return a function that starts a node of the hospital, and returns its
    DICOM port and process."""
    processes = []

    def make(login='worklist'):
        secret, port = tmp_path / f'{login}-secret', free_port()
        secret.touch(mode=0o600)
        secret.write_text(seed.PASSWORD)
        process = Process([
                sys.executable, NODE, '-H', HOST, '-p', hospital.server.port,
                '-d', hospital.server.database, '-u', login,
                '--password-file', secret, '--data', tmp_path / login,
                '--dicom-port', port, '-s', '.2', '--timeout', '10'],
            tmp_path / f'{login}.log', environment())
        processes.append(process)
        process.start()
        wait_for(lambda: 'Machines: ' in process.log.read_text(), 60)
        return port, process
    yield make
    for process in processes:
        process.stop()
        print(process.log.read_text())


@pytest.fixture
def node(make_node):
    "The DICOM port and the process of a node of the hospital."
    return make_node()


def associate(port, service, title):
    entity = AE(title)
    entity.add_requested_context(service)
    return entity.associate(HOST, port)


def worklist(port, puid, title='CT1'):
    "Return what a CT gets of a patient."
    association = associate(port, WORKLIST, title)
    *answers, (status, _) = association.send_c_find(keys(
            {'ScheduledStationAETitle': title, 'Modality': 'CT'},
            PatientID=puid, PatientName='', StudyInstanceUID='',
            AccessionNumber=''), WORKLIST)
    association.release()
    assert status.Status == 0
    return [answer for _, answer in answers]


def begin(port, entries, uid, title='CT1'):
    "Begin a step for entries; return the status."
    attributes = step_attributes(
        PatientID=entries[0].PatientID if entries else 'NOBODY',
        PerformedProcedureStepStartDate=f'{dt.date.today():%Y%m%d}')
    items = []
    for entry in entries:
        item = Dataset()
        item.StudyInstanceUID = entry.StudyInstanceUID
        item.AccessionNumber = entry.AccessionNumber
        items.append(item)
    if items:
        attributes.ScheduledStepAttributesSequence = items
    association = associate(port, STEP, title)
    status, _ = association.send_n_create(attributes, STEP, uid)
    association.release()
    return status.Status


def end(port, uid, state='COMPLETED', images=2):
    "End a step with images; return the status."
    series, attributes = Dataset(), Dataset()
    series.SeriesInstanceUID = f'{uid}.1'
    series.ProtocolName = 'Head'
    series.ReferencedImageSequence = [Dataset() for _ in range(images)]
    for number, image in enumerate(series.ReferencedImageSequence):
        image.ReferencedSOPClassUID = '1.2.840.10008.5.1.4.1.1.2'
        image.ReferencedSOPInstanceUID = f'{uid}.1.{number + 1}'
    attributes.PerformedSeriesSequence = [series]
    attributes.PerformedProcedureStepStatus = state
    attributes.PerformedProcedureStepEndDate = f'{dt.date.today():%Y%m%d}'
    attributes.PerformedProcedureStepEndTime = '235900'
    association = associate(port, STEP, 'CT1')
    status, _ = association.send_n_set(attributes, STEP, uid)
    association.release()
    return status.Status


def test_from_order_to_done(hospital, node):
    port, process = node
    request = hospital.order('NODE-1')
    wait_for(lambda: worklist(port, 'NODE-1'), 60)
    entry, = worklist(port, 'NODE-1')
    assert entry.PatientName == '^'.join(NAME)
    assert entry.StudyInstanceUID == request.merge_id
    # In the letters that the machine has, as soon as this is told.
    hospital.machine(charset='ISO_IR 100')
    wait_for(lambda: worklist(port, 'NODE-1')[0].PatientName
        == 'Capek^Lukasz', 60)
    # Begun, of one and of nobody, and who is no machine is listed.
    assert begin(port, [entry], '2.25.101') == 0
    assert begin(port, [], '2.25.102') == 0
    assert not associate(port, WORKLIST, 'XX').is_established
    wait_for(lambda: len(hospital.steps()) == 2, 60)
    step = hospital.steps()['2.25.101']
    assert step.state == 'in_progress' and not step.problem
    assert [r.id for r in step.requests] == [request.id]
    assert hospital.steps()['2.25.102'].problem
    wait_for(lambda: hospital.model(f'{MACHINE}.unknown').find(
        [('aetitle', '=', 'XX')]), 60)
    machine = hospital.machine()
    assert machine.last_asked and machine.worklist_age.total_seconds() < 60
    assert end(port, '2.25.101') == 0
    wait_for(lambda: hospital.steps()['2.25.101'].state == 'completed', 60)
    assert hospital.steps()['2.25.101'].images == 2


def test_gnu_health_away_in_the_middle(hospital, node):
    port, process = node
    hospital.order('NODE-2', 2)
    wait_for(lambda: len(worklist(port, 'NODE-2')) == 2, 60)
    hospital.server.stop()
    entries = worklist(port, 'NODE-2')
    # One step of two requests, while nobody hears it.
    assert begin(port, entries, '2.25.201') == 0
    process.kill()
    process.start()
    wait_for(lambda: '1 messages wait' in process.log.read_text(), 60)
    assert begin(port, entries, '2.25.201') == 0x0111
    assert end(port, '2.25.201', 'DISCONTINUED', 0) == 0
    assert end(port, '2.25.201') == 0x0110
    time.sleep(1)
    hospital.server.start()
    wait_for(lambda: '2.25.201' in hospital.steps() and hospital.steps()[
        '2.25.201'].state == 'discontinued', 90)
    step = hospital.steps()['2.25.201']
    assert len(step.requests) == 2 and not step.problem


def test_two_sites_have_a_node_each(hospital, make_node):
    hospital.add_site()
    ports = {'CT1': make_node()[0], 'CT2': make_node('elsewhere')[0]}
    requests = {
        title: hospital.order(title, first=first)
        for title, first in [('CT1', 0), ('CT2', 2)]}
    uids = {'CT1': '2.25.301', 'CT2': '2.25.302'}
    for title, other in [('CT1', 'CT2'), ('CT2', 'CT1')]:
        port = ports[title]
        assert not associate(port, WORKLIST, other).is_established
        wait_for(lambda: worklist(port, title, title), 60)
        assert not worklist(port, other, title)
        entries = worklist(port, title, title)
        assert begin(port, entries, uids[title], title) == 0
    wait_for(lambda: set(uids.values()) <= set(hospital.steps()), 60)
    steps = [hospital.steps()[uid] for uid in uids.values()]
    assert [s.machine.aetitle for s in steps] == ['CT1', 'CT2']
    assert [[r.id for r in s.requests] for s in steps] == [
        [r.id] for r in requests.values()]
    # Both count their messages from one.
    assert [s.number for s in steps] == [1, 1]
    assert steps[0].node != steps[1].node
