# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a worklist equal to what GNU Health asks for: what is written again,
what is removed, and what is said of it."""
import contextlib
import time
from collections import Counter

from command_line import check_signals
from worklist_entries import Entry, EntryFailure, ask

FULL_EVERY = 300
OUTCOMES = {
    'new': "{} new",
    'changed': "{} changed",
    'unchanged': "{} unchanged",
    'removed': "{} removed",
    'held': "{} not published again after their removal",
    'failed': "{} failed",
    }


class Publisher:
    """Makes a worklist equal to what GNU Health asks for.

    :param target: a Folder or a RestWorklist
    :param make: function of an Entry that returns a function, which returns
        its DICOM file or raises EntryFailure, and the hash of what that is
        made from
    """

    def __init__(self, target, database, make, messages):
        self.target = target
        self.database = database
        self.make = make
        self.messages = messages
        # What was published in this run: names by id, ids by name.
        self._names = None
        self._owners = {}
        # The last failure of each id.
        self._told = {}
        # What GNU Health was last told to be known: names by id.
        self._known = {}

    def known(self, ids=None):
        """Return the begins of the digests of what is published as it should
        be, by id.

        :param ids: those that are asked for, None for all
        """
        found = self.target.known() if ids is None else self._look(ids)
        self._known = {id_: name for id_, (name, _) in found.items()}
        return {id_: source for id_, (_, source) in found.items()}

    def _look(self, ids):
        found = {}
        for id_, name in (self._names or {}).items():
            # What is in the way is told when it is published.
            with contextlib.suppress(EntryFailure):
                mark = self.target.look(name) if id_ in ids else None
                if mark and mark.id in {id_, None} and mark.intact:
                    found[id_] = name, mark.source
        return found

    def apply(self, answer, regenerate=False):
        """Publish what `ask` returned; return a Counter of OUTCOMES.

        :param regenerate: whether all entries are written again
        """
        report = Counter()
        entries = sorted(
            self._read(answer['entries'], report),
            key=lambda entry: entry.id)
        try:
            same = {id_: name for id_, name in self._known.items()
                if id_ in answer['same']}
            if answer['full'] or self._names is None:
                self._begin(entries, same, answer['full'], report)
            else:
                report['unchanged'] += len(same)
            self._withdraw(answer['removed'], report)
            for entry in entries:
                check_signals()
                self._publish(entry, regenerate, report)
        finally:
            self.target.flush()
        return report

    def _read(self, values, report):
        for value in values:
            try:
                yield Entry.read(value)
            except EntryFailure as error:
                self.messages.error(error)
                report['failed'] += 1

    def _begin(self, entries, same, full, report):
        "See what is there, and remove what is not asked for."
        there = self.target.refresh()
        self._names, self._owners = {}, {}
        if not full:
            return
        ids = {*same, *(entry.id for entry in entries)}
        self.target.keep_only(ids)
        wanted = {entry.name(self.database) for entry in entries}
        wanted.update(same.values())
        self._names.update(same)
        for id_, name in same.items():
            self._owners[name] = id_
            report['unchanged' if name in there else 'held'] += 1
        for name in sorted(set(there) - wanted):
            self._remove(name, report)
        self._told = {
            id_: told for id_, told in self._told.items() if id_ in ids}

    def _withdraw(self, removed, report):
        ids = [item['id'] for item in removed
            if isinstance(item, dict) and type(item.get('id')) is int]
        self.target.forget(ids)
        for id_ in ids:
            self._told.pop(id_, None)
            self._release(id_, report)

    def _publish(self, entry, regenerate, report):
        name = entry.name(self.database)
        former = self._names.get(entry.id)
        try:
            entry.check()
            if self._owners.get(name, entry.id) != entry.id:
                raise EntryFailure("another request has the same number.")
            outcome = self._put(name, former, entry, regenerate)
        except EntryFailure as error:
            self._fail(entry, error, name, report)
            return
        if former != name:
            self._release(entry.id, report)
        self._names[entry.id] = name
        self._owners[name] = entry.id
        self._told.pop(entry.id, None)
        self._tell(entry, name, outcome)
        report[outcome] += 1

    def _put(self, name, former, entry, regenerate):
        "Publish an entry if needed, and return what was done."
        mark = self.target.look(name)
        data, source = self.make(entry)
        if not regenerate:
            if mark and mark.id in {entry.id, None} and mark.intact and (
                    mark.source == source[:16]):
                self.target.remember(name, entry, source)
                return 'unchanged'
            if not mark and former in {name, None} and (
                    self.target.vanished(name, entry, source)):
                return 'held'
        if not self.target.put(name, entry, source, data()):
            return 'unchanged'
        return 'changed' if mark else 'new'

    def _tell(self, entry, name, outcome):
        text = {
            'new': f"published as {name}",
            'changed': f"published again as {name}",
            'held': f"removed from {self.target.where} by others, not "
            "published again (-r does it)",
            }.get(outcome)
        if text:
            self.messages.detail(f"{entry.label}: {text}")

    def _fail(self, entry, error, name, report):
        "Report an entry, once, and remove what it was before."
        report['failed'] += 1
        reason = str(error.args[0])
        if self._told.get(entry.id) != reason:
            self.messages.error(f"{entry.label}: {reason}")
        self._told[entry.id] = reason
        self.target.forget([entry.id])
        self._release(entry.id, report)
        if name not in self._owners:
            self._remove(name, report)

    def _release(self, id_, report):
        "Remove the entry of a request, unless another has taken its place."
        name = self._names.pop(id_, None)
        if name and self._owners.get(name) == id_:
            del self._owners[name]
            self._remove(name, report)

    def _remove(self, name, report):
        try:
            there = self.target.look(name)
        except EntryFailure:
            return
        if there:
            self.target.remove(name)
            self.messages.detail(f"{name} removed")
            report['removed'] += 1


class Update:
    """One look at GNU Health, and publishing what it tells.

    :param fetch: function of a cursor and of what is known that returns
        get_worklist_entries
    :param full_every: seconds after which everything is compared
    """

    def __init__(self, fetch, publisher, messages, regenerate=False,
            full_every=FULL_EVERY, dry_run=False, clock=time.monotonic):
        self.fetch = fetch
        self.publisher = publisher
        self.messages = messages
        self.regenerate = regenerate
        self.full_every = full_every
        self.begin = "Would be done" if dry_run else "Worklist"
        self.clock = clock
        self.report = None
        self._cursor = self._full_at = None

    def __call__(self):
        "Do it; raise Failure when nothing could be done."
        cursor, self._cursor = self._cursor, None
        if self._full_at is None or self.clock() >= self._full_at:
            cursor = None
        answer = ask(self.fetch, cursor, self._known)
        first = self.report is None
        self.report = self.publisher.apply(answer, self.regenerate)
        if answer['full']:
            self._full_at = self.clock() + self.full_every
        self.regenerate = False
        self._cursor = answer['cursor']
        # After the first time only if something was done.
        if first or set(self.report) & {'new', 'changed', 'removed'}:
            done = [text.format(self.report[outcome])
                for outcome, text in OUTCOMES.items() if self.report[outcome]]
            self.messages.info(
                f"{self.begin}: {', '.join(done) or 'nothing'}.")

    def _known(self, ids):
        return {} if self.regenerate else self.publisher.known(ids)
