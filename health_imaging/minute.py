# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates with times to the minute, and lengths of time, as people read them."""
import datetime as dt

from babel import Locale, UnknownLocaleError
from babel.dates import TIMEDELTA_UNITS, format_timedelta

from trytond.model import fields
from trytond.transaction import Transaction


class Minute(fields.DateTime):
    """A date and time that is stored to the second and read to the minute.

    A client that shows no seconds must not get any: it takes what it shows
    for a change, and would ask to save records that nobody changed.
    """

    def __init__(self, string='', **options):
        super().__init__(string, format='%H:%M', **options)

    def get(self, ids, model, name, values=None):
        """Return the times without their seconds, by id.

        :param model: their class
        :param str name: name of the field
        :param values: rows of the records
        """
        return {
            row['id']: whole(row[name]) for row in values or []}


def now():
    """Return the time in UTC, to the second as records keep it."""
    return dt.datetime.now().replace(microsecond=0)


def whole(moment):
    """Return a datetime, or None, without its seconds."""
    return moment and moment.replace(second=0, microsecond=0)


def in_words(count, unit, **options):
    """Return a length of time in the language of the user, such as "2 years".

    :param int count: how many, below 0: in the past
    :param str unit: minute, hour, day, month or year
    :param options: of babel.dates.format_timedelta
    """
    try:
        locale = Locale.parse(Transaction().language)
    except (UnknownLocaleError, ValueError):
        locale = Locale('en')
    length = dt.timedelta(seconds=count * dict(TIMEDELTA_UNITS)[unit])
    return format_timedelta(
        length, granularity=unit, threshold=1, locale=locale, **options)
