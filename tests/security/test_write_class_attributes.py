# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody sends to a wizard, over RPC, names that are no fields of its view:
those of classes, which all users share, and of what the server keeps."""
import contextlib

import pytest
from support.records import (
    PASSWORD, Rpc, RpcError, commit, make_exam, make_final, make_institution,
    make_patient, make_professional, make_result, make_user, on)

from trytond.exceptions import UserError
from trytond.model import fields
from trytond.pool import Pool, isregisteredby
from trytond.transaction import Transaction
from trytond.wizard import StateView

MODULES = ['health_imaging', 'health_imaging_worklist', 'health_orthanc']
# No administrator, but somebody whom every wizard lets in.
GROUPS = [
    'health.group_health_doctor',
    'health_imaging.group_health_imaging_reporting',
    'health_imaging.group_health_imaging_admin',
    'health_orthanc.group_imaging_orthanc_admin', 'party.group_party_admin']
RESULT = 'gnuhealth.imaging.test.result'
REPORT = 'report.patient.imaging_report_results.execute'
# What is no view of any wizard, with what is no field.
KEYS = {
    'model': {'_table': 'party_party'},
    '__dict__': {'x': 1},
    '_rights': {'x': 1},
    '_models': {'x': 1},
    '_session_id': {'x': 1},
    'check_user': {'__doc__': 'x'},
    'execute': {'__doc__': 'x'},
    'nothing': {'x': 1},
    'record': {'_values': {}},
    'records': {'x': 1},
    'states': {'x': 1},
    '': {},
    }
# What is no field of any view.
NAMES = [
    '__class__', '__dict__', '_values', '_default_values',
    '_parent_patient.id', 'default_get', 'nothing', '', 'patient.',
    '__name__']
ODD = [
    True, 2 ** 70, 1.5, 'x', b'x', [2 ** 70], ['x'], [None],
    [{'_values': {}}], {'id': 1, 'name': "x"}]
ODD_IDS = ['1', 1.5, True, {}, [None], 2 ** 70]
ODD_MODELS = ['nothing', 7, ['x'], {}, True, 'ir.model', 'res.user', 'ir.rule']


@pytest.fixture(scope='module')
def doctors(activated):
    """Two users who are no administrators, but may use all wizards."""
    def make():
        make_institution()
        make_patient()
        make_exam()
        for login in ['doctor', 'other']:
            make_professional(
                make_user(login, *GROUPS, password=PASSWORD), login)
    commit(make)
    return [Rpc(login) for login in ['doctor', 'other']]


@pytest.fixture
def doctor(doctors):
    return doctors[0]


def wizards():
    """Return all wizards that the modules register, by name."""
    def find():
        return {
            name: cls for name, cls in Pool().iterobject(type='wizard')
            if any(isregisteredby(cls, m, 'wizard') for m in MODULES)}
    found = commit(find)
    assert len(found) > 10
    return found


def views_of(wizard):
    """Return pairs of the name and the model of the views of a wizard."""
    def find():
        return [
            (name, Pool().get(state.model_name))
            for name, state in wizard.states.items()
            if isinstance(state, StateView)]
    return commit(find)


@pytest.fixture(scope='module')
def begun(doctors):
    """The session and the first state of each wizard, by name: what is
    refused leaves them as they are."""
    return {
        name: doctors[0](f'wizard.{name}.create')[:2] for name in wizards()}


@contextlib.contextmanager
def refused():
    """The server says no in a sentence, and shows nothing of its inside."""
    with pytest.raises(RpcError) as error:
        yield error
    assert error.value.kind == 'UserError', error.value
    assert 'Traceback' not in str(error.value.message)


def tolerated(rpc, *args, **context):
    """Call what may go well or be refused in a sentence."""
    try:
        rpc(*args, **context)
    except RpcError as error:
        assert error.kind in {'UserError', 'UserWarning'}, (args, error)


def shared(*models):
    """Return what clients must not change: attributes of classes."""
    found = list(wizards().values())

    def read():
        classes = [*map(Pool().get, models), *found]
        return [
            {name: repr(value) for cls_ in cls.__mro__
                for name, value in vars(cls_).items()
                if not isinstance(value, fields.Field)}
            for cls in classes]
    return commit(read)


def started(wizard):
    """Return contexts in which a wizard may be started by somebody."""
    models = wizard._models or set()
    return [{}, *({'active_model': m} for m in models)]


def test_every_wizard_says_on_what_it_is_used(activated):
    assert [name for name, wizard in wizards().items()
        if wizard._models is None] == ['party.replace']


@pytest.mark.parametrize('key', KEYS)
def test_only_views_are_written(doctor, begun, key):
    before = shared(RESULT, 'gnuhealth.patient')
    for name, wizard in wizards().items():
        session, start = begun[name]
        for context in started(wizard):
            with refused():
                doctor(f'wizard.{name}.execute', session,
                    {key: KEYS[key]}, start, **context)
    assert shared(RESULT, 'gnuhealth.patient') == before


def test_classes_are_not_written_behind_the_protocols(doctor):
    """JSON and XML have their own meaning of this name; whoever finds a way
    to send it changes nothing either."""
    before = shared(RESULT)
    for name, wizard in wizards().items():
        session, start, _ = doctor(f'wizard.{name}.create')

        def write():
            user, = Pool().get('res.user').search([('login', '=', 'doctor')])
            with Transaction().set_user(user.id):
                with pytest.raises(UserError):
                    wizard.execute(session, {
                            '__class__': {'start_state': 'end'}}, start)
                for state, _ in views:
                    with pytest.raises(UserError):
                        wizard.execute(session, {
                                state: {'__class__': str}}, start)
        views = views_of(wizard)
        commit(write)
    assert shared(RESULT) == before


@pytest.mark.parametrize('data', [
        None, 7, 'x', [], ['x'], [['start', {}]], {'start': 7},
        {'start': None}, {'start': ['reason']}, {'show': 'x'}], ids=str)
def test_data_must_be_of_views(doctor, begun, data):
    for name, (session, start) in begun.items():
        with refused():
            doctor(f'wizard.{name}.execute', session, data, start)


@pytest.mark.parametrize('field', NAMES)
def test_only_fields_are_written(doctor, begun, field):
    tried = 0
    before = shared(RESULT)
    for name, wizard in wizards().items():
        session, _ = begun[name]
        for state, Model in views_of(wizard):
            assert field not in Model._fields
            for value in ['x', 7]:
                with refused():
                    doctor(f'wizard.{name}.execute', session,
                        {state: {field: value}}, state)
            tried += 1
    assert tried > 10
    assert shared(RESULT) == before


@pytest.mark.parametrize('value', ODD, ids=repr)
def test_fields_take_no_odd_values(doctor, value):
    before = shared(RESULT)
    for name, wizard in wizards().items():
        session, _, _ = doctor(f'wizard.{name}.create')
        for state, Model in views_of(wizard):
            for field in Model._fields:
                tolerated(doctor, f'wizard.{name}.execute', session,
                    {state: {field: value}}, state)
    assert shared(RESULT) == before


@pytest.mark.parametrize('state', [
        'nothing', '__class__', 'model', '', None, 7, ['start'], {}], ids=repr)
def test_states_must_be_of_the_wizard(doctor, begun, state):
    for name, (session, _) in begun.items():
        with refused():
            doctor(f'wizard.{name}.execute', session, {}, state)


@pytest.mark.parametrize('id_', [
        None, 0, -1, 2 ** 31 - 1, *ODD_IDS], ids=repr)
def test_sessions_must_be_there(doctor, id_):
    for name, wizard in wizards().items():
        for call in [
                ('execute', id_, {}, wizard.start_state), ('delete', id_)]:
            method, *args = call
            with refused():
                doctor(f'wizard.{name}.{method}', *args)


def test_sessions_are_of_their_user(doctors):
    """What somebody else typed, such as a password, stays with him."""
    doctor, other = doctors
    for name, wizard in wizards().items():
        session, start, _ = other(f'wizard.{name}.create')
        with refused():
            doctor(f'wizard.{name}.execute', session, {}, start)
        with refused():
            doctor(f'wizard.{name}.delete', session)
        other(f'wizard.{name}.delete', session)


def test_sessions_are_of_their_wizard(doctor):
    typed = {'start': {'reason': "Hand it over."}}
    name = 'wizard.gnuhealth.imaging.test.request.cancel'
    session, _, _ = doctor(f'{name}.create')
    doctor(f'{name}.execute', session, typed, 'start')
    for other in [
            'gnuhealth.patient.imaging.test.request', 'party.replace',
            'gnuhealth.imaging_orthanc.upload_image_data']:
        with refused():
            doctor(f'wizard.{other}.execute', session, {}, 'start')


@pytest.mark.parametrize('model', ODD_MODELS, ids=repr)
def test_wizards_start_only_on_their_models(doctor, begun, model):
    for name, (session, start) in begun.items():
        if name == 'party.replace' and not odd(model):
            continue
        for call in [('create',), ('execute', session, {}, start)]:
            method, *args = call
            with refused():
                doctor(f'wizard.{name}.{method}', *args, active_model=model)


def odd(model):
    return not isinstance(model, str) or model == 'nothing'


@pytest.mark.parametrize('id_', ODD_IDS, ids=repr)
@pytest.mark.parametrize('name', ['active_id', 'active_ids', 'action_id'])
def test_wizards_start_on_no_odd_records(doctor, begun, name, id_):
    for wizard, (session, start) in begun.items():
        for value in [id_, [id_]]:
            with refused():
                doctor(f'wizard.{wizard}.create', **{name: value})
            with refused():
                doctor(f'wizard.{wizard}.execute', session, {}, start,
                    **{name: value})


def test_the_preview_gives_no_rights(doctor):
    """The table of all models was that of another, and all rights gone."""
    name = 'wizard.gnuhealth.imaging_orthanc.preview'
    session, _, _ = doctor(f'{name}.create')
    for context in [{}, {'active_model': 'ir.model'}]:
        with refused():
            doctor(f'{name}.execute', session,
                {'model': {'_table': 'party_party'}}, 'open_', **context)
    assert commit(lambda: Pool().get('ir.model')._table) == 'ir_model'
    with refused():
        doctor('model.ir.model.access.create', [{'model': 1}])


@pytest.mark.parametrize('values', [
        {'_stamped': []}, {'_fixed': []}, {'_for_people': True},
        {'_transitions': []}, {'_buttons': {}}, {'__name__': 'res.user'}],
    ids=lambda values: next(iter(values)))
def test_who_signed_stays(doctor, values):
    def make():
        user, = Pool().get('res.user').search([('login', '=', 'doctor')])
        result = make_final(user)
        return result.id, on(result)
    id_, context = commit(make)
    before = shared(RESULT)
    for wizard in [RESULT + '.amend',
            'gnuhealth.imaging_orthanc.link_studies']:
        session, _, _ = doctor(f'wizard.{wizard}.create')
        for key in ['model', 'record']:
            with refused():
                doctor(f'wizard.{wizard}.execute', session, {key: values},
                    'start', **context)
    assert shared(RESULT) == before
    with refused():
        doctor(f'model.{RESULT}.write', [id_], {'signed_by': None})


def test_records_that_a_user_may_not_read_are_not_named(doctor):
    """A wizard does nothing with what its user cannot see."""
    def make():
        Rule = Pool().get('ir.rule.group')
        patients, = Pool().get('ir.model').search(
            [('model', '=', 'gnuhealth.patient')])
        hidden, seen = make_patient(lastname="Hidden"), make_patient()
        rule, = Rule.create([{
                    'name': "Own patients", 'model': patients.id,
                    'global_p': True, 'rules': [('create', [{
                                'domain': f'[["id", "!=", {hidden.id}]]'}])]}])
        return hidden.id, seen.id, rule.id
    hidden, seen, rule = commit(make)
    name = 'gnuhealth.patient.imaging.test.request'
    start = f'wizard.{name}.execute'
    try:
        session, _, _ = doctor(f'wizard.{name}.create')
        doctor(start, session, {'start': {'patient': seen}}, 'start')
        with refused():
            doctor(start, session, {'start': {'patient': hidden}}, 'start')
        # Nor is he named as a default.
        session, _, _ = doctor(f'wizard.{name}.create')
        view = doctor(start, session, {}, 'start',
            default_patient=hidden)['view']
        assert 'patient.' not in view['defaults']
        view = doctor(start, session, {}, 'start',
            default_patient=seen)['view']
        assert view['defaults']['patient.']['rec_name']
    finally:
        commit(lambda: Pool().get('ir.rule.group').delete(
                [Pool().get('ir.rule.group')(rule)]))


@pytest.mark.parametrize('name, context', [
        ('gnuhealth.patient.imaging.test.request', {}),
        ('gnuhealth.patient.imaging.test.request',
            {'active_model': 'ir.ui.menu'}),
        ('gnuhealth.imaging.test.request.cancel', {}),
        (RESULT + '.amend', {}),
        ('gnuhealth.imaging_orthanc.wizard.orthanc_new_connect', {}),
        ('gnuhealth.imaging_orthanc.full_synchronize',
            {'active_model': 'gnuhealth.imaging_orthanc.study',
                'active_id': None, 'active_ids': []}),
        ('gnuhealth.imaging_orthanc.get_new_studies', {}),
        ('gnuhealth.imaging_orthanc.upload_image_data', {}),
        ])
def test_what_clients_send_is_taken(doctor, name, context):
    """All fields of a view, those that are empty too, and the id of a record
    that is not stored; and the wizard ends without a context."""
    if context.get('active_model') == 'ir.ui.menu':
        menu = commit(lambda: Pool().get('ir.model.data').get_id(
                'health_imaging', 'menu_patient_imaging_test_request'))
        context = {**context, 'active_id': menu, 'active_ids': [menu]}
    session, start, _ = doctor(f'wizard.{name}.create')
    view = doctor(f'wizard.{name}.execute', session, {}, start,
        **context)['view']
    values = {
        field: view['defaults'].get(field)
        for field in view['fields_view']['fields']}
    again = doctor(f'wizard.{name}.execute', session,
        {view['state']: {**values, 'id': -1}}, view['state'], **context)
    assert again['view']['state'] == view['state']
    doctor(f'wizard.{name}.delete', session)


@pytest.mark.parametrize('args', [
        (None, {}), (7, {}), ('12', {}), ({}, {}), ([None], {}), (['1'], {}),
        ([[1]], {}), ([True], {}), ([2 ** 70], {}), ([1.5], {}),
        ([1], None), ([1], []), ([1], 'x'),
        ([1], {'model': 'res.user'}), ([1], {'model': 7}),
        ([1], {'model': ['x']}), ([1], {'model': 'nothing'}),
        ([1], {'action_id': 'x'}), ([1], {'action_id': [1]}),
        ([1], {'action_id': 2 ** 70}), ([1], {'action_id': -1}),
        ([2 ** 31 - 1], {})], ids=repr)
def test_reports_take_no_odd_input(doctor, args):
    with refused():
        doctor(REPORT, *args)


def test_reports_print_no_other_template(doctor):
    """An action of another report would be printed with the rights of this
    one."""
    def make():
        action = Pool().get('ir.action.report').search(
            [('report_name', '!=', 'patient.imaging_report_results')],
            limit=1)[0]
        return make_result().id, action.id
    id_, action = commit(make)
    with refused():
        doctor(REPORT, [id_], {'model': RESULT, 'action_id': action})


def test_what_trytond_itself_allows(doctor):
    """doc/operation.rst says so; when this fails, trytond has mended it."""
    def marked():
        return getattr(Pool().get('party.party'), '_written_by_test', None)
    assert commit(marked) is None
    wizard = 'wizard.party.check_vies'
    try:
        session, start, _ = doctor(f'{wizard}.create')
        with contextlib.suppress(RpcError):
            doctor(f'{wizard}.execute', session,
                {'model': {'_written_by_test': 1}}, 'end',
                active_model='party.party')
        assert commit(marked) == 1
    finally:
        def clean():
            with contextlib.suppress(AttributeError):
                del Pool().get('party.party')._written_by_test
        commit(clean)
