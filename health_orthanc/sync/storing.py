# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores what was read of studies, a block in each transaction, and has it
linked."""
from collections import Counter

from trytond import backend
from trytond.modules.health_imaging.minute import now

from ..links import deciding, effects, events
from . import storage
from .lease import LostLease
from .transactions import forget_plans


class Keeper:
    """Stores what a Reader read, in the thread of the run.

    :param run: Run whose progress is kept with what is stored
    """

    def __init__(self, run):
        self.run, self.commit, self.skip = run, run.commit, run.skip
        # Orthanc ids of instances of which the change log told
        self.told = frozenset()
        # One instance that came again and what the server lists, by the
        # Orthanc id of the study; see StudyValues.corrected
        self.resent = {}

    def doubt(self, thing=None, error=None):
        """Note that there may be a study of which nothing is known: it comes
        out when what is there is compared."""
        self.run.balance.doubtful = True

    def tree(self):
        "Return what writes to the tables."
        if self.run.full:
            forget_plans()
        return storage.Tree(self.run.server.id, now(), self.told)

    def lose(self, count):
        "Note that studies were not there, or cannot be stored."
        self.run.done += count
        self.doubt()

    def store_items(self, items, **values):
        """Store StudyRows, and values of the server with the last of them;
        when that fails, each half of them."""
        try:
            self.commit(lambda: self._stored(items), len(items), **values)
        except (LostLease, backend.DatabaseOperationalError):
            raise
        except Exception as error:
            events.log_unexpected(error)
            half = len(items) // 2
            if half:
                self.store_items(items[:half])
                self.store_items(items[half:], **values)
            else:
                self._store_unlinked(*items, **values)

    def _stored(self, items, link=True):
        tree = self.tree()
        tree.store(items)
        for item in items if tree.resent else ():
            self.note_resent(item, tree, [
                    row for _, rows in item.series for row in rows])
        if link:
            new = tree.new_studies()
            tree.counts['studies_linked'] = deciding.link_studies(
                tree.touched, new=new, review=self.run.review)
            effects.count_images_of(tree.touched - {s.id for s in new})
        else:
            events.mark_undecided(tree.touched)
            self.run.undecided |= tree.touched
        effects.images_arrived(tree.arrived)
        return tree.counts

    def note_resent(self, item, tree, rows):
        "Note that one of the instances of StudyRows came that was known."
        for row in rows:
            if row.id in tree.resent:
                self.resent[item.uid] = row.id, item.identity
                break

    def _store_unlinked(self, item, **values):
        """Store a study on which storing and linking failed."""
        try:
            self.commit(
                lambda: self._stored([item], link=False), 1, **values)
            self.skip(item.uid, 'not_linked')
        except (LostLease, backend.DatabaseOperationalError):
            raise
        except Exception as error:
            events.log_unexpected(error)
            self.skip(item.uid, 'not_stored')
            self.lose(1)


class LargeStudy:
    """A study whose instances are stored in several transactions. What its
    methods return is for Run.commit.

    :param item: StudyRows without instances
    """

    def __init__(self, keeper, item):
        self.keeper = keeper
        self.item = item
        # What the head of the study did
        self.head = None
        # Ids of the series by their Orthanc ids
        self.series = {}
        # Orthanc ids of the instances by series and SOP Instance UID
        self.present = {}

    def store_head(self):
        """Store the study and its series."""
        self.head = tree = self.keeper.tree()
        self.series = tree.store_studies([self.item])
        return tree.counts.copy()

    def store_instances(self, rows):
        "Store some InstanceValues, lists by the id of their series."
        tree, found = self.keeper.tree(), []
        for uid, some in rows.items():
            for row in some if uid in self.series else ():
                key = self.series[uid], row.uid
                if self.present.setdefault(key, row.id) == row.id:
                    found.append(row)
                else:
                    self.keeper.skip(row.id, 'duplicate_uid')
        tree.store_instances([
                storage.instance_row(self.series[row.series], row)
                for row in found])
        self.keeper.note_resent(self.item, tree, found)
        return tree.counts

    def store_tail(self):
        """Store the totals, and delete what is gone."""
        uids = {id_: uid for uid, id_ in self.series.items()}
        self.item.count(Counter(uids[series] for series, _ in self.present))
        tree = self.keeper.tree()
        tree.store_totals(self.item)
        tree.drop_instances(self.series.values(), self.present)
        for level in ['studies', 'series']:
            # What is counted as new or changed already
            seen = sum(
                self.head.counts[f'{level}_{what}']
                for what in ['new', 'changed'])
            name = f'{level}_changed'
            tree.counts[name] = max(tree.counts[name] - seen, 0)
        tree.counts['studies_linked'] = deciding.link_studies(
            self.head.touched | tree.touched, review=self.keeper.run.review)
        effects.count_images_of(self.head.touched | tree.touched)
        effects.images_arrived(
            tree.arrived - {s.id for s in self.head.new_studies()})
        return tree.counts
