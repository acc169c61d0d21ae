# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Institution and time zone of the user, and age of a patient at an exam."""
import datetime as dt

from dateutil.relativedelta import relativedelta

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool
from trytond.tools import timezone
from trytond.transaction import Transaction


def institution():
    """Return the institution of the user's company, or None."""
    company = current_company()
    if not company:
        return None
    Institution = Pool().get('gnuhealth.institution')
    institutions = Institution.search(
        [('party', '=', company.party.id)], limit=1)
    return institutions[0] if institutions else None


def current_company():
    """Return the company of the context, of the user, or the only one.

    Scripts and scheduled tasks have no company in their context.

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
    """Return the time zone of the institution, UTC when none is set."""
    company = current_company()
    if company and company.timezone:
        return timezone.get_tzinfo(company.timezone)
    return timezone.UTC


def hospital_language():
    """Return the code of the language in which the hospital writes: that of
    its party, else that of the database.

    :rtype: str
    """
    company = current_company()
    if company and company.party.lang:
        return company.party.lang.code
    return Pool().get('ir.configuration').get_language()


def local_datetime(value, zone=None):
    """Return a datetime in the institution's time zone.

    :param datetime.datetime value: naive, UTC
    :param datetime.tzinfo zone: time zone, that of the institution by default
    :return: datetime with time zone, in UTC when it leaves the calendar
    """
    moment = value.replace(tzinfo=timezone.UTC)
    try:
        return moment.astimezone(zone or institution_timezone())
    except OverflowError:
        # At the ends of the calendar.
        return moment


def local_text(value):
    """Return a stored date and time as the user reads it, in the
    institution's time zone.

    :param datetime.datetime value: naive, UTC
    :rtype: str
    """
    lang = Pool().get('ir.lang').get()
    return lang.strftime(local_datetime(value), f'{lang.date} %H:%M')


def utc_datetime(value, zone=None):
    """Return a local datetime as it is stored.

    :param datetime.datetime value: naive, in the time zone
    :param datetime.tzinfo zone: time zone, that of the institution by default
    :return: datetime, naive, UTC; the same when it leaves the calendar
    """
    try:
        return value.replace(tzinfo=zone or institution_timezone()) \
            .astimezone(timezone.UTC).replace(tzinfo=None)
    except OverflowError:
        # At the ends of the calendar.
        return value


class AgedMixin:
    """Mixin of records with patient and date: the age on that day."""
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
    """Return the age on a day in the user's language, such as "34y 2m 3d".

    :param datetime.date birth: date of birth or None
    :param datetime.date at: the day; of a datetime its date counts
    :return: str, empty when the birth is unknown or later than the day
    """
    if isinstance(at, dt.datetime):
        at = at.date()
    if not birth or not at or birth > at:
        return ''
    delta = relativedelta(at, birth)
    return gettext('health_imaging.msg_age',
        years=delta.years, months=delta.months, days=delta.days)
