# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rescheduling: who may, what stays, what is kept, and the worklist."""
import datetime as dt

import pytest
from support.records import (
    as_user, make_professional, make_request, make_requested, make_result,
    make_user, on, run_wizard, user)

from trytond.model.exceptions import AccessError
from trytond.modules.health_imaging import reschedule
from trytond.modules.health_imaging.exceptions import (
    KeptValueError, NotDraftError, OrderIncompleteError, ReasonMissingError,
    RequestNotReadyError)
from trytond.pool import Pool

pytestmark = pytest.mark.usefixtures('hospital')

NAME = 'gnuhealth.imaging.test.request.reschedule'
LOG = 'gnuhealth.imaging.test.request.reschedule.log'
BEFORE = dt.datetime(2026, 5, 4, 15)
AFTER = dt.datetime(2026, 5, 6, 9)


def requests():
    return Pool().get('gnuhealth.imaging.test.request')


def move(*records, **start):
    return run_wizard(NAME, [('start', {}), ('reschedule', {'start': {
                        'date': AFTER, 'reason': " Scanner is out of order. ",
                        **start}})], **on(*records))


@pytest.mark.parametrize('make', [make_request, make_requested])
def test_date_changes_and_who_when_why_is_kept(transaction, make):
    request = make(date=BEFORE)
    sent, state = request.requested_at, request.state
    with as_user(user('technician')):
        move(request)
        request = requests()(request.id)
        line, = request.reschedules
        assert (line.user, line.from_date, line.to_date, line.reason) == (
            user('technician'), BEFORE, AFTER, "Scanner is out of order.")
        assert line.at
    assert request.date == AFTER
    assert (request.requested_at, request.state) == (sent, state)


def test_each_move_is_kept(transaction):
    request = make_requested(date=BEFORE)
    move(request)
    move(request, date=BEFORE, reason="Patient prefers it")
    first, second = reversed(requests()(request.id).reschedules)
    assert [first.to_date, second.from_date, second.to_date] == [
        AFTER, AFTER, BEFORE]


@pytest.mark.parametrize('date, here', [
        (AFTER, False), (BEFORE + dt.timedelta(hours=13), True),
        (BEFORE + dt.timedelta(hours=15), False)])
def test_who_came_for_another_day_is_not_here(transaction, date, here):
    """Lima is five hours behind UTC."""
    request = make_requested(date=BEFORE)
    requests().arrive([request])
    move(request, date=date)
    assert bool(requests()(request.id).arrived_at) == here


def test_worklist_entry_follows(transaction):
    request = make_requested(date=BEFORE)
    move(request)
    answer = requests().get_worklist_entries()
    entry, = [e for e in answer['entries'] if e['id'] == request.id]
    # Lima is five hours behind UTC.
    assert '20260506' in entry['text'] and '040000' in entry['text']


def test_window_starts_with_the_date(transaction):
    request, other = make_requested(date=BEFORE), make_requested(date=AFTER)
    for records, date in [([request], BEFORE), ([request, other], None)]:
        view = run_wizard(NAME, [('start', {})], **on(*records))['view']
        assert view['defaults'].get('date') == date


@pytest.mark.parametrize('start, error', [
        ({'date': None}, OrderIncompleteError),
        ({'reason': " "}, ReasonMissingError)])
def test_date_and_reason_are_needed(transaction, start, error):
    request = make_requested(date=BEFORE)
    with pytest.raises(error):
        move(request, **start)
    assert requests()(request.id).date == BEFORE


@pytest.mark.parametrize('state', ['done', 'canceled'])
def test_what_is_over_does_not_move(transaction, state):
    open_, request = make_requested(date=BEFORE), make_requested(date=BEFORE)
    if state == 'done':
        make_result(request)
    else:
        requests().cancel_for([request], "x")
    with pytest.raises(RequestNotReadyError):
        move(open_, request)
    assert {r.date for r in requests().browse([open_.id, request.id])} == {
        BEFORE}


def test_doctor_moves_only_what_he_ordered(transaction):
    doctor = user('doctor')
    own_professional, = Pool().get('gnuhealth.healthprofessional').search(
        [('party.internal_user', '=', doctor.id)])
    own = make_requested(doctor=own_professional, date=BEFORE)
    foreign = make_requested(doctor=make_professional(), date=BEFORE)
    with as_user(doctor):
        typed = make_request(doctor=foreign.doctor, date=BEFORE)
        move(own, typed)
        with pytest.raises(AccessError) as error:
            move(foreign)
    assert foreign.request_line in error.value.message
    assert requests()(own.id).date == AFTER
    assert requests()(foreign.id).date == BEFORE


def test_front_desk_moves_what_it_may_read(transaction):
    pool = Pool()
    desk = make_user('desk', 'health_imaging.group_health_imaging_front_desk')
    model, = pool.get('ir.model').search(
        [('model', '=', 'gnuhealth.imaging.test.request')])
    reading, = pool.get('res.group').create([{'name': "Reading"}])
    pool.get('ir.model.access').create([{
                'model': model.id, 'group': reading.id, 'perm_read': True}])
    pool.get('res.user').write([desk], {'groups': [('add', [reading.id])]})
    request = make_requested(date=BEFORE)
    with as_user(desk):
        move(request)
    assert requests()(request.id).date == AFTER
    assert requests()(request.id).reschedules[0].user == desk


def test_others_do_not_move(transaction):
    request = make_requested(date=BEFORE)
    nurse = make_user('nurse', 'health.group_health_nursing')
    for someone in [user('stranger'), nurse]:
        with as_user(someone), pytest.raises(AccessError):
            move(request)
    assert requests()(request.id).date == BEFORE


def test_history_is_written_by_the_wizard_only(transaction):
    request = make_requested(date=BEFORE)
    move(request)
    line, = requests()(request.id).reschedules
    values = {'request': request.id, 'at': BEFORE, 'to_date': AFTER,
        'reason': "x"}
    with as_user(user('technician')):
        assert Pool().get(LOG).read([line.id], ['reason'])
        for change in [
                lambda: Pool().get(LOG).write([line], {'reason': "x"}),
                lambda: Pool().get(LOG).delete([line]),
                lambda: Pool().get(LOG).create([values])]:
            with pytest.raises(AccessError):
                change()
        with pytest.raises((KeptValueError, AccessError)):
            requests().write([request], {'reschedules': [
                        ('create', [values])]})


def test_date_moves_by_no_other_way(transaction):
    request = make_requested(date=BEFORE)
    with as_user(user('technician'), _imaging_reschedule=True), \
            pytest.raises(NotDraftError):
        requests().write([request], {'date': AFTER})
    assert not reschedule.is_rescheduling()
