#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry over to the Orthanc studies of today what people linked by hand in
GNU Health 4.4 and before.  Run it with -h for a manual.
"""
import csv
import os
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'imaging'))

from command_line import (  # noqa: E402
    CONNECTION_HELP, DONE, EXIT_STATUSES, FOLDER, SOME_FAILED, Failure,
    Unreachable, make_parser, read_server, run, stop_on_signals)
from connection import Trytond  # noqa: E402
from files import open_own  # noqa: E402

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
    parser.set_defaults(seconds=None)
    parser.add_argument('-n', '--dry-run', action='store_true',
        help="change nothing, only tell what would be done")
    parser.add_argument('--csv', metavar='FILE',
        help="write the report there as well, one line for each link")
    return parser


class Migration:
    """The work of one run.

    :param trytond: a Trytond
    :param report: csv.DictWriter, or None
    """

    def __init__(self, trytond, messages, report, dry_run):
        self.trytond = trytond
        self.messages = messages
        self.report = report
        self.dry_run = dry_run
        self.counts = Counter()

    def __call__(self):
        "Carry over everything; return whether nothing was skipped."
        missing = self._call('missing_synchronizations')
        for label in missing:
            self.messages.error(f"The server \"{label}\" was never "
                "synchronised in full: its studies may not be there yet.")
        for kind in ['study', 'patient']:
            self._carry_over(kind)
        self._tell()
        return not any(OUTCOMES[o][1] for o in self.counts)

    def _carry_over(self, kind):
        after = 0
        while after is not None:
            answer = self._call(
                'carry_over_links', kind, after, BLOCK, self.dry_run)
            try:
                after, rows = answer['next'], answer['rows']
                for row in rows:
                    self._tell_row(row)
            except (TypeError, KeyError):
                raise Unreachable("The answer of GNU Health cannot be "
                    f"understood: its module {MODULE} does not fit to this "
                    "script.")

    def _call(self, method, *arguments):
        return self.trytond.call(MODEL, method, *arguments)

    def _tell_row(self, row):
        outcome = row['outcome']
        self.counts[outcome] += 1
        if self.report and outcome != 'not_linked':
            self.report.writerow({
                    name: safe_cell(row.get(name)) for name in COLUMNS})
        text = describe(row)
        if OUTCOMES[outcome][1]:
            self.messages.info(text)
        else:
            self.messages.detail(text)

    def _tell(self):
        would = "It would be so: " if self.dry_run else ''
        for outcome, (text, _) in OUTCOMES.items():
            if self.counts[outcome]:
                self.messages.info(f"{would}{self.counts[outcome]} {text}")
        if not self.counts:
            self.messages.info("There is nothing from before 5.0.")


def describe(row):
    "Return a row of the report as text."
    text = f"{row['kind']} {row['orthanc_id']}"
    if row['server']:
        text += f" on {row['server']}"
    for name, what in [('patient', "patient"), ('result', "result")]:
        if row[name]:
            text += f", {what} {row[name]}"
    text += f": {OUTCOMES[row['outcome']][0]}"
    has = ', '.join(
        f"{what} {row[name]}" for name, what in [
            ('has_patient', "patient"), ('has_result', "result")]
        if row[name])
    return f"{text} ({has})" if row['outcome'] == 'conflict' else text


def safe_cell(value):
    "Return a value as a cell that no spreadsheet takes for a formula."
    text = '' if value is None else str(value)
    return f"'{text}" if text[:1] in {'=', '+', '-', '@', '\t', '\r'} \
        else text


class NoReport(Failure):
    "The report cannot be written."
    status = FOLDER


def open_report(name):
    """Return the file of the report, for its owner only: it names patients.

    :raises NoReport: it cannot be written
    """
    if not name:
        return nullcontext()
    try:
        descriptor = open_own(name, os.O_WRONLY | os.O_CREAT)
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        return open(descriptor, 'w', newline='', encoding='utf-8')
    except OSError as error:
        raise NoReport(f"The report \"{name}\" cannot be written: "
            f"{error.strerror}.")


def work(options, messages):
    "Do what the options say; return the exit status."
    server = read_server(options)
    stop_on_signals()
    trytond = Trytond(server, MODULE)
    try:
        trytond.connect()
        with open_report(options.csv) as file:
            report = csv.DictWriter(file, COLUMNS) if file else None
            if report:
                report.writeheader()
            migration = Migration(
                trytond, messages, report, options.dry_run)
            complete = migration()
    except OSError as error:
        raise NoReport(f"The report cannot be written: {error.strerror}.")
    finally:
        trytond.close()
    return DONE if complete else SOME_FAILED


def main(arguments=None):
    "Run the script; return its exit status."
    return run(make_options(), work, arguments)


if __name__ == '__main__':
    sys.exit(main())
