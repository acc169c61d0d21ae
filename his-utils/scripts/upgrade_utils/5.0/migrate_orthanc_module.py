#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry over to the Orthanc studies of today what people linked by hand in
GNU Health 4.4 and before.  Run it with -h for a manual."""
import csv
import os
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'imaging'))

from command_line import (  # noqa: E402
    CONNECTION_HELP, DONE, EXIT_STATUSES, SOME_FAILED, FolderFailure,
    make_parser, misfit, run)
from connection import Trytond  # noqa: E402
from files import rewrite_own  # noqa: E402

MODEL = 'gnuhealth.orthanc.study'
MODULE = 'health_orthanc'
BLOCK = 200
# What may become of a link, and whether a person should look at it.
OUTCOMES = {
    'linked': ("linked, and marked NEED TO VERIFY!", False),
    'already': ("linked so already", False),
    'not_linked': ("nobody had linked them", False),
    'not_there': ("skipped, the study is not there: synchronise the server "
        "in full, or the server lost it", True),
    'several': ("skipped, several studies may be meant", True),
    'conflict': ("skipped, the study is linked to something else", True),
    'rejected': ("skipped, a person left the study unlinked", True),
    'contradiction': ("skipped, the data of the patients contradict", True),
    }
COLUMNS = [
    'outcome', 'kind', 'former', 'orthanc_id', 'server', 'patient', 'result',
    'study', 'study_uid', 'has_patient', 'has_result']

DESCRIPTION = """\
Carry over what people linked by hand before GNU Health 5.0.

Up to 4.4 each Orthanc patient could be linked to a patient, and each Orthanc
study to a result.  Since 5.0 studies are other records.  This script gives
the studies of today the patients and results that their former records had.
A study is found by its Orthanc id on the same server, else by its study UID
and PatientID.

  1. Upgrade the database, and synchronise each server in full (menu Health >
     Medical Imaging > Orthanc > Full Synchronize).
  2. Run this script with --dry-run, and read what it would do.
  3. Run it without.  What it linked has the comment NEED TO VERIFY!

A link that is there is never replaced, but listed.  The script can be run
again, also after it was interrupted: what is linked already is left alone."""

EPILOG = f"""\
{CONNECTION_HELP}
rights:
  The user needs the right to change Orthanc servers and studies, such as the
  group Health Imaging Orthanc Administration gives.

{EXIT_STATUSES.format(
    usage='', folder=': the report cannot be written').replace(
    'some entries failed; what could be done was done',
    'some links were skipped; the others are carried over')}
examples:
  What would be done:
    %(prog)s -d health -u admin --password-file ~/.health --dry-run
  Do it, and keep the list for those who verify it:
    %(prog)s -d health -u admin --password-file ~/.health --csv links.csv
"""


def make_options():
    "Return the parser of the command line."
    parser = make_parser(DESCRIPTION, EPILOG)
    parser.add_argument('-n', '--dry-run', action='store_true',
        help="change nothing, only tell what would be done")
    parser.add_argument('--csv', metavar='FILE',
        help="write the report there as well, one line for each link")
    return parser


def carry_over(trytond, messages, report, dry_run):
    """Carry over everything; return whether nothing was skipped.

    :param trytond: a Trytond
    :param report: csv.DictWriter, or None
    """
    for label in trytond.call(MODEL, 'missing_synchronizations'):
        messages.error(f"The server \"{label}\" was never synchronised in "
            "full: its studies may not be there yet.")
    counts = Counter()
    for row in _rows(trytond, dry_run):
        outcome = row['outcome']
        counts[outcome] += 1
        if report and outcome != 'not_linked':
            report.writerow({
                    name: _safe_cell(row.get(name)) for name in COLUMNS})
        skipped = OUTCOMES[outcome][1]
        (messages.info if skipped else messages.detail)(_describe(row))
    would = "It would be so: " if dry_run else ''
    for outcome, (text, _) in OUTCOMES.items():
        if counts[outcome]:
            messages.info(f"{would}{counts[outcome]} {text}")
    if not counts:
        messages.info("There is nothing from before 5.0.")
    return not any(OUTCOMES[outcome][1] for outcome in counts)


def _rows(trytond, dry_run):
    "Carry over block by block, and yield what became of each link."
    for kind in ['study', 'patient']:
        after = 0
        while after is not None:
            answer = trytond.call(
                MODEL, 'carry_over_links', kind, after, BLOCK, dry_run)
            after = answer['next']
            yield from answer['rows']


def _describe(row):
    text = f"{row['kind']} {row['orthanc_id']}"
    if row['server']:
        text += f" on {row['server']}"
    for name in ['patient', 'result']:
        if row[name]:
            text += f", {name} {row[name]}"
    text += f": {OUTCOMES[row['outcome']][0]}"
    if row['outcome'] == 'conflict':
        has = [f"{name} {row[f'has_{name}']}"
            for name in ['patient', 'result'] if row[f'has_{name}']]
        text += f" ({', '.join(has)})"
    return text


def _safe_cell(value):
    "Return a value as a cell that no spreadsheet takes for a formula."
    text = '' if value is None else str(value)
    return f"'{text}" if text.startswith(
        ('=', '+', '-', '@', '\t', '\r')) else text


def _open_report(name):
    "Return the file of the report, for its owner only: it names patients."
    if not name:
        return nullcontext()
    try:
        file = rewrite_own(name)
        os.fchmod(file.fileno(), 0o600)
        return file
    except OSError as error:
        raise FolderFailure(f"The report \"{name}\" cannot be written: "
            f"{error.strerror}.")


def work(options, server, messages):
    "Do what the options say; return the exit status."
    with Trytond(server, MODULE) as trytond:
        trytond.connect()
        try:
            with _open_report(options.csv) as file:
                report = csv.DictWriter(file, COLUMNS) if file else None
                if report:
                    report.writeheader()
                complete = carry_over(
                    trytond, messages, report, options.dry_run)
        except OSError as error:
            raise FolderFailure(
                f"The report cannot be written: {error.strerror}.")
        except (TypeError, KeyError):
            raise misfit(MODULE)
    return DONE if complete else SOME_FAILED


def main(arguments=None):
    "Run the script; return its exit status."
    return run(make_options(), work, arguments)


if __name__ == '__main__':
    sys.exit(main())
