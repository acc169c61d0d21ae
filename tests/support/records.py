# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the records that the tests of the models need, inside a transaction:
an institution, people, exams and orders."""
import datetime as dt
import itertools

from trytond.pool import Pool
from trytond.transaction import Transaction

_counter = itertools.count(1)


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
                'name': 'Sol', 'symbol': 'S/', 'code': f'P{next(_counter)}',
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


def make_person(name="Ana", lastname="Betz", gender='f', dob=None, **values):
    """Make a person and return its party."""
    Party = Pool().get('party.party')
    person, = Party.create([{
                'name': name, 'lastname': lastname, 'gender': gender,
                'dob': dob, 'is_person': True, 'fed_country': 'XXX',
                'create_target': False, **values,
                }])
    return person


def make_patient(name="Ana", lastname="Betz", gender='f',
        dob=dt.date(1985, 10, 4), **values):
    """Make a patient."""
    Patient = Pool().get('gnuhealth.patient')
    party = make_person(
        name, lastname, gender, dob, is_patient=True, **values)
    patient, = Patient.create([{'party': party.id}])
    return patient


def make_professional(user=None, name="Marcela", lastname="Cordara"):
    """Make a health professional, linked to a user when one is given."""
    Professional = Pool().get('gnuhealth.healthprofessional')
    party = make_person(name, lastname, is_healthprof=True,
        internal_user=user.id if user else None)
    professional, = Professional.create([{'party': party.id}])
    return professional


def make_user(login, *groups):
    """Make a user in groups, given as "module.fs_id"."""
    pool = Pool()
    ModelData = pool.get('ir.model.data')
    User = pool.get('res.user')
    ids = [ModelData.get_id(*group.split('.')) for group in groups]
    user, = User.create([{
                'name': login, 'login': login, 'groups': [('add', ids)],
                }])
    return user


def make_exam(name="Head CT", code=None, type_='ctscan', **values):
    """Make an exam of one of the shipped types."""
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
                **values,
                }])
    return exam


def make_request(patient=None, exam=None, doctor=None, **values):
    """Make a draft request."""
    Request = Pool().get('gnuhealth.imaging.test.request')
    request, = Request.create([{
                'patient': (patient or make_patient()).id,
                'requested_test': (exam or make_exam()).id,
                'doctor': (doctor or make_professional()).id,
                **values,
                }])
    return request


def as_user(user, **context):
    """Return a context manager that acts as a user does over RPC."""
    return _AsUser(user, context)


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
