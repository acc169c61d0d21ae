# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights matrix of the documentation, each cell tried over RPC by a user
who has that one group."""
import datetime as dt
import itertools
from pathlib import Path

import pytest
from support import rights
from support.records import (
    PASSWORD, Rpc, RpcError, make_attachment, make_exam, make_finding,
    make_institution, make_patient, make_professional, make_request,
    make_requested, make_result, make_user, on, shipped_reason)

from trytond.model import ModelStorage
from trytond.modules.health_imaging import office
from trytond.pool import Pool, isregisteredby
from trytond.transaction import Transaction

DOC = Path(__file__).parents[2] / 'health_imaging/doc/configuration.rst'
GROUPS = {
    "No group": None,
    "Front Desk": 'health.group_health_frontdesk',
    "Nursing": 'health.group_health_nursing',
    "Doctor": 'health.group_health_doctor',
    "Health Imaging": 'health_imaging.group_health_imaging',
    "Health Imaging Reporting":
        'health_imaging.group_health_imaging_reporting',
    "Health Imaging Front Desk":
        'health_imaging.group_health_imaging_front_desk',
    "Health Imaging Administration":
        'health_imaging.group_health_imaging_admin',
    }
MODELS = {
    "Exam types": 'gnuhealth.imaging.test.type',
    "Exams": 'gnuhealth.imaging.test',
    "Report texts": 'gnuhealth.imaging.report.template',
    "Own macros": 'gnuhealth.imaging.macro',
    "Words for sides": 'gnuhealth.imaging.side_word',
    "Reasons for cancellation": 'gnuhealth.imaging.cancel.reason',
    "Requests": 'gnuhealth.imaging.test.request',
    "Results": 'gnuhealth.imaging.test.result',
    "Signed anyway": 'gnuhealth.imaging.test.result.sign_check',
    "Reschedulings": 'gnuhealth.imaging.test.request.reschedule.log',
    "Safety findings": 'gnuhealth.imaging.safety.finding',
    "Critical findings": 'gnuhealth.imaging.critical_finding',
    "Communication of critical findings":
        'gnuhealth.imaging.critical_finding.call',
    "Times of critical findings": 'gnuhealth.imaging.configuration',
    "Escalation of critical findings": 'gnuhealth.imaging.escalation',
    }
# What is read and written, by default the name.
FIELDS = {
    "Own macros": 'text', "Words for sides": 'side', "Requests": 'date',
    "Results": 'date', "Signed anyway": 'code', "Reschedulings": 'reason',
    "Safety findings": 'kind',
    "Critical findings": 'finding',
    "Communication of critical findings": 'text',
    "Times of critical findings": 'critical_hours',
    "Escalation of critical findings": 'sequence',
    }
STATISTICS = {
    "Exams of a patient": 'gnuhealth.imaging.patient_exam',
    "Requests per month": 'gnuhealth.imaging.statistics.requests',
    "Turnaround": 'gnuhealth.imaging.statistics.turnaround',
    "Critical findings by urgency": 'gnuhealth.imaging.statistics.critical',
    }
BUTTONS = {
    "Request: Request": 'requested',
    "Request: Request (checks)": 'send',
    "Request: Write Report": 'generate_results',
    "Request: Report": 'report',
    "Request: Cancel": 'cancel',
    "Request: Back to Draft": 'draft',
    "Request: Reschedule": 'reschedule',
    "Request: Arrived": 'arrive',
    "Request: Undo Arrival": 'undo_arrive',
    "Result: Preview": 'preview',
    "Result: Pick": 'pick',
    "Result: Expand Macros": 'expand',
    "Result: Sign": 'finalize',
    "Result: Sign and Next": 'sign_next',
    "Result: Release": 'release',
    "Result: Amend": 'amend',
    "Result: Critical": 'critical',
    "Critical finding: Acknowledge": 'acknowledge',
    "Critical finding: Log Call": 'log_call',
    "Exam of a patient: Report": 'open_report',
    "Exam of a patient: Read": 'read_report',
    }
WIZARDS = {
    "Medical Imaging - New order": 'gnuhealth.patient.imaging.test.request',
    "Request (checks)": 'gnuhealth.imaging.test.request.send',
    "Write Report": 'wizard.generate.result',
    "Cancel Requests": 'gnuhealth.imaging.test.request.cancel',
    "Reschedule": 'gnuhealth.imaging.test.request.reschedule',
    "Amend Result": 'gnuhealth.imaging.test.result.amend',
    "Release Result": 'gnuhealth.imaging.test.result.release',
    "Sign and Next": 'gnuhealth.imaging.test.result.sign_next',
    "Pick": 'gnuhealth.imaging.test.result.pick',
    "Import Templates": 'gnuhealth.imaging.report.template.import',
    "Tell a Critical Finding": 'gnuhealth.imaging.critical_finding.report',
    "Log Call": 'gnuhealth.imaging.critical_finding.log_call',
    }
MENUS = {
    "Medical Imaging": 'menu_imaging',
    "Dashboard": 'menu_dashboard',
    "New Order": 'menu_patient_imaging_test_request',
    "My Orders": 'menu_my_orders',
    "Worklist": 'menu_worklist',
    "Reading List": 'menu_reading_list',
    "Macros": 'menu_imaging_macro',
    "Critical Findings": 'menu_critical_finding',
    "Statistics": 'menu_statistics',
    "Configuration, Medical Imaging": 'menu_imaging_test_parent',
    }
# They print or show the report, which has a row of its own.
PRINTING = {
    'gnuhealth.imaging.patient_exam.report',
    'gnuhealth.imaging.patient_exam.read',
    }
# It changes what its client shows, nothing that is stored.
OF_CLIENT = ['quote']
# Records that are reached through others only.
PARTS = [
    'gnuhealth.imaging.report.template-exam',
    'gnuhealth.sequences.imaging_req_seq',
    'gnuhealth.sequences.imaging_test_sequence',
    ]
REPORTS = {
    "Imaging Report": 'patient.imaging_report_results',
    "Order Sheet": 'gnuhealth.imaging.order_sheet',
    "Order Label": 'gnuhealth.imaging.order_label',
    }
_counter = itertools.count(1)
_untouched = rights.Untouched()


def matrix(title):
    """Return the cells of a table of the documentation."""
    return rights.matrix(DOC, title, GROUPS)


def cells(title, rows):
    """Run a test for each cell of some rows of a table."""
    return rights.for_each(c for c in matrix(title) if c.row in rows)


@pytest.fixture(scope='module')
def users(activated):
    """Users who are logged in, by the name of their only group."""
    from trytond.tests.test_tryton import DB_NAME
    with Transaction().start(DB_NAME, 1):
        make_institution()
        for number, group in enumerate(GROUPS.values()):
            user = make_user(
                f'user{number}', *filter(None, [group]), password=PASSWORD)
            make_professional(user, "User", str(number))
    return {
        name: Rpc(f'user{number}') for number, name in enumerate(GROUPS)}


@pytest.fixture
def committed(activated):
    """A transaction of the administrator that others see when it is over."""
    from trytond.tests.test_tryton import DB_NAME

    def run(make):
        with Transaction().start(DB_NAME, 1):
            return make()
    return run


def refused(error):
    # What only the system writes has no door at all.
    return (error.value.kind == '403'
        or str(error.value.message).startswith("You are not allowed")
        or "is not allowed" in str(error.value.message))


def model_values(model):
    """Return the values of a record of a model that users can make."""
    pool = Pool()
    data = pool.get('ir.model.data')
    return {
        'gnuhealth.imaging.test.type': lambda: {'code': 'CT', 'name': "CT"},
        'gnuhealth.imaging.test': lambda: {
            'code': f'X{pool.get(model).search([], count=True)}',
            'name': "Exam", 'test_type': data.get_id(
                'health_imaging', 'gnuhealth_test_type_ctscan'),
            'product': data.get_id(
                'health_imaging', 'product_product_ctscancharges'),
            'question_optional': True,
            'unchecked_rules': ['pregnancy', 'duplicate']},
        'gnuhealth.imaging.safety.finding': lambda: {
            'request': make_request().id, 'kind': 'stop', 'rule': 'kidney',
            'finding': 'kidney_unknown', 'found_at': dt.datetime(2026, 5, 4)},
        'gnuhealth.imaging.report.template': lambda: {
            'name': "Text", 'text': "Text"},
        'gnuhealth.imaging.macro': lambda: {
            'code': f'.m{next(_counter)}', 'text': "Text"},
        'gnuhealth.imaging.side_word': lambda: {
            'word': "laevus", 'side': 'left'},
        'gnuhealth.imaging.test.result.sign_check': lambda: {
            'result': make_result().id, 'at': dt.datetime(2026, 5, 4),
            'code': 'impression'},
        'gnuhealth.imaging.cancel.reason': lambda: {'name': "Strike"},
        'gnuhealth.imaging.test.request.reschedule.log': lambda: {
            'request': make_request().id, 'at': dt.datetime(2026, 5, 4),
            'to_date': dt.datetime(2026, 5, 5), 'reason': "x"},
        'gnuhealth.imaging.test.request': lambda: {
            'patient': make_patient().id, 'requested_test': make_exam().id,
            'doctor': make_professional().id},
        'gnuhealth.imaging.test.result': lambda: {
            'patient': make_patient().id, 'requested_test': make_exam().id,
            'doctor': make_professional().id},
        'gnuhealth.imaging.critical_finding': lambda: {
            'result': make_result().id, 'finding': "x", 'urgency': 'days',
            'tell': make_professional().id},
        'gnuhealth.imaging.critical_finding.call': lambda: {
            'finding': make_finding().id, 'at': dt.datetime(2026, 5, 4),
            'event': 'called'},
        'gnuhealth.imaging.configuration': lambda: {'critical_hours': 8},
        'gnuhealth.imaging.escalation': lambda: {
            'configuration': 1, 'sequence': 1,
            'professional': make_professional().id},
        }[model]()


def made_by_module(type_):
    """Return the names of the wizards or reports that the module brings."""
    return {
        name for name, cls in Pool().iterobject(type=type_)
        if isregisteredby(cls, 'health_imaging', type_=type_)}


def test_tables_are_complete(transaction):
    """Who adds a door says in the tables for whom it is."""
    pool = Pool()
    models = {
        m.model for m in pool.get('ir.model').search(
            [('module', '=', 'health_imaging')])
        if issubclass(pool.get(m.model), ModelStorage)}
    assert models == {*MODELS.values(), *STATISTICS.values(), *PARTS}
    assert made_by_module('wizard') - {'party.replace', *PRINTING} == set(
        WIZARDS.values())
    assert made_by_module('report') == set(REPORTS.values())
    assert len(matrix("Wizards and reports")) \
        == len(GROUPS) * (len(WIZARDS) + len(REPORTS))
    for title, rows in [
            ("Models: read, write, create, delete",
                [*MODELS, *STATISTICS]),
            ("Buttons", BUTTONS), ("Menus", MENUS)]:
        assert [row for row, *_ in matrix(title)[::len(GROUPS)]] == list(rows)


def test_buttons_are_complete(transaction):
    pool = Pool()
    ids = [d.db_id for d in pool.get('ir.model.data').search([
                ('module', '=', 'health_imaging'),
                ('model', '=', 'ir.model.button')])]
    buttons = pool.get('ir.model.button').browse(ids)
    assert sorted(b.name for b in buttons) == sorted(
        [*BUTTONS.values(), *OF_CLIENT])
    guarded = {(b.model.model, b.name)
        for b in pool.get('ir.model.button').search([]) if b.groups}
    for model in MODELS.values():
        for name in pool.get(model)._buttons:
            assert (model, name) in guarded


@cells("Models: read, write, create, delete", MODELS)
@pytest.mark.parametrize('mode', ['read', 'write', 'create', 'delete'])
def test_models(users, committed, row, group, cell, mode):
    model = MODELS[row]
    name = FIELDS.get(row, 'name')
    # A macro is somebody's.
    own = {'user': users[group].user} if row == "Own macros" else {}

    def make():
        record, = Pool().get(model).create([{**model_values(model), **own}])
        return record.id, {
            'read': ([record.id], [name]),
            'write': ([record.id], {name: getattr(record, name)}),
            'create': ([{**model_values(model), **own}],),
            'delete': ([record.id],),
            }[mode]
    key = model, mode, *own.values()
    id_, arguments = made = _untouched.take(key, lambda: committed(make))
    rpc = users[group]
    if mode[0] in cell:
        rpc(f'model.{model}.{mode}', *arguments)
    else:
        with pytest.raises(RpcError) as error:
            rpc(f'model.{model}.{mode}', *arguments)
        assert refused(error), error.value
    left = committed(
        lambda: Pool().get(model).search([('id', '=', id_)], count=True))
    assert left == (0 if mode == 'delete' and 'd' in cell else 1)
    if mode == 'read' or mode[0] not in cell:
        _untouched[key] = made
    if mode == 'read':
        for method, arguments in [
                ('search', [[('id', '=', id_)]]),
                ('search_count', [[]]),
                ('export_data', [[id_], [name]]),
                ]:
            if cell:
                assert rpc(f'model.{model}.{method}', *arguments)
            else:
                with pytest.raises(RpcError) as error:
                    rpc(f'model.{model}.{method}', *arguments)
                assert refused(error), error.value


@cells("Models: read, write, create, delete", STATISTICS)
def test_statistics(users, committed, row, group, cell):
    committed(make_finding)
    model, rpc = f'model.{STATISTICS[row]}', users[group]
    read = f'{model}.search_read', [], 0, 1, None, ['rec_name']
    if cell:
        assert rpc(*read)
    else:
        with pytest.raises(RpcError) as error:
            rpc(*read)
        assert refused(error), error.value
    # They are computed, nobody writes them.
    assert cell in {'', 'r'}
    for method, *arguments in [
            ('write', [1], {}), ('create', [{}]), ('delete', [1])]:
        with pytest.raises(RpcError):
            rpc(f'{model}.{method}', *arguments)


def press(button):
    """Return the method of a button, a record for it and what is expected."""
    if button in {'requested', 'send', 'cancel', 'reschedule'}:
        return make_request()
    if button == 'draft':
        request = make_request()
        type(request).cancel_for([request], "x")
        return request
    if button in {'generate_results', 'report', 'arrive', 'undo_arrive'}:
        return make_requested()
    if button in {'acknowledge', 'log_call'}:
        return make_finding()
    result = make_result(comment="No fracture.")
    if button in {'open_report', 'read_report'}:
        exam, = Pool().get('gnuhealth.imaging.patient_exam').search(
            [('result', '=', result.id)])
        return exam
    return result


@cells("Buttons", BUTTONS)
def test_buttons(users, committed, row, group, cell):
    button = BUTTONS[row]
    record = _untouched.take(button, lambda: committed(lambda: press(button)))
    name = record.__name__
    state = committed(lambda: Pool().get(name)(record.id).state)
    rpc = users[group]
    # This one changes the form only.
    pressed = {
        'id': record.id, 'technique': None, 'comparison': None,
        'comment': "x", 'impression': None,
        } if button == 'expand' else [record.id]
    if cell == 'told':
        with pytest.raises(RpcError, match="is acknowledged by"):
            rpc(f'model.{name}.{button}', [record.id])
        record = committed(lambda: make_finding(tell=own(rpc)))
        rpc(f'model.{name}.{button}', [record.id])
    elif cell:
        rpc(f'model.{name}.{button}', pressed)
    else:
        with pytest.raises(RpcError) as error:
            rpc(f'model.{name}.{button}', pressed)
        assert refused(error), error.value
        _untouched[button] = record
    after = committed(lambda: Pool().get(name)(record.id).state)
    # The others open a wizard, or note the arrival.
    moves = button in {
        'requested', 'generate_results', 'report', 'draft', 'finalize',
        'acknowledge'}
    assert (after != state) == bool(cell and moves)


def own(rpc):
    "Return the health professional of a user."
    found, = Pool().get('gnuhealth.healthprofessional').search(
        [('party.internal_user', '=', rpc.user)])
    return found


def state_of(wizard):
    """Return the state of a wizard that does the work, its data, and the
    context of its start."""
    reason = {'start': {'reason': "x"}}
    if wizard == 'gnuhealth.patient.imaging.test.request':
        return 'order_and_request', {'start': {
                    'patient': make_patient().id,
                    'doctor': make_professional().id,
                    'date': dt.datetime(2026, 5, 4),
                    'tests': [make_exam().id]}}, {}
    if wizard == 'gnuhealth.imaging.test.request.send':
        return 'look', {}, on(make_request())
    if wizard == 'wizard.generate.result':
        return 'open_', {}, on(make_requested())
    if wizard == 'gnuhealth.imaging.test.request.cancel':
        return 'cancel', {'start': {
                    'choice': shipped_reason()}}, on(make_request())
    if wizard == 'gnuhealth.imaging.test.request.reschedule':
        return 'reschedule', {'start': {
                    'date': dt.datetime(2026, 5, 5), 'reason': "x"}}, on(
            make_request())
    if wizard == WIZARDS["Import Templates"]:
        return 'import_', {'start': {'file': b'<p>Text</p>'}}, {}
    if wizard == WIZARDS["Pick"]:
        return 'fill', {'start': {'picks': [{
                        'place': 'comment', 'number': 0, 'choice': "a",
                        'source': "[a|b]", 'options': "a\nb"}]}}, on(
            make_result(comment="[a|b]"))
    if wizard == 'gnuhealth.imaging.critical_finding.log_call':
        finding = make_finding()
        return 'log', {'start': {
                    'to': finding.tell.id, 'how': 'phone',
                    'at': dt.datetime(2026, 5, 4)}}, on(finding)
    result = make_result(comment="No fracture.")
    name = wizard.rpartition('.')[2]
    if name == 'report':
        return name, {'start': {
                    'finding': "Free air.", 'urgency': 'hours',
                    'tell': make_professional().id}}, on(result)
    if name == 'sign_next':
        return 'sign', {}, on(result)
    return name, reason, on(result)


def snapshot():
    """Return all requests and results with their states, dates and texts, how
    many prepared texts there are, and the log of critical findings."""
    pool = Pool()
    Call = pool.get('gnuhealth.imaging.critical_finding.call')
    found = {
        str(record): (record.state, record.date, record.comment)
        for model in ['request', 'result']
        for record in pool.get(f'gnuhealth.imaging.test.{model}').search([])}
    return (
        found, pool.get(MODELS["Report texts"]).search([], count=True),
        Call.search([], count=True))


def sign(context, rpc):
    """Let a user sign the result that a wizard is started on."""
    if context.get('active_model') == 'gnuhealth.imaging.test.result':
        Result = Pool().get('gnuhealth.imaging.test.result')
        result = Result(context['active_id'])
        Result._sign([result], own(rpc).id)


@cells("Wizards and reports", WIZARDS)
def test_wizards(users, committed, row, group, cell):
    name = WIZARDS[row]

    def make():
        prepared = state_of(name)
        if name == WIZARDS["Amend Result"]:
            sign(prepared[2], rpc)
        return prepared
    rpc = users[group]
    # An amendment is of what somebody signed.
    key = (name, group) if name == WIZARDS["Amend Result"] else name
    state, data, context = made = _untouched.take(
        key, lambda: committed(make))
    before = committed(snapshot)
    if cell == 'own':
        with pytest.raises(RpcError) as error:
            rpc.run_wizard(name, [(state, data)], **context)
        assert "only what you ordered" in error.value.message
        assert committed(snapshot) == before
        return
    if cell:
        rpc.run_wizard(name, [(state, data)], **context)
        assert committed(snapshot) != before
        return
    # With the records, without them, and as if it were another action.
    for context in [
            context, {}, {**context, 'action_id': 1}, {'action_id': 1}]:
        with pytest.raises(RpcError) as error:
            rpc(f'wizard.{name}.create', **context)
        assert refused(error), error.value
        with pytest.raises(RpcError) as error:
            rpc(f'wizard.{name}.execute', 1, data, state, **context)
        assert refused(error), error.value
    assert committed(snapshot) == before
    _untouched[key] = made


@cells("Wizards and reports", REPORTS)
def test_reports(users, committed, monkeypatch, row, group, cell):
    record = _untouched.take(row, lambda: committed(
            make_result if row == "Imaging Report" else make_requested))
    _untouched[row] = record
    if (row, group) != ("Imaging Report", "Health Imaging Reporting"):
        # Its seconds tell nothing of rights.
        monkeypatch.setattr(office, 'convert', lambda *args: b'%PDF')
    rpc = users[group]
    for data in [{}, {'model': record.__name__}]:
        if cell:
            extension, content, _, _ = rpc(
                f'report.{REPORTS[row]}.execute', [record.id], data)
            assert (extension, content[:4]) == ('pdf', b'%PDF')
            break
        with pytest.raises(RpcError) as error:
            rpc(f'report.{REPORTS[row]}.execute', [record.id], data)
        assert refused(error), error.value


@pytest.mark.parametrize('group, cell', [
        pytest.param(group, cell, id=group)
        for row, group, cell in matrix("Models: read, write, create, delete")
        if row == "Results"])
def test_pictures_are_for_those_who_read_results(
        users, committed, group, cell):
    id_ = _untouched.take('picture', lambda: committed(
            lambda: make_attachment(make_result()).id))
    _untouched['picture'] = id_
    rpc, names = users[group], ['name', 'data', 'imaging_thumbnail']
    read = 'model.ir.attachment.read'
    if cell:
        row, = rpc(read, [id_], names)
        assert row['imaging_thumbnail'].startswith(b'\x89PNG')
    else:
        with pytest.raises(RpcError) as error:
            rpc(read, [id_], names)
        assert refused(error), error.value


@pytest.mark.parametrize('group', [
        group for row, group, cell in matrix("Wizards and reports")
        if row == "Medical Imaging - New order" and cell])
def test_who_orders_may_choose_what_the_order_needs(users, committed, group):
    def make():
        make_patient()
        make_exam()
        Pool().get('gnuhealth.pathology').create(
            [{'name': "Fracture", 'code': group}])
    committed(make)
    rpc = users[group]
    for model in ['gnuhealth.patient', 'gnuhealth.healthprofessional',
            'gnuhealth.pathology', 'gnuhealth.imaging.test']:
        row, = rpc(
            f'model.{model}.search_read', [], 0, 1, None, ['rec_name'])
        assert row['rec_name']


@cells("Menus", MENUS)
def test_menus(users, committed, row, group, cell):
    def make():
        Menu = Pool().get('ir.ui.menu')
        menu = Menu(Pool().get('ir.model.data').get_id(
                'health_imaging', MENUS[row]))
        children = [child.id for child in menu.childs]
        ids = []
        while menu:
            ids.append(menu.id)
            menu = menu.parent
        return ids, children
    ids, children = committed(make)
    seen = users[group]('model.ir.ui.menu.search', [('id', 'in', ids)])
    assert (set(seen) == set(ids)) == bool(cell)
    shown = users[group](
        'model.ir.ui.menu.search', [('id', 'in', children)])
    # The other modules hide some of theirs.
    assert bool(shown) == bool(cell and children)


@pytest.mark.parametrize('model', PARTS)
@pytest.mark.parametrize('method', [
        'read', 'search', 'create', 'write', 'delete'])
def test_parts_of_other_records_have_no_door(users, model, method):
    for rpc in users.values():
        with pytest.raises(RpcError) as error:
            rpc(f'model.{model}.{method}', [1])
        assert error.value.kind == '403'


@pytest.mark.parametrize('name', [
        'imaging_req_seq', 'imaging_test_sequence'])
def test_sequences_are_chosen_by_health_administration(
        users, committed, name):
    def make():
        sequence = getattr(Pool().get('gnuhealth.sequences')(1), name)
        user = make_user(f'admin_{name}', 'health.group_health_admin',
            password=PASSWORD)
        return sequence.id, user.login
    sequence, login = committed(make)
    model = 'model.gnuhealth.sequences'
    for rpc in users.values():
        assert rpc(f'{model}.read', [1], [name])[0][name] == sequence
        with pytest.raises(RpcError) as error:
            rpc(f'{model}.write', [1], {name: sequence})
        assert refused(error), error.value
    administrator = Rpc(login)
    administrator(f'{model}.write', [1], {name: sequence})


def test_forms_of_requests_and_results_open_for_those_who_may(
        users, committed):
    """What a form shows of other models is readable too."""
    def make():
        result = make_result(comment="x")
        return result.request.id, result.id
    request, result = committed(make)
    for group in [
            "Doctor", "Health Imaging", "Health Imaging Reporting",
            "Health Imaging Administration"]:
        rpc = users[group]
        for model, id_ in [('request', request), ('result', result)]:
            name = f'model.gnuhealth.imaging.test.{model}'
            for kind in ['tree', 'form']:
                view = rpc(f'{name}.fields_view_get', None, kind)
                fields = list(view['fields'])
                fields += [
                    f'{n}.rec_name' for n, f in view['fields'].items()
                    if f['type'] == 'many2one']
                row, = rpc(f'{name}.read', [id_], fields)
                assert row['patient.']['rec_name']
