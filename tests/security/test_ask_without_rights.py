# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody asks over RPC, without rights, what forms ask while they are filled
in: what changes with a value, defaults, suggestions, choices."""
import contextlib
import datetime as dt

import pytest
from support.records import (
    PASSWORD, Rpc, RpcError, commit, make_attachment, make_exam,
    make_institution, make_patient, make_professional, make_requested,
    make_result, make_user)

from trytond.model import Model
from trytond.pool import Pool, isregisteredby

MODULES = ['health_imaging', 'health_imaging_worklist', 'health_orthanc']
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
TEMPLATE = 'gnuhealth.imaging.report.template'
PATIENT = 'gnuhealth.patient'
ORDER = 'gnuhealth.patient.imaging.test.request.start'
# They tell how forms look: the same for all, nothing of records.
LOOKS = {'fields_get', 'fields_view_get', 'view_toolbar_get'}
# What a line and the settings of a statistic begin with is in the program.
CONSTANT = {
    'gnuhealth.imaging.statistics.context': {'from_date', 'to_date'},
    'gnuhealth.request-imaging-test': set(),
    'gnuhealth.imaging_orthanc.upload_image_data.file': set(),
    }
# Who asks, and when.
OWN = {'create_uid', 'create_uid.', 'create_date'}
SECRET = "Ernesto Moneta Caglio"
USERS = {
    'stranger': [],
    'front_desk': ['health.group_health_frontdesk'],
    'imaging_desk': ['health_imaging.group_health_imaging_front_desk'],
    'doctor': [
        'health.group_health_doctor',
        'health_imaging.group_health_imaging_reporting'],
    }


@pytest.fixture(scope='module')
def ids(activated):
    """A request, its result and what hangs on it, by name."""
    def make():
        make_institution()
        for login, groups in USERS.items():
            make_user(login, *groups, password=PASSWORD)
        patient = make_patient(lastname=SECRET)
        exam = make_exam(SECRET)
        doctor = make_professional(lastname=SECRET)
        data = {'patient': patient, 'exam': exam, 'doctor': doctor}
        request = make_requested(**data)
        result = make_result(make_requested(**data))
        template, = Pool().get(TEMPLATE).create([
                {'name': "Text", 'text': SECRET}])
        return {
            'patient': patient.id, 'exam': exam.id, 'doctor': doctor.id,
            'request': request.id, 'result': result.id,
            'template': template.id, 'attachment': make_attachment(
                result, description=SECRET).id}
    return commit(make)


@pytest.fixture(scope='module')
def rpcs(ids):
    return {login: Rpc(login) for login in USERS}


@pytest.fixture
def stranger(rpcs):
    return rpcs['stranger']


@pytest.fixture
def doctor(rpcs):
    return rpcs['doctor']


@contextlib.contextmanager
def refused():
    with pytest.raises(RpcError) as error:
        yield error
    assert error.value.kind == 'UserError', error.value
    assert SECRET not in str(error.value.message)


def answer(rpc, method, *args, **context):
    """Return what is answered, None when it is refused."""
    try:
        return rpc(method, *args, **context)
    except RpcError as error:
        assert error.kind in {'UserError', '403'}, (method, args, error)
        assert SECRET not in str(error.message)


def models():
    """Return the models of the modules, those that they only extend with the
    names of what they bring."""
    def find():
        found = {}
        for name, cls in Pool().iterobject():
            modules = [m for m in MODULES if isregisteredby(cls, m)]
            classes = [
                c for m in modules for c in Pool.classes['model'][m]
                if issubclass(cls, c)]
            if not classes:
                continue
            own = any(issubclass(c, Model) for c in classes)
            brought = {n for c in classes for n in vars(c)}
            found[name] = cls, None if own else brought
        return found
    found = commit(find)
    assert len(found) > 40
    return found


def methods(cls, brought):
    """Return what a client may call of a model and no button is."""
    names = set(cls.__rpc__) - LOOKS - set(getattr(cls, '_buttons', {}))
    return names if brought is None else names & brought


def questions(cls, method):
    """Return arguments with which a method might tell something."""
    fields = list(cls._fields)
    named = {name for name, field in cls._fields.items()
        if field._type == 'many2one'}
    records = [{'id': 1}, {}, {name: 1 for name in named}, 1]
    if method == 'default_get':
        return [(fields,), (fields, True)]
    if method in {'on_change', 'on_change_with'}:
        attribute = f'{method}_'
        asked = [n for n in fields if hasattr(cls, attribute + n)]
        return [(record, asked) for record in records]
    if method == 'autocomplete':
        return [('',), (SECRET[:3],)]
    if method in {'search', 'search_count'}:
        return [([],)]
    if method == 'search_read':
        return [([], 0, 5, None, ['rec_name'])]
    if method == 'read':
        return [([1], ['id'])]
    if method in {'export_data', 'export_data_domain'}:
        first = [1] if method == 'export_data' else []
        return [(first, ['id'])]
    if method == 'import_data':
        return [(['id'], [['1']])]
    if method == 'write':
        return [([1], {})]
    if method == 'create':
        return [([{}],)]
    if method in {'copy', 'delete', 'resources', 'history_revisions'}:
        return [([1],)]
    if method == 'on_scan_code':
        # No form has it, and trytond 7.0.59 fails in its own.
        return []
    if cls.__rpc__[method].instantiate is not None:
        return [(record,) for record in records]
    return [(), ([1],), (1,), ('study',)]


def tells(cls, method, value):
    """Whether an answer holds more than the program itself."""
    if isinstance(value, dict):
        known = CONSTANT.get(cls.__name__, set()) | OWN
        value = {k for k, v in value.items() if v and k not in known}
    return bool(value)


def asked_as(rpc, cls, name, method):
    """Return the arguments of the questions that are answered."""
    told = []
    for args in questions(cls, method):
        try:
            value = rpc(f'model.{name}.{method}', *args)
        except RpcError as error:
            assert SECRET not in str(error.message)
            # What was not refused may still lack an argument.
            assert error.kind in {'UserError', '403'} or (
                'argument' in error.kind), (name, method, args, error)
            continue
        if value and tells(cls, method, value):
            told.append((name, method, args, value))
    return told


def test_who_has_no_group_is_told_nothing(stranger):
    told, tried = [], set()
    for name, (cls, brought) in models().items():
        for method in methods(cls, brought):
            told.extend(asked_as(stranger, cls, name, method))
            tried.add((name, method))
    assert not told
    # It found the methods that were open.
    assert {
        (RESULT, 'on_change'), (RESULT, 'on_change_template'),
        (REQUEST, 'on_change_with_computed_age'),
        ('ir.attachment', 'on_change_with_imaging_caption'),
        ('gnuhealth.imaging_worklist.worklist_template',
            'autocomplete_charset'), (ORDER, 'default_get'),
        } <= tried
    assert len(tried) > 300


def test_the_desk_is_told_nothing_of_what_was_found(rpcs):
    told, tried = [], set()
    for name, (cls, brought) in models().items():
        if brought is None and name.startswith((
                RESULT, TEMPLATE, 'gnuhealth.imaging_orthanc.study',
                'gnuhealth.imaging_orthanc.series',
                'gnuhealth.imaging_orthanc.link', 'gnuhealth.orthanc')):
            for method in methods(cls, brought):
                told.extend(asked_as(
                        rpcs['imaging_desk'], cls, name, method))
                tried.add((name, method))
    assert not told
    assert len(tried) > 100


@pytest.mark.parametrize('name', [
        'results', 'results.comment', 'orthanc_studies', 'candidates',
        'number_of_images'])
def test_a_request_does_not_tell_the_desk_what_was_found(rpcs, ids, name):
    rpc = rpcs['imaging_desk']
    row, = rpc(f'model.{REQUEST}.read', [ids['request']], ['state'])
    assert row['state'] == 'requested'
    for method, *args in [
            ('read', [ids['request']], [name]),
            ('search_read', [], 0, 5, None, [name]),
            ('export_data', [ids['request']], [name.replace('.', '/')]),
            ('search', [(name, '!=', None)]),
            ('search_count', [(name, '!=', None)]),
            ]:
        with refused():
            rpc(f'model.{REQUEST}.{method}', *args)


def test_what_is_wrong_with_a_record_is_not_told(stranger, ids):
    """That it may not be changed or deleted, and whose it is."""
    for model, id_ in [
            (REQUEST, ids['request']), (RESULT, ids['result']),
            ('ir.attachment', ids['attachment']),
            (TEMPLATE, ids['template'])]:
        for method, *args in [
                ('delete', [id_]), ('write', [id_], {}), ('copy', [id_]),
                ('export_data', [id_], ['rec_name']),
                ('export_data', [id_], ['create_uid.name'])]:
            with refused():
                stranger(f'model.{model}.{method}', *args)
    for model, id_ in [(REQUEST, ids['request']), (RESULT, ids['result'])]:
        with refused():
            stranger(f'model.{model}.resources', [id_])
        with refused():
            stranger(f'model.{model}.write', [id_], {'state': 'draft'})


def test_a_request_is_not_told(stranger, ids):
    for values, names in [
            ({'request': ids['request']}, ['request']),
            ({'id': ids['result'], 'request': ids['request']}, ['request']),
            ({'request': {'id': ids['request']}}, ['request']),
            ({'_parent_request.id': ids['request'], 'doctor': None},
                ['request']),
            ]:
        with refused():
            stranger(f'model.{RESULT}.on_change', values, names)
    with refused():
        stranger(f'model.{RESULT}.on_change_request',
            {'request': ids['request']})


def test_a_birthday_is_not_told(stranger, ids):
    values = {'patient': ids['patient'], 'date': dt.datetime(2026, 5, 4)}
    for model in [REQUEST, RESULT]:
        for record in [values, {'id': ids['request']}, ids['request']]:
            with refused():
                stranger(f'model.{model}.on_change_with_computed_age', record)
            with refused():
                stranger(f'model.{model}.on_change_with', record,
                    ['computed_age'])


def test_a_caption_is_not_told(stranger, ids):
    for record in [{'id': ids['attachment']}, ids['attachment']]:
        with refused():
            stranger(
                'model.ir.attachment.on_change_with_imaging_caption', record)
        with refused():
            stranger('model.ir.attachment.on_change_with', record,
                ['imaging_caption'])
    with refused():
        stranger('model.ir.attachment.on_change_with',
            {'id': ids['attachment']}, ['summary', 'imaging_caption'])


def test_a_prepared_text_is_not_told(rpcs, ids):
    values = {'template': ids['template'], 'comment': ''}
    with refused():
        rpcs['stranger'](f'model.{RESULT}.on_change_template', values)
    with refused():
        rpcs['stranger'](f'model.{RESULT}.on_change', values, ['template'])


def test_no_name_is_told_by_a_default(stranger, doctor, ids):
    default = f'model.{ORDER}.default_get'
    for context in [
            {'active_model': PATIENT, 'active_id': ids['patient']},
            {'default_patient': ids['patient']}]:
        with refused():
            stranger(default, ['patient'], **context)
        assert SECRET in doctor(
            default, ['patient'], **context)['patient.']['rec_name']
    for model, name, id_ in [
            (REQUEST, 'patient', ids['patient']),
            (RESULT, 'request', ids['request']),
            ('gnuhealth.imaging.statistics.context', 'type', 1)]:
        told = answer(stranger, f'model.{model}.default_get', [name],
            **{f'default_{name}': id_})
        assert f'{name}.' not in (told or {})


@contextlib.contextmanager
def hidden(model, id_):
    """A rule by which nobody may read a record."""
    def make():
        model_, = Pool().get('ir.model').search([('model', '=', model)])
        group, = Pool().get('ir.rule.group').create([{
                    'name': "Rule", 'model': model_.id, 'global_p': True,
                    'rules': [('create', [
                                {'domain': f'[["id", "!=", {id_}]]'}])]}])
        return group.id
    group = commit(make)
    try:
        yield
    finally:
        def remove():
            Group = Pool().get('ir.rule.group')
            Group.delete([Group(group)])
        commit(remove)


def test_a_record_behind_a_rule_is_not_told(doctor, ids):
    ask = f'model.{RESULT}.on_change', {'request': ids['request']}, ['request']
    assert doctor(*ask)['patient'] == ids['patient']
    with hidden(REQUEST, ids['request']):
        with refused():
            doctor(*ask)
        with refused():
            doctor(f'model.{REQUEST}.on_change_with_computed_age',
                {'id': ids['request']})
    with hidden(PATIENT, ids['patient']):
        # The request says whose it is, but not the name.
        told = doctor(*ask)
        assert SECRET not in str(told.get('patient.'))
        for values in [
                {'patient': ids['patient'], 'date': dt.datetime(2026, 5, 4)},
                {'patient': {'id': ids['patient']},
                    'date': dt.datetime(2026, 5, 4)},
                {'_parent_patient.id': ids['patient'],
                    'date': dt.datetime(2026, 5, 4)},
                ]:
            with refused():
                doctor(f'model.{REQUEST}.on_change_with_computed_age', values)
            with refused():
                doctor(f'model.{REQUEST}.on_change_with', values,
                    ['computed_age'])
        told = answer(doctor, f'model.{REQUEST}.default_get', ['patient'],
            default_patient=ids['patient'])
        assert SECRET not in str(told)
    with hidden(TEMPLATE, ids['template']):
        with refused():
            doctor(f'model.{RESULT}.on_change_template',
                {'template': ids['template']})


def test_a_field_that_is_closed_is_not_told(doctor, ids):
    """Who may read patients, but not their birthdays."""
    def make():
        Access = Pool().get('ir.model.field.access')
        field, = Pool().get('ir.model.field').search([
                ('model.model', '=', PATIENT), ('name', '=', 'dob')])
        access, = Access.create([{
                    'field': field.id, 'perm_read': False,
                    'perm_write': False}])
        return access.id
    ask = {'patient': ids['patient'], 'date': dt.datetime(2026, 5, 4)}
    method = f'model.{REQUEST}.on_change_with'
    assert doctor(f'{method}_computed_age', ask)['computed_age']
    access = commit(make)
    try:
        assert doctor(f'{method}_computed_age', ask) == {}
        assert doctor(method, ask, ['computed_age']) == {}
    finally:
        def remove():
            Access = Pool().get('ir.model.field.access')
            Access.delete([Access(access)])
        commit(remove)


def test_who_may_read_is_told(doctor, ids):
    told = doctor(
        f'model.{RESULT}.on_change', {'request': ids['request'], 'id': -1},
        ['request'])
    assert (told['patient'], told['requested_test'], told['doctor']) == (
        ids['patient'], ids['exam'], ids['doctor'])
    assert SECRET in told['patient.']['rec_name']
    told = doctor(f'model.{RESULT}.on_change_template',
        {'template': ids['template'], 'comment': "Before."})
    assert told['comment'] == f"Before.\n\n{SECRET}"
    told = doctor('model.ir.attachment.on_change_with_imaging_caption',
        {'id': ids['attachment'], 'description': "Hand", 'name': 'x'})
    assert told == {'imaging_caption': "Hand"}
    told = doctor(f'model.{REQUEST}.on_change_with_computed_age', {
            '_parent_patient.dob': dt.date(1985, 10, 4),
            'patient': ids['patient'], 'date': dt.datetime(2026, 5, 4)})
    assert told['computed_age']


def test_what_others_bring_answers_as_before(stranger):
    """These models belong to others, who say who may ask."""
    told = stranger('model.party.party.on_change_with_is_person',
        {'is_patient': True})
    assert 'is_person' in told or told == {}
    assert stranger('model.ir.attachment.default_get', ['type'])
