# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the records that the tests of the models need, inside a transaction:
an institution, people, exams and orders.  And users, who act inside it or
come through the web application as clients do."""
import base64
import datetime as dt
import io
import itertools
import json
import urllib.error
import urllib.request

from PIL import Image, ImageDraw
from werkzeug.test import Client

from trytond.modules.health_orthanc.links import events
from trytond.pool import Pool
from trytond.protocols.jsonrpc import JSONDecoder, JSONEncoder
from trytond.transaction import Transaction, without_check_access

PASSWORD = 'imaging-test-5'
#: Questions that people say yes to, unless a test is about them.
AGREED = (
    'imaging_sign', 'imaging_sign_checks', 'imaging_no_images',
    'imaging_link_differs', 'imaging_undo_link')

_counter = itertools.count(1)


@without_check_access
def make_institution(name="Hospital Santa Rosa", timezone='America/Lima'):
    """Make a company that is a health institution, chosen by the admin.

    :return: company.company record
    """
    pool = Pool()
    Company = pool.get('company.company')
    Currency = pool.get('currency.currency')
    Institution = pool.get('gnuhealth.institution')
    Party = pool.get('party.party')
    User = pool.get('res.user')
    party, = Party.create([{'name': name, 'is_institution': True}])
    currency, = Currency.create([{
                'name': 'Sol', 'symbol': 'S/', 'code': 'PEN',
                }])
    company, = Company.create([{
                'party': party.id, 'currency': currency.id,
                'timezone': timezone,
                }])
    Institution.create([{
                'party': party.id, 'code': f'I{next(_counter)}',
                'institution_type': 'hospital', 'public_level': 'public',
                }])
    User.write([User(1)], {
            'companies': [('add', [company.id])], 'company': company.id})
    return company


@without_check_access
def make_person(name="Ana", lastname="Betz", gender='f', dob=None, **values):
    """Make a person and return its party."""
    Party = Pool().get('party.party')
    person, = Party.create([{
                'name': name, 'lastname': lastname, 'gender': gender,
                'dob': dob, 'is_person': True, 'fed_country': 'XXX',
                'create_target': False, **values,
                }])
    return person


@without_check_access
def make_patient(name="Ana", lastname="Betz", gender='f',
        dob=dt.date(1985, 10, 4), **values):
    """Make a patient."""
    Patient = Pool().get('gnuhealth.patient')
    party = make_person(
        name, lastname, gender, dob, is_patient=True, **values)
    patient, = Patient.create([{'party': party.id}])
    return patient


@without_check_access
def make_patients(count, dob=dt.date(1985, 10, 4), **values):
    """Make patients of different names, at once as far as GNU Health can."""
    people = [
        make_person(f"Name{n}", f"Family{i}", dob=dob, is_patient=True,
            **values) for i, n in zip(range(count), _counter)]
    return Pool().get('gnuhealth.patient').create(
        [{'party': party.id} for party in people])


@without_check_access
def make_professional(user=None, name="Marcela", lastname="Cordara"):
    """Make a health professional, linked to a user when one is given."""
    Professional = Pool().get('gnuhealth.healthprofessional')
    party = make_person(name, lastname, is_healthprof=True,
        internal_user=user.id if user else None)
    professional, = Professional.create([{'party': party.id}])
    return professional


@without_check_access
def make_user(login, *groups, password=None):
    """Make a user in groups, given as "module.fs_id"."""
    pool = Pool()
    ModelData = pool.get('ir.model.data')
    User = pool.get('res.user')
    ids = [ModelData.get_id(*group.split('.')) for group in groups]
    values = {'name': login, 'login': login, 'groups': [('add', ids)]}
    if password:
        values['password'] = password
    user, = User.create([values])
    return user


def make_radiologist(password=None):
    "Make the user who reports images, a health professional."
    user = make_user('radiologist', 'health.group_health_doctor',
        'health_imaging.group_health_imaging',
        'health_imaging.group_health_imaging_reporting', password=password)
    make_professional(user, "Rosa", "Luna")
    return user


@without_check_access
def make_exam(name="Head CT", code=None, type_='ctscan', **values):
    """Make an exam of one of the shipped types, about whose patients nothing
    is asked."""
    pool = Pool()
    Exam = pool.get('gnuhealth.imaging.test')
    ModelData = pool.get('ir.model.data')
    exam, = Exam.create([{
                'name': name,
                'code': code or f'EX{next(_counter)}',
                'test_type': ModelData.get_id(
                    'health_imaging', f'gnuhealth_test_type_{type_}'),
                'product': ModelData.get_id(
                    'health_imaging', 'product_product_ctscancharges'),
                'question_optional': True,
                'unchecked_rules': ['pregnancy', 'duplicate'],
                **values,
                }])
    return exam


def make_hospital():
    """Make what most tests need: an institution, users by the name of their
    role, a doctor who is no user, a patient and an exam."""
    make_institution()
    make_professional()
    make_patient()
    make_exam()
    doctor = make_user('doctor', 'health.group_health_doctor')
    make_professional(doctor, "Hugo", "Meier")
    radiologist = make_user(
        'radiologist', 'health_imaging.group_health_imaging',
        'health_imaging.group_health_imaging_reporting')
    make_professional(radiologist, "Rosa", "Luna")
    make_user('technician', 'health_imaging.group_health_imaging')
    make_user('secretary', 'health_imaging.group_health_imaging_reporting')
    make_user('stranger')


def commit(make):
    """Run a function in a transaction of its own and return its value."""
    from trytond.tests.test_tryton import DB_NAME
    with Transaction().start(DB_NAME, 1):
        return make()


def user(login):
    """Return the user of a login."""
    user, = Pool().get('res.user').search([('login', '=', login)])
    return user


@without_check_access
def _any(model, make):
    """Return the first record of a model, made unless there is one."""
    records = Pool().get(model).search([], limit=1, order=[('id', 'ASC')])
    return records[0] if records else make()


def make_request(patient=None, exam=None, doctor=None, **values):
    """Make a draft request, of the first patient and so on unless given."""
    Request = Pool().get('gnuhealth.imaging.test.request')
    patient = patient or _any('gnuhealth.patient', make_patient)
    exam = exam or _any('gnuhealth.imaging.test', make_exam)
    doctor = doctor or _any('gnuhealth.healthprofessional', make_professional)
    request, = Request.create([{
                'patient': patient.id,
                'requested_test': exam.id,
                'doctor': doctor.id,
                **values,
                }])
    return request


def make_requested(**values):
    """Make a request that was sent."""
    request = make_request(**values)
    type(request).requested([request])
    return request


def shipped_reason(name='absent'):
    """Return the id of a reason for cancellation that the module brings."""
    ModelData = Pool().get('ir.model.data')
    return ModelData.get_id(
        'health_imaging', f'imaging_cancel_reason_{name}')


def make_result(request=None, **values):
    """Make a result, of a request that was sent unless one is given."""
    Request = Pool().get('gnuhealth.imaging.test.request')
    result, = Request.make_results([request or make_requested()])
    if values:
        type(result).write([result], values)
    return result


def make_final(professional_of, **values):
    """Make a result that was signed by a user."""
    result = make_result(**{'comment': "No fracture.", **values})
    with Transaction().set_user(professional_of.id), \
            Transaction().set_context(_skip_warnings=True):
        type(result).finalize([type(result)(result.id)])
    return type(result)(result.id)


def make_finding(result=None, tell=None, **values):
    """Make a critical finding, told to somebody who is no user unless a
    health professional is given."""
    Finding = Pool().get('gnuhealth.imaging.critical_finding')
    values = {'finding': "Free air.", 'urgency': 'minutes', **values}
    return Finding.report(result or make_result(),
        tell=tell or make_professional(), **values)


def make_attachment(resource, name='hand.png', data=None, **values):
    """Attach a file to a record, a picture unless data is given."""
    Attachment = Pool().get('ir.attachment')
    attachment, = Attachment.create([{
                'name': name, 'resource': str(resource), 'type': 'data',
                'data': make_picture() if data is None else data,
                **values,
                }])
    return attachment


def make_picture(text='', size=(120, 90), color='navy', kind='PNG',
        mode='RGB'):
    """Return the bytes of a picture with a text on it."""
    image = Image.new(mode, size, color)
    if text:
        ImageDraw.Draw(image).text((8, 8), text, fill='white')
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


def run_wizard(name, states, **context):
    """Run states of a wizard, as a client does.

    :param name: name of the wizard
    :param states: pairs of the name of a state and the data before it
    :return: what the last state returned
    """
    Wizard = Pool().get(name, type='wizard')
    with Transaction().set_context(**context):
        session, _, _ = Wizard.create()
        for state, data in states:
            # As over RPC: states run without checks, and get JSON.
            with without_check_access():
                result = Wizard.execute(session, _through_json(data), state)
        Wizard.delete(session)
    return result


def merge(source, destination):
    """Merge two people, as the wizard does.

    :param source: party.party record
    :param destination: party.party record that stays
    """
    run_wizard('party.replace', [('replace', {'ask': {
                    'source': source.id, 'destination': destination.id}})],
        **on(source))


def on(*records):
    """Return the context of a wizard that is started on records."""
    return {
        'active_model': records[0].__name__,
        'active_id': records[0].id,
        'active_ids': [r.id for r in records],
        }


def _through_json(value):
    return json.loads(
        json.dumps(value, cls=JSONEncoder), object_hook=JSONDecoder())


@without_check_access
def settle():
    """Decide on what changed in this transaction, as the queue does after it
    was committed."""
    Event = Pool().get('gnuhealth.orthanc.link_event')
    transaction = Transaction()
    for event in Event.search(
            [('decided_at', '=', None)], order=[('id', 'ASC')]):
        user, cause, studies = Event._read(event.id)
        with transaction.set_user(user):
            events.decide(studies, cause)
        Event._note_outcome(event.id, False)


class RpcError(Exception):
    """What the server refused.

    :ivar kind: such as "UserError", "UserWarning" or the text of an exception
    :ivar message: what the user sees
    """

    def __init__(self, kind, details=None):
        message = details[0] if isinstance(details, list) else details
        # A warning has its name first.
        if kind == 'UserWarning':
            self.name, message, *_ = details
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


class Rpc:
    """A user who comes through the web application.

    What he is to see must be committed.

    :param login: his login name
    :param url: of the database on a server, in this process without
    :param agrees: names of the warnings after which he goes on
    :ivar user: id of the user
    """

    def __init__(self, login, password=PASSWORD, url=None, agrees=AGREED):
        self._url = url
        self._agrees = agrees
        self._headers = {'Content-Type': 'application/json'}
        self.user, session, *_ = self._call(
            'common.db.login', [login, {'password': password}])
        token = base64.b64encode(f'{login}:{self.user}:{session}'.encode())
        self._headers['Authorization'] = f'Session {token.decode()}'
        self.context = self._call(
            'model.res.user.get_preferences', [True, {}])

    def __call__(self, method, *args, **context):
        """Call a method, such as "model.res.user.search"."""
        return self._call(method, [*args, {**self.context, **context}])

    def run_wizard(self, name, states, **context):
        """Run states of a wizard; see run_wizard."""
        session, _, _ = self(f'wizard.{name}.create', **context)
        for state, data in states:
            result = self(
                f'wizard.{name}.execute', session, data, state, **context)
        return result

    def _call(self, method, params):
        try:
            return self._ask(method, params)
        except RpcError as error:
            if (error.kind != 'UserWarning'
                    or error.name.split('.')[-1] not in self._agrees):
                raise
            # As the clients do after "Yes".
            self._ask('model.res.user.warning.skip',
                [error.name, False, self.context])
            return self._call(method, params)

    def _ask(self, method, params):
        status, answer = self._post(json.dumps(
                {'id': 1, 'method': method, 'params': params},
                cls=JSONEncoder).encode())
        if status != 200:
            raise RpcError(str(status))
        answer = json.loads(answer, object_hook=JSONDecoder())
        if 'error' in answer:
            raise RpcError(*answer['error'])
        return answer['result']

    def _post(self, body):
        if not self._url:
            from trytond.tests.test_tryton import DB_NAME
            from trytond.wsgi import app
            response = Client(app).post(
                f'/{DB_NAME}/', headers=self._headers, data=body)
            return response.status_code, response.get_data()
        request = urllib.request.Request(self._url, body, self._headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


def as_user(user, **context):
    """Return a context manager that acts as a user does over RPC, who goes on
    where the server warns."""
    return _AsUser(user, {'_skip_warnings': True, **context})


def as_asked(user, **context):
    """Return a context manager as as_user does, of a user who stops where the
    server warns."""
    return as_user(user, _skip_warnings=False, **context)


class _AsUser:

    def __init__(self, user, context):
        self.user = user
        self.context = context

    def __enter__(self):
        transaction = Transaction()
        self._user = transaction.set_user(self.user.id)
        self._user.__enter__()
        self._context = transaction.set_context(
            _check_access=True, **self.context)
        self._context.__enter__()
        return self.user

    def __exit__(self, *args):
        self._context.__exit__(*args)
        self._user.__exit__(*args)
