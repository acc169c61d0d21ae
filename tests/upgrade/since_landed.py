# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an upgrade from the last landed state adds and changes, the one place
that says so: a new stored field is named here, and what it holds for rows that
were there."""

RESULT = 'gnuhealth_imaging_test_result'
SERVER = 'gnuhealth_orthanc_config'

#: How many rows there are more, by table.
ADDED = {
    # The reasons for cancellation that the module brings.
    'gnuhealth_imaging_cancel_reason': 9,
    # The times for critical findings.
    'gnuhealth_imaging_configuration': 1,
    }


def filled(before, after):
    """Return what new columns hold: dicts of values by id, by table and
    column. Those that are empty, zero or false are not named.

    :param before: the tables before the upgrade
    :param after: the tables after it
    """
    return {
        (SERVER, 'run_hours'): dict.fromkeys(before[SERVER], 6),
        # What was signed before is no news.
        (RESULT, 'opened_at'): {
            id_: row['signed_at'] for id_, row in before[RESULT].items()
            if row['state'] == 'final'},
        }


def changed(made):
    """Return table, id and column of what changes of the rows that were there.

    :param made: what the filler said
    """
    return set()
