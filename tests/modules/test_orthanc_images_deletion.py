# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deleting studies and series on a real PACS that confirms it, or not."""
import pytest
from support.fault_server import (
    answer, change, delay, drop, hang, html, redirect, reset, status)
from support.hospitals import with_pacs
from support.images import (
    INSTANCE, SERIES, STUDY, context_of, ct_series, variant)
from support.records import RpcError, make_requested

from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.links import effects
from trytond.pool import Pool

hospital = with_pacs

WIZARD = 'gnuhealth.imaging_orthanc.delete'


@pytest.fixture(autouse=True)
def calm(hospital):
    hospital.faults.clear()


def delete(hospital, model, *ids, login='keeper', reason="Wrong patient"):
    "Return what the wizard said."
    result = hospital.rpc(login).run_wizard(WIZARD, [
            ('start', {}), ('remove', {'start': {'reason': reason}}),
            ], **context_of(model, *ids))
    return result['view']['defaults']['outcome']


def question(hospital, model, *ids):
    result = hospital.rpc('keeper').run_wizard(
        WIZARD, [('start', {})], **context_of(model, *ids))
    return result['view']['defaults']['question']


def on_server(hospital, level, uid):
    with hospital.client() as client:
        return bool(client.bulk(level, [uid]))


def uid_of(hospital, model, id_):
    return hospital.read(model, id_, 'orthanc_UID')['orthanc_UID']


def asked(hospital, model, id_):
    return hospital.read(model, id_, 'deleting_since')['deleting_since']


def test_the_buttons_open_the_wizard(hospital):
    study = hospital.store(*ct_series(1))
    series, = hospital.series(study)
    rpc = hospital.rpc('keeper')
    for model, button, id_ in [
            (STUDY, 'delete_study', study), (SERIES, 'delete_series', series)]:
        action = rpc(f'model.{model}.{button}', [id_])
        value = rpc('model.ir.action.get_action_value', action)
        assert value['wiz_name'] == WIZARD
        for login in ['radiologist', 'desk', 'health_admin']:
            with pytest.raises(RpcError):
                hospital.rpc(login)(f'model.{model}.{button}', [id_])
            with pytest.raises(RpcError):
                delete(hospital, model, id_, login=login)
    assert not hospital.faults.count(method='DELETE')


def test_the_session_of_another_is_no_way_in(hospital):
    study = hospital.store(*ct_series(1))
    context = context_of(STUDY, study)
    session, *_ = hospital.rpc('keeper')(f'wizard.{WIZARD}.create', **context)
    for login in ['radiologist', 'desk']:
        for given in [context, {}]:
            with pytest.raises(RpcError):
                hospital.rpc(login)(
                    f'wizard.{WIZARD}.execute', session,
                    {'start': {'reason': "x"}}, 'remove', **given)
    assert not hospital.faults.count(method='DELETE')


def test_it_asks_with_the_count_and_the_result(hospital):
    study = hospital.store(*ct_series(3))
    result = hospital.link(study)
    number = hospital.read(
        'gnuhealth.imaging.test.result', result, 'number')['number']
    for model, id_ in [(STUDY, study), (SERIES, *hospital.series(study))]:
        text = question(hospital, model, id_)
        assert "3 images" in text
        assert number in text
        assert "PACS" in text


def test_a_reason_is_needed(hospital):
    study = hospital.store(*ct_series(1))
    for reason in [None, '', '  ']:
        with pytest.raises(RpcError) as error:
            delete(hospital, STUDY, study, reason=reason)
        assert "reason" in error.value.message
    assert not hospital.faults.count(method='DELETE')


def test_something_must_be_selected(hospital):
    rpc = hospital.rpc('keeper')
    for context in [{}, context_of('gnuhealth.patient', 1)]:
        with pytest.raises(RpcError):
            rpc.run_wizard(
                WIZARD, [('remove', {'start': {'reason': "x"}})], **context)


def test_a_study_goes_when_the_server_confirmed(hospital):
    study = hospital.store(*ct_series(3))
    hospital.link(study)
    series, = hospital.series(study)
    instances = hospital.instances(study)
    uid = uid_of(hospital, STUDY, study)
    with hospital.transaction():
        Study, Series = Pool().get(STUDY), Pool().get(SERIES)
        Study.write([Study(study)], {'notes': "Look at slice 2"})
        Series.write([Series(series)], {'notes': "Best series"})
        result = Study(study).imaging_test.id
        study_uid = Study(study).study_instance_UID
    assert "was deleted" in delete(hospital, STUDY, study)
    assert not on_server(hospital, 'studies', uid)
    for model, id_ in [
            (STUDY, study), (SERIES, series), (INSTANCE, instances[0])]:
        assert not hospital.read(model, id_, 'id')
    line, = hospital.log(study_instance_UID=study_uid, action='delete')
    assert line['user'] == hospital.users['keeper']
    for text in ["Wrong patient", "Look at slice 2", "Best series"]:
        assert text in line['details']
    assert 'Betz' in line['patient_text']
    with hospital.transaction():
        Note = Pool().get('ir.note')
        note, = Note.search([
                ('resource', '=', f'gnuhealth.imaging.test.result,{result}')])
        assert "Wrong patient" in note.message
    assert hospital.sync() == 'done'
    assert not hospital.ids(STUDY, [('orthanc_UID', '=', uid)])


def test_series_go_each_for_itself(hospital):
    study = hospital.store(
        *ct_series(2, '1.2.3.21', PatientID='S', SeriesNumber=1),
        *ct_series(1, '1.2.3.21', PatientID='S', SeriesNumber=2),
        variant('MR_small.dcm', '1.2.3.21', PatientID='S', SeriesNumber=3))
    first, second, third = hospital.series(study)
    hospital.faults.on('/series/', status(403), method='DELETE', nth=2)
    one, two = delete(hospital, SERIES, first, second).splitlines()
    assert "was deleted" in one
    assert "not deleted" in two
    assert hospital.series(study) == [second, third]
    assert not asked(hospital, SERIES, second)
    values = hospital.read(
        STUDY, study, 'number_of_series', 'number_of_instances', 'modalities')
    hospital.sync()
    assert hospital.read(STUDY, study, *values) == values
    assert values['number_of_series'] == 2
    assert values['number_of_instances'] == 2
    assert values['modalities'] == 'CT, MR'


def test_the_study_stays_as_missing_without_its_last_series(hospital):
    study = hospital.store(*ct_series(1))
    series, = hospital.series(study)
    with hospital.transaction():
        Study = Pool().get(STUDY)
        Study.write([Study(study)], {'notes': "Keep me"})
    delete(hospital, SERIES, series)
    row = hospital.read(STUDY, study, 'missing_since', 'notes')
    assert row['missing_since']
    assert row['notes'] == "Keep me"
    # It can be deleted then, too.
    assert "any more" in delete(hospital, STUDY, study)
    assert not hospital.read(STUDY, study, 'id')


def test_a_study_of_a_final_result_is_kept(hospital):
    study = hospital.store(*ct_series(1))
    hospital.link(study, final=True)
    series, = hospital.series(study)
    for model, id_ in [(STUDY, study), (SERIES, series)]:
        assert "final result" in delete(hospital, model, id_)
        assert not asked(hospital, model, id_)
    assert not hospital.faults.count(method='DELETE')
    assert hospital.instances(study)


@pytest.mark.parametrize('fault', [
        status(401), status(403), status(405), status(409), status(400),
        redirect('http://127.0.0.1:9/'),
        ], ids=range(6))
def test_a_refusal_deletes_nothing(hospital, fault):
    study = hospital.store(*ct_series(1))
    hospital.faults.on('/studies/', fault, method='DELETE')
    assert "was not deleted" in delete(hospital, STUDY, study)
    assert hospital.read(STUDY, study, 'id')
    assert not asked(hospital, STUDY, study)
    assert not hospital.log(study=study, action='delete')


@pytest.mark.parametrize('fault', [
        html(), answer({}), answer("true"), status(500),
        status(404, b'<html>'), status(404), drop(), hang(),
        ], ids=range(8))
def test_what_is_no_confirmation_deletes_nothing(hospital, fault):
    study = hospital.store(*ct_series(1))
    hospital.faults.on('/studies/', fault, method='DELETE')
    assert "not known" in delete(hospital, STUDY, study)
    assert hospital.read(STUDY, study, 'id')
    assert asked(hospital, STUDY, study)
    # The next synchronization sees that it is there.
    hospital.faults.clear()
    hospital.sync()
    assert hospital.read(STUDY, study, 'id')
    assert not asked(hospital, STUDY, study)


def test_a_server_that_is_down_deletes_nothing(hospital):
    study = hospital.store(*ct_series(1))
    with hospital.faults.refusing():
        assert "Nothing answers" in delete(hospital, STUDY, study)
    assert hospital.instances(study)


@pytest.mark.parametrize('fault', [reset(), delay(3)], ids=['reset', 'slow'])
def test_the_next_synchronization_finishes_a_lost_answer(hospital, fault):
    study = hospital.store(*ct_series(1))
    uid = uid_of(hospital, STUDY, study)
    hospital.faults.on('/studies/', fault, method='DELETE')
    assert "not known" in delete(hospital, STUDY, study)
    hospital.faults.clear()
    if fault.__qualname__.startswith('delay'):
        with hospital.client() as client:
            client.delete('studies', uid)
    assert not on_server(hospital, 'studies', uid)
    study_uid = hospital.read(
        STUDY, study, 'study_instance_UID')['study_instance_UID']
    hospital.sync()
    assert not hospital.read(STUDY, study, 'id')
    line, = hospital.log(study_instance_UID=study_uid, action='delete')
    assert line['user'] == hospital.users['keeper']
    assert "Wrong patient" in line['details']


def test_a_lost_answer_for_a_series(hospital):
    study = hospital.store(
        *ct_series(1, '1.2.3.22', PatientID='L'),
        variant('MR_small.dcm', '1.2.3.22', PatientID='L'))
    first, second = hospital.series(study)
    hospital.faults.on('/series/', reset(), method='DELETE')
    assert "not known" in delete(hospital, SERIES, first)
    hospital.sync()
    assert hospital.series(study) == [second]


def empty_but_for(hospital, study):
    "Let a study be the only one that the PACS has and that is known."
    uid = uid_of(hospital, STUDY, study)
    with hospital.client() as client:
        for other in client.ids('studies'):
            if other != uid:
                client.delete('studies', other)
    hospital.sync()
    assert hospital.ids(STUDY, [('missing_since', '=', None)]) == [study]


@pytest.mark.parametrize('full', [False, True])
def test_the_only_study_goes_although_the_answer_was_lost(hospital, full):
    study = hospital.store(*ct_series(1))
    empty_but_for(hospital, study)
    patient = hospital.read(STUDY, study, 'orthanc_patient')[
        'orthanc_patient']
    study_uid = hospital.read(
        STUDY, study, 'study_instance_UID')['study_instance_UID']
    hospital.faults.on('/studies/', reset(), method='DELETE')
    assert "not known" in delete(hospital, STUDY, study)
    assert hospital.sync(full=full) == 'done'
    assert not hospital.read(STUDY, study, 'id')
    line, = hospital.log(study_instance_UID=study_uid, action='delete')
    assert "Wrong patient" in line['details']
    assert hospital.read(
        'gnuhealth.orthanc.patient', patient, 'missing_since')[
        'missing_since']


def test_the_only_series_goes_although_the_answer_was_lost(hospital):
    study = hospital.store(*ct_series(1))
    empty_but_for(hospital, study)
    series, = hospital.series(study)
    hospital.faults.on('/series/', reset(), method='DELETE')
    assert "not known" in delete(hospital, SERIES, series)
    assert hospital.sync() == 'done'
    assert not hospital.read(SERIES, series, 'id')
    assert hospital.read(STUDY, study, 'missing_since')['missing_since']


def test_a_list_that_is_not_believed_settles_no_deletion(hospital):
    study = hospital.store(*ct_series(1))
    empty_but_for(hospital, study)
    kept = hospital.store(*ct_series(1))
    hospital.faults.on('/studies/', reset(), method='DELETE')
    assert "not known" in delete(hospital, STUDY, study)
    hospital.faults.on('^/studies$', answer([]))
    hospital.faults.on('/statistics', change(
            lambda s: {**s, 'CountStudies': 0, 'CountSeries': 0,
                'CountInstances': 0}))
    for full in [False, True, False]:
        assert hospital.sync(full=full) == 'done'
        assert asked(hospital, STUDY, study)
        assert not hospital.read(STUDY, kept, 'missing_since')[
            'missing_since']
    hospital.faults.clear()
    hospital.sync()
    assert not hospital.read(STUDY, study, 'id')
    assert not hospital.read(STUDY, kept, 'missing_since')['missing_since']


def test_a_refusal_forgets_nothing_that_was_asked_before(hospital):
    study = hospital.store(*ct_series(1))
    hospital.faults.on('/studies/', reset(), method='DELETE', times=1)
    assert "not known" in delete(hospital, STUDY, study)
    hospital.faults.on('/studies/', status(403), method='DELETE')
    assert "not known" in delete(hospital, STUDY, study)
    assert asked(hospital, STUDY, study)
    hospital.faults.clear()
    hospital.sync()
    assert not hospital.read(STUDY, study, 'id')


def test_counts_that_agree_by_chance_settle_nothing(hospital):
    study = hospital.store(*ct_series(1))
    hospital.store(*ct_series(1))
    hospital.faults.on('/studies/', reset(), method='DELETE')
    delete(hospital, STUDY, study)
    # Something that cannot be stored came meanwhile.
    hospital.faults.on('/statistics', change(
            lambda s: {**s, **{
                    f'Count{level}': s[f'Count{level}'] + 1
                    for level in ['Studies', 'Series', 'Instances']}}))
    # A user who may not see all does not know what is gone.
    hospital.sync()
    assert asked(hospital, STUDY, study)
    hospital.faults.on('^/studies$', change(
            lambda ids: [*ids, '-'.join(['00000000'] * 5)]))
    hospital.sync()
    assert not hospital.read(STUDY, study, 'id')


def test_a_failed_synchronization_settles_nothing(hospital):
    study = hospital.store(*ct_series(1))
    hospital.faults.on('/studies/', reset(), method='DELETE')
    delete(hospital, STUDY, study)
    hospital.faults.on('/changes', status(500))
    assert hospital.sync() == 'failed'
    assert asked(hospital, STUDY, study)


def test_a_second_click_finds_it_gone(hospital):
    study = hospital.store(*ct_series(1))
    hospital.faults.on('/studies/', reset(), method='DELETE')
    assert "not known" in delete(hospital, STUDY, study)
    hospital.faults.clear()
    assert "not on the server" in delete(hospital, STUDY, study)
    assert not hospital.read(STUDY, study, 'id')


def test_a_404_without_a_second_one_is_no_answer(hospital):
    study = hospital.store(*ct_series(1))
    uid = uid_of(hospital, STUDY, study)
    hospital.faults.on('/studies/', status(404), method='DELETE')
    assert "not known" in delete(hospital, STUDY, study)
    assert hospital.faults.count(f'/studies/{uid}', method='GET') == 1


def test_an_open_request_waits_again_for_images(hospital):
    study = hospital.store(*ct_series(1))
    with hospital.transaction():
        Study = Pool().get(STUDY)
        request = make_requested()
        tables.set_values(Study, [study],
            request=request.id, patient=request.patient.id,
            link_rule='merge_id', link_state='linked')
        effects.count_images([request.id])
        name, id_ = request.__name__, request.id
    assert hospital.read(name, id_, 'worklist_status')[
        'worklist_status'] == 'done'
    assert "was deleted" in delete(hospital, STUDY, study)
    assert hospital.read(name, id_, 'worklist_status')[
        'worklist_status'] == 'todo'


def test_what_cannot_be_on_the_server_goes(hospital):
    study = hospital.store(*ct_series(1))
    with hospital.transaction():
        tables.set_values(Pool().get(STUDY), [study], orthanc_UID='../x')
    assert "not on the server" in delete(hospital, STUDY, study)
    assert not hospital.read(STUDY, study, 'id')
    assert not hospital.faults.count(method='DELETE')
