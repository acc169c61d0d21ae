# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Polls of the worklist, as the script and the modality node make them, in a
transaction in which others seem to change things."""
import datetime as dt
import sys
from pathlib import Path

from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_imaging_worklist import changes
from trytond.pool import Pool
from trytond.transaction import Transaction

sys.path.insert(
    0, str(Path(__file__).parents[2] / 'his-utils/scripts/imaging'))

import worklist_entries  # noqa: E402


class Caller:
    """Asks for what it does not have.

    :param filters: those of get_worklist_entries
    :ivar int calls: of the last time
    """

    def __init__(self, **filters):
        self.cursor, self.digests, self.calls = None, {}, 0
        self.filters = filters

    def __call__(self):
        "Return the answer to what is new."
        for cache in Transaction().cache.values():
            cache.clear()
        self.calls = 0
        answer = worklist_entries.ask(self._fetch, self.cursor, self._known)
        self.cursor = answer['cursor']
        for item in answer['removed']:
            self.digests.pop(item['id'], None)
        self.digests.update(
            (entry['id'], entry['digest'][:16]) for entry in answer['entries'])
        return answer

    def _fetch(self, cursor, known):
        self.calls += 1
        return Pool().get(changes.REQUEST).get_worklist_entries(
            cursor, {**self.filters, 'known': known})

    def all(self):
        "Compare all; return the answer."
        self.cursor = None
        return self()

    def _known(self, ids):
        return {id_: digest for id_, digest in self.digests.items()
            if ids is None or id_ in ids}


def set_back(seconds):
    """Let what this transaction changed be changed by another one that began
    some seconds ago."""
    known, now = {n for n, _ in Pool().iterobject()}, changes.database_time()
    for name in {name for name, _, _ in changes.SOURCES} & known:
        table = Pool().get(name).__table__()
        execute(table.update(
                [table.create_date, table.write_date],
                [dt.datetime(2026, 1, 1), now - dt.timedelta(seconds=seconds)],
                where=changes.modified(table) >= now))
