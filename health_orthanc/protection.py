# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the patients of an Orthanc whose studies are linked from being
recycled: Orthanc deletes the oldest ones when its storage is full."""
import json

from sql import Literal, Null
from sql.aggregate import Count

from trytond.i18n import gettext
from trytond.model import fields
from trytond.modules.health_imaging.tables import execute
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.tools import grouped_slice

from .archive import orthanc
from .connection import connect
from .exceptions import error_text
from .sync.transactions import roll_back, transact
from .tables import set_values

PATIENT = 'gnuhealth.orthanc.patient'


class ProtectingServer:
    """Mixin of servers that keep the patients with linked studies."""
    __slots__ = ()

    protect_linked = fields.Boolean("Protect Linked Studies from Recycling",
        help="The server keeps patients who have linked studies when it "
        "deletes the oldest ones because its storage is full.")
    protection = fields.Function(fields.Char("Protection",
            states={'invisible': ~Eval('protection')}),
        'get_protection')

    @staticmethod
    def default_protect_linked():
        return False

    @classmethod
    def get_protection(cls, servers, name):
        return {server.id: server._protection() for server in servers}

    def _protection(self):
        """Return how many patients are protected, in words."""
        if not self.protect_linked:
            return ''
        if not json.loads(self.answer or '{}').get('has_patients', True):
            return gettext('health_orthanc.msg_no_patients')
        # There may be as many patients as the hospital has.
        table, present, linked = _tables(self)
        counts = dict(execute(table.select(
                    table.protected, Count(table.id),
                    where=present & linked, group_by=table.protected)))
        return gettext('health_orthanc.msg_protected',
            n=counts.get(True, 0), total=sum(counts.values()))


def patients(server):
    """Return the patients of a server that have linked studies or are
    protected: id, Orthanc id, whether they shall be protected and are.

    :param server: record
    """
    table, present, linked = _tables(server)
    wanted = linked | table.protected
    if not server.protect_linked:
        linked, wanted = Literal(False), table.protected
    return [
        (id_, uuid, bool(wish), bool(done))
        for id_, uuid, wish, done in execute(table.select(
                table.id, table.uuid, linked.as_('linked'), table.protected,
                where=present & wanted))]


def _tables(server):
    """Return the table of patients, and the conditions of those that are
    present and of those with linked studies.

    :param server: record
    """
    table = Pool().get(PATIENT).__table__()
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    return (
        table,
        (table.server == server.id) & (table.missing_since == Null),
        table.id.in_(study.select(study.orthanc_patient,
                where=(study.orthanc_server == server.id)
                & (study.link_state == 'linked')
                & (study.missing_since == Null)
                & (study.orthanc_patient != Null))))


def follow(server, run):
    """Protect the patients of a server whose studies are linked, and those no
    more whose studies are not, after a run. It ends transactions.

    A complete run protects all again: who was deleted and sent again between
    two runs looks the same here.
    """
    if not server.validated:
        return
    todo = [
        (id_, uuid, wish) for id_, uuid, wish, done in patients(server)
        if wish != done or wish and run.full]
    if not todo:
        return
    SyncRun, label = Pool().get('gnuhealth.orthanc.sync_run'), server.label
    try:
        with connect(server) as client:
            roll_back()
            client.system()
            for block in grouped_slice(todo if client.has_patients else []):
                _protect(client, block)
    except orthanc.OrthancError as error:
        # The next run goes on.
        text = error_text(error, label)
        transact(lambda: set_values(SyncRun, [run.id], error=text))


def _protect(client, block):
    "Protect patients or not: id, Orthanc id and which of both."
    Patient, done = Pool().get(PATIENT), {True: [], False: []}
    try:
        for id_, uuid, wish in block:
            try:
                client.protect(uuid, wish)
            except orthanc.NotFound as error:
                if not error.own:
                    raise
                # It is gone, which the next run sees.
                continue
            done[wish].append(id_)
    finally:
        transact(lambda: [
                set_values(Patient, ids, protected=wish)
                for wish, ids in done.items()])
