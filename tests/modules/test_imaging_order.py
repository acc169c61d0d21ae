# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard "New order": what it makes, opens and refuses, and what modules
that replace a part of it may rely on."""
import datetime as dt
import re

import pytest
from sources import MODULES, ROOT
from support.records import (
    as_user, make_exam, make_patient, on, run_wizard, user)

from trytond.cache import MemoryCache
from trytond.model.exceptions import AccessButtonError, AccessError
from trytond.modules.health_imaging import order as order_module
from trytond.modules.health_imaging.exceptions import (
    InactiveExamError, KeptValueError, MissingSequenceError,
    OrderIncompleteError)
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction

pytestmark = pytest.mark.usefixtures('hospital')

NAME = 'gnuhealth.patient.imaging.test.request'
DATE = dt.datetime(2026, 5, 4, 15, 30)


def requests():
    return Pool().get('gnuhealth.imaging.test.request')


def first(model):
    return Pool().get(model).search([], limit=1, order=[('id', 'ASC')])[0].id


def order_values(**values):
    return {
        'patient': first('gnuhealth.patient'),
        'date': DATE,
        'urgent': False,
        'doctor': first('gnuhealth.healthprofessional'),
        'context': None,
        'tests': [first('gnuhealth.imaging.test'), make_exam("Chest").id],
        **values}


def order(values, state='request', **context):
    return run_wizard(
        NAME, [('start', {}), (state, {'start': values})], **context)


def opened(answer):
    """Return the records of the window that a wizard opens."""
    (action, _), = answer['actions']
    domain = PYSONDecoder({}).decode(action['pyson_domain'])
    return Pool().get(action['res_model']).search(
        domain, order=[('id', 'ASC')])


def test_order_makes_and_opens_its_requests(transaction):
    context, = Pool().get('gnuhealth.pathology').create(
        [{'name': "Fracture", 'code': 'S02'}])
    values = order_values(urgent=True, context=context.id)
    first, second = opened(order(values))
    assert first.request == second.request
    assert [first.request_line, second.request_line] == [
        f'{first.request}-02-01', f'{first.request}-02-02']
    assert [r.requested_test.id for r in [first, second]] == values['tests']
    for request in [first, second]:
        assert request.state == 'draft'
        assert request.patient.id == values['patient']
        assert request.doctor.id == values['doctor']
        assert request.context == context
        assert request.date == DATE
        assert request.urgent


def test_window_has_no_tab_that_hides_requests(transaction):
    (action, _), = order(order_values())['actions']
    assert not action['domains']


def test_order_and_request_sends_at_once(transaction):
    made = opened(order(order_values(), 'order_and_request'))
    assert [r.state for r in made] == ['requested'] * 2
    assert all(r.requested_at for r in made)


@pytest.mark.parametrize('states, state', [
        (['order_and_request'] * 2, 'requested'),
        (['request'] * 2, 'draft'),
        (['request', 'order_and_request'], 'requested'),
        (['order_and_request', 'request'], 'requested')])
def test_window_that_is_sent_again_shows_its_order(
        transaction, states, state):
    """The answer may be lost on its way."""
    values = order_values()
    with as_user(user('doctor')):
        answer = run_wizard(NAME, [('start', {}), *(
                    (s, {'start': values}) for s in states)])
        made = opened(answer)
    assert [r.requested_test.id for r in made] == values['tests']
    assert requests().search([], count=True) == 2
    assert {r.state for r in made} == {state}


def test_nobody_says_which_window_made_a_request(transaction):
    Order = Pool().get(NAME, type='wizard')
    session, _, _ = Order.create()
    values = {'patient': first('gnuhealth.patient'),
        'doctor': first('gnuhealth.healthprofessional'),
        'requested_test': first('gnuhealth.imaging.test')}
    with as_user(user('doctor'), _imaging_order=[session]):
        request, = requests().create([values])
        assert request.order_session is None
        with pytest.raises(KeptValueError):
            requests().create([{**values, 'order_session': session}])


def test_order_is_the_filled_button_and_sends(transaction):
    view = run_wizard(NAME, [('start', {})])['view']
    assert [(b['string'], b['state'], b['default'])
        for b in view['buttons']] == [
        ("Cancel", 'end', False), ("Save as Draft", 'request', False),
        ("Order", 'order_and_request', True)]


@pytest.mark.parametrize('state, name', [
        ('order_and_request', "Exams sent: 2 (CT1, XR1)"),
        ('request', "Exams saved, not sent yet: 2 (CT1, XR1)")])
def test_list_says_what_was_ordered(transaction, state, name):
    exams = [make_exam("Head CT", 'CT1').id, make_exam("Chest", 'XR1').id]
    (action, _), = order(order_values(tests=exams), state)['actions']
    assert action['name'] == name


def test_each_order_has_its_number(transaction):
    values = order_values()
    first, second = opened(order(values)), opened(order(values))
    assert first[0].request != second[0].request


def test_wizard_starts_with_the_patient(transaction):
    patient = make_patient()
    view = run_wizard(NAME, [('start', {})], **on(patient))['view']
    assert view['defaults']['patient'] == patient.id
    assert not view['defaults']['urgent']
    assert view['defaults']['date']


def test_wizard_starts_with_nobody_elsewhere(transaction):
    view = run_wizard(
        NAME, [('start', {})], active_model='ir.ui.menu', active_id=1)['view']
    assert view['defaults'].get('patient') is None


def test_doctor_is_the_user(transaction):
    with as_user(user('doctor')):
        view = run_wizard(NAME, [('start', {})])['view']
    own, = Pool().get('gnuhealth.healthprofessional').search(
        [('party.internal_user.login', '=', 'doctor')])
    assert view['defaults']['doctor'] == own.id


def test_technician_orders_for_a_doctor(transaction):
    technician = user('technician')
    values = order_values()
    with as_user(technician):
        view = run_wizard(NAME, [('start', {})])['view']
        assert view['defaults'].get('doctor') is None
        made = opened(order(values, 'order_and_request'))
    assert {r.doctor.id for r in made} == {values['doctor']}
    assert {r.requested_by for r in made} == {technician}


def test_script_without_a_user_orders_for_a_doctor(transaction):
    with Transaction().set_user(0):
        view = run_wizard(NAME, [('start', {})])['view']
        assert view['defaults'].get('doctor') is None
        made = opened(order(order_values(), 'order_and_request'))
    assert [r.state for r in made] == ['requested'] * 2
    assert {r.requested_by for r in made} == {None}


@pytest.mark.parametrize('name, label', [
        ('patient', "Patient"), ('date', "Date"), ('doctor', "Requested by"),
        ('tests', "Exams")])
def test_incomplete_order_is_refused_before_a_number_is_used(
        transaction, monkeypatch, name, label):
    monkeypatch.setattr(order_module, 'next_numbers', lambda *args: (
            pytest.fail("a number is used")))
    empty = order_values(**{name: [] if name == 'tests' else None})
    missing = order_values()
    del missing[name]
    for values in [empty, missing]:
        for state in ['request', 'order_and_request']:
            with pytest.raises(OrderIncompleteError) as error:
                order(values, state)
            assert f'"{label}"' in error.value.message


def test_inactive_exam_is_refused_before_a_number_is_used(
        transaction, monkeypatch):
    monkeypatch.setattr(order_module, 'next_numbers', lambda *args: (
            pytest.fail("a number is used")))
    exams = [make_exam("Head CT").id, make_exam("Old", active=False).id]
    with pytest.raises(InactiveExamError) as error:
        order(order_values(tests=exams))
    assert '"Old"' in error.value.message


def test_missing_sequence_has_its_message(transaction):
    ModelData = Pool().get('ir.model.data')
    ModelData.delete(ModelData.search([
                ('module', '=', 'health_imaging'),
                ('fs_id', '=', 'seq_gnuhealth_imaging_test_request'),
                ]))
    with pytest.raises(MissingSequenceError) as error:
        order(order_values())
    assert "Choose one" in error.value.message


def test_nobody_orders_who_may_not(transaction):
    values = order_values()
    Order = Pool().get(NAME, type='wizard')
    session, _, _ = Order.create()
    with as_user(user('stranger')):
        for state in ['request', 'order_and_request', 'open_']:
            for context in [{}, {'action_id': 1}]:
                with pytest.raises(AccessError):
                    order(values, state, **context)
            # Somebody else's session is no way around.
            with pytest.raises(AccessError):
                Order.execute(session, {'start': values}, state)
    assert not requests().search([])


@pytest.fixture
def own_group(transaction):
    """A group of the hospital's own with the rights to requests only, and to
    choose their exams."""
    pool = Pool()
    group, = pool.get('res.group').create([{'name': "Own"}])
    model, = pool.get('ir.model').search([
            ('model', '=', 'gnuhealth.imaging.test.request')])
    pool.get('ir.model.access').create([{
                'model': model.id, 'group': group.id, 'perm_read': True,
                'perm_write': True, 'perm_create': True}])
    exams, = pool.get('ir.model').search([
            ('model', '=', 'gnuhealth.imaging.test')])
    pool.get('ir.model.access').create([{
                'model': exams.id, 'group': group.id, 'perm_read': True}])
    return group


def join(group):
    Pool().get('res.user').write(
        [user('stranger')], {'groups': [('add', [group.id])]})


def test_group_of_the_wizard_counts(own_group):
    join(own_group)
    values = order_values()
    for context in [{}, {'action_id': 1}]:
        with as_user(user('stranger')), pytest.raises(AccessError) as error:
            order(values, **context)
        assert "New order" in error.value.message


def test_sending_at_once_takes_the_right_to_the_button(own_group):
    pool = Pool()
    action, = pool.get('ir.action.wizard').search([('wiz_name', '=', NAME)])
    pool.get('ir.action-res.group').create([{
                'action': action.action.id, 'group': own_group.id}])
    join(own_group)
    values = order_values()
    with as_user(user('stranger')):
        assert opened(order(values))
        with pytest.raises(AccessButtonError):
            order(values, 'order_and_request')


def test_order_of_a_patient_out_of_sight_is_refused(transaction):
    """Rules may hide patients from a user."""
    pool = Pool()
    values = order_values()
    model, = pool.get('ir.model').search([('model', '=', 'gnuhealth.patient')])
    pool.get('ir.rule.group').create([{
                'name': "None", 'model': model.id, 'global_p': True,
                'rules': [('create', [{'domain': '[["id", "=", -1]]'}])],
                }])
    with as_user(user('doctor')), pytest.raises(AccessError):
        order(values)


def test_open_without_an_order_shows_nothing(transaction):
    assert opened(run_wizard(NAME, [('open_', {})])) == []


def test_replaced_order_state_is_used_by_both_buttons(
        transaction, monkeypatch):
    """As health_services_imaging does, which ends after its requests."""
    Order = Pool().get(NAME, type='wizard')

    def transition_request(self):
        requests().create([{
                    'request': 'OWN', 'request_line': f'OWN-01-0{n}',
                    'patient': self.start.patient.id,
                    'doctor': self.start.doctor.id,
                    'requested_test': exam.id,
                    } for n, exam in enumerate(self.start.tests)])
        return 'end'
    monkeypatch.setattr(Order, 'transition_request', transition_request)
    assert order(order_values()) == {}
    assert {r.state for r in requests().search([])} == {'draft'}
    requests().delete(requests().search([]))
    made = opened(order(order_values(), 'order_and_request'))
    assert [r.request for r in made] == ['OWN'] * 2
    assert {r.state for r in made} == {'requested'}


@pytest.mark.parametrize('model, field', [
        ('gnuhealth.patient.imaging.test.request.start', 'tests'),
        ('gnuhealth.imaging.test.request', 'comment'),
        ])
def test_views_have_what_other_modules_look_for(transaction, model, field):
    arch = Pool().get(model).fields_view_get(view_type='form')['arch']
    assert arch.count(f'<field name="{field}"') == 1


def test_what_methods_pass_on_makes_no_other_key_of_caches(transaction):
    """Each order had keys of its own in the caches of trytond, and those of
    worklist entries kept what these were made of."""
    passed = {
        name for module in MODULES for path in (ROOT / module).rglob('*.py')
        for name in re.findall(
            r'set_context\(\s*(_\w+)=', path.read_text(encoding='utf-8'))}
    assert {'_imaging_order', '_worklist_batch', '_exams'} <= passed
    cache = Pool().get('ir.model')._get_names_cache
    key = cache._key('items')
    for name in passed:
        with Transaction().set_context(**{name: ['x']}):
            assert cache._key('items') == key, name
    with Transaction().set_context(language='nl'):
        assert cache._key('items') != key


def test_orders_leave_nothing_in_caches(transaction):
    def kept():
        return {
            name: sum(map(len, cache._database_cache.values()))
            for name, cache in MemoryCache._instances.items()}
    values = order_values()
    for _ in range(2):
        order(values, 'order_and_request')
    before = kept()
    for _ in range(3):
        order(values, 'order_and_request')
    assert sum(before.values()) and kept() == before
