# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads studies from a PACS as rows, whatever it fails on or answers that
cannot be understood. It knows no database.
"""
from collections import defaultdict
from functools import partial

from ..archive import orthanc
from .rows import Converter, cut
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

    :param client: Pacs
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
        found = [item for item in found if item.id in wanted]
        if self._odd:
            missed = wanted.difference(item.id for item in found)
            self._miss(map(study_of, missed), found)
        return found

    def studies_of(self, ids):
        "Return StudyValues of the resources with ids, lists by level."
        studies, self._odd = {}, False
        for level, some in ids.items():
            found = self._in_parts(
                partial(self._answer, 'studies', source=level), some,
                self.keeper.doubt)
            studies.update((study.id, study) for study in found)
        if self._odd:
            self.keeper.doubt()
        return list(studies.values())

    def _answer(self, level, ids, source=None):
        return self._understood(
            getattr(self.client, level)(ids, source or level))

    def _understood(self, answer):
        "Return what of an answer can be understood."
        found = [item for item in answer if item is not None]
        if len(found) < len(answer):
            self._odd = True
        return found

    def _in_parts(self, call, things, refuse=None):
        """Return the list that a call gives for things; when the server fails
        on it, for each half of them.

        :param things: list of ids or of StudyValues
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
        "Note what was not understood in an answer, beside others that were."
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
            self.keeper.skip(getattr(thing, 'id', thing), reason)

    def read_ids(self, ids, position=None, all_=False):
        """Read studies given by their Orthanc ids, yield how to store them.

        :param int position: what to keep with the last id of each block, for
            a run that goes on there
        :param bool all_: whether they are all that the server has: one that
            refuses each of them is ill
        """
        for start in range(0, len(ids), GROUP_STUDIES):
            group = ids[start:start + GROUP_STUDIES]
            studies = sorted(self.ask('studies', group), key=lambda s: s.id)
            yield from self._lost(len(group) - len(studies))
            yield from self.read(studies, position)
            if all_ and self.refusal and not self.answered:
                raise self.refusal

    def read(self, studies, position=None):
        """Read what is in StudyValues, yield how to store it, block by block.

        :param int position: see read_ids; the studies are in the order of ids
        """
        for group in cut(studies, lambda s: len(s.children), GROUP_SERIES):
            series = self._read_series(group)
            there = [
                s for s in group if series[s.id] or not s.children]
            yield from self._lost(len(group) - len(there))
            sizes = {
                s.id: sum(len(item.children) for item in series[s.id])
                for s in there}
            for block in cut(there, lambda s: sizes[s.id], BLOCK_INSTANCES):
                kept = {} if position is None else {
                    'resume': f'{position} {block[-1].id}'}
                if sizes[block[0].id] > BLOCK_INSTANCES:
                    yield from self._read_large(block[0], series, kept)
                else:
                    yield from self._read_block(block, series, kept)

    def _read_series(self, studies):
        """Return lists of the SeriesValues by the id of the study; none of a
        study of which one cannot be understood."""
        self._odd = False
        series = defaultdict(list)
        found = self._in_parts(
            partial(self._answer, 'series', source='studies'),
            [s.id for s in studies])
        listed = {s.id: frozenset(s.children) for s in studies}
        for item in found:
            ids = listed.get(item.study)
            # An old server may list none.
            if ids is not None and (not ids or item.id in ids):
                series[item.study].append(item)
        if self._odd:
            told = {item.id for some in series.values() for item in some}
            missed = [
                s.id for s in studies if not told.issuperset(s.children)]
            self._miss(missed, len(missed) < len(studies))
            for uid in missed:
                series.pop(uid, None)
        return series

    def _read_block(self, studies, series, kept):
        """Read the instances of studies, yield how to store the studies.

        :param dict kept: values of the server that are stored with them
        """
        items = self._in_parts(
            lambda part: self._read_items(part, series), studies)
        self.answered |= bool(items)
        # What was refused as a whole is asked for again.
        yield partial(
            self.keeper.store_items, items, **(kept if items else {}))
        yield from self._lost(len(studies) - len(items))

    def _read_items(self, studies, series):
        """Read the instances of studies, return a list of StudyRows."""
        all_series = [item for s in studies for item in series[s.id]]
        instances, classes = defaultdict(list), {}
        self._odd = False
        for block in self._instance_blocks(all_series, classes):
            for uid, rows in self._convert_instances(block).items():
                instances[uid].extend(rows)
        studies = self._told(studies, series, (
                row.id for rows in instances.values() for row in rows))
        items = list(filter(None, [
                    self._convert_study(s, series[s.id]) for s in studies]))
        for item in items:
            for row, rows in item.series:
                rows.extend(self.convert.unique(
                        instances[row['orthanc_UID']]))
            item.add_totals()
            item.set_classes(classes)
        return items

    def _told(self, studies, series, told):
        """Return the studies of which all instances were understood, by their
        ids; those that went meanwhile are not missed."""
        if not self._odd:
            return studies
        told = frozenset(told)
        missed = {
            s.id for s in studies if not told.issuperset(
                id_ for item in series[s.id] for id_ in item.children)}
        self._miss(missed, len(missed) < len(studies))
        return [s for s in studies if s.id not in missed]

    def _instance_blocks(self, series, classes):
        """Yield lists of the InstanceValues that their series list.

        :param classes: dict that gets the SOP Class UID of each series by
            its id, before the second list comes
        """
        owners = {id_: item.id for item in series for id_ in item.children}
        # The same one in whatever order they are listed
        first = {
            item.id: min(item.children) for item in series if item.children}
        if not self.client.has_bulk:
            classes.update(
                (uid, self._sop_class(id_)) for uid, id_ in first.items())
        for block in self.client.instances(series, list(first.values())):
            block = [
                item for item in self._understood(block)
                if owners.get(item.id) == item.series]
            classes.update(
                (item.series, item.sop_class) for item in block
                if item.sop_class and item.id == first[item.series])
            yield block

    def _sop_class(self, instance):
        "Return the SOP Class UID, None when the server does not tell."
        try:
            return self.client.sop_class(instance)
        except orthanc.OrthancError as error:
            if not self.is_of_one(error):
                raise
            return None

    def _read_large(self, study, series, kept):
        """Read a study that is too large for the memory, yield how to store
        it: its instances come in blocks, its totals at the end, with the
        values of the server that are kept, dict."""
        item = self._convert_study(study, series[study.id])
        large, told, classes = item and LargeStudy(self.keeper, item), None, {}
        self._odd = False
        try:
            for block in self._instance_blocks(
                    series[study.id], classes) if item else ():
                if told is None:
                    told = set()
                    item.set_classes(classes)
                    yield partial(self.keeper.commit, large.store_head)
                told.update(item.id for item in block)
                yield partial(self.keeper.commit, partial(
                        large.store_instances, self._convert_instances(block)))
        except orthanc.OrthancError as error:
            if not self.is_of_one(error):
                raise
            self._refuse(study, error)
            told = None
        if told is not None and self._told([study], series, told):
            self.answered = True
            yield partial(self.keeper.commit, large.store_tail, 1, **kept)
        else:
            yield from self._lost(1)

    def _convert_study(self, study, series):
        return self.convert.study(
            study, series, self.corrections.get(study.id))

    def _convert_instances(self, block):
        self.awaited.difference_update(item.id for item in block)
        return self.convert.instances(block)

    def _lost(self, count):
        "Yield how to note that studies went, or cannot be stored."
        if count > 0:
            yield partial(self.keeper.lose, count)
