#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answer modalities for GNU Health: their worklist, each in its own character
set, and what they tell of the exams they do.  Run it with -h for a manual.

``node_services`` speaks DICOM, ``node_worklist`` knows who may have what,
``node_matching`` what fits to a query, and ``node_store`` keeps it on disk.
"""
import argparse
import contextlib
import logging
import sys
import tempfile
import threading
import time
import warnings

from command_line import (
    CONNECTION_HELP, DONE, EXIT_STATUSES, LONGEST_PAUSE, SOME_FAILED, Failure,
    UsageFailure, check_signals, make_parser, misfit, positive, repeat, run)
from connection import ServerFailed, Trytond
from node_services import Services, describe_age
from node_store import Store
from node_worklist import MOST_ASKED, Worklist, load_letters, read_entry
from worklist_entries import MODULE, Entry, EntryFailure, ask, hash_of, read
from worklist_publisher import FULL_EVERY

REQUEST = 'gnuhealth.imaging.test.request'
MACHINE = 'gnuhealth.imaging_worklist.machine'
STEP = 'gnuhealth.imaging_worklist.performed_step'
#: The most messages that GNU Health gets at once.
MESSAGES_AT_ONCE = 100
#: So many messages that GNU Health fails at, and none that it takes, end a
#: round: it is GNU Health that is broken.
MOST_FAILURES = 20
#: Seconds until others are told how old the worklist is.
_TOLD_EVERY = 3600

DESCRIPTION = """\
Answer modalities for GNU Health, over DICOM.

- Modality Worklist (C-FIND): the requested exams of GNU Health, in the
  character set of each machine.
- Modality Performed Procedure Step (N-CREATE, N-SET): what machines tell of
  the exams that they begin and end goes to GNU Health.
- Verification (C-ECHO).

Only the machines that GNU Health lists may ask.  When GNU Health is away, the
last worklist is answered, and what machines tell waits on disk."""

EPILOG = f"""\
folder:
  --data has names of patients: it is for the user of this script only.  It is
  no part of a backup, and must not be put back from one: messages are told
  apart by their numbers there.  A new folder is filled by GNU Health.

{CONNECTION_HELP}
{EXIT_STATUSES.format(
    usage=', or the port cannot be used',
    folder=''': it is missing, full, not writable, or
     another node works on it''')}
examples:
  For the machines in the network of this computer's address:
    %(prog)s --url https://his.example.org -d health -u worklist \\
      --password-file /etc/gnuhealth/worklist --data /var/lib/gnuhealth-node \\
      --aet GNUHEALTH \
      --bind 192.0.2.10 --port 11112
  Which machines does GNU Health list, and what would they get?
    %(prog)s -d health -u worklist --check
"""


def whole(text):
    "Return text as a number above zero (argparse type), int."
    number = int(text)
    if not 0 < number < 65536:
        raise ValueError(text)
    return number


whole.__name__ = 'number from 1 to 65535'


def title(text):
    "Return text if it may be an AE title (argparse type)."
    if not (0 < len(text.strip()) <= 16 and text.isascii()
            and text.isprintable() and '\\' not in text):
        raise argparse.ArgumentTypeError(f"\"{text}\" is no AE title")
    return text.strip()


def make_options():
    "Return the parser of the command line."
    parser = make_parser(DESCRIPTION, EPILOG)
    add = parser.add_argument
    add('--data', metavar='DIR',
        help="folder for what is kept, of this script alone")
    add('-s', '--seconds', type=positive, default=5,
        help="look for changes every so many seconds (default: %(default)s)")
    add('--full-every', type=positive, default=FULL_EVERY, metavar='SECONDS',
        help="compare everything every so many seconds "
        "(default: %(default)s)")
    add('--max-age', type=float, default=24, metavar='HOURS',
        help="do not answer a worklist that is older, 0 for any age "
        "(default: %(default)s)")
    add('--check', action='store_true',
        help="listen to nobody, but print what each machine would get")
    # The port is that of this server, -p stays that of trytond.
    parser.conflict_handler = 'resolve'
    add = parser.add_argument_group("DICOM").add_argument
    add('--aet', type=title, default='GNUHEALTH', metavar='TITLE',
        help="AE title of this node; machines may call it otherwise "
        "(default: %(default)s)")
    add('--bind', default='127.0.0.1', metavar='ADDRESS',
        help="address to listen at, 0.0.0.0 for all (default: %(default)s)")
    add('--port', '--dicom-port', dest='dicom_port', type=whole, default=11112,
        metavar='PORT', help="port to listen at (default: %(default)s)")
    add('--associations', type=whole, default=50, metavar='NUMBER',
        help="most associations at once (default: %(default)s)")
    add('--idle', type=positive, default=60, metavar='SECONDS',
        help="end an association that is silent (default: %(default)s)")
    add('--tls-certificate', metavar='FILE',
        help="PEM file of the certificate for DICOM TLS")
    add('--tls-key', metavar='FILE',
        help="PEM file of its key, if that is another file")
    add('--tls-clients', metavar='FILE', help="PEM file of the authorities "
        "whose certificates machines must have")
    return parser


def _require():
    "Raise UsageFailure when something that is needed is not installed."
    try:
        import pydicom
        import pynetdicom  # noqa: F401
    except ImportError as error:
        raise UsageFailure(f"The Python package {error.name} is missing: pip "
            "install \"pydicom>=3,<4\" \"pynetdicom>=3,<4\".")
    # What it warns of has names of patients.
    logging.getLogger('pydicom').setLevel(logging.CRITICAL + 1)
    warnings.simplefilter('ignore')
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE


class Poll:
    """Looks at GNU Health, and keeps what it tells.

    :param trytond: connection.Trytond
    :param changed: function that is called when there are other machines
    """

    def __init__(self, trytond, store, worklist, messages,
            full_every=FULL_EVERY, changed=lambda: None):
        self.trytond = trytond
        self.store = store
        self.worklist = worklist
        self.messages = messages
        self.full_every = full_every
        self.changed = changed
        self._machines = store.machines() or None
        self._cursor = None
        self._full_at = self._told_at = 0
        self._files = store.entries()
        self._failed = {}
        self._restore()

    def _restore(self):
        "Take what was kept, until GNU Health is asked."
        entries = {}
        for id_, data in self._files.items():
            with contextlib.suppress(Exception):
                entries[id_] = read_entry(data)
        self.worklist.polled = self.store.polled
        self.worklist.change(entries, [])
        self.worklist.set_machines(self._machines or [])

    def __call__(self):
        "Do it; raise Failure when GNU Health does not answer."
        try:
            self._poll()
        except Failure as failure:
            if self.worklist.polled and time.monotonic() > self._told_at:
                self._told_at = time.monotonic() + _TOLD_EVERY
                self.messages.error("The worklist goes on as GNU Health told "
                    f"{describe_age(self.worklist.age)} ago: "
                    f"{len(self._files)} entries, "
                    f"{self.store.count_pending()} messages wait.")
            # Who has a worklist goes on with it, whatever GNU Health says.
            failure.temporary |= bool(self.worklist.polled)
            raise

    def _poll(self):
        cursor, self._cursor = self._cursor, None
        if time.monotonic() >= self._full_at:
            cursor = None
        machines = read_machines(self.trytond.call(MACHINE, 'get_machines'))
        answer = ask(lambda cursor, known: self.trytond.call(
                REQUEST, 'get_worklist_entries', cursor,
                {'known': known, 'text': False}),
            cursor, self._known)
        files, entries = self._read(answer['entries'])
        removed = self._removed(answer, files)
        self._keep(machines, files, entries, removed)
        if answer['full']:
            self._full_at = time.monotonic() + self.full_every
        self._cursor = answer['cursor']
        self._told_at = 0
        self._tell_asked()

    def _known(self, ids):
        "Return the begins of the digests of entries, those of ids or all."
        return {id_: hash_of(data)[:16] for id_, data in self._files.items()
            if ids is None or id_ in ids}

    def _read(self, values):
        "Return files and data sets of new and changed entries, by id."
        files, entries = {}, {}
        for value in values:
            check_signals()
            try:
                entry = Entry.read(value)
            except EntryFailure as error:
                self.messages.error(error)
                continue
            if entry.dicom and self._files.get(entry.id) == entry.dicom:
                files[entry.id] = entry.dicom
                continue
            try:
                entry.check()
                read(entry.dicom or b'', entry)
                entries[entry.id] = read_entry(entry.dicom)
                files[entry.id] = entry.dicom
                self._failed.pop(entry.id, None)
            except EntryFailure as error:
                reason = f"{entry.label}: {error.args[0]}"
                if self._failed.get(entry.id) != reason:
                    self.messages.error(reason)
                self._failed[entry.id] = reason
        return files, entries

    def _removed(self, answer, files):
        "Return the ids of entries that are no longer there."
        if answer['full']:
            return set(self._files) - set(files) - answer['same']
        told = {item.get('id') for item in answer['removed']
            if isinstance(item, dict)}
        failed = {value.get('id') for value in answer['entries']
            if isinstance(value, dict)} - set(files)
        return (told | failed) & set(self._files)

    def _keep(self, machines, files, entries, removed):
        now = time.time()
        other = machines != self._machines
        if (entries or removed or other
                or now - self.store.polled > LONGEST_PAUSE):
            self.store.keep(now, machines if other else None,
                {id_: files[id_] for id_ in entries}, removed)
        for id_ in removed:
            del self._files[id_]
        self._files.update((id_, files[id_]) for id_ in entries)
        self.worklist.polled = now
        if entries or removed:
            self.worklist.change(entries, removed)
            self.messages.detail(f"Worklist: {len(entries)} new or changed, "
                f"{len(removed)} removed, {len(self._files)} in all.")
        if other:
            self._machines = machines
            self.worklist.set_machines(machines)
            self.changed()
            self.messages.info(f"Machines: {len(machines)}.")

    def _tell_asked(self):
        asked = self.worklist.take_asked()
        if asked:
            self.trytond.call(
                MACHINE, 'note_asked', self.store.node, asked[:MOST_ASKED])


def read_machines(answer):
    "Return the answer of get_machines, by AE title; raise Unreachable."
    keys = ['ae_title', 'name', 'modality', 'charset']
    try:
        return sorted(
            ({key: str(machine.get(key) or '') for key in keys}
                for machine in answer if str(machine['ae_title']).strip()),
            key=lambda machine: machine['ae_title'])
    except (TypeError, KeyError, AttributeError):
        raise misfit(MODULE)


class Forwarder:
    """Sends the messages of machines to GNU Health, in their order, until it
    has them.

    :param make_trytond: function that returns a connection.Trytond
    """

    def __init__(self, make_trytond, store, messages):
        self.make_trytond = make_trytond
        self.store = store
        self.messages = messages
        self.wanted = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        "Begin, in a thread of its own."
        self._thread.start()

    def stop(self):
        "End soon; what is under way may be done again."
        self._stopping = True
        self.wanted.set()
        self._thread.join(5)

    def _run(self):
        wait, trouble = None, None
        with self.make_trytond() as trytond:
            while not self._stopping:
                self.wanted.clear()
                try:
                    left = self.round(trytond)
                    problem = "GNU Health does not keep them." if left else ''
                except Failure as failure:
                    left, problem = True, str(failure)
                except Exception as error:
                    # Its text may have the name of a patient.
                    left, problem = True, type(error).__name__
                if self._stopping:
                    break
                if problem and not trouble:
                    self.messages.error("Messages of machines wait, and are "
                        f"sent until they are taken: {problem}")
                elif trouble and not problem:
                    self.messages.error("GNU Health has all messages again.")
                trouble = problem
                wait = min(2 * (wait or .5), LONGEST_PAUSE) if left else None
                if left:
                    self._pause(wait)
                else:
                    self.wanted.wait(1)

    def _pause(self, seconds):
        "Wait, not disturbed by new messages, but by the end."
        end = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < end:
            time.sleep(min(.2, seconds))

    def round(self, trytond):
        """Send what there is, once; return whether something is left.

        What GNU Health does not keep does not stop what comes after it, but
        for messages of the same step.  No connection ends the round.

        :raises Failure: GNU Health does not answer, or always fails
        """
        last, held, failures = 0, set(), 0
        while not self._stopping:
            messages = self.store.pending(MESSAGES_AT_ONCE, last)
            if not messages:
                break
            last = messages[-1]['number']
            messages = [m for m in messages if m['uid'] not in held]
            try:
                self._give(trytond, messages, held)
            except ServerFailed:
                failures = self._give_singly(
                    trytond, messages, held, failures)
        return bool(held)

    def _give_singly(self, trytond, messages, held, failures):
        for message in messages:
            if message['uid'] in held:
                continue
            try:
                self._give(trytond, [message], held)
                failures = 0
            except ServerFailed:
                held.add(message['uid'])
                failures += 1
                if failures > MOST_FAILURES:
                    raise
        return failures

    def _give(self, trytond, messages, held):
        answer = trytond.call(STEP, 'receive', self.store.node, messages)
        if not isinstance(answer, list):
            raise misfit(MODULE)
        numbers = {n for n in answer if type(n) is int}
        self.store.forget(
            [m['number'] for m in messages if m['number'] in numbers])
        held |= {
            m['uid'] for m in messages if m['number'] not in numbers}


def _check(trytond, worklist, messages):
    "Print what each machine would get; return the exit status."
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        Poll(trytond, store, worklist, messages)()
        store.close()
    for name, machine in sorted(worklist.machines.items()):
        messages.info(f"{name}: {len(worklist.entries(name))} entries, "
            f"{machine.modality or 'any modality'}, "
            f"{machine.charset or 'character set of the template'}")
    messages.info(f"{len(worklist.machines)} machines, {worklist.size} "
        "entries.")
    return DONE if worklist.machines else SOME_FAILED


def _serve(options, server, trytond, worklist, messages):
    "Answer until a signal comes."
    store = Store(options.data)
    forwarder = Forwarder(
        lambda: Trytond(server, MODULE), store, messages)
    services = Services(
        store, worklist, messages, options, forwarder.wanted.set)
    poll = Poll(trytond, store, worklist, messages, options.full_every,
        services.let_in)
    services.start()
    messages.info(f"{options.aet} listens at {options.bind} port "
        f"{options.dicom_port}: {len(worklist.machines)} machines, "
        f"{worklist.size} entries, {store.count_pending()} messages wait.")
    forwarder.start()
    try:
        repeat(poll, options.seconds, messages)
    finally:
        services.stop()
        forwarder.stop()
        store.close()


def work(options, server, messages):
    "Do what the options say; return the exit status."
    _require()
    if not (options.data or options.check):
        raise UsageFailure("No folder is named: give --data.")
    options.max_age *= 3600
    worklist = Worklist(load_letters())
    with Trytond(server, MODULE) as trytond:
        if options.check:
            return _check(trytond, worklist, messages)
        return _serve(options, server, trytond, worklist, messages)


def main(arguments=None):
    "Run the script; return its exit status."
    return run(make_options(), work, arguments)


if __name__ == '__main__':
    sys.exit(main())
