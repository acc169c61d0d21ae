# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports of final results in their studies, on a real PACS."""
import datetime as dt
import io
import subprocess

import pydicom
import pytest
from support.fault_server import drop, hang, html, reset, status
from support.images import STUDY, Hospital, ct_series
from support.records import RpcError, make_result

from trytond.modules.health_orthanc import encapsulated_report
from trytond.pool import Pool
from trytond.transaction import Transaction

REPORT = 'gnuhealth.orthanc.report'
RESULT = 'gnuhealth.imaging.test.result'


@pytest.fixture(scope='module')
def hospital(activated, tmp_path_factory):
    hospital = Hospital(tmp_path_factory.mktemp('orthanc'))
    hospital.write_server(store_reports=True)
    yield hospital
    hospital.close()


@pytest.fixture(autouse=True)
def calm(hospital):
    hospital.faults.clear()


@pytest.fixture
def quick(monkeypatch):
    "Store a document at once, where the seconds of LibreOffice tell nothing."
    monkeypatch.setattr(encapsulated_report.StoredReport, '_render',
        lambda self: b'%PDF-1.4\n')


def reports(hospital, study):
    "Return the datasets of the documents that a study has on the server."
    uid = hospital.read(STUDY, study, 'orthanc_UID')['orthanc_UID']
    with hospital.client() as client:
        series = client.bulk('series', [uid], source='studies')
        return [
            pydicom.dcmread(io.BytesIO(client.request(
                        'GET', f'/instances/{instance}/file').body))
            for one in series
            if one['MainDicomTags']['Modality'] == 'DOC'
            for instance in one['Instances']]


def states(hospital, study):
    with hospital.transaction():
        Report = Pool().get(REPORT)
        found = Report.search([('study', '=', study)])
        return [(r.revision, r.state, r.error) for r in found]


def sign(hospital, result):
    "Sign a result, over RPC so that tasks run."
    hospital.rpc('radiologist')(f'model.{RESULT}.finalize', [result])


def amend(hospital, result):
    with hospital.transaction('radiologist'):
        Result = Pool().get(RESULT)
        Result.reopen([Result(result)], "Wrong side")


def test_the_report_of_a_final_result_is_stored_once(hospital, tmp_path):
    study = hospital.store(*ct_series(2))
    result = hospital.link(study)
    assert not reports(hospital, study)
    sign(hospital, result)
    report, = reports(hospital, study)
    assert report.SOPClassUID.name == 'Encapsulated PDF Storage'
    assert report.Modality == 'DOC'
    assert report.EncapsulatedDocument.startswith(b'%PDF-')
    assert report.StudyInstanceUID == hospital.read(
        STUDY, study, 'study_instance_UID')['study_instance_UID']
    assert report.PatientID == hospital.read(
        STUDY, study, 'patient_id')['patient_id']
    path = tmp_path / 'report.dcm'
    report.save_as(path)
    verified = subprocess.run(
        ['dciodvfy', path], capture_output=True, text=True).stderr
    assert 'EncapsulatedPDF' in verified
    assert 'Error' not in verified
    line, = hospital.log(study=study, action='report')
    assert line['user'] == hospital.users['radiologist']
    for full in [False, True]:
        hospital.sync(full)
    assert len(reports(hospital, study)) == 1
    assert states(hospital, study) == [(0, 'stored', None)]


def test_each_revision_is_stored(hospital, quick):
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    sign(hospital, result)
    amend(hospital, result)
    hospital.sync()
    assert len(reports(hospital, study)) == 1
    sign(hospital, result)
    assert len(reports(hospital, study)) == 2
    assert states(hospital, study) == [
        (1, 'stored', None), (0, 'stored', None)]


def test_it_is_no_new_image(hospital):
    study = hospital.store(*ct_series(2))
    with hospital.transaction():
        result = hospital_request(study)
    sign(hospital, result)
    hospital.sync()
    with hospital.transaction():
        study = Pool().get(STUDY)(study)
        assert [s.modality for s in study.series] == ['CT', 'DOC']
        assert study.number_of_instances == 3
        assert study.request.number_of_images == 2
        assert study.link_rule == 'person'
        assert study.imaging_test.id == result


def hospital_request(study):
    "Link a study to the request of a new result, and return the result."
    Study = Pool().get(STUDY)
    result = make_result(comment="No fracture.")
    Study.write([Study(study)], {'patient': result.patient.id})
    Study.write([Study(study)], {
            'imaging_test': result.id, 'request': result.request.id})
    return result.id


@pytest.mark.parametrize(
    'fault', [hang(), drop(), status(500), status(403), html(), reset()],
    ids=range(6))
def test_it_is_stored_later_when_the_server_does_harm(
        hospital, quick, fault):
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    hospital.faults.on('^/instances$', fault, method='POST')
    sign(hospital, result)
    (_, state, error), = states(hospital, study)
    assert state == 'waiting'
    assert "PACS" in error
    hospital.faults.clear()
    hospital.sync()
    assert states(hospital, study) == [(0, 'stored', None)]
    assert len(reports(hospital, study)) == 1


def test_it_is_stored_later_when_the_server_is_down(hospital, quick):
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    with hospital.faults.refusing():
        sign(hospital, result)
        assert "Nothing answers" in states(hospital, study)[0][2]
        hospital.sync()
    hospital.sync()
    assert states(hospital, study) == [(0, 'stored', None)]


def test_a_study_that_is_linked_later_gets_its_report(hospital, quick):
    study = hospital.store(*ct_series(1))
    other = hospital.store(*ct_series(1))
    result = hospital.link(other, final=True)
    with hospital.transaction():
        Study = Pool().get(STUDY)
        patient = Study(other).patient.id
        Study.write([Study(study)], {'patient': patient})
        Study.write([Study(study)], {'imaging_test': result})
    hospital.sync()
    assert len(reports(hospital, study)) == 1


def test_one_that_was_linked_long_ago_is_found_by_a_full_run(
        hospital, quick):
    """No person does this: reports of studies that an earlier version left
    out, or that came back after they were missing."""
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    with hospital.transaction():
        log = Pool().get('gnuhealth.orthanc.link_log').__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*log.update(
                [log.at], [dt.datetime(2026, 1, 1)], where=log.study == study))
    sign(hospital, result)
    with hospital.transaction():
        Report = Pool().get(REPORT)
        Report.delete(Report.search([('study', '=', study)]))
    hospital.sync()
    assert not states(hospital, study)
    hospital.sync(full=True)
    assert states(hospital, study) == [(0, 'stored', None)]


def test_results_from_before_are_left_alone(hospital, quick):
    hospital.write_server(store_reports=False)
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    sign(hospital, result)
    with hospital.transaction():
        Result = Pool().get(RESULT)
        # It was signed a while ago.
        table = Result.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [table.signed_at], [dt.datetime(2020, 1, 1)],
                where=table.id == result))
    hospital.write_server(store_reports=True)
    hospital.sync()
    assert not states(hospital, study)
    assert not reports(hospital, study)


def test_it_is_off_by_default(hospital):
    with hospital.transaction() as transaction:
        Server = Pool().get('gnuhealth.orthanc.config')
        server, = Server.create([{
                    'label': "Other", 'domain': 'http://127.0.0.1:9',
                    'user': 'u', 'password': 'p'}])
        assert not server.store_reports
        transaction.rollback()
        transaction.tasks.clear()


def test_a_report_that_is_out_of_date_is_not_stored(hospital):
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    with hospital.faults.refusing():
        sign(hospital, result)
    amend(hospital, result)
    hospital.sync()
    assert states(hospital, study)[0][1] == 'superseded'
    assert not reports(hospital, study)


def test_a_report_that_seemed_out_of_date_is_stored(hospital, quick):
    "As versions left it that did not see that its study came back."
    study = hospital.store(*ct_series(1))
    with hospital.faults.refusing():
        sign(hospital, hospital.link(study))
    with hospital.transaction():
        Report = Pool().get(REPORT)
        Report.write(
            Report.search([('study', '=', study)]), {'state': 'superseded'})
    hospital.sync()
    assert states(hospital, study)[0][1] == 'stored'
    assert len(reports(hospital, study)) == 1


def test_a_report_never_goes_into_the_study_of_another(hospital):
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    with hospital.faults.refusing():
        sign(hospital, result)
    with hospital.transaction():
        Study = Pool().get(STUDY)
        Study.write([Study(study)], {'imaging_test': None})
    hospital.sync()
    assert not reports(hospital, study)
    assert states(hospital, study)[0][1] == 'superseded'


def test_after_many_refusals_a_person_looks(
        hospital, quick, monkeypatch):
    monkeypatch.setattr(encapsulated_report, 'MAX_REFUSALS', 2)
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    hospital.faults.on(
        '^/instances$', status(400, b'{"Message":"x"}'), method='POST')
    sign(hospital, result)
    hospital.sync()
    assert states(hospital, study)[0][1] == 'failed'
    hospital.faults.clear()
    hospital.sync()
    assert not reports(hospital, study)
    id_, = hospital.ids(REPORT, [('study', '=', study)])
    with pytest.raises(RpcError):
        hospital.rpc('radiologist')(f'model.{REPORT}.retry', [id_])
    hospital.rpc('keeper')(f'model.{REPORT}.retry', [id_])
    assert states(hospital, study)[0][1] == 'stored'


@pytest.mark.parametrize('fault', [
        status(401), status(403), status(404, b'<html>'), status(405),
        status(409), status(500), status(501), status(503), status(507),
        status(400, b'<html>')],
    ids=[401, 403, 404, 405, 409, 500, 501, 503, 507, 400])
def test_what_a_read_only_server_refused_is_stored_when_it_no_longer_is(
        hospital, quick, monkeypatch, fault):
    monkeypatch.setattr(encapsulated_report, 'MAX_REFUSALS', 1)
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    hospital.faults.on('^/instances$', fault, method='POST')
    sign(hospital, result)
    for _ in range(2):
        hospital.sync()
        (_, state, error), = states(hospital, study)
        assert state == 'waiting'
        assert "PACS" in error
    hospital.faults.clear()
    hospital.sync()
    assert states(hospital, study) == [(0, 'stored', None)]


def test_one_that_makes_trouble_keeps_no_other_one_waiting(
        hospital, quick, monkeypatch):
    monkeypatch.setattr(encapsulated_report, 'MAX_TROUBLES', 1)
    studies = [hospital.store(*ct_series(1)) for _ in range(2)]
    results = [hospital.link(study) for study in studies]
    with hospital.faults.refusing():
        for result in results:
            sign(hospital, result)
    hospital.faults.on('^/instances$', status(500), method='POST', times=1)
    hospital.sync()
    assert [states(hospital, study)[0][1] for study in studies] == [
        'waiting', 'waiting']
    hospital.faults.on('^/instances$', status(500), method='POST', nth=2)
    hospital.sync()
    assert states(hospital, studies[1])[0][1] == 'stored'


def test_a_full_archive_is_asked_a_few_times_only(hospital, quick):
    studies = [hospital.store(*ct_series(1)) for _ in range(5)]
    results = [hospital.link(study) for study in studies]
    with hospital.faults.refusing():
        for result in results:
            sign(hospital, result)
    hospital.faults.on('^/instances$', status(507), method='POST')
    before = hospital.faults.count('^/instances$', 'POST')
    hospital.sync()
    assert hospital.faults.count('^/instances$', 'POST') - before == 3
    hospital.faults.clear()
    hospital.sync()
    assert {states(hospital, study)[0][1] for study in studies} == {'stored'}


def test_no_office_is_told(hospital, monkeypatch):
    study = hospital.store(*ct_series(1))
    result = hospital.link(study)
    monkeypatch.setenv('PATH', '/nowhere')
    sign(hospital, result)
    (_, state, error), = states(hospital, study)
    assert state == 'waiting'
    assert "LibreOffice" in error
    monkeypatch.undo()
    hospital.sync()
    assert states(hospital, study)[0][1] == 'stored'


def test_nobody_edits_what_is_kept_of_it(hospital, quick):
    study = hospital.store(*ct_series(1))
    sign(hospital, hospital.link(study))
    id_, = hospital.ids(REPORT, [('study', '=', study)])
    for login in ['keeper', 'radiologist', 'health_admin']:
        rpc = hospital.rpc(login)
        assert rpc(f'model.{REPORT}.read', [id_], ['state'])
        for method, arguments in [
                ('write', [[id_], {'state': 'waiting'}]),
                ('delete', [[id_]])]:
            with pytest.raises(RpcError):
                rpc(f'model.{REPORT}.{method}', *arguments)
    with pytest.raises(RpcError):
        hospital.rpc('desk')(f'model.{REPORT}.read', [id_], ['state'])
