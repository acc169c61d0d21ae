# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads single images for what an Orthanc does not list of their studies.
"""
import logging

from trytond.modules.health_imaging.minute import now

from ..archive import orthanc, values
from ..connection import connect
from ..links import deciding
from . import known
from .reading import MAX_REFUSED
from .transactions import roll_back, transact

logger = logging.getLogger(__name__)

# Of so many studies an instance is read at once, a call each, and so often in
# one run.
LOOKED_INTO = 200
LOOKED_INTO_ROUNDS = 10
# Nobody answered.
_SILENT = (
    orthanc.ConnectionLost, orthanc.ConnectionRefused, orthanc.HostNotFound,
    orthanc.InvalidURL, orthanc.Timeout, orthanc.TLSError,
    orthanc.Unreachable)


class OutOfTime(Exception):
    """The run took longer than the server allows."""


class Details:
    """Looks into images of a server.

    :param run: Run
    """

    def __init__(self, run):
        self.run = run
        self.server = run.server
        # How many calls its own connections made
        self.calls = 0

    def look_closer(self):
        """Read an image of each study that was decided by less than the UID
        of a request, and decide again with what it tells."""
        for _ in range(LOOKED_INTO_ROUNDS):
            ids = transact(lambda: deciding.wanting_details(
                    self.server.id, LOOKED_INTO))
            found = self.look_into(ids) if ids else ()
            if found:
                self.run.commit(lambda: {
                        'studies_linked': deciding.link_studies(
                            found, review=self.run.review)})
            if len(ids) < LOOKED_INTO:
                break

    def look_into(self, ids):
        """Read an image of each of some studies for what their server does not
        list, and store it: see values.details. One that cannot be read is not
        asked for again until the study changes.

        :param ids: ids of studies that are stored and committed
        :return: ids of those that told something
        """
        ids = sorted(ids)[:LOOKED_INTO]
        instances = transact(lambda: known.instances_to_read(ids))
        # Where there is no picture, there is nothing to read.
        seen, found = [id_ for id_ in ids if id_ not in instances], {}
        # The other connection reads ahead.
        with connect(self.server) as client:
            client.end_at(self.run.end)
            roll_back()
            for id_, tags in self._tags(client, instances):
                seen.append(id_)
                if tags is not None:
                    found[id_] = values.details(tags)
            self.calls += client.calls
        # An image tells of its own series only.
        listed = self.run.client and self.run.client.lists_requests
        names = ['issuer'] if listed else ['requested_ids', 'issuer']
        self.run.commit(lambda: known.store_details(found, names, seen, now()))
        return {id_ for id_, row in found.items() if any(row.values())}

    def _tags(self, client, instances):
        """Yield the ids of studies and the attributes of their instances,
        None where they cannot be read, until nobody answers."""
        refused = 0
        for id_, uid in instances.items():
            try:
                tags, refused = client.tags(uid), 0
            except (orthanc.OrthancError, ValueError) as error:
                if self.run.is_over():
                    raise OutOfTime from None
                logger.info("server %s: %s", self.server.id, error)
                tags, refused = None, refused + 1
                if refused > MAX_REFUSED or isinstance(error, _SILENT):
                    return
            yield id_, tags
            self.run.prolong()

    def correct(self, resent, before):
        """Look into images that replaced others: the server goes on to list
        what the first image of their study said.

        :param resent: Orthanc id of an instance and what the server lists, by
            the Orthanc id of the study
        :param before: corrections that are known, by the same
        :return: Orthanc ids of the studies whose corrections changed
        """
        changed = {}
        some = dict(sorted(resent.items())[:LOOKED_INTO])
        for uid, tags in self._tags(
                self.run.client, {u: image for u, (image, _) in some.items()}):
            if not tags:
                continue
            listed, told = some[uid][1], values.instance_identity(tags)
            correction = None if told == listed else {
                'identity': listed, 'tags': told}
            if correction != before.get(uid):
                changed[uid] = correction
        if changed:
            self.run.commit(lambda: known.store_corrections(
                    self.server.id, changed))
        return list(changed)
