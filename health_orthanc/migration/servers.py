# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers of former releases: one record for each address, in its normal form,
without user and password in it."""
import itertools
import re
from collections import defaultdict

from sql import Null, Table

from trytond import backend
from trytond.modules.health_imaging.migration import (
    insert_row, number_repeated, set_where, warn)
from trytond.pool import Pool

from ..archive.orthanc import InvalidURL, normalize_url
from ..tables import execute

# Largest value of the column; Orthanc counts to 2^63.
_LAST_INDEX = 2 ** 31 - 1
# User and password in an address.
_CREDENTIALS = re.compile(r'^(\s*(?:[\w+.-]+://)?)[^/?#]*@')


# Addresses

def normal_address(text):
    """Return an address in its normal form, without user and password; None
    if it is not valid.

    In 5.0 those of the record were used, and everybody may read an address."""
    try:
        return normalize_url(text)
    except InvalidURL as error:
        bare = without_credentials(text)
        if error.problem == 'credentials' and bare != text:
            return normal_address(bare)
        return None


def without_credentials(text):
    "Return an address, valid or not, or None, without user and password."
    return _CREDENTIALS.sub(r'\1', text or '')


def unify_servers(Server, module):
    """Bring the addresses of servers into their normal form.

    Of several records with one address, one keeps it.  The others become
    inactive and keep another spelling.
    """
    table_h = Server.__table_handler__(module)
    if not table_h.column_exist('domain'):
        return
    table = Server.__table__()
    # SQLite commits a change of a table that comes before the first write of
    # a transaction: no failure would undo it.
    set_where(table, table.id == Null, id=table.id)
    table_h.add_column('active', 'BOOL', default=lambda: True)
    table_h.add_column('proxy_domain', 'VARCHAR')
    number_repeated(Server, 'label')
    _unify_addresses(Server)
    for id_, public in execute(table.select(
                table.id, table.proxy_domain,
                where=table.proxy_domain != Null)):
        one = normal_address(public) or without_credentials(public)
        if one != public:
            set_where(table, table.id == id_, proxy_domain=one)


def _unify_addresses(Server):
    "Let one active record have each valid address."
    table = Server.__table__()
    by_address = defaultdict(list)
    rows = execute(table.select(
            table.id, table.domain, table.active, table.validated))
    domains = {row[1] for row in rows}
    for row in rows:
        address = normal_address(row[1])
        if address is None:
            _keep_odd_address(Server, domains, *row)
        else:
            by_address[address].append(row)
    for address, rows in by_address.items():
        rows.sort(key=lambda r: (not r[2], not r[3], r[1] != address, r[0]))
        _unify(Server, address, *rows)


def _keep_odd_address(Server, domains, id_, domain, active, _):
    "Keep an address that is not valid, without user and password."
    bare = without_credentials(domain)
    if bare != domain:
        if bare in domains:
            bare = f'{bare}#{id_}'
        table = Server.__table__()
        set_where(table, table.id == id_, domain=bare)
    if active:
        warn(Server, id_, "its address is not valid, correct it")


def _unify(Server, address, keeper, *others):
    """Let the first of the records of one server have its address.

    :param keeper: (id, address, active, validated) of the first record
    :param others: the same of the others
    """
    table = Server.__table__()
    id_, spelling, *_ = keeper
    moved = _other_spellings(address, spelling, others)
    # No two rows ever have the same address, because of the constraint.
    for other in moved:
        set_where(table, table.id == other, domain=f'{address}#{other}')
    if spelling != address:
        set_where(table, table.id == id_, domain=address)
    for other, domain in moved.items():
        set_where(table, table.id == other, domain=domain)
    for other, _, active, _ in others:
        if active:
            set_where(table, table.id == other, active=False, validated=False)
            warn(Server, other, "the record %s has the same address, this "
                "one is inactive now", id_)
        _move_former(other, id_)


def _other_spellings(address, spelling, others):
    """Return the new addresses of records that cannot keep theirs, by id.

    Who has the normal form takes the spelling of the record that gets it.
    Where that is taken, or contains a password, the address gets a number.
    """
    taken, moved = {address}, {}
    for id_, domain, *_ in others:
        kept = spelling if domain == address else domain
        if kept in taken or '@' in kept:
            kept = f'{address}#{id_}'
        taken.add(kept)
        if kept != domain:
            moved[id_] = kept
    return moved


def _move_former(source, target):
    """Move the studies and patients that versions before 5.0 kept of a server
    to another record of the same server, except those that it has."""
    for name in ['gnuhealth_orthanc_patient', 'gnuhealth_orthanc_study']:
        if backend.TableHandler.table_exist(name):
            table, other = Table(name), Table(name)
            same = other.select(other.uuid, where=other.server == target)
            set_where(table,
                (table.server == source) & ~table.uuid.in_(same),
                server=target)


def make_server(address, count):
    """Make an inactive record for a server that only studies name, and return
    its id. Its user and password are not known.

    :param str address: address of the server
    :param int count: number of its studies, for the log
    """
    Server = Pool().get('gnuhealth.orthanc.config')
    table = Server.__table__()
    labels = {label for label, in execute(table.select(table.label))}
    label = next(label for label in itertools.chain(
            [address], (f'{address} {n}' for n in itertools.count(2)))
        if label not in labels)
    insert_row(table, label=label, domain=address, user='', active=False,
        validated=False, verify_tls=True,
        connect_timeout=Server.default_connect_timeout(),
        read_timeout=Server.default_read_timeout(),
        run_hours=Server.default_run_hours())
    (id_,), = execute(table.select(table.id, where=table.domain == address))
    warn(Server, id_, "made for %s studies of a server without a record, and "
        "inactive", count)
    return id_


# What 4.4 named otherwise

def keep_last_index(Server, module):
    """Take over the index of the last change, which 4.4 had in the column
    last."""
    table_h = Server.__table_handler__(module)
    if not table_h.column_exist('last'):
        return
    table = Server.__table__()
    set_where(table, (table.last > -1) & (table.last <= _LAST_INDEX)
        & ((table.last_changed_index == Null)
            | (table.last_changed_index < 0)),
        last_changed_index=table.last)
    table_h.drop_column('last')


def adopt_sync_button():
    "Rename the XML id of the button of 4.4, of which there is only one."
    data = Table('ir_model_data')
    is_own = data.module == 'health_orthanc'
    if not execute(data.select(data.id,
            where=is_own & (data.fs_id == 'do_sync_button'))):
        set_where(data, is_own & (data.fs_id == 'server_sync_button'),
            fs_id='do_sync_button')


def adopt_schedule():
    """Give the scheduled synchronization that a hospital made the XML id of
    this module, so that no second one is made."""
    cron, data = Table('ir_cron'), Table('ir_model_data')
    schedules = execute(cron.select(cron.id,
            where=cron.method == 'gnuhealth.orthanc.config|sync',
            order_by=[cron.active.desc, cron.id]))
    known = execute(data.select(data.id,
            where=(data.module == 'health_orthanc')
            & (data.fs_id == 'cron_sync')))
    if schedules and not known:
        insert_row(data, module='health_orthanc', fs_id='cron_sync',
            model='ir.cron', db_id=schedules[0][0], noupdate=True)
