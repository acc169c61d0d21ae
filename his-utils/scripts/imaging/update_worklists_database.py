#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish the requested exams of GNU Health as worklist entries of an Orthanc
server, so that modalities find their patients.  Run it with -h for a manual.

``worklist_entries`` reads what GNU Health sends, ``worklist_folder`` and
``worklist_rest`` are where entries go, ``worklist_publisher`` decides what is
written, and ``worklist_check`` explains what is wrong.
"""
import logging
import os
import shutil
import sys
import warnings

from command_line import (
    CONNECTION_HELP, DONE, EXIT_STATUSES, SOME_FAILED, UsageFailure, clean_url,
    make_parser, positive, read_authorities, read_password, repeat, run)
from connection import Orthanc, Trytond
from worklist_check import check
from worklist_entries import MODULE, make_maker
from worklist_folder import Folder
from worklist_publisher import FULL_EVERY, Publisher, Update
from worklist_query import need_pynetdicom
from worklist_rest import RestWorklist

MODEL = 'gnuhealth.imaging.test.request'

DESCRIPTION = """\
Publish the requested exams of GNU Health as DICOM worklist entries.

This runs on the computer of an Orthanc server, whose worklist plugin reads
the files of one folder.  For each requested exam there is one file,
gnuhealth-DATABASE-NUMBER.wl.  It is written when the exam is requested, again
when the patient or the request changes, and removed when the exam is done or
canceled.  Files that this script did not make are never touched."""

EPILOG = f"""\
files:
  A file appears complete or not at all, and is read and compared with the
  request before.  A mark in its first 128 bytes, which DICOM leaves free,
  tells that it was made by this script, for which database and from what.
  Orthanc 1.12.10 and later removes a file itself once its images are there
  (DeleteWorklistsOnStableStudy).  Therefore a file that vanished is not
  written again, unless its request changes, or with -r.  What was published
  is noted in .gnuhealth-worklist-DATABASE.json beside the files.
  An entry that can no longer be made correctly is removed and reported.

{CONNECTION_HELP}  ORTHANC_USER, ORTHANC_PASSWORD and ORTHANC_PASSWORD_FILE are
  the same for Orthanc.

{EXIT_STATUSES.format(
    usage='',
    folder=''': it is missing, full, not writable, or
     another instance of this script works on it''')}
examples:
  Once, for the database "health" on this computer:
    %(prog)s -d health -u worklist --password-file ~/.health
  As a service, looking for changes every second, over https:
    %(prog)s --url https://his.example.org -d health -u worklist \\
      --password-file /etc/gnuhealth/worklist -s 1
  The two CT scanners only, in another folder:
    %(prog)s -d health --aet CT1 --aet CT2 -w /srv/worklists/ct
  Why does the modality see nothing, or broken names?
    %(prog)s -d health --check --orthanc-url http://localhost:8042
"""


def make_options():
    "Return the parser of the command line."
    parser = make_parser(DESCRIPTION, EPILOG)
    add = parser.add_argument
    add('-w', '--worklists-db', metavar='FOLDER',
        default='/var/lib/orthanc/worklists',
        help="folder of the worklist files (default: %(default)s)")
    add('-r', '--regenerate', action='store_true',
        help="write all entries again, also those that vanished")
    add('-m', '--handle-done-state', action='store_true',
        help="also publish requests that are done but have no images yet")
    add('-s', '--seconds', type=positive,
        help="do not end: look for changes every so many seconds")
    add('--full-every', type=positive, default=FULL_EVERY,
        metavar='SECONDS', help="compare everything every so many seconds, "
        "with -s (default: %(default)s)")
    add('--aet', action='append', default=[], metavar='TITLE',
        help="only entries for this AE title; may be repeated")
    add('--modality', action='append', default=[], metavar='CODE',
        help="only entries of this modality, such as CT; may be repeated")
    add('--dry-run', action='store_true',
        help="change nothing, only tell what would be done")
    add('--with-dump2dcm', action='store_true',
        help="make the files of dump2dcm templates with dcmtk's dump2dcm, "
        "not from the data set that GNU Health sends")
    add = parser.add_argument_group("Orthanc").add_argument
    add('--orthanc-url', metavar='URL', help="send the entries to the REST "
        "API of Orthanc 1.12.10 or later, write no files")
    add('--orthanc-user', metavar='USER', help="login in Orthanc")
    add('--orthanc-password-file', metavar='FILE',
        help="file whose first line is its password")
    add('--check', action='store_true', help="publish nothing, but ask "
        "Orthanc (--orthanc-url, default: http://localhost:8042) what a "
        "modality would see, and explain what is wrong")
    add('--dicom-port', type=int, metavar='PORT', help="where --check asks "
        "as modalities do (default: what Orthanc tells)")
    return parser


def _make_orthanc(options):
    "Return the Orthanc of the options, None without one; UsageFailure."
    url = options.orthanc_url or (options.check and 'http://localhost:8042')
    if not url:
        return
    url = clean_url(url, '--orthanc-url')
    authorities = read_authorities(
        url, options.ca_file or os.environ.get('GNUHEALTH_CA_FILE'))
    user = options.orthanc_user or os.environ.get('ORTHANC_USER')
    password = read_password(
        options.orthanc_password_file, 'ORTHANC', os.environ)
    return Orthanc(url, user, password, authorities, options.timeout)


def _require(options):
    "Raise UsageFailure when something that is needed is not installed."
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise UsageFailure("The Python package pydicom is missing: pip "
            "install \"pydicom>=3,<4\".")
    # What it warns of has names of patients.
    logging.getLogger('pydicom').setLevel(logging.CRITICAL + 1)
    warnings.simplefilter('ignore')
    if options.check:
        need_pynetdicom()
    if options.with_dump2dcm and not shutil.which('dump2dcm'):
        raise UsageFailure("The program dump2dcm is missing: install dcmtk, "
            "or leave out --with-dump2dcm.")


def work(options, server, messages):
    "Do what the options say; return the exit status."
    _require(options)
    orthanc = _make_orthanc(options)
    filters = {'aetitles': options.aet, 'modalities': options.modality,
        'text': options.with_dump2dcm}
    if options.handle_done_state:
        filters['done'] = True
    with Trytond(server, MODULE) as trytond:
        def fetch(cursor, known):
            return trytond.call(MODEL, 'get_worklist_entries', cursor, {
                    **filters, 'known': known})

        if options.check:
            answer = fetch(None, {})
            exams = trytond.call(MODEL, 'get_worklist_exams')
            return check(options, server, orthanc, answer, exams, messages)
        target = (
            RestWorklist(orthanc, server.database, options.dry_run)
            if orthanc else
            Folder(options.worklists_db, server.database, options.dry_run))
        return _publish(options, server, target, fetch, messages)


def _publish(options, server, target, fetch, messages):
    "Publish once or, with -s, for ever; return the exit status."
    target.open()
    older = target.older()
    if older:
        messages.info(f"{older} files in {target.where} seem to be of an "
            "older version of this script: modalities see them too, remove "
            "them when they are no longer needed.")
    update = Update(
        fetch, Publisher(
            target, server.database,
            make_maker(options.with_dump2dcm), messages),
        messages, options.regenerate, options.full_every, options.dry_run)
    try:
        if options.seconds:
            repeat(update, options.seconds, messages)
        update()
    finally:
        target.close()
    return SOME_FAILED if update.report['failed'] else DONE


def main(arguments=None):
    "Run the script; return its exit status."
    return run(make_options(), work, arguments)


if __name__ == '__main__':
    sys.exit(main())
