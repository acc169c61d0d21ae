# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record of each model of the suite, values for their fields, and a user
with all roles to whom an administrator has given all rights, for tests that
try each of them."""
import datetime as dt
import itertools

from trytond.model import ModelSQL, fields
from trytond.pool import Pool

from .records import (
    PASSWORD, make_attachment, make_exam, make_institution, make_patient,
    make_professional, make_request, make_result, make_user)

PREFIXES = ('gnuhealth.imaging', 'gnuhealth.orthanc')
ROLES = [
    'health.group_health_doctor', 'health.group_health_admin',
    'health_imaging.group_health_imaging_reporting',
    'health_imaging.group_health_imaging_admin',
    'health_orthanc.group_imaging_orthanc',
    'health_orthanc.group_imaging_orthanc_admin']

_numbers = itertools.count(1)
_MAKE = {
    'gnuhealth.patient': make_patient,
    'gnuhealth.imaging.test': make_exam,
    'gnuhealth.healthprofessional': make_professional,
    'gnuhealth.imaging.test.request': make_request,
    'gnuhealth.imaging.test.result': make_result,
    'res.user': lambda: make_user(f'user{next(_numbers)}'),
    'ir.attachment': lambda: make_attachment(
        record('gnuhealth.imaging.test.result')),
    }
# Texts that are checked, by the end of the name of the field.
_TEXTS = {
    'domain': 'http://127.0.0.1:{}', 'proxy_domain': 'http://192.0.2.{}',
    'changed': '[[], []]', 'cause': 'people', 'charset': 'ISO_IR 100'}


def models():
    "Return the models of the suite that are stored, by name."
    return {
        name: Model for name, Model in Pool().iterobject()
        if name.startswith(PREFIXES) and issubclass(Model, ModelSQL)
        and not callable(getattr(Model, 'table_query', None))}


def make_user_of_all(login):
    "Make a user with all roles, after an administrator gave them all rights."
    pool = Pool()
    Access = pool.get('ir.model.access')
    Model = pool.get('ir.model')
    make_institution()
    user = make_user(login, *ROLES, 'res.group_admin', password=PASSWORD)
    make_professional(user)
    rights = [f'perm_{mode}' for mode in ['read', 'write', 'create', 'delete']]
    Access.create([
            {'model': model.id, **dict.fromkeys(rights, True)}
            for model in Model.search([
                    ('model', 'in', [*models(), 'ir.attachment'])])])
    return user


def record(model):
    "Return a record of a model, the first there is."
    Model = Pool().get(model)
    found = Model.search([], limit=1, order=[('id', 'ASC')])
    return found[0] if found else make(model)


def make(model):
    "Make a record of a model with what it needs."
    if model in _MAKE:
        return _MAKE[model]()
    Model = Pool().get(model)
    new, = Model.create([{
                name: value(model, name)
                for name, field in Model._fields.items()
                if field.required or name in {'start', 'password'}
                or isinstance(field, fields.Selection)}])
    return new


def value(model, name, other_than=None):
    """Return a value for a field, as over RPC.

    :param other_than: what it must not be
    """
    field = Pool().get(model)._fields[name]
    field = getattr(field, '_field', field)
    number = next(_numbers)
    if isinstance(field, fields.Many2One):
        if other_than:
            return make(field.model_name).id
        return record(field.model_name).id
    if isinstance(field, fields.One2Many):
        return [('add', [record(field.model_name).id])]
    if isinstance(field, (fields.Selection, fields.MultiSelection)):
        choice = next(
            key for key, _ in reversed(field.selection)
            if key and key != other_than)
        return choice if isinstance(field, fields.Selection) else [choice]
    for kind, make_value in [
            (fields.Boolean, lambda: not other_than),
            (fields.DateTime, lambda: (
                    dt.datetime(2020, 1, 1) + dt.timedelta(minutes=number))),
            (fields.Date, lambda: dt.date(2020, 1, 1)),
            (fields.Time, lambda: dt.time(1, 2, 3)),
            (fields.TimeDelta, lambda: dt.timedelta(minutes=number)),
            (fields.Integer, lambda: 1 + number % 100)]:
        if isinstance(field, kind):
            return make_value()
    return _TEXTS.get(name, 'X{}').format(number)
