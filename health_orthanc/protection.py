# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the patients of an Orthanc whose studies are linked from being
recycled: Orthanc deletes the oldest ones when its storage is full."""
import json

from sql import Literal, Null
from sql.aggregate import Count
from sql.conditionals import Coalesce

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
        tables, table, present, linked = _tables(self)
        counts = dict(execute(tables.select(
                    table.protected, Count(table.id),
                    where=present & linked, group_by=table.protected)))
        return gettext('health_orthanc.msg_protected',
            n=counts.get(True, 0), total=sum(counts.values()))


def patients(server, again):
    """Return the patients of a server that are to be protected, or not any
    more: id, Orthanc id, whether they shall be.

    :param server: record
    :param bool again: whether those are to be protected that are, too
    """
    tables, table, present, linked = _tables(server)
    done = Coalesce(table.protected, Literal(False))
    wanted = (linked | done) if again else linked != done
    if not server.protect_linked:
        # An index has these.
        tables, linked, wanted = table, Literal(False), table.protected
    return [
        (id_, uuid, bool(wish)) for id_, uuid, wish in execute(tables.select(
                table.id, table.uuid, linked.as_('linked'),
                where=present & wanted))]


def _tables(server):
    """Return the tables and that of patients among them, and the conditions
    of those that are present and of those with linked studies.

    :param server: record
    """
    table = Pool().get(PATIENT).__table__()
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    # Joined, for PostgreSQL looks through a list of so many ids for each
    # patient.
    linked = study.select(study.orthanc_patient,
        where=(study.orthanc_server == server.id)
        & (study.link_state == 'linked')
        & (study.missing_since == Null),
        group_by=study.orthanc_patient)
    return (
        table.join(linked, 'LEFT',
            condition=linked.orthanc_patient == table.id),
        table,
        (table.server == server.id) & (table.missing_since == Null),
        linked.orthanc_patient != Null)


def follow(server, run):
    """Protect the patients of a server whose studies are linked, and those no
    more whose studies are not, after a run. It ends transactions.

    A complete run protects all again: who was deleted and sent again between
    two runs looks the same here.
    """
    if not server.validated:
        return
    todo = patients(server, run.full)
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
