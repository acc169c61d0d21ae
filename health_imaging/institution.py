# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The institution of the user, its local time, and the age of a patient on the
day of an exam."""
import datetime as dt

from dateutil.relativedelta import relativedelta

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool
from trytond.tools import timezone
from trytond.transaction import Transaction


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
