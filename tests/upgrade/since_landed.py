# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an upgrade from the last landed state adds and changes, the one place
that says so: a new stored field is named here, and what it holds for rows that
were there."""

#: How many rows there are more, by table.
ADDED = {
    # One for each AE title of exams.
    'gnuhealth_imaging_worklist_machine': 3,
    'gnuhealth_imaging_worklist_exam-machine': 3,
    }


def filled(before, after):
    """Return what new columns hold: dicts of values by id, by table and
    column. Those that are empty, zero or false are not named.

    :param before: the tables before the upgrade
    :param after: the tables after it
    """
    exams = 'gnuhealth_imaging_test'
    machines = {
        row['exam']: row['machine'] for row in after[
            'gnuhealth_imaging_worklist_exam-machine'].values()}
    requests = before['gnuhealth_imaging_test_request']
    return {
        # The days for which a creatinine is valid.
        (exams, 'creatinine_days'): dict.fromkeys(before[exams], 30),
        # Open requests get the machine of their exam.
        ('gnuhealth_imaging_test_request', 'machine'): {
            id_: machines[row['requested_test']]
            for id_, row in requests.items()
            if row['state'] in {'draft', 'requested'}},
        }


def changed(made):
    """Return table, id and column of what changes of the rows that were there.

    :param made: what the filler said
    """
    return set()
