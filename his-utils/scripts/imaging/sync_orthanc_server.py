#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make GNU Health read what is new on its Orthanc servers, now or again and
again.  Run it with -h for a manual.
"""
import contextlib
import sys
import threading

from command_line import (
    CONNECTION_HELP, DONE, EXIT_STATUSES, SOME_FAILED, Failure, Unreachable,
    UsageFailure, make_parser, one_line, positive, read_server, repeat, run,
    stop_on_signals)
from connection import Trytond

MODEL = 'gnuhealth.orthanc.config'
RUNS = 'gnuhealth.orthanc.sync_run'
MODULE = 'health_orthanc'
# The first synchronisation of a large archive takes hours.
LONGEST_SECONDS = 24 * 60 * 60

DESCRIPTION = """\
Synchronise GNU Health with its Orthanc servers.

The servers are those of the menu Health > Configuration > Medical Imaging >
Orthanc, where the scheduled action does the same every few minutes.  This
script does it at once and tells what was done."""

EPILOG = f"""\
{CONNECTION_HELP}
{EXIT_STATUSES.format(
    usage=', or a label is not found (then nothing is done)',
    folder=' (not used here)').replace('entries', 'servers')}
examples:
  One server:
    %(prog)s -d health -u sync --password-file ~/.health -l "Main PACS"
  All active servers, every two minutes:
    %(prog)s -d health -u sync --password-file ~/.health --all -s 120
"""


def make_options():
    "Return the parser of the command line."
    parser = make_parser(DESCRIPTION, EPILOG)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument('-l', '--label', action='append', dest='labels',
        help="label of a server; may be repeated")
    which.add_argument('--all', action='store_true',
        help="all active and validated servers")
    parser.add_argument('-s', '--seconds', type=positive,
        help="do not end: synchronise every so many seconds")
    return parser


class Synchronization:
    """One synchronisation of the servers that the user named.

    :param trytond: a Trytond
    :param labels: list of str, None for all servers
    :param progress: whether progress is shown, for terminals
    """

    def __init__(self, trytond, labels, messages, progress=False):
        self.trytond = trytond
        self.labels = labels
        self.messages = messages
        self.progress = progress
        self.failed = False
        self._checked = labels is None

    def __call__(self):
        "Do it; raise Failure when nothing could be done."
        if not self._checked:
            self._check_labels()
            self._checked = True
        with (Progress(self.trytond.server) if self.progress
                else contextlib.nullcontext()):
            results = self.trytond.call(
                MODEL, 'sync_now', self.labels,
                limit=LONGEST_SECONDS, silence=LONGEST_SECONDS)
        self._tell(results)

    def _check_labels(self):
        "Raise UsageFailure when a label is unknown."
        servers = self.trytond.call(
            MODEL, 'search_read', [('active', 'in', [True, False])], 0, None,
            None, ['label'])
        known = [server['label'] for server in servers]
        missing = set(self.labels) - set(known)
        if missing:
            raise UsageFailure(f"There is no Orthanc server {_list(missing)}."
                f" The labels are: {_list(known) or 'none'}.")

    def _tell(self, results):
        self.failed = False
        try:
            told = {result['label'] for result in results}
            missing = {result['label'] for result in results
                if result.get('found') is False}
            if missing:
                raise UsageFailure(
                    f"There is no active Orthanc server {_list(missing)}.")
            for result in results:
                self._tell_one(result)
        except (TypeError, KeyError, AttributeError):
            raise Unreachable("The answer of GNU Health cannot be "
                f"understood: its module {MODULE} does not fit to this "
                "script.")
        for label in self.labels or []:
            if label not in told:
                self.failed = True
                self.messages.error(
                    f"{label}: not synchronised, is it active?")
        if not (results or self.labels):
            self.messages.info("There is no active and validated server.")

    def _tell_one(self, result):
        counts = describe(result.get('run') or result)
        text = f"{result['label']}: {result.get('state') or 'no run'}"
        if result.get('error'):
            text = f"{text}: {result['error']}"
        if result.get('error') or result.get('state') != 'done':
            self.failed = True
            self.messages.error(f"{text}{counts}")
        else:
            self.messages.info(f"{text}{counts}")


def _list(labels):
    return ', '.join(f'"{label}"' for label in sorted(labels))


def describe(counts):
    "Return the counts of a run that are not zero, as text."
    texts = [f"{name.replace('_', ' ')} {count}"
        for name, count in counts.items()
        if count and type(count) is int and name != 'id']
    return f" ({', '.join(texts)})" if texts else ''


class Progress:
    """Shows on a terminal how far the runs are, about once a second, while
    something is done in its context."""

    def __init__(self, server):
        self.server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._width = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._ended.set()
        self._thread.join(1)
        if self._width:
            self._print('')
            self._print('')

    def _show(self):
        # A connection of its own, as the other one waits for its answer.
        trytond = Trytond(self.server, MODULE)
        while not self._ended.wait(1):
            with contextlib.suppress(Failure):
                runs = trytond.call(
                    RUNS, 'search_read', [('state', '=', 'running')], 0, 5,
                    None, ['server.rec_name', 'done', 'total'], silence=5)
                self._print(', '.join(map(self._describe, runs)))
        trytond.close()

    def _describe(self, run):
        name = (run.get('server.') or {}).get('rec_name') or ''
        return f"{name} {run.get('done') or 0}/{run.get('total') or '?'}"

    def _print(self, text):
        text = one_line(text)[:70]
        print(f"\r{text.ljust(self._width)}", end='', file=sys.stderr,
            flush=True)
        self._width = len(text)


def work(options, messages):
    "Do what the options say; return the exit status."
    server = read_server(options)
    stop_on_signals()
    trytond = Trytond(server, MODULE)
    shown = messages.verbosity >= 0 and sys.stderr.isatty()
    synchronization = Synchronization(
        trytond, options.labels, messages, shown)
    try:
        if options.seconds:
            repeat(synchronization, options.seconds, messages)
        synchronization()
    finally:
        trytond.close()
    return SOME_FAILED if synchronization.failed else DONE


def main(arguments=None):
    "Run the script; return its exit status."
    return run(make_options(), work, arguments)


if __name__ == '__main__':
    sys.exit(main())
