# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of a report, in the order of the form and of the print."""

#: Names of the fields of a result.  Former releases have `comment` only, the
#: findings of today.
SECTIONS = ('technique', 'comparison', 'comment', 'impression')
#: What says something of the patient: a report needs one of them.
TOLD = ('impression', 'comment')


def is_written(record, names=SECTIONS):
    """Return whether one of some sections has a text.

    :param record: what has the sections as attributes
    :param names: of SECTIONS
    """
    return any((getattr(record, name) or '').strip() for name in names)


def first_line(record):
    """Return the first line that is written of the impression, else of the
    findings, None without.

    :param record: what has the sections as attributes
    :rtype: str
    """
    for name in TOLD:
        for line in (getattr(record, name) or '').splitlines():
            if line.strip():
                return line.strip()
