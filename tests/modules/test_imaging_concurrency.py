# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two users at the same moment, on PostgreSQL, each with a connection of his
own: a third one holds the row until both have come for it."""
import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import seed
from support.at_once import Row, at_once, attempt, commit_while_waiting
from support.records import Rpc, make_picture

pytestmark = pytest.mark.postgresql

EXAM = 'gnuhealth.imaging.test'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
REASON = 'gnuhealth.imaging.cancel.reason'
FINDING = 'gnuhealth.imaging.critical_finding'
PROFESSIONAL = 'gnuhealth.healthprofessional'


@pytest.fixture
def server(make_trytond, database):
    return make_trytond(database)


@pytest.fixture
def users(server):
    """Two users of the seeded hospital, who both report."""
    url = f'{server.url}/{server.database}/'
    users = [
        Rpc(login, seed.PASSWORD, url) for login in ['doctor', 'radiologist']]
    admin = Rpc('admin', seed.PASSWORD, url)
    reporting = admin('model.res.group.search', [
            ('name', '=', "Health Imaging Reporting")])
    admin('model.res.user.write', [users[0].user],
        {'groups': [('add', reporting)]})
    # Who is asked about safety is not the question here.
    exams = admin(f'model.{EXAM}.search', [])
    rules = [code for code, _ in admin(f'model.{EXAM}.get_rules')]
    admin(f'model.{EXAM}.write', exams, {
            'question_optional': True, 'unchecked_rules': rules})
    return users


def first(rpc, model):
    return rpc(f'model.{model}.search', [], 0, 1, None)[0]


def make_request(rpc, sent=True):
    id_, = rpc(f'model.{REQUEST}.create', [{
                'patient': first(rpc, 'gnuhealth.patient'),
                'requested_test': first(rpc, EXAM),
                'doctor': first(rpc, 'gnuhealth.healthprofessional'),
                'date': dt.datetime(2026, 5, 4)}])
    if sent:
        rpc(f'model.{REQUEST}.requested', [id_])
    return id_


def read(rpc, model, id_, name):
    return rpc(f'model.{model}.read', [id_], [name])[0][name]


def on(id_, model=REQUEST):
    return {'active_model': model, 'active_id': id_, 'active_ids': [id_]}


def generate(rpc, id_, how):
    if how == 'button':
        rpc(f'model.{REQUEST}.generate_results', [id_])
    elif how == 'wizard':
        rpc.run_wizard('wizard.generate.result', [('open_', {})], **on(id_))
    else:
        rpc(f'model.{RESULT}.create', [{'request': id_}])


@pytest.mark.parametrize('second', ['button', 'wizard', 'model'])
def test_one_result_and_a_clear_message(database, users, second):
    id_ = make_request(users[0])
    refused = at_once(database, REQUEST, id_,
        lambda: generate(users[0], id_, 'button'),
        lambda: generate(users[1], id_, second))
    message, = [error.message for error in refused if error]
    assert "already has its result" in message
    results = users[0](f'model.{RESULT}.search', [('request', '=', id_)])
    assert len(results) == 1
    assert read(users[0], REQUEST, id_, 'state') == 'done'


def test_many_at_once_make_one_result(database, users):
    id_ = make_request(users[0])
    refused = at_once(database, REQUEST, id_, *[
            lambda n=n: generate(users[n % 2], id_, 'button')
            for n in range(4)])
    assert [bool(error) for error in refused].count(False) == 1
    for error in filter(None, refused):
        assert "already has its result" in error.message


def test_constraint_of_the_database_has_its_message(database, users):
    """A result that comes past the model, as from another program."""
    id_ = make_request(users[0])
    request, = users[0](f'model.{REQUEST}.read', [id_], [
            'patient', 'requested_test', 'doctor'])
    error = commit_while_waiting(database,
        'INSERT INTO gnuhealth_imaging_test_result (request, patient, '
        'requested_test, doctor, date, state) '
        "VALUES (%s, %s, %s, %s, now(), 'draft')",
        [id_, request['patient'], request['requested_test'],
            request['doctor']],
        lambda: generate(users[1], id_, 'button'))
    assert error.message.startswith("A request has one result only")
    assert users[0](
        f'model.{RESULT}.search', [('request', '=', id_)], count=True)


def test_code_of_an_exam_that_somebody_else_takes_now(database, server):
    admin = Rpc('admin', seed.PASSWORD, f'{server.url}/{server.database}/')
    model = EXAM
    exam, = admin(f'model.{model}.read', [first(admin, model)], [
            'test_type', 'product'])
    error = commit_while_waiting(database,
        'INSERT INTO gnuhealth_imaging_test (code, name, test_type, product, '
        "active) VALUES ('KNEE', 'Knee', %s, %s, true)",
        [exam['test_type'], exam['product']],
        lambda: admin(f'model.{model}.create', [{
                    'code': 'KNEE', 'name': "Knee MR",
                    'test_type': exam['test_type'],
                    'product': exam['product']}]))
    assert error.message.startswith("Another active exam has the same code")
    assert admin(
        f'model.{model}.search', [('code', '=', 'KNEE')], count=True)


def test_number_of_a_request_that_somebody_else_takes_now(database, users):
    request, = users[0](f'model.{REQUEST}.read', [
            make_request(users[0])], ['patient', 'requested_test', 'doctor'])
    error = commit_while_waiting(database,
        'INSERT INTO gnuhealth_imaging_test_request (request, request_line, '
        'patient, requested_test, doctor, date, state) '
        "VALUES ('ORD7', 'ORD7-01-01', %s, %s, %s, now(), 'draft')",
        [request['patient'], request['requested_test'], request['doctor']],
        lambda: users[1](f'model.{REQUEST}.create', [{
                    'request': 'ORD7', 'patient': request['patient'],
                    'requested_test': request['requested_test'],
                    'doctor': request['doctor']}]))
    assert error.message.startswith("Two requests cannot have the same")


def test_sent_or_deleted_not_both(database, users):
    id_ = make_request(users[0], sent=False)
    sent, deleted = at_once(database, REQUEST, id_,
        lambda: users[0](f'model.{REQUEST}.requested', [id_]),
        lambda: users[1](f'model.{REQUEST}.delete', [id_]))
    left = users[0](f'model.{REQUEST}.search', [('id', '=', id_)])
    if left:
        assert sent is None and "Cancel it instead" in deleted.message
        assert read(users[0], REQUEST, id_, 'state') == 'requested'
    else:
        assert deleted is None and "don't exist" in sent.message


def test_canceled_by_one_of_two(database, users):
    id_, reason = make_request(users[0]), first(users[0], REASON)
    refused = at_once(database, REQUEST, id_, *[
            lambda rpc=rpc, n=n: rpc.run_wizard(
                'gnuhealth.imaging.test.request.cancel',
                [('cancel', {'start': {
                            'choice': reason, 'reason': f"reason {n}"}})],
                **on(id_))
            for n, rpc in enumerate(users)])
    error, = filter(None, refused)
    assert "cannot be canceled" in error.message
    first_one = refused.index(None)
    assert read(users[0], REQUEST, id_, 'cancel_reason') == (
        f"reason {first_one}")


def test_cancel_or_result_not_both(database, users):
    id_, reason = make_request(users[0]), first(users[0], REASON)
    cancel, result = at_once(database, REQUEST, id_,
        lambda: users[0].run_wizard(
            'gnuhealth.imaging.test.request.cancel',
            [('cancel', {'start': {'choice': reason}})], **on(id_)),
        lambda: generate(users[1], id_, 'button'))
    state = read(users[0], REQUEST, id_, 'state')
    if state == 'canceled':
        assert cancel is None and "send the request" in result.message
    else:
        assert state == 'done'
        assert result is None and "cannot be canceled" in cancel.message


def test_sent_requests_do_not_change_at_the_same_moment(database, users):
    id_ = make_request(users[0], sent=False)
    sent, changed = at_once(database, REQUEST, id_,
        lambda: users[0](f'model.{REQUEST}.requested', [id_]),
        lambda: users[1](f'model.{REQUEST}.write', [id_], {'urgent': True}))
    assert sent is None
    assert read(users[0], REQUEST, id_, 'state') == 'requested'
    if changed:
        assert "set it back to draft" in changed.message
    assert read(users[0], REQUEST, id_, 'urgent') == (changed is None)


def make_result(rpc):
    generate(rpc, id_ := make_request(rpc), 'button')
    result, = rpc(f'model.{RESULT}.search', [('request', '=', id_)])
    rpc(f'model.{RESULT}.write', [result], {'comment': "No fracture."})
    return result


@pytest.mark.parametrize('states', [
        ['order_and_request'] * 2, ['request'] * 2,
        ['request', 'order_and_request']], ids='-'.join)
def test_order_window_that_is_sent_twice_at_once(database, users, states):
    rpc = users[0]
    order = 'wizard.gnuhealth.patient.imaging.test.request'
    known = set(rpc(f'model.{REQUEST}.search', []))
    session, _, _ = rpc(f'{order}.create')
    start = {
        'patient': first(rpc, 'gnuhealth.patient'),
        'doctor': first(rpc, 'gnuhealth.healthprofessional'),
        'date': dt.datetime(2026, 5, 4),
        'tests': rpc('model.gnuhealth.imaging.test.search', [], 0, 2, None)}
    refused = at_once(database, 'ir.session.wizard', session, *[
            lambda state=state: rpc(
                f'{order}.execute', session, {'start': start}, state)
            for state in states])
    assert refused == [None] * 2
    made = rpc(f'model.{REQUEST}.read', sorted(
            set(rpc(f'model.{REQUEST}.search', [])) - known),
        ['requested_test', 'state'])
    assert sorted(r['requested_test'] for r in made) == sorted(start['tests'])
    state = 'draft' if set(states) == {'request'} else 'requested'
    assert {r['state'] for r in made} == {state}


@pytest.mark.parametrize('first_comes', ['order', 'merge'])
def test_ordered_while_the_patient_is_merged(
        database, users, server, first_comes):
    """The order is of who stays, or is refused."""
    source, destination = (
        users[0]('model.gnuhealth.patient.read', [id_], ['party'])[0]['party']
        for id_ in users[0]('model.gnuhealth.patient.search', [], 0, 2, None))
    admin = Rpc('admin', seed.PASSWORD, f'{server.url}/{server.database}/',
        [f'replace name {source} {destination}'])
    actions = {
        'order': lambda: make_request(users[0], sent=False),
        'merge': lambda: admin.run_wizard('party.replace', [('replace', {
                        'ask': {'source': source,
                            'destination': destination}})],
            **on(source, 'party.party'))}
    begin = actions.pop(first_comes)
    one, two = at_once(
        database, 'party.party', source, begin, *actions.values())
    assert one is None
    assert two is None if first_comes == 'order' else (
        "was merged" in two.message)
    requests = admin(f'model.{REQUEST}.search_read', [], 0, None, None,
        ['patient.party'])
    assert [r['patient.']['party'] for r in requests] == (
        [destination] if first_comes == 'order' else [])


@pytest.mark.parametrize('what', ['text', 'image'])
def test_nothing_changes_under_a_signature(database, users, what):
    id_ = make_result(users[0])

    def change():
        if what == 'text':
            users[1](f'model.{RESULT}.write', [id_], {'comment': "Fracture."})
        else:
            users[1]('model.ir.attachment.create', [{
                        'name': "late.png", 'type': 'data',
                        'data': make_picture(),
                        'resource': f'{RESULT},{id_}'}])

    def sign():
        users[0](f'model.{RESULT}.finalize', [id_])
    signed, changed = at_once(database, RESULT, id_, sign, change)
    assert signed is None
    assert read(users[0], RESULT, id_, 'state') == 'final'
    if changed:
        assert "amend it first" in changed.message
    # Before the signature, or not at all.
    if what == 'text':
        assert read(users[0], RESULT, id_, 'comment') == (
            "No fracture." if changed else "Fracture.")
    else:
        assert len(read(users[0], RESULT, id_, 'images')) == (
            0 if changed else 1)


def test_image_that_comes_after_the_signature_is_refused(database, users):
    """The signature is there, and not yet seen by who adds the image."""
    id_ = make_result(users[0])
    with ThreadPoolExecutor(1) as pool:
        with Row(database, RESULT, id_) as row:
            adding = pool.submit(attempt, lambda: users[1](
                    'model.ir.attachment.create', [{
                            'name': "late.png", 'type': 'data',
                            'data': make_picture(),
                            'resource': f'{RESULT},{id_}'}]))
            row.wait_for(1)
            row._execute(
                f"UPDATE {row.table} SET state = 'final' WHERE id = %s", id_)
            row.connection.commit()
        error = adding.result()
    assert "amend it first" in error.message
    assert read(users[0], RESULT, id_, 'images') == []


def test_orders_at_once_have_their_own_numbers(server, users):
    exams = users[0](f'model.{EXAM}.search', [])

    def order(rpc):
        answer = rpc.run_wizard('gnuhealth.patient.imaging.test.request', [
                ('request', {'start': {
                            'patient': first(rpc, 'gnuhealth.patient'),
                            'doctor': first(
                                rpc, 'gnuhealth.healthprofessional'),
                            'date': dt.datetime(2026, 5, 4),
                            'tests': exams,
                            }})])
        assert answer['actions']
    with ThreadPoolExecutor(4) as pool:
        for future in [
                pool.submit(order, users[n % 2]) for n in range(8)]:
            future.result()
    rows = users[0](
        f'model.{REQUEST}.search_read', [], 0, None, None,
        ['request', 'request_line'])
    assert len({row['request'] for row in rows}) == 8
    assert len({row['request_line'] for row in rows}) == len(rows) == (
        8 * len(exams))


def test_one_claim_and_one_result(database, server, users):
    url = f'{server.url}/{server.database}/'
    admin = Rpc('admin', seed.PASSWORD, url)
    id_ = make_request(admin)
    refused = at_once(database, REQUEST, id_, *[
            lambda rpc=rpc: rpc(f'model.{REQUEST}.report', [id_])
            for rpc in [users[1], admin]])
    error, = filter(None, refused)
    assert error.kind == 'UserWarning' and "take it over" in error.message
    first_one = [users[1], admin][refused.index(None)]
    assert read(admin, REQUEST, id_, 'claimed_by') == first_one.user
    assert len(admin(f'model.{RESULT}.search', [('request', '=', id_)])) == 1


def test_signed_by_one_of_two(database, users):
    id_ = make_result(users[0])
    refused = at_once(database, RESULT, id_, *[
            lambda rpc=rpc: rpc(f'model.{RESULT}.finalize', [id_])
            for rpc in users])
    assert refused == [None, None]
    assert read(users[0], RESULT, id_, 'state') == 'final'
    assert read(users[0], RESULT, id_, 'signed_by')


def test_amended_by_one_of_two(database, server, users):
    "The signer and the administration."
    admin = Rpc('admin', seed.PASSWORD, f'{server.url}/{server.database}/')
    id_ = make_result(users[0])
    users[0](f'model.{RESULT}.finalize', [id_])
    refused = at_once(database, RESULT, id_, *[
            lambda rpc=rpc: rpc.run_wizard(
                'gnuhealth.imaging.test.result.amend',
                [('amend', {'start': {'reason': "x"}})], **on(id_, RESULT))
            for rpc in [users[0], admin]])
    message, = [error.message for error in refused if error]
    assert "is not signed" in message
    assert read(users[0], RESULT, id_, 'revision') == 1
    assert len(read(users[0], RESULT, id_, 'former_reports')) == 1


@pytest.fixture
def admin(server):
    return Rpc('admin', seed.PASSWORD, f'{server.url}/{server.database}/')


@pytest.fixture
def late(database, users, admin):
    """A finding that the administrator told the doctor of, an hour ago; the
    radiologist is next in line."""
    line = admin(f'model.{PROFESSIONAL}.search', [
            ('party.internal_user', '=', users[1].user)])
    if not admin('model.gnuhealth.imaging.escalation.search', []):
        admin('model.gnuhealth.imaging.escalation.create', [
                {'configuration': 1, 'professional': line[0]}])
    result = make_result(users[0])
    admin.run_wizard(f'{FINDING}.report', [('report', {'start': {
                        'finding': "Free air.", 'urgency': 'minutes',
                        'tell': first(admin, PROFESSIONAL)}})],
        **on(result, RESULT))
    id_, = admin(f'model.{FINDING}.search', [('result', '=', result)])
    with closing(database.connect()) as connection:
        with connection.cursor() as cursor:
            cursor.execute(
                'UPDATE gnuhealth_imaging_critical_finding SET '
                'next_at = next_at - %s WHERE id = %s',
                [dt.timedelta(minutes=61), id_])
        connection.commit()
    return id_


@pytest.fixture
def escalate(admin):
    "The scheduled task."
    cron = admin('model.ir.cron.search', [
            ('method', '=', f'{FINDING}|escalate')])
    return lambda: admin('model.ir.cron.run_once', cron)


def test_told_by_two_clicks_at_once(database, users):
    rpc, wizard = users[1], f'wizard.{FINDING}.report'
    result = make_result(rpc)
    session, _, _ = rpc(f'{wizard}.create', **on(result, RESULT))
    start = {'finding': "Free air.", 'urgency': 'minutes',
        'tell': first(rpc, PROFESSIONAL)}
    refused = at_once(database, 'ir.session.wizard', session, *[lambda: rpc(
                f'{wizard}.execute', session, {'start': start}, 'report',
                **on(result, RESULT))] * 2)
    error, = filter(None, refused)
    assert "is open already" in error.message
    assert rpc(f'model.{FINDING}.search_count', [('result', '=', result)]) == 1


def events(rpc, id_):
    lines = rpc(f'model.{FINDING}.call.search_read', [
            ('finding', '=', id_)], 0, None, None, ['event'])
    return [line['event'] for line in lines]


def test_two_workers_escalate_once(database, users, late, escalate):
    assert at_once(database, FINDING, late, escalate, escalate) == [None] * 2
    assert events(users[0], late) == ['reported', 'escalated']
    assert read(users[0], FINDING, late, 'step') == 1


def test_acknowledged_while_it_escalates(database, users, late, escalate):
    assert at_once(database, FINDING, late,
        lambda: users[1](f'model.{FINDING}.acknowledge', [late]),
        escalate) == [None] * 2
    assert events(users[0], late) == ['reported', 'acknowledged']
    assert read(users[0], FINDING, late, 'state') == 'acknowledged'
