# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several models of the imaging modules share: rights, guarded states,
the institution's local time and the age of a patient."""
import datetime as dt

from dateutil.relativedelta import relativedelta

from trytond.i18n import gettext
from trytond.model import Workflow
from trytond.pool import Pool
from trytond.tools import timezone
from trytond.transaction import Transaction, check_access

from .exceptions import StateError


def check_rights(model, *modes):
    """Raise AccessError unless the user has the rights on a model.

    Wizard states run without access checks, so a state that creates or
    changes records calls this first.

    :param str model: name of the model
    :param str modes: among 'read', 'write', 'create' and 'delete'
    """
    ModelAccess = Pool().get('ir.model.access')
    with check_access():
        for mode in modes:
            ModelAccess.check(model, mode)


def check_read(records):
    """Raise AccessError unless the user may read each of the records."""
    if not records:
        return
    with check_access():
        type(records[0]).read([r.id for r in records], ['id'])


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
    return value.replace(tzinfo=timezone.UTC).astimezone(
        zone or institution_timezone())


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


class GuardedWorkflow(Workflow):
    """Workflow whose state moves along its transitions only.

    A button or a wizard may move the state. A plain create or write by a user
    may not, and nobody may leave the transitions.
    """
    __slots__ = ()

    @classmethod
    def _stamps(cls, state):
        """Return the values to write with a new state (who and when)."""
        return {}

    @classmethod
    def create(cls, vlist):
        if Transaction().check_access:
            initial = cls.default_state()
            for values in vlist:
                if values.get('state') not in {None, initial}:
                    raise StateError(gettext(
                            'health_imaging.msg_state_create',
                            model=cls.__names__()['model']))
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        args = []
        for records, values in zip(actions, actions):
            if 'state' in values:
                moved = cls._check_move(records, values['state'])
                if moved:
                    values = {**values, **cls._stamps(values['state'])}
            args.extend((records, values))
        super().write(*args)

    @classmethod
    def _check_move(cls, records, state):
        moved = [r for r in records if r.state != state]
        for record in moved:
            if (Transaction().check_access
                    or (record.state, state) not in cls._transitions):
                raise StateError(gettext(
                        'health_imaging.msg_state_move',
                        record=record.rec_name))
        return moved
