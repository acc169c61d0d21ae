# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights matrix of the documentation, each cell tried over RPC by a user
who has that one group."""
import datetime as dt
import itertools
from pathlib import Path

import pytest
from support import rights
from support.images import (
    INSTANCE, SERIES, STUDY, Hospital, context_of, ct_series, variant)
from support.records import (
    PASSWORD, Rpc, RpcError, make_patient, make_requested, make_result,
    make_user)

from trytond.pool import Pool

DOC = Path(__file__).parents[2] / 'health_orthanc/doc/rights.rst'
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
    "Health Imaging Orthanc": 'health_orthanc.group_imaging_orthanc',
    "Health Imaging Orthanc Administration":
        'health_orthanc.group_imaging_orthanc_admin',
    "Health Administration": 'health.group_health_admin',
    }
SERVER = 'gnuhealth.orthanc.config'
PATIENT = 'gnuhealth.orthanc.patient'
CANDIDATE = 'gnuhealth.imaging_orthanc.link_candidate'
REPORT = 'gnuhealth.orthanc.report'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
LOG = 'gnuhealth.orthanc.access_log'
EVENT = 'gnuhealth.orthanc.link_event'
FORMER = 'gnuhealth.orthanc.study'
VIEWER = 'gnuhealth.orthanc.viewer'
RUN = 'gnuhealth.orthanc.sync_run'
SHOW = 'gnuhealth.imaging_orthanc.preview.show'
WIZARD = 'gnuhealth.imaging_orthanc'
MODELS = {
    "Servers": SERVER,
    "Viewers of the hospital": VIEWER,
    "Synchronizations": RUN,
    "Orthanc patients": PATIENT,
    "Studies": STUDY,
    "Series": SERIES,
    "Images": INSTANCE,
    "Candidates": CANDIDATE,
    "History of links": 'gnuhealth.orthanc.link_log',
    "Waiting decisions": EVENT,
    "Reports on servers": REPORT,
    "Access log": LOG,
    "Former studies": FORMER,
    }
FIELDS = {
    "Study": (STUDY, {
        "Patient": 'patient', "Result": 'imaging_test',
        "Further Requests": 'further_requests',
        "Note on the Link": 'merge_comment', "Notes": 'notes'}),
    "Series": (SERIES, {"Notes": 'notes'}),
    "Orthanc patient": (PATIENT, {"Local Patient": 'patient'}),
    }
BUTTONS = {
    "Study: Preview": (STUDY, 'preview'),
    "Series: Preview": (SERIES, 'preview'),
    "Image: Preview": (INSTANCE, 'preview'),
    "Study: Open in Viewer": (STUDY, 'open_viewer'),
    "Series: Open in Viewer": (SERIES, 'open_viewer'),
    "Study: a viewer": (STUDY, 'open_ohif'),
    "Series: a viewer": (SERIES, 'open_ohif'),
    "Study: Open in ...": (STUDY, 'open_in'),
    "Series: Open in ...": (SERIES, 'open_in'),
    "Request: Images": (REQUEST, 'open_images'),
    "Orthanc patient: Orthanc Explorer": (PATIENT, 'open_explorer'),
    "Image: Add to Report": (INSTANCE, 'attach_image_to_imaging_test_report'),
    "Preview: Add to Report": (SHOW, 'attach'),
    "Study: Link to Candidate": (STUDY, 'accept'),
    "Study: None of These": (STUDY, 'reject'),
    "Study: Undo Link": (STUDY, 'undo_link'),
    "Candidate: Link": (CANDIDATE, 'choose'),
    "Result: Open Images": (RESULT, 'open_images'),
    "Result: Link Studies": (RESULT, 'link_studies'),
    "Result: Seen, No Change": (RESULT, 'confirm_studies'),
    "Study: Delete on the Server": (STUDY, 'delete_study'),
    "Series: Delete on the Server": (SERIES, 'delete_series'),
    "Report on a server: Try Again": (REPORT, 'retry'),
    "Server: Sync": (SERVER, 'do_sync'),
    "Server: Test Connection": (SERVER, 'test_connection'),
    "Server: New Secret": (SERVER, 'new_notice_secret'),
    "Synchronization: Show Studies": (RUN, 'show_studies'),
    "Server: Remove": (SERVER, 'remove_config_server'),
    }
MENUS = {
    "Medical Imaging, Orthanc": 'orthanc_menu',
    "Configuration, Orthanc": 'orthanc_config_menu',
    "Waiting Decisions": 'menu_link_event',
    "Access Log": 'menu_access_log',
    }
_number = itertools.count(1)
_untouched = rights.Untouched()


def matrix(title):
    "Return the cells of a table of the documentation."
    return rights.matrix(DOC, title, GROUPS)


def cells(title):
    "Run a test for each cell of a table."
    return rights.for_each(matrix(title))


@pytest.fixture(scope='module')
def hospital(activated, tmp_path_factory):
    hospital = Hospital(tmp_path_factory.mktemp('orthanc'))
    with hospital.transaction():
        for number, group in enumerate(GROUPS.values()):
            make_user(
                f'user{number}', *filter(None, [group]), password=PASSWORD)
    hospital.linked = hospital.store(*ct_series(1))
    hospital.link(hospital.linked)
    yield hospital
    hospital.close()


@pytest.fixture(scope='module')
def users(hospital):
    return {name: Rpc(f'user{number}') for number, name in enumerate(GROUPS)}


def refused(rpc, method, *args, **context):
    "Whether a call is refused for want of rights."
    try:
        rpc(method, *args, **context)
    except RpcError as error:
        if rights_are_missing(error):
            return True
        # It went on to something else that is wrong.
        assert error.kind == 'UserError', error
    return False


def rights_are_missing(error):
    text = str(error.message)
    return (error.kind == '403' or "not allowed" in text
        or "is for members of" in text
        # The message of trytond for a refused wizard lacks a name.
        or error.kind == "'wizard'")


# Records that are there for one cell

def make(model):
    "Return a new record of a model."
    return _MAKE[model]()


def make_server():
    number = next(_number)
    Server = Pool().get(SERVER)
    server, = Server.create([server_values(number)])
    return server


def server_values(number):
    return {
        'label': f"Server {number}", 'domain': f'http://127.0.0.1:{number}',
        'user': 'u', 'password': 'p', 'connect_timeout': 1,
        'read_timeout': 1}


def hospital_server():
    Server = Pool().get(SERVER)
    server, = Server.search([('label', '=', "PACS")])
    return server


def make_study(**values):
    number = next(_number)
    Study = Pool().get(STUDY)
    study, = Study.create([{
                'orthanc_server': hospital_server().id,
                'orthanc_UID': f'rights-{number}',
                'study_instance_UID': f'1.2.840.{number}',
                'patient_name': 'Betz^Ana',
                **values}])
    return study


def make_series():
    Series = Pool().get(SERIES)
    series, = Series.create([{
                'study': make_study().id, 'modality': 'CT',
                'orthanc_UID': 'x', 'series_UID': '1'}])
    return series


def make_instance():
    Instance = Pool().get(INSTANCE)
    instance, = Instance.create([{
                'series': make_series().id, 'orthanc_UID': 'x',
                'sop_instance_UID': '1'}])
    return instance


def make_candidate():
    Candidate = Pool().get(CANDIDATE)
    # Somebody new would have the studies decided again.
    patient, = Pool().get('gnuhealth.patient').search(
        [], order=[('id', 'ASC')], limit=1)
    candidate, = Candidate.create([{
                'study': make_study().id, 'patient': patient.id}])
    return candidate


def make_linked():
    "Return a study that a person has linked."
    study = make_study()
    type(study).write([study], {'patient': make_patient().id})
    return study


def make_report():
    Report = Pool().get(REPORT)
    result = make_result()
    report, = Report.create([{
                'result': result.id, 'revision': 0,
                'study': make_study(patient=result.patient.id).id,
                'state': 'failed'}])
    return report


def make_orthanc_patient():
    Patient = Pool().get(PATIENT)
    patient, = Patient.create([orthanc_patient_values()])
    return patient


def orthanc_patient_values():
    return {'uuid': f'rights-{next(_number)}', 'name': 'Betz^Ana',
        'server': hospital_server().id}


def viewer_values():
    return {'server': hospital_server().id, 'name': f"V{next(_number)}",
        'study_url': '/{study}'}


def make_of(name, /, **values):
    Model = Pool().get(name)
    record, = Model.create([values])
    return record


_MAKE = {
    SERVER: make_server,
    STUDY: make_study,
    SERIES: make_series,
    INSTANCE: make_instance,
    CANDIDATE: make_candidate,
    REPORT: make_report,
    REQUEST: lambda: make_requested(),
    RESULT: lambda: make_result(),
    PATIENT: make_orthanc_patient,
    FORMER: lambda: make_of(FORMER, uuid='x'),
    VIEWER: lambda: make_of(VIEWER, **viewer_values()),
    'gnuhealth.orthanc.link_log': lambda: make_linked().link_log[0],
    'gnuhealth.orthanc.sync_run': lambda: make_of(
        'gnuhealth.orthanc.sync_run', server=hospital_server().id,
        start=dt.datetime(2026, 5, 4), started_by='button', state='done'),
    EVENT: lambda: make_of(EVENT, kind='people', cause='people',
        changed='[[], []]', at=dt.datetime(2026, 5, 4)),
    LOG: lambda: make_of(LOG, at=dt.datetime(2026, 5, 4), user=1,
        action='view'),
    }
# For the models that somebody may create.
_NEW = {
    SERVER: lambda: server_values(next(_number)),
    PATIENT: orthanc_patient_values,
    FORMER: lambda: {'uuid': 'y'},
    VIEWER: lambda: viewer_values(),
    }
# What is written to those that somebody may write.
_CHANGE = {
    SERVER: {'user': 'v'},
    PATIENT: {'patient': None},
    STUDY: {'notes': "x"},
    SERIES: {'notes': "x"},
    FORMER: {'description': "x"},
    VIEWER: {'study_url': '/x/{study}'},
    }


@cells("Models: read, write, create, delete")
def test_models(hospital, users, row, group, cell):
    model, rpc = MODELS[row], users[group]
    with hospital.transaction():
        id_, new = made = _untouched.take(model, lambda: (
                make(model).id, _NEW.get(model, dict)()))
    for method, arguments in [
            ('read', [[id_], ['id']]),
            ('search', [[('id', '=', id_)]]),
            ('search_count', [[]]),
            ('search_read', [[('id', '=', id_)], 0, 1, None, ['id']]),
            ('export_data', [[id_], ['id']]),
            ]:
        assert refused(
            rpc, f'model.{model}.{method}', *arguments) == ('r' not in cell)
    for method, arguments in [
            ('write', [[id_], _CHANGE.get(model, {'id': id_})]),
            ('create', [[new]]),
            ('delete', [[id_]]),
            ]:
        assert refused(rpc, f'model.{model}.{method}', *arguments) == (
            method[0] not in cell), method
    assert bool(hospital.read(model, id_, 'id')) == ('d' not in cell)
    if set(cell) <= {'r'}:
        _untouched[model] = made


@cells("Fields that may be changed")
def test_fields(hospital, users, row, group, cell):
    kind, _, label = row.partition(': ')
    (model, names), rpc = FIELDS[kind], users[group]
    with hospital.transaction():
        id_, values = made = _untouched.take(
            row, lambda: record_and_change(model, names, label))
    assert values
    for name, value in values.items():
        try:
            rpc(f'model.{model}.write', [id_], {name: value})
        except RpcError as error:
            assert not cell
            assert any(text in str(error.message) for text in [
                    "not allowed", "cannot be changed"]), error.message
        else:
            assert cell, name
    if not cell:
        _untouched[row] = made


def record_and_change(model, names, label):
    """Return the id of a new record, and values for the field of a label, or
    for all that have none."""
    record = make(model)
    if label == 'any other':
        return record.id, {
            name: other_value(field, getattr(record, name))
            for name, field in record._fields.items()
            if name not in names.values() and not hasattr(field, 'getter')
            and name not in {'id', 'create_date', 'create_uid', 'write_date',
                'write_uid'}}
    result = make_result()
    return record.id, {
        names[label]: {
            'patient': result.patient.id, 'imaging_test': result.id,
            'further_requests': [('add', [result.request.id])],
            }.get(names[label], "A text")}


def other_value(field, value):
    "Return another value for a field of a new record."
    return {
        'many2one': getattr(value, 'id', 0) + 1, 'date': dt.date(2001, 2, 3),
        'time': dt.time(1, 2), 'timestamp': dt.datetime(2001, 2, 3),
        'datetime': dt.datetime(2001, 2, 3), 'integer': 77,
        'one2many': [('delete', [1])],
        }.get(field._type, field.selection[-2][0]
            if field._type == 'selection' else 'forged')


@cells("Buttons")
def test_buttons(hospital, users, row, group, cell):
    model, button = BUTTONS[row]
    with hospital.transaction():
        id_ = _untouched.take(
            BUTTONS[row], lambda: for_button(hospital, model, button))
    # That of the preview takes what its form shows.
    records = {'session': 1, 'instance': id_} if model == SHOW else [id_]
    assert refused(
        users[group], f'model.{model}.{button}', records) == (not cell)
    if not cell:
        _untouched[BUTTONS[row]] = id_


def for_button(hospital, model, button):
    "Return the id of a record that has a button."
    if button == 'undo_link':
        return make_linked().id
    if button == 'do_sync':
        return hospital.server
    if button in {'attach', 'attach_image_to_imaging_test_report'}:
        return Pool().get(STUDY)(hospital.linked).series[0].instances[0].id
    return make(model).id


def steps(hospital, row):
    "Return the name of a wizard, its state, the data and the context."
    name, state, data, context = {
        "Preview": lambda: ('preview', 'open_', {},
            context_of(STUDY, hospital.linked)),
        "Open in a Viewer": lambda: ('open_viewer', 'open_',
            {'start': {'viewer': 'explorer'}},
            context_of(STUDY, hospital.linked)),
        "Upload DICOM Files": lambda: ('upload_image_data', 'upload',
            {'start': {
                    'data_to_upload': variant('MR_small.dcm'),
                    'server_config': hospital.server}}, {}),
        "Link Studies": lambda: ('link_studies', 'link',
            {'start': {'studies': [make(STUDY).id]}},
            context_of(RESULT, make(RESULT).id)),
        "Link to Candidate": lambda: ('choose_candidate', 'choose', {},
            context_of(CANDIDATE, make(CANDIDATE).id)),
        "Delete on the Server": lambda: ('delete', 'remove',
            {'start': {'reason': "A test"}},
            context_of(SERIES, make(SERIES).id)),
        "Get New Studies": lambda: ('get_new_studies', 'update', {}, {}),
        "Full Synchronize": lambda: ('full_synchronize', 'synchronize',
            {'start': {'servers': [hospital.server]}}, {}),
        "New Secret": lambda: ('notice_secret', 'made', {},
            context_of(SERVER, hospital.server)),
        "Add Orthanc Server": lambda: (
            'wizard.orthanc_new_connect', 'connect',
            {'start': {
                    name: value for name, value in server_values(9).items()
                    if not name.endswith('timeout')}}, {}),
        }[row]()
    return f'{WIZARD}.{name}', state, data, context


@cells("Wizards")
def test_wizards(hospital, users, row, group, cell):
    with hospital.transaction():
        name, state, data, context = made = _untouched.take(
            f'wizard {row}', lambda: steps(hospital, row))
    rpc = users[group]
    if cell:
        rpc.run_wizard(name, [(state, data)], **context)
        return
    before = hospital.log()
    for context in [
            context, {}, {**context, 'action_id': 1}, {'action_id': 1}]:
        try:
            session, *_ = rpc(f'wizard.{name}.create', **context)
        except RpcError as error:
            assert rights_are_missing(error), error
            session = 1
        assert refused(
            rpc, f'wizard.{name}.execute', session, data, state, **context)
    assert hospital.log() == before
    _untouched[f'wizard {row}'] = made


@cells("Menus")
def test_menus(hospital, users, row, group, cell):
    with hospital.transaction():
        menu = Pool().get('ir.ui.menu')(Pool().get('ir.model.data').get_id(
                'health_orthanc', MENUS[row]))
        ids = []
        while menu:
            ids.append(menu.id)
            menu = menu.parent
    seen = users[group]('model.ir.ui.menu.search', [('id', 'in', ids)])
    assert (set(seen) == set(ids)) == bool(cell)


@pytest.mark.parametrize('group', [
        group for row, group, cell in matrix("Wizards")
        if row == "Preview" and cell])
def test_forms_open_for_those_who_may(hospital, users, group):
    "What a form shows of other models is readable too."
    rpc = users[group]
    for model, id_ in [
            (STUDY, hospital.linked),
            (SERIES, hospital.series(hospital.linked)[0]),
            (INSTANCE, hospital.instances(hospital.linked)[0])]:
        for kind in ['tree', 'form']:
            view = rpc(f'model.{model}.fields_view_get', None, kind)
            names = list(view['fields'])
            names += [
                f'{n}.rec_name' for n, f in view['fields'].items()
                if f['type'] == 'many2one']
            row, = rpc(f'model.{model}.read', [id_], names)
            assert row['id'] == id_


def test_pictures_are_for_readers_only(hospital, users):
    ids = hospital.instances(hospital.linked)
    readers = {
        group for row, group, cell in
        matrix("Models: read, write, create, delete")
        if row == "Images" and cell}
    for group, rpc in users.items():
        for name in ['image', 'thumbnail', 'no_image', 'in_report']:
            assert refused(rpc, f'model.{INSTANCE}.read', ids, [name]) == (
                group not in readers)


def test_nobody_edits_the_logs(hospital, users):
    with hospital.transaction():
        ids = {name: make(name).id for name in [
                LOG, 'gnuhealth.orthanc.link_log']}
    for rpc in users.values():
        for name, id_ in ids.items():
            for method, arguments in [
                    ('write', [[id_], {'action': 'link'}]),
                    ('delete', [[id_]]),
                    ('copy', [[id_]]),
                    ('create', [[{'action': 'link'}]]),
                    ('import_data', [['action'], [['link']]]),
                    ]:
                assert refused(rpc, f'model.{name}.{method}', *arguments)
        # Nor by way of the study that they hang on.
        with pytest.raises(RpcError):
            rpc(f'model.{STUDY}.write', [hospital.linked], {
                    'link_log': [('delete', [ids[
                                    'gnuhealth.orthanc.link_log']])]})
    assert all(hospital.read(name, id_, 'id') for name, id_ in ids.items())
