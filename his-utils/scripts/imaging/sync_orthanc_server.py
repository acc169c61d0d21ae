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
    CONNECTION_HELP, DONE, EXIT_STATUSES, SOME_FAILED, Failure, UsageFailure,
    make_parser, misfit, one_line, positive, repeat, run)
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


def synchronize(trytond, labels, messages):
    """Synchronise servers; return whether all was done.

    :param trytond: a Trytond
    :param labels: list of str, None for all servers
    :raises Failure: nothing could be done
    """
    if labels:
        _check_labels(trytond, labels)
    shown = messages.verbosity >= 0 and sys.stderr.isatty()
    with _progress(trytond.server) if shown else contextlib.nullcontext():
        results = trytond.call(
            MODEL, 'sync_now', labels, limit=LONGEST_SECONDS,
            silence=LONGEST_SECONDS)
    try:
        return _tell(results, labels or [], messages)
    except (TypeError, KeyError, AttributeError):
        raise misfit(MODULE)


def _check_labels(trytond, labels):
    servers = trytond.call(
        MODEL, 'search_read', [('active', 'in', [True, False])], 0, None,
        None, ['label'])
    known = [server['label'] for server in servers]
    missing = set(labels) - set(known)
    if missing:
        raise UsageFailure(f"There is no Orthanc server {_list(missing)}. "
            f"The labels are: {_list(known) or 'none'}.")


def _tell(results, labels, messages):
    "Print what was done; return whether that is all."
    missing = {result['label'] for result in results
        if result.get('found') is False}
    if missing:
        raise UsageFailure(
            f"There is no active Orthanc server {_list(missing)}.")
    complete = True
    for result in results:
        done = result.get('state') == 'done' and not result.get('error')
        complete &= done
        error = f": {result['error']}" if result.get('error') else ''
        (messages.info if done else messages.error)(
            f"{result['label']}: {result.get('state') or 'no run'}{error}"
            f"{_describe(result.get('run') or result)}")
    told = {result['label'] for result in results}
    for label in labels:
        if label not in told:
            complete = False
            messages.error(f"{label}: not synchronised, is it active?")
    if not (results or labels):
        messages.info("There is no active and validated server.")
    return complete


def _list(labels):
    return ', '.join(f'"{label}"' for label in sorted(labels))


def _describe(counts):
    "Return the counts of a run that are not zero, as text."
    texts = [f"{name.replace('_', ' ')} {count}"
        for name, count in counts.items()
        if count and type(count) is int and name != 'id']
    return f" ({', '.join(texts)})" if texts else ''


@contextlib.contextmanager
def _progress(server):
    "Show on a terminal how far the runs are, about once a second."
    ended = threading.Event()
    thread = threading.Thread(target=_show, args=[server, ended], daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1)
        _print('')
        print(end='\r', file=sys.stderr, flush=True)


def _show(server, ended):
    # A connection of its own, as the other one waits for its answer.
    with Trytond(server, MODULE) as trytond:
        while not ended.wait(1):
            with contextlib.suppress(Failure):
                runs = trytond.call(
                    RUNS, 'search_read', [('state', '=', 'running')], 0, 5,
                    None, ['server.rec_name', 'done', 'total'], silence=5)
                _print(', '.join(map(_describe_run, runs)))


def _print(text):
    print(f"\r{one_line(text)[:70]:70}", end='', file=sys.stderr, flush=True)


def _describe_run(run):
    name = (run.get('server.') or {}).get('rec_name') or ''
    return f"{name} {run.get('done') or 0}/{run.get('total') or '?'}"


def work(options, server, messages):
    "Do what the options say; return the exit status."
    with Trytond(server, MODULE) as trytond:
        def once():
            return synchronize(trytond, options.labels, messages)

        if options.seconds:
            repeat(once, options.seconds, messages)
        return DONE if once() else SOME_FAILED


def main(arguments=None):
    "Run the script; return its exit status."
    return run(make_options(), work, arguments)


if __name__ == '__main__':
    sys.exit(main())
