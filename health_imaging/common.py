# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several models of the imaging modules share: rights, guarded states,
the institution's local time and the age of a patient."""
import datetime as dt
import re

from dateutil.relativedelta import relativedelta
from sql import For, Literal

from trytond.i18n import gettext
from trytond.model import Workflow, fields
from trytond.model.exceptions import SQLConstraintError
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids, timezone
from trytond.transaction import Transaction, check_access, without_check_access

from .calls import CheckedCalls, check_words
from .exceptions import (
    KeptValueError, NothingSelectedError, ReasonMissingError, StateError)


def check_rights(model, *modes):
    """Raise AccessError unless the user has the rights on a model.

    It checks also where code runs without checks, as buttons and states of
    wizards do.

    :param str model: name of the model
    :param str modes: among 'read', 'write', 'create' and 'delete'
    """
    ModelAccess = Pool().get('ir.model.access')
    with check_access():
        for mode in modes:
            ModelAccess.check(model, mode)


def check_read(records):
    """Raise AccessError unless the user may read each of the records.

    :param records: at least one record, of one model
    """
    with check_access():
        type(records[0]).read([r.id for r in records], ['id'])


def selected_records(wizard, Model):
    """Return the records of a model that a wizard was started on.

    :raises NothingSelectedError: when there are none
    """
    records = wizard.records if wizard.model is Model else []
    if not records:
        raise NothingSelectedError(gettext(
                'health_imaging.msg_nothing_selected'))
    return list(dict.fromkeys(records))


def given_reason(start):
    """Return the reason that was typed in the first view of a wizard.

    :raises ReasonMissingError: when there is none
    """
    reason = (getattr(start, 'reason', None) or '').strip()
    if not reason:
        raise ReasonMissingError(gettext(
                'health_imaging.msg_reason_missing'))
    return reason


def execute(query):
    """Run a query of python-sql in the current transaction.

    :return: list of rows, empty for what is no select
    """
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor.fetchall() if cursor.description else []


def hold(records):
    """Keep others from changing records until the transaction ends.

    Unlike Model.lock it waits for its turn. When the records changed in the
    meantime the database ends the transaction, and trytond tries it again
    with what is there by then.

    :param records: records of one model
    """
    records = sorted(records)
    if not records or not Transaction().database.has_select_for():
        return
    table = type(records[0]).__table__()
    for ids in grouped_slice([r.id for r in records]):
        execute(table.select(
                Literal(1), where=reduce_ids(table.id, ids),
                order_by=table.id, for_=For('UPDATE')))


@without_check_access
def check_unique(records, name, message, domain=()):
    """Raise SQLConstraintError when a value is in two records.

    The database refuses it as well, but SQLite knows no constraints.

    :param records: records of one model
    :param str name: the field
    :param str message: id of the message, without parameters
    :param domain: which records count
    """
    values = {getattr(r, name) for r in records} - {None, ''}
    for some in grouped_slice(values):
        found = type(records[0]).search([
                (name, 'in', list(some)), *domain], order=[])
        if len(found) != len({getattr(r, name) for r in found}):
            raise SQLConstraintError(gettext(message))


def differs(record, name, value):
    """Return whether a value to write differs from what a record has.

    :param value: as in write, the id for a Many2One
    """
    current = getattr(record, name)
    current = getattr(current, 'id', current)
    return (current or None) != (getattr(value, 'id', value) or None)


def search_words(names, clause):
    """Return a domain that searches what a person typed in several fields.

    Each word may be in another field, so that what rec_name shows, or a part
    of it, finds the record.

    :param names: names of the fields
    :param clause: clause on rec_name
    """
    _, operator, value, *_ = clause
    values = [value]
    typed = re.fullmatch('%(.*)%', str(value), re.DOTALL)
    if operator == 'ilike' and typed:
        words = [w.strip(',;-') for w in typed[1].split()]
        words = dict.fromkeys(w for w in words if w)
        check_words(words)
        values = [f'%{w}%' for w in words] or values
    logic = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
    return [
        [logic, *((name, operator, value) for name in names)]
        for value in values]


def institution():
    """Return the institution of the user's company, or None.

    :rtype: gnuhealth.institution record
    """
    company = current_company()
    if not company:
        return None
    Institution = Pool().get('gnuhealth.institution')
    institutions = Institution.search(
        [('party', '=', company.party.id)], limit=1)
    return institutions[0] if institutions else None


def current_company():
    """Return the company of the context, else the user's, else the only one.

    Scripts and scheduled tasks have no company in their context, but a
    hospital has one.

    :rtype: company.company record or None
    """
    pool = Pool()
    Company = pool.get('company.company')
    User = pool.get('res.user')
    transaction = Transaction()
    company = transaction.context.get('company')
    if company:
        return Company(company)
    user = User(transaction.user)
    if transaction.user and user.company:
        return user.company
    companies = Company.search([], limit=2)
    return companies[0] if len(companies) == 1 else None


def institution_timezone():
    """Return the time zone of the institution, UTC when none is set.

    :rtype: datetime.tzinfo
    """
    company = current_company()
    if company and company.timezone:
        return timezone.get_tzinfo(company.timezone)
    return timezone.UTC


def local_datetime(value, zone=None):
    """Return a stored (naive, UTC) datetime in the institution's time zone."""
    moment = value.replace(tzinfo=timezone.UTC)
    try:
        return moment.astimezone(zone or institution_timezone())
    except OverflowError:
        # Beyond the first or the last day of the calendar.
        return moment


class AgedMixin:
    """Mixin of what has a patient and the date of an exam: the age then."""
    __slots__ = ()

    computed_age = fields.Function(
        fields.Char("Age", help="The age on the day of the exam."),
        'get_computed_age')

    @classmethod
    def get_computed_age(cls, records, name):
        zone = institution_timezone()
        return {r.id: r._age(zone) for r in records}

    @fields.depends('patient', 'date', '_parent_patient.dob')
    def on_change_with_computed_age(self):
        return self._age(institution_timezone())

    def _age(self, zone):
        if not self.patient or not self.date:
            return ''
        return age(self.patient.dob, local_datetime(self.date, zone))


def age(birth, at):
    """Return the age at a date in the user's language, such as "34y 2m 3d".

    :param datetime.date birth: date of birth or None
    :param datetime.date at: the day, a datetime counts as its date
    :return: empty text when the birth is unknown or after the day
    """
    if isinstance(at, dt.datetime):
        at = at.date()
    if not birth or not at or birth > at:
        return ''
    delta = relativedelta(at, birth)
    return gettext('health_imaging.msg_age',
        years=delta.years, months=delta.months, days=delta.days)


class GuardedWorkflow(CheckedCalls, Workflow):
    """Workflow whose state moves along its transitions only.

    A button or a wizard may move the state. A plain create or write by a user
    may not, and nobody may leave the transitions.
    """
    __slots__ = ()

    # What buttons and wizards fill in, a user's create or write does not.
    _stamped = frozenset()
    # What a user may give to a new record, and not change later.
    _fixed = frozenset()

    @classmethod
    def _stamps(cls, state):
        """Return the values to write with a new state (who and when)."""
        return {}

    @classmethod
    def create(cls, vlist):
        initial = cls.default_state()
        vlist = [{**v, 'state': v.get('state') or initial} for v in vlist]
        if Transaction().check_access:
            cls._check_user_create(vlist, initial)
        return super().create(cls._completed(vlist))

    @classmethod
    def _completed(cls, vlist):
        """Return the values of new records with those that only the server
        gives. Other modules extend this."""
        return vlist

    @classmethod
    def _check_user_create(cls, vlist, initial):
        for values in vlist:
            if values['state'] != initial:
                raise StateError(gettext(
                        'health_imaging.msg_state_create',
                        **cls.__names__()))
            cls._check_kept(n for n in cls._stamped if values.get(n))

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        args = []
        for records, values in zip(actions, actions):
            if Transaction().check_access:
                cls._check_user_write(records, values)
            if 'state' in values:
                moved = cls._check_move(records, values['state'])
                args.extend(
                    (moved, {**values, **cls._stamps(values['state'])}))
                records = [r for r in records if r not in moved]
            args.extend((records, values))
        super().write(*args)

    @classmethod
    def _check_user_write(cls, records, values):
        names = (cls._stamped | cls._fixed) & values.keys()
        cls._check_kept(n for n in names
            if any(differs(r, n, values[n]) for r in records))

    @classmethod
    def _check_kept(cls, names):
        for name in names:
            raise KeptValueError(gettext(
                    'health_imaging.msg_kept_value', **cls.__names__(name)))

    @classmethod
    def _check_move(cls, records, state):
        """Return the records that a write moves to a state."""
        moved = [r for r in records if r.state != state]
        for record in moved:
            if (Transaction().check_access
                    or (record.state, state) not in cls._transitions):
                raise StateError(gettext(
                        'health_imaging.msg_state_move',
                        record=record.rec_name))
        return moved
