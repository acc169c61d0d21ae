# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an upgrade from the last landed state adds and changes, the one place
that says so: a new stored field is named here, and what it holds for rows that
were there."""

#: How many rows there are more, by table.
ADDED = {}


def filled(before, after):
    """Return what new columns hold: dicts of values by id, by table and
    column. Those that are empty, zero or false are not named.

    :param before: the tables before the upgrade
    :param after: the tables after it
    """
    return {}


def changed(made):
    """Return table, id and column of what changes of the rows that were there.

    :param made: what the filler said
    """
    return set()
