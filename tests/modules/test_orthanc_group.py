# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One examination for several requests of a patient (PS3.17, group case):
what the images or the machine name, what people choose, one report for all,
and what follows when the link goes."""
import datetime as dt
import itertools

import pytest
from support.archive_rows import make_rows
from support.records import (
    as_asked, as_user, make_exam, make_patient, make_professional,
    make_request, make_user, on, run_wizard, settle, shipped_reason)
from support.statements import counted

from trytond.exceptions import UserError
from trytond.modules.health_imaging.minute import now
from trytond.modules.health_imaging.result_report import ImagingReport
from trytond.modules.health_orthanc.exceptions import UndoLinkWarning
from trytond.modules.health_orthanc.links import (
    deciding, effects, facts, further, ledger)
from trytond.modules.health_orthanc.sync import storage
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

STUDY = 'gnuhealth.imaging_orthanc.study'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
EXAM = 'gnuhealth.imaging.patient_exam'
BORN = dt.date(1985, 10, 4)
IMAGING = 'health_imaging.group_health_imaging'

_numbers = itertools.count(1)


@pytest.fixture
def server(acting):
    with without_check_access():
        make_user('script',
            'health_imaging_worklist.group_worklist_script')
        server, = Pool().get('gnuhealth.orthanc.config').create([{
                    'label': "PACS", 'domain': 'http://127.0.0.1:9',
                    'user': 'u', 'password': 'p'}])
    return server


@pytest.fixture
def patient(acting):
    return make_patient("Ana", "Betz", 'f', BORN, ref='PUID-ANA')


@without_check_access
def order(patient, count=2):
    "Return as many requests of the patient, sent, each an order."
    Request = Pool().get(REQUEST)
    exam, doctor = make_exam("CT"), make_professional()
    requests = [make_request(patient, exam, doctor) for _ in range(count)]
    Request.requested(requests)
    settle()
    return requests


@pytest.fixture
def two(patient):
    return order(patient)


@without_check_access
def send(server, patient, named=(), number=None, **study):
    """Store a study with images of a patient, which name requests in their
    RequestAttributesSequence, as a synchronization does."""
    item = make_rows(number or next(_numbers), [2])
    item.study.update({
            'patient_id': patient.puid, 'patient_birth_date': BORN,
            'patient_name': 'Betz^Ana', 'patient_sex': 'F',
            'modalities': 'CT', 'study_date': dt.date.today(), **study})
    item = item._replace(details={
        'issuer': None, 'requested_ids': '\\'.join(
            text for r in named for text in [r.step_id, r.accession_number])
        or None})
    tree = storage.Tree(server.id, now())
    tree.store([item])
    deciding.link_studies(tree.touched, new=tree.new_studies())
    settle()
    id_, = tree.touched
    return Pool().get(STUDY)(id_)


@without_check_access
def tell(uid, requests, study=None, series=(), kind='create'):
    "Have a machine tell that it performs a step for requests."
    Step = Pool().get('gnuhealth.imaging_worklist.performed_step')
    patient = requests[0].patient

    def values(**attributes):
        return {tag.lstrip('_'): {'vr': 'UN', 'Value': value}
            for tag, value in attributes.items()}
    attributes = values(
        _00400252=['IN PROGRESS' if kind == 'create' else 'COMPLETED'],
        _00400244=[f'{dt.date.today():%Y%m%d}'], _00400245=['120000'],
        _00100020=[patient.puid], _00100010=[{'Alphabetic': 'BETZ^ANA'}],
        _00400270=[values(
                _0020000D=[study or r.merge_id],
                _00080050=[r.accession_number], _00400009=[r.step_id],
                ) for r in requests],
        _00400340=[values(_0020000E=[uid_], _00081140=[{}, {}])
            for uid_ in series])
    script, = Pool().get('res.user').search([('login', '=', 'script')])
    with as_user(script):
        assert Step.receive('node', [{
                    'number': next(_numbers), 'kind': kind, 'uid': uid,
                    'ae_title': 'CT1', 'address': '192.0.2.7',
                    'received': f'{dt.datetime.now():%Y-%m-%dT%H:%M:%S.%f}',
                    'attributes': attributes}])
    settle()


def fresh(record):
    for cache in Transaction().cache.values():
        cache.clear()
    return type(record)(record.id)


def of(study):
    "Return the requests of a study, its own first."
    return list(fresh(study).requests)


def listed(name, value=True):
    return Pool().get(REQUEST).search(
        [(name, '=', value)], order=[('id', 'ASC')])


def told():
    "Return the requests that modalities are told of."
    Request = Pool().get(REQUEST)
    with without_check_access():
        entries = Request.get_worklist_entries()['entries']
    return {e['id'] for e in entries}


def faults(study):
    "What of a study's further requests is never true."
    study = fresh(study)
    if study.further_requests and not study.request:
        yield "further requests without a request"
    if study.request in study.further_requests:
        yield "the request is a further one, too"
    for request in study.requests:
        if request.patient != study.patient:
            yield "a request of another patient"


def test_two_requests_in_the_images(server, patient, two):
    first, second = two
    other, = order(patient, 1)
    study = send(server, patient, two)
    assert (study.link_state, study.link_rule) == ('linked', 'accession')
    assert (study.request, study.patient) == (first, patient)
    assert of(study) == two and not list(faults(study))
    # Both have images, and leave the worklist; the third does not.
    assert [r.worklist_status for r in map(fresh, [*two, other])] == [
        'done', 'done', 'todo']
    assert told() == {other.id}
    for request in map(fresh, two):
        assert request.number_of_images == 2 and request.has_images
        assert list(request.orthanc_studies) == [study]
    assert listed('has_images') == listed('to_read') == two
    assert listed('number_of_images', 2) == two
    Study, Request = Pool().get(STUDY), Pool().get(REQUEST)
    for request in two:
        assert Study.search([('requests', '=', request.id)]) == [study]
        assert Request.search([('orthanc_studies', '=', study.id),
                ('id', '=', request.id)]) == [request]
    assert other in Request.search([('orthanc_studies', '=', None)])
    assert not Study.search([('requests', '=', other.id)])
    line = fresh(study).link_log[0]
    assert line.further_requests == f'- → {second.request_line}'
    # Deciding again changes nothing.
    before = ledger.read([study.id])
    deciding.link_studies([study.id])
    assert ledger.read([study.id]) == before


@pytest.mark.parametrize('before', [True, False])
@pytest.mark.parametrize('by', ['study', 'series'])
def test_two_requests_of_a_step_alone(server, patient, two, before, by):
    """The machine told of both, the images carry neither; it tells before or
    after they come."""
    number = next(_numbers)
    uids = make_rows(number, [2])
    study = None if before else send(server, patient)
    if study:
        assert not study.request and study.patient == patient
        uid = study.study_instance_UID
        series = [s.series_UID for s in study.series]
    else:
        uid = uids.study['study_instance_UID']
        series = [row['series_UID'] for row, _ in uids.series]
    if by == 'study':
        tell('1.2.9', two, uid)
        tell('1.2.9', two, uid, kind='set')
    else:
        tell('1.2.9', two)
        tell('1.2.9', two, series=series, kind='set')
    if not study:
        study = send(server, patient, number=number)
    study = fresh(study)
    assert study.study_instance_UID == uid
    assert of(study) == two and study.link_rule == 'accession'
    assert not list(faults(study)) and not told()
    assert study.images_arrived in {None, "2 of 2 images arrived"}
    assert listed('to_read') == two


def test_a_step_of_another_exam_says_nothing(server, patient, two):
    study = send(server, patient)
    tell('1.2.9', two)
    tell('1.2.9', two, series=['1.2.999'], kind='set')
    assert not of(study)


@pytest.mark.parametrize('kind', ['images', 'step'])
def test_a_request_of_another_patient_among_them(server, patient, two, kind):
    eva = make_patient("Eva", "Other", 'f', dt.date(1970, 1, 2), ref='EVA')
    foreign, = order(eva, 1)
    if kind == 'images':
        study = send(server, patient, [*two, foreign])
    else:
        study = send(server, patient, two)
        assert of(study) == two
        tell('1.2.9', two, study.study_instance_UID)
        with without_check_access():
            Step = Pool().get('gnuhealth.imaging_worklist.performed_step')
            Step.decide(Step.search([]), [foreign])
        settle()
    study = fresh(study)
    assert study.link_state == 'review' and not of(study)
    assert study.review_code == 'other_patients'
    assert foreign.request_line in study.review_reason
    assert {c.request for c in study.candidates} == {two[0], foreign}
    assert {r.worklist_status for r in map(fresh, [*two, foreign])} <= {
        'todo', 'done'}
    assert not fresh(foreign).number_of_images


def test_one_report_serves_both(server, patient, two, acting):
    Request, Exam = Pool().get(REQUEST), Pool().get(EXAM)
    first, second = two
    study = send(server, patient, two)
    assert listed('to_read') == two
    # Whoever begins with both, or with the second, makes one.
    action = Request.report(two)
    result, = Pool().get(RESULT).search([])
    assert result.request == first and list(result.also_of) == [second]
    assert action['res_id'] == [result.id]
    second = fresh(second)
    assert (second.state, second.reported_in) == ('done', result)
    assert not second.results
    assert listed('to_read') == [first]
    assert Request.report([second])['res_id'] == [result.id]
    with pytest.raises(UserError):
        Request.generate_results([second])
    with pytest.raises(UserError):
        Pool().get(RESULT).create([{'request': second.id}])
    Result = Pool().get(RESULT)
    Result.write([result], {'comment': "No fracture."})
    assert [r.report_state for r in map(fresh, two)] == ['preliminary'] * 2
    Result.finalize([result])
    assert listed('report_state', 'final') == two
    assert not listed('report_state', 'none')
    assert not listed('to_read')
    # The doctor who asked for the second reads the report.
    exams = Exam.search([('patient', '=', patient.id)])
    assert {(e.request, e.result, e.state) for e in exams} == {
        (r, result, 'final') for r in two}
    assert {e.number_of_images for e in exams} == {2}
    context = ImagingReport.get_context(
        [fresh(result)], {}, {'model': RESULT, 'ids': [result.id],
            'id': result.id})
    for request in two:
        assert request.request in context['orders']
        assert request.request_line in context['numbers']
    assert fresh(study).imaging_test == result


def test_the_second_may_be_reported_first(server, patient, two):
    first, second = two
    send(server, patient, two)
    Pool().get(REQUEST).generate_results([second])
    result, = Pool().get(RESULT).search([])
    assert result.request == second
    assert fresh(first).reported_in == result
    # Without the result both are to be reported.
    with without_check_access():
        Pool().get(RESULT).delete([result])
    settle()
    assert [r.state for r in map(fresh, two)] == ['requested'] * 2
    assert listed('to_read') == two and not fresh(first).reported_in


def test_undo_lets_all_go(server, patient, two, acting):
    Study = Pool().get(STUDY)
    study = send(server, patient, two)
    Pool().get(REQUEST).report(two[:1])
    assert fresh(two[1]).state == 'done'
    # The last change was the new result, the one before the link.
    Study.undo_link([fresh(study)])
    settle()
    second = fresh(two[1])
    assert second.state == 'requested' and not second.reported_in
    assert listed('to_read') == two
    with as_asked(acting), pytest.raises(UndoLinkWarning) as refused:
        Study.undo_link([fresh(study)])
    assert all(r.request_line in refused.value.message for r in two)
    Study.undo_link([fresh(study)])
    settle()
    assert not of(study) and not list(faults(study))
    assert not fresh(second).number_of_images
    assert fresh(second).worklist_status == 'todo'
    assert listed('to_read') == two[:1] and fresh(two[0]).state == 'done'


def test_people_choose_further_requests(server, patient, two):
    Study = Pool().get(STUDY)
    first, second = two
    eva = make_patient("Eva", "Other", 'f', dt.date(1970, 1, 2), ref='EVA')
    foreign, = order(eva, 1)
    study = send(server, patient, accession_number=first.request)
    assert of(study) == [first]
    Study.write([study], {'further_requests': [('add', [second.id])]})
    study = fresh(study)
    assert of(study) == two and study.link_rule == 'person'
    assert fresh(second).worklist_status == 'done'
    assert fresh(study).link_log[0].further_requests == (
        f'- → {second.request_line}')
    with pytest.raises(UserError):
        Study.write([study], {'further_requests': [('add', [foreign.id])]})
    # Who may not link may not.
    stranger = make_user('looker', 'health.group_health_admin')
    with as_user(stranger), pytest.raises(UserError):
        Study.write([study], {'further_requests': [('remove', [second.id])]})
    # Rules leave it to the person.
    deciding.link_studies([study.id])
    assert of(study) == two
    Study.write([study], {'further_requests': [('remove', [second.id])]})
    settle()
    assert of(study) == [first]
    assert fresh(second).worklist_status == 'todo'
    # The history goes back step by step.
    Study.undo_link([fresh(study)])
    assert of(study) == two


def test_another_patient_takes_none_along(server, patient, two):
    Study = Pool().get(STUDY)
    eva = make_patient("Eva", "Other", 'f', dt.date(1970, 1, 2), ref='EVA')
    study = send(server, patient, two)
    Pool().get(REQUEST).report(two[:1])
    Study.write([study], {'patient': eva.id})
    settle()
    assert fresh(study).patient == eva and not of(study)
    assert fresh(two[1]).state == 'requested'
    assert not fresh(two[1]).reported_in
    with without_check_access():
        assert not Pool().get(further.NAME).search([])


def test_a_canceled_request_is_left_out(server, patient, two):
    first, second = two
    study = send(server, patient, two)
    run_wizard('gnuhealth.imaging.test.request.cancel', [
            ('cancel', {'start': {
                        'choice': shipped_reason(), 'reason': "Twice."}})],
        **on(second))
    settle()
    assert of(study) == [first]
    assert listed('to_read') == [first]
    with without_check_access():
        type(second).draft([fresh(second)])
        type(second).requested([fresh(second)])
    settle()
    assert of(study) == two


def test_merged_deleted_missing(server, patient, two):
    "The further requests follow the study wherever it goes."
    first, second = two
    study = send(server, patient, two)
    # A person chose, so that no rule helps.
    Study = Pool().get(STUDY)
    third, = order(patient, 1)
    Study.write([study], {'further_requests': [('add', [third.id])]})
    keeper = make_patient("Ana", "Betz", 'f', BORN, ref='PUID-ANA2')
    with without_check_access():
        ledger.move(patient.id, keeper.id)
        link = ledger.read([study.id])[study.id]
        assert link.requests == [first.id, second.id, third.id]
        ledger.move(keeper.id, patient.id)
        # The first goes: the next takes its place.
        ledger.let_requests_go([first.id], 'request')
    assert of(study) == [second, third] and not list(faults(study))
    with without_check_access():
        # As a synchronization does.
        storage.Tree(server.id, now()).mark_missing([study.id])
        effects.count_images_of([study.id])
        deciding.link_studies([study.id])
    assert of(study) == [second, third]
    assert not fresh(second).number_of_images
    assert fresh(second).worklist_status == 'todo'


def test_blocks_and_lists_take_a_fixed_number_of_statements(server, patient):
    Study, Request = Pool().get(STUDY), Pool().get(REQUEST)
    costs = []
    for count in [3, 30]:
        with without_check_access():
            requests = order(patient, 2 * count)
            pairs = list(zip(requests[::2], requests[1::2]))
            studies = [send(server, patient, pair).id for pair in pairs]
            facts.read_studies(studies)
            with counted() as again:
                deciding.link_studies(studies)
        assert all(len(s.requests) == 2 for s in Study.browse(studies))
        with counted() as read:
            Study.read(studies, ['requests', 'further_requests'])
        with counted() as listing:
            Request.read([r.id for r in requests], [
                    'orthanc_studies', 'number_of_images', 'report_state',
                    'reported_in', 'to_read'])
        costs.append([len(again), len(read), len(listing)])
    assert all(b <= a + 2 for a, b in zip(*costs)), costs
