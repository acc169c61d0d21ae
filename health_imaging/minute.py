# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dates with times to the minute, as people read them."""
from trytond.model import fields


class Minute(fields.DateTime):
    """A date and time that is stored to the second and read to the minute.

    A client that shows no seconds must not get any: it takes what it shows
    for a change, and would ask to save records that nobody changed.
    """

    def __init__(self, string='', **options):
        super().__init__(string, format='%H:%M', **options)

    def get(self, ids, model, name, values=None):
        """Return the times without their seconds, by id.

        :param ids: ids of records
        :param model: their class
        :param str name: name of the field
        :param values: rows of the records
        """
        return {
            row['id']: whole(row[name]) for row in values or []}


def whole(moment):
    """Return a datetime without its seconds, or None.

    :param datetime.datetime moment: or None
    """
    return moment and moment.replace(second=0, microsecond=0)
