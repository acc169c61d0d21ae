# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads studies from an Orthanc as rows, whatever it fails on or answers that
cannot be understood. It knows no database.
"""
from collections import defaultdict
from functools import partial

from ..archive import orthanc, records
from .rows import Converter, count_instances, count_series, cut
from .storing import LargeStudy

# What is fetched at once and what is stored in one transaction: much enough
# to be fast, little enough for the memory.
GROUP_STUDIES = 100
GROUP_SERIES = 300
BLOCK_INSTANCES = 5000
# A server that fails on more studies one after the other is ill.
MAX_REFUSED = 10

# What a server, or a proxy before it, may say of one resource although it
# has others, and what is told of it.
_REFUSED = (
    orthanc.BadRequest, orthanc.Conflict, orthanc.Forbidden,
    orthanc.MethodNotAllowed, orthanc.NotFound, orthanc.Redirected,
    orthanc.Unauthorized, orthanc.UnsupportedMedia)
_NOT_UNDERSTOOD = (orthanc.BadAnswer, orthanc.AnswerTooLarge)


def _same(id_):
    return id_


class Reader:
    """Reads studies of one server.

    ``read`` and ``read_ids`` are generators that may run ahead in a thread of
    their own. What they yield is called in the thread of the run, which alone
    has a transaction.

    :param client: OrthancClient
    :param keeper: Keeper, to which it gives what it read
    """

    def __init__(self, client, keeper):
        self.client, self.keeper = client, keeper
        self.convert = Converter(keeper.skip)
        # What studies were corrected to, by their Orthanc id
        self.corrections = {}
        # Orthanc ids of instances that the change log told of and that did
        # not come yet
        self.awaited = set()
        # On how many studies, one after the other, the server failed; what
        # it said last, and whether it ever gave a whole one
        self.refused, self.refusal, self.answered = 0, None, False
        # Whether something in the last answer was not understood
        self._odd = False

    def ask(self, level, ids, study_of=_same):
        """Return resources given by their ids, without those on which the
        server fails and those that cannot be understood.

        :param study_of: function that returns the Orthanc id of the study of
            a resource, None when it is not known
        """
        self._odd = False
        found = self._in_parts(partial(self._answer, level), ids,
            lambda id_, error: self._refuse(study_of(id_), error))
        wanted = set(ids)
        found = [item for item in found if item['ID'] in wanted]
        if self._odd:
            missed = wanted.difference(map(id_of, found))
            self._miss(map(study_of, missed), found)
        return found

    def studies_of(self, ids):
        """Return the studies to which resources belong, as the server tells
        them.

        :param ids: lists of Orthanc ids by level
        """
        studies, self._odd = {}, False
        for level, some in ids.items():
            found = self._in_parts(
                partial(self._answer, 'studies', source=level), some,
                self.keeper.doubt)
            studies.update((id_of(study), study) for study in found)
        if self._odd:
            self.keeper.doubt()
        return list(studies.values())

    def _answer(self, level, ids, source=None):
        """Return what the server says, as OrthancClient.bulk does, as far as
        it can be understood."""
        return self._understood(level, self.client.bulk(
                level, ids, source=source, strict=False))

    def _understood(self, level, answer):
        name = orthanc.LEVELS[level]
        found = [item for item in answer if records.is_record(item, name)]
        if len(found) < len(answer):
            self._odd = True
        return found

    def _in_parts(self, call, things, refuse=None):
        """Return the list that a call gives for things; when the server fails
        on it, for each half of them.

        :param things: list of Orthanc ids or of Orthanc's dicts
        :param refuse: function that is told on which thing it failed, and
            the error
        """
        if len(things) > 1 and not self.client.has_bulk:
            # Each is asked for alone, whether here or there.
            parts = [[thing] for thing in things]
        else:
            try:
                found = call(things)
                if found:
                    self.refused = 0
                return found
            except orthanc.OrthancError as error:
                if not self.is_of_one(error):
                    raise
                if len(things) == 1:
                    (refuse or self._refuse)(things[0], error)
                    return []
            half = len(things) // 2
            parts = [things[:half], things[half:]]
        return [
            item for part in parts
            for item in self._in_parts(call, part, refuse)]

    def is_of_one(self, error):
        """Return whether another resource may be answered all the same."""
        if isinstance(error, orthanc.Unauthorized):
            # With a wrong password a server is not asked again and again.
            return not self.client.has_bulk
        if isinstance(error, orthanc.ServerError):
            return error.status in {500, 502}
        return isinstance(error, _REFUSED + _NOT_UNDERSTOOD)

    def _miss(self, ids, others):
        """Note what was not understood in an answer.

        :param others: what was
        """
        for id_ in ids:
            if others and id_:
                self.keeper.skip(id_, 'not_an_object')
            elif not others:
                self._refuse(id_, orthanc.BadAnswer())

    def _refuse(self, thing, error):
        self.refused += 1
        self.refusal = error
        if self.refused > MAX_REFUSED:
            raise error
        if isinstance(error, _NOT_UNDERSTOOD):
            reason = 'not_an_object'
        else:
            reason = 'refused' if isinstance(
                error, _REFUSED) else 'server_error'
        if thing:
            self.keeper.skip(id_of(thing), reason)

    def read_ids(self, ids, position=None, all_=False):
        """Read studies given by their Orthanc ids, yield how to store them.

        :param int position: what to keep with the last id of each group, for
            a run that goes on there
        :param bool all_: whether they are all that the server has: one that
            refuses each of them is ill
        """
        for start in range(0, len(ids), GROUP_STUDIES):
            group = ids[start:start + GROUP_STUDIES]
            studies = self.ask('studies', group)
            yield from self._lost(len(group) - len(studies))
            yield from self.read(studies)
            if all_ and self.refusal and not self.answered:
                raise self.refusal
            if position is not None:
                yield partial(
                    self.keeper.commit, resume=f'{position} {group[-1]}')

    def read(self, studies):
        """Read what is in studies, yield how to store it, a block at a time.

        :param studies: Orthanc's dicts
        """
        for group in cut(studies, count_series, GROUP_SERIES):
            series = self._read_series(group)
            there = [
                s for s in group
                if series[id_of(s)] or not records.children(s)]
            yield from self._lost(len(group) - len(there))
            sizes = {
                id_of(s): count_instances(series[id_of(s)]) for s in there}
            for block in cut(
                    there, lambda s: sizes[id_of(s)], BLOCK_INSTANCES):
                if sizes[id_of(block[0])] > BLOCK_INSTANCES:
                    yield from self._read_large(block[0], series)
                else:
                    yield from self._read_block(block, series)

    def _read_series(self, studies):
        """Return the series of studies, lists of Orthanc's dicts by the
        Orthanc id of the study; none of a study of which one cannot be
        understood."""
        self._odd = False
        series = defaultdict(list)
        found = self._in_parts(
            partial(self._answer, 'series', source='studies'),
            list(map(id_of, studies)))
        for item in _listed(_children(studies), found):
            series[records.parent(item)].append(item)
        if self._odd:
            told = {id_of(item) for some in series.values() for item in some}
            missed = [
                id_of(s) for s in studies
                if not told.issuperset(records.children(s))]
            self._miss(missed, len(missed) < len(studies))
            for uid in missed:
                series.pop(uid, None)
        return series

    def _read_block(self, studies, series):
        """Read the instances of studies, yield how to store the studies.

        :param series: lists of Orthanc's dicts by the Orthanc id of a study
        """
        items = self._in_parts(
            lambda part: self._read_items(part, series), studies)
        self.answered |= bool(items)
        yield partial(self.keeper.store_items, items)
        yield from self._lost(len(studies) - len(items))

    def _read_items(self, studies, series):
        """Read the instances of studies, return a list of StudyRows."""
        all_series = [item for s in studies for item in series[id_of(s)]]
        instances, classes = defaultdict(list), {}
        self._odd = False
        for block in self._instance_blocks(all_series, classes):
            for uid, rows in self._convert_instances(block).items():
                instances[uid].extend(rows)
        if self._odd:
            studies = self._told(studies, series, {
                    row['orthanc_UID'] for rows in instances.values()
                    for row in rows})
        items = [self._convert_study(s, series[id_of(s)]) for s in studies]
        items = list(filter(None, items))
        for item in items:
            for row, rows in item.series:
                rows.extend(self.convert.unique(
                        instances[row['orthanc_UID']], 'sop_instance_UID'))
            item.add_totals()
            item.set_classes(classes)
        return items

    def _told(self, studies, series, told):
        """Return the studies of which all instances were understood; those
        that went meanwhile are not missed.

        :param told: the Orthanc ids of the instances that were
        """
        if not self._odd:
            return studies
        missed = {
            id_of(s) for s in studies if not told.issuperset(
                id_ for item in series[id_of(s)]
                for id_ in records.children(item))}
        self._miss(missed, len(missed) < len(studies))
        return [s for s in studies if id_of(s) not in missed]

    def _instance_blocks(self, series, classes):
        """Yield lists of Orthanc's dicts of the instances of series.

        :param classes: dict that gets the SOP Class UID of each series by
            its Orthanc id, before the second list comes
        """
        first, owners = {}, {}
        for item in series:
            ids = records.children(item)
            owners.update(dict.fromkeys(ids, item['ID']))
            if ids:
                # The same one in whatever order they are listed
                first[item['ID']] = min(ids)
        if not self.client.has_bulk:
            classes.update(
                (uid, self._sop_class(id_)) for uid, id_ in first.items())
        for block in self.client.instance_blocks(
                series, first=first.values(), strict=False):
            block = self._understood_instances(block, owners)
            for item in block:
                if 'Metadata' in item and (
                        item['ID'] == first[item['ParentSeries']]):
                    classes[item['ParentSeries']] = records.sop_class(item)
            yield block

    def _understood_instances(self, block, owners):
        """Return those of Orthanc's dicts that can be understood and that
        their series lists.

        :param owners: Orthanc ids of series by those of their instances
        """
        try:
            # What nearly all blocks are is dealt with first.
            found = [
                item for item in block
                if owners[item['ID']] == item['ParentSeries']
                and item['Type'] == 'Instance']
        except (KeyError, TypeError):
            found = []
        if len(found) < len(block):
            found = [
                item for item in self._understood('instances', block)
                if owners.get(item['ID']) == item.get('ParentSeries')]
        return found

    def _sop_class(self, instance):
        """Return the SOP Class UID of an instance, None when the server does
        not tell.

        :param str instance: its Orthanc id
        """
        try:
            metadata = self.client.metadata('instances', instance)
        except orthanc.OrthancError as error:
            if not self.is_of_one(error):
                raise
            return None
        return records.sop_class({'Metadata': metadata})

    def _read_large(self, study, series):
        """Read a study that is too large for the memory, yield how to store
        it: its instances come in blocks, its totals at the end."""
        item = self._convert_study(study, series[id_of(study)])
        large, told, classes = item and LargeStudy(self.keeper, item), None, {}
        self._odd = False
        try:
            for block in self._instance_blocks(
                    series[id_of(study)], classes) if item else ():
                if told is None:
                    told = set()
                    item.set_classes(classes)
                    yield large.store_head
                told.update(map(id_of, block))
                yield partial(
                    large.store_instances, self._convert_instances(block))
        except orthanc.OrthancError as error:
            if not self.is_of_one(error):
                raise
            self._refuse(study, error)
            told = None
        if told is not None and self._told([study], series, told):
            self.answered = True
            yield large.store_tail
        else:
            yield from self._lost(1)

    def _convert_study(self, study, series):
        return self.convert.study(
            study, series, self.corrections.get(id_of(study)))

    def _convert_instances(self, block):
        """Return rows of instances by the Orthanc id of their series.

        :param block: Orthanc's dicts
        """
        self.awaited.difference_update(map(id_of, block))
        return self.convert.instances(block)

    def _lost(self, count):
        """Yield how to note that some studies were not there when they were
        asked for, or cannot be stored."""
        if count > 0:
            yield partial(self.keeper.lose, count)


def _children(parents):
    """Return the Orthanc ids that some of Orthanc's dicts list, sets by their
    own."""
    return {id_of(p): frozenset(records.children(p)) for p in parents}


def _listed(listed, children):
    """Yield those of Orthanc's dicts that belong to others, and that these
    list if they list any.

    :param listed: what _children returns
    """
    for child in children:
        ids = listed.get(records.parent(child))
        if ids is not None and (not ids or child['ID'] in ids):
            yield child


def id_of(thing):
    """Return the Orthanc id of a dict of Orthanc's, of an id itself; None when
    it is none."""
    id_ = thing.get('ID') if isinstance(thing, dict) else thing
    return id_ if isinstance(id_, str) else None
