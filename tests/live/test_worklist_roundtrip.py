# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to the modality and back: template, script, Orthanc's
worklist plugin or wlmscpfs, findscu, in five scripts and both types."""
import datetime as dt
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest
import seed
from modality import Modality
from proteus import Model
from proteus import config as proteus_config
from services import HOST, Process, Trytond, free_port
from support.databases import SEEDED
from support.records import Rpc, RpcError

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'his-utils/scripts/imaging/update_worklists_database.py'

# Nothing is asked about the patients of an exam.
UNASKED = {
    'question_optional': True,
    'unchecked_rules': ['pregnancy', 'kidney', 'duplicate']}

# Official name, other names, and the PatientName that the modality gets.
PEOPLE = [
    (("Ñúñez Müller", "José María"), [], 'Ñúñez Müller^José María'),
    (("Соколова", "Наталья"), [], 'Соколова^Наталья'),
    (("Παπαδοπούλου", "Ελένη"), [], 'Παπαδοπούλου^Ελένη'),
    (("陈", "丽华"), [], '陈^丽华'),
    (("山田", "太郎"), [("Yamada", "Tarou"), ("やまだ", "たろう")],
        'Yamada^Tarou=山田^太郎=やまだ^たろう'),
    ]


@pytest.fixture(scope='module')
def hospital(templates, copies, tmp_path_factory):
    "A trytond with a request per person and template type."
    templates.need_seeded()
    database = copies.make(SEEDED, tmp_path_factory.mktemp('database'))
    with Trytond(tmp_path_factory.mktemp('trytond'),
            **database.options) as server:
        config = proteus_config.set_xmlrpc(
            server.rpc_url('admin', seed.PASSWORD))
        make_user(config)
        yield server, seed.PASSWORD, make_requests(config)
    copies.drop(database)


def make_user(config):
    "Make the user of the script, who may do nothing else."
    User = Model.get('res.user', config)
    group, = Model.get('res.group', config).find(
        [('name', '=', "Health Imaging Worklist Script")])
    user = User(name="Worklist", login='worklist', password=seed.PASSWORD)
    user.groups.append(group)
    user.save()


def make_requests(config):
    "Return the expected PatientName by PatientID."
    Exam = Model.get('gnuhealth.imaging.test', config)
    Template = Model.get(
        'gnuhealth.imaging_worklist.worklist_template', config)
    Request = Model.get('gnuhealth.imaging.test.request', config)
    Doctor = Model.get('gnuhealth.healthprofessional', config)
    doctor, *_ = Doctor.find([])
    exam, *_ = Exam.find([('aetitle', '=', 'CT1')])
    expected = {}
    for type_ in ['dump2dcm', 'json']:
        template, *_ = Template.find([
                ('template_type', '=', type_), ('name', 'like', 'General%')])
        copy, = Exam.duplicate([exam], {
                'code': f'CT-{type_}', 'aetitle': f'CT_{type_.upper()}',
                **UNASKED})
        copy.imaging_worklist_template = template
        copy.save()
        for number, (name, others, written) in enumerate(PEOPLE):
            puid = f'RT-{type_}-{number}'
            request = Request(
                patient=make_patient(config, puid, name, others),
                requested_test=copy, doctor=doctor)
            request.save()
            request.click('requested')
            expected[puid] = written
    return expected


def make_patient(config, puid, name, others):
    family, given = name
    patient = seed.make_patient(config, seed.Person(
            given, family, dt.date(1980, 1, 1), 'f', puid, 'fg'))
    party = patient.party
    for family, given in others:
        party.person_names.new(use='usual', family=family, given=given)
    party.save()
    return patient


def publish(server, password, folder, tmp_path, *arguments):
    secret = tmp_path / 'password'
    secret.touch(mode=0o600)
    secret.write_text(password)
    return subprocess.run([
            sys.executable, str(SCRIPT), '-H', HOST, '-p', str(server.port),
            '-d', server.database, '-u', 'worklist', '--password-file',
            str(secret), '-w', str(folder), *arguments],
        capture_output=True, text=True, timeout=120)


def ask(aet, port, called, folder, **keys):
    "Return PatientName by PatientID, as the modality got them."
    modality = Modality(aet, HOST, port, called, folder)
    return {
        str(entry.PatientID): str(entry.PatientName)
        for entry in modality.worklist(**keys)}


def expected_of(expected, type_):
    return {puid: name for puid, name in expected.items() if type_ in puid}


@pytest.mark.parametrize('type_', ['dump2dcm', 'json'])
def test_orthanc_tells_every_name_intact(
        hospital, make_orthanc, tmp_path, type_):
    server, password, expected = hospital
    folder = tmp_path / 'worklists'
    folder.mkdir()
    orthanc = make_orthanc(worklists=folder)
    done = publish(server, password, folder, tmp_path)
    assert done.returncode == 0, done.stderr
    aet = f'CT_{type_.upper()}'
    own = expected_of(expected, type_)
    assert ask(aet, orthanc.dicom_port, orthanc.aet, tmp_path) == own
    # Nothing for a machine that nobody ordered anything from.
    assert ask('NOBODY', orthanc.dicom_port, orthanc.aet, tmp_path) == {}
    puid = f'RT-{type_}-0'
    for keys in [
            {'PatientID': puid}, {'PatientName': 'Ñúñez*'},
            {'PatientID': puid, 'Modality': 'CT'},
            {'PatientID': puid,
                'ScheduledProcedureStepStartDate': '20200101-20991231'}]:
        assert ask(aet, orthanc.dicom_port, orthanc.aet, tmp_path, **keys) \
            == {puid: own[puid]}, keys
    assert ask(aet, orthanc.dicom_port, orthanc.aet, tmp_path,
        Modality='MR') == {}
    assert ask(aet, orthanc.dicom_port, orthanc.aet, tmp_path,
        ScheduledProcedureStepStartDate='20200101-20200102') == {}


@pytest.mark.parametrize('type_', ['dump2dcm', 'json'])
def test_wlmscpfs_tells_every_name_intact(hospital, tmp_path, type_):
    server, password, expected = hospital
    folder = tmp_path / 'WORKLIST'
    folder.mkdir()
    (folder / 'lockfile').touch()
    done = publish(server, password, folder, tmp_path)
    assert done.returncode == 0, done.stderr
    port = free_port()
    process = Process(
        ['wlmscpfs', '-csk', '-dfp', tmp_path, str(port)],
        tmp_path / 'wlmscpfs.log')
    process.start()
    try:
        aet = f'CT_{type_.upper()}'
        assert wait_for(lambda: ask(aet, port, 'WORKLIST', tmp_path)) \
            == expected_of(expected, type_)
    finally:
        process.stop()


def wait_for(action, seconds=20):
    "Return what an action gives as soon as it does not fail."
    end = time.monotonic() + seconds
    while True:
        try:
            return action()
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(.2)


def test_an_order_can_be_asked_for_within_two_seconds(
        hospital, make_orthanc, tmp_path):
    server, password, _ = hospital
    folder = tmp_path / 'worklists'
    folder.mkdir()
    orthanc = make_orthanc(worklists=folder)
    secret = tmp_path / 'secret'
    secret.touch(mode=0o600)
    secret.write_text(password)
    service = Process([
            sys.executable, SCRIPT, '-H', HOST, '-p', str(server.port),
            '-d', server.database, '-u', 'worklist', '--password-file', secret,
            '-w', folder, '-s', '1'], tmp_path / 'service.log')
    service.start()
    try:
        wait_for(lambda: next(folder.glob('*.wl')))
        config = proteus_config.set_xmlrpc(server.rpc_url('admin', password))
        Exam = Model.get('gnuhealth.imaging.test', config)
        Request = Model.get('gnuhealth.imaging.test.request', config)
        Doctor = Model.get('gnuhealth.healthprofessional', config)
        exam, *_ = Exam.find([('aetitle', '=', 'CT_DUMP2DCM')])
        request = Request(
            patient=make_patient(config, 'RT-LATE', ("Late", "Lea"), []),
            requested_test=exam, doctor=Doctor.find([])[0])
        request.save()
        request.click('requested')
        begin = time.monotonic()
        while 'RT-LATE' not in ask(
                'CT_DUMP2DCM', orthanc.dicom_port, orthanc.aet, tmp_path,
                PatientID='RT-LATE'):
            assert time.monotonic() - begin < 10
        print(f"answerable after {time.monotonic() - begin:.2f} s")
        request.click('cancel')
    finally:
        service.stop()


def test_the_machine_is_told_what_may_harm_the_patient(
        hospital, make_orthanc, tmp_path):
    "An allergy and a pregnancy that are found after the order was sent."
    server, password, _ = hospital
    folder = tmp_path / 'worklists'
    folder.mkdir()
    orthanc = make_orthanc(worklists=folder)
    config = proteus_config.set_xmlrpc(server.rpc_url('admin', password))
    Exam = Model.get('gnuhealth.imaging.test', config)
    Request = Model.get('gnuhealth.imaging.test.request', config)
    Doctor = Model.get('gnuhealth.healthprofessional', config)
    exam, *_ = Exam.find([('aetitle', '=', 'CT_DUMP2DCM')])
    exam, = Exam.duplicate([exam], {
            'code': 'CT-SAFE', 'aetitle': 'CT_SAFE', 'contrast': 'iodinated'})
    patient = make_patient(config, 'RT-SAFE', ("Safe", "Sue"), [])
    doctor = Doctor.find([])[0]
    # Only health professionals write diseases down.
    person = doctor.party
    person.is_healthprof = True
    person.internal_user, = Model.get('res.user', config).find(
        [('login', '=', 'admin')])
    person.save()
    request = Request(patient=patient, requested_test=exam, doctor=doctor)
    request.save()
    request.click('requested')
    for name, code, is_allergy in [
            ("Iohexol", 'XALL', True), ("Pregnant state", 'Z33.1', False)]:
        pathology = Model.get('gnuhealth.pathology', config)(
            name=name, code=code)
        pathology.save()
        Model.get('gnuhealth.patient.disease', config)(
            patient=patient, pathology=pathology,
            is_allergy=is_allergy).save()
    done = publish(server, password, folder, tmp_path, '--aet', 'CT_SAFE')
    assert done.returncode == 0, done.stderr
    answers = tmp_path / 'answers'
    answers.mkdir()
    subprocess.run([
            'findscu', '-W', '-X', '-od', str(answers), '-aet', 'CT_SAFE',
            '-aec', orthanc.aet, '-k', 'PatientID=RT-SAFE',
            *(part for keyword in [
                    'MedicalAlerts', 'Allergies', 'PregnancyStatus']
                for part in ['-k', keyword]),
            HOST, str(orthanc.dicom_port)], check=True, timeout=60)
    file, = answers.glob('rsp*.dcm')
    answer = pydicom.dcmread(file, force=True)
    assert answer.PregnancyStatus == 3
    assert answer.Allergies == "Iohexol"
    assert answer.MedicalAlerts == "Contrast allergy"
    request.click('cancel')


# Family and given name, PUID, the character set of the template, and what
# the machine gets: PatientName, or nothing when the PUID cannot be told.
NEAREST = [
    ("O’Brien–Œuvre", "Seán", 'NF-1', 'ISO_IR 100', "O'Brien-OEuvre^Seán"),
    ("Țepeș", "Ștefan", 'NF-2', 'ISO_IR 101', "Ţepeş^Ştefan"),
    ("Țepeș", "Ștefan", 'NF-3', 'ISO_IR 100', "Tepes^Stefan"),
    ("陈", "丽华", 'NF-4', 'ISO_IR 100', "Chen^LiHua"),
    ("Соколова", "Наталья", 'NF-5', 'ISO_IR 100', "Sokolova^Natal'ya"),
    ("山田", "太郎", 'NF-6', '\\ISO 2022 IR 87', '山田^太郎'),
    ("Müller", "Jörg", 'ПАЦ-7', 'ISO_IR 100', None),
    ("Müller", "Jörg", 'NF-8', 'ISO_IR 100', "Müller^Jörg"),
    ]


@pytest.fixture(scope='module')
def ordered(hospital):
    """What a doctor requested as himself for the people of NEAREST, with order
    numbers that are too long: the identifiers by PUID."""
    server, password, _ = hospital
    config = proteus_config.set_xmlrpc(server.rpc_url('admin', password))
    Exam = Model.get('gnuhealth.imaging.test', config)
    Template = Model.get(
        'gnuhealth.imaging_worklist.worklist_template', config)
    exam, *_ = Exam.find([('aetitle', '=', 'CT1')])
    doctor = Rpc('doctor', password, f'{server.url}/{server.database}/')
    professional = Model.get('gnuhealth.healthprofessional', config).find()[0]
    request = 'model.gnuhealth.imaging.test.request'
    numbers = {}
    for number, (family, given, puid, charset, _) in enumerate(NEAREST):
        template, = Template.duplicate(
            [exam.imaging_worklist_template], {'charset': charset})
        copy, = Exam.duplicate([exam], {
                'code': f'NF{number}', 'aetitle': 'NEAREST',
                'name': f"Schädel – d’Œil {number}",
                'imaging_worklist_template': template.id, **UNASKED})
        patient = make_patient(config, puid, (family, given), [])
        id_, = doctor(f'{request}.create', [{
                    'patient': patient.id, 'requested_test': copy.id,
                    'doctor': professional.id,
                    'request': f'RADIOLOGY-2026-{number}'}])
        numbers[puid] = doctor(f'{request}.read', [id_], [
                'accession_number', 'step_id'])[0]
        numbers[puid]['warned'] = click(
            doctor, f'{request}.requested', id_)
    return numbers


def click(user, button, id_):
    "Click a button, and go on when there is a warning; return if there was."
    try:
        user(button, [id_])
    except RpcError as warning:
        assert warning.kind == 'UserWarning'
        user('model.res.user.warning.skip', warning.name)
        user(button, [id_])
        return True
    return False


@pytest.mark.parametrize('encoding', ['Utf8', 'Latin1'])
def test_the_nearest_form_arrives(
        hospital, ordered, make_orthanc, tmp_path, encoding):
    server, password, _ = hospital
    folder = tmp_path / 'worklists'
    folder.mkdir()
    orthanc = make_orthanc(worklists=folder, default_encoding=encoding)
    done = publish(server, password, folder, tmp_path, '--aet', 'NEAREST')
    # One cannot be told, and says why; the others go out.
    assert done.returncode == 1
    assert 'ПАЦ-7' in done.stderr and 'ISO_IR 100' in done.stderr
    modality = Modality(
        'NEAREST', HOST, orthanc.dicom_port, orthanc.aet, tmp_path)
    answers = {str(a.PatientID): a for a in modality.worklist()}
    assert set(answers) == {
        puid for _, _, puid, _, name in NEAREST if name}
    for number, (_, _, puid, charset, name) in enumerate(NEAREST):
        if not name:
            continue
        answer = answers[puid]
        step, = answer.ScheduledProcedureStepSequence
        values = ordered[puid]
        assert answer.AccessionNumber == values['accession_number']
        assert answer.RequestedProcedureID == values['step_id']
        assert step.ScheduledProcedureStepID == values['step_id']
        assert len(values['step_id']) <= 16
        if encoding == 'Utf8' or charset == 'ISO_IR 100':
            assert str(answer.PatientName) == name
        if charset == 'ISO_IR 100':
            assert answer.RequestedProcedureDescription == (
                f"Schädel - d'OEil {number}")
    assert len({v['step_id'] for v in ordered.values()}) == len(NEAREST)


def test_a_romanized_name_warns_the_doctor(ordered):
    assert {puid for puid, values in ordered.items() if values['warned']} == {
        'NF-4', 'NF-5'}
