# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices of Orthanc that something came, which it gives over HTTP with a
secret of its server; see his-utils/orthanc/notify.lua.

The secret is random and has 256 bits. Nobody can guess what its hash is of,
so a fast hash does, and whoever sends wrong ones costs no time.
"""
import datetime as dt
import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from functools import partial
from http import HTTPStatus

from cachetools import TTLCache
from sql import Null
from sql.aggregate import Max

from trytond.config import config
from trytond.ir import queue_
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.doors import (
    CheckedWizard, selected_records)
from trytond.modules.health_imaging.minute import Minute, whole
from trytond.modules.health_imaging.tables import execute, moment
from trytond.pool import Pool
from trytond.protocols.wrappers import (
    Response, abort, set_max_request_size, with_pool)
from trytond.tools import reduce_ids
from trytond.transaction import Transaction, without_check_access
from trytond.url import http_host
from trytond.wizard import Button, StateView, Wizard
from trytond.worker import run_task
from trytond.wsgi import app

SERVER = 'gnuhealth.orthanc.config'
PATH = 'imaging/orthanc/changed'
#: A notice may take so many bytes, and a network may send so many a minute.
MAX_BYTES = 1024
MAX_NOTICES = 120
#: Orthanc's Lua sees no status, so what is accepted has a text.
ANSWER = 'ok'
#: How often a server is looked at again after a notice, and how long after
#: another, in seconds: for longer than notify.lua is silent after it.
LOOKS = 4
PAUSE = 3
LONGEST_PAUSE = 60

_counts = TTLCache(10000, 120)
_lock = threading.Lock()


class NotifiedServer:
    """Mixin of servers that give notice."""
    __slots__ = ()

    last_notice = fields.Function(Minute("Last Notice",
            help="When the server last told that something came and was read "
            "because of it."),
        'get_last_notice')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['new_notice_secret'] = {}

    @classmethod
    def __register__(cls, module):
        super().__register__(module)
        # No field, as the password.
        cls.__table_handler__(module).add_column('notice_hash', 'VARCHAR')

    @classmethod
    def get_last_notice(cls, servers, name):
        table = Pool().get('gnuhealth.orthanc.sync_run').__table__()
        times = dict.fromkeys(s.id for s in servers)
        times.update(
            (id_, whole(moment(start)))
            for id_, start in execute(table.select(
                    table.server, Max(table.start),
                    where=reduce_ids(table.server, list(times))
                    & (table.started_by == 'notice'),
                    group_by=table.server)))
        return times

    @classmethod
    @ModelView.button_action('health_orthanc.act_notice_secret')
    def new_notice_secret(cls, servers):
        "Open the wizard that makes the secret of a server."

    @classmethod
    def look_soon(cls, server):
        """Synchronize a server that gave notice, in the background."""
        cls._enqueue('sync_noticed', [server])

    @classmethod
    @without_check_access
    def sync_noticed(cls, server, looks=LOOKS, pause=PAUSE):
        """Synchronize a server, and look again for what comes while it gives
        no notice. It ends transactions.

        :param int looks: how often
        :param int pause: how long after this time, in seconds
        """
        if not server.active:
            return
        if cls.sync_server(server, started_by='notice'):
            looks, pause = looks - 1, PAUSE
        else:
            # Another run has it, which may last.
            pause = min(pause * 2, LONGEST_PAUSE)
        # Without workers the task would be run at once.
        if looks >= 0 and queue_.has_worker and not cls._is_looked_at(
                server, looks, pause):
            with Transaction().set_context(queue_name='default',
                    queue_scheduled_at=dt.timedelta(seconds=pause)):
                cls.__queue__.sync_noticed(server, looks=looks, pause=pause)

    @classmethod
    def _is_looked_at(cls, server, looks, pause):
        """Return whether a look at a server waits that is not after a pause
        and has as many others after it: where notices come all the time, each
        would be followed by looks of its own."""
        soon = dt.datetime.now() + dt.timedelta(seconds=pause)
        return any(
            task.data['instances'] == server.id
            and task.data['kwargs'].get('looks', LOOKS) >= looks
            for task in cls._tasks(
                ['sync_noticed'], ('dequeued_at', '=', None),
                ['OR', ('scheduled_at', '=', None),
                    ('scheduled_at', '<=', soon)]))


class NoticeSecretStart(ModelView):
    "New Secret"
    __name__ = 'gnuhealth.imaging_orthanc.notice_secret.start'


class NoticeSecretMade(ModelView):
    "New Secret"
    __name__ = 'gnuhealth.imaging_orthanc.notice_secret.made'

    url = fields.Char("URL", readonly=True)
    secret = fields.Char("Secret", readonly=True)


class NoticeSecret(CheckedWizard, Wizard):
    "New Secret"
    __name__ = 'gnuhealth.imaging_orthanc.notice_secret'

    _rights = {SERVER: ['write']}
    _models = {SERVER}

    start = StateView('gnuhealth.imaging_orthanc.notice_secret.start',
        'health_orthanc.notice_secret_start_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Make", 'made', 'tryton-ok', default=True),
            ])
    made = StateView('gnuhealth.imaging_orthanc.notice_secret.made',
        'health_orthanc.notice_secret_made_form', [
            Button("Close", 'end', 'tryton-ok', default=True),
            ])

    def default_made(self, field_names):
        """Make a secret and show it: what a transition makes is kept with
        the session."""
        server, *_ = selected_records(self, Pool().get(SERVER))
        database = Transaction().database.name
        return {
            'url': f'{http_host()}/{database}/{PATH}',
            'secret': renew_secret(server),
            }


def renew_secret(server):
    """Make a new secret for the notices of a server.

    :param server: record
    :return: the secret, of which only a hash is kept
    """
    secret = secrets.token_urlsafe(32)
    table = server.__table__()
    execute(table.update([table.notice_hash], [_hash(secret)],
            where=table.id == server.id))
    return secret


def _hash(secret):
    return hashlib.sha256(secret.encode()).hexdigest()


def _sender(Server, secret):
    """Return the id of the active server that has a secret, or None, in the
    same time for any that is wrong."""
    table = Server.__table__()
    given, found = _hash(secret), None
    for id_, stored in execute(table.select(
                table.id, table.notice_hash,
                where=(table.notice_hash != Null) & table.active)):
        if hmac.compare_digest(stored, given):
            found = id_
    return found


def _is_one_too_many(address):
    "Return whether the network of an address sent too much in this minute."
    try:
        address = ipaddress.ip_address(address)
        prefix = config.getint('session', f'ip_network_{address.version}')
        address = ipaddress.ip_network(address).supernet(new_prefix=prefix)
    except ValueError:
        address = None
    key = address, int(time.monotonic() / 60)
    with _lock:
        _counts[key] = _counts.get(key, 0) + 1
        return _counts[key] > MAX_NOTICES


def _limited(function):
    "Let a function take no more requests of a network than it may send."
    def limited(request, **arguments):
        if _is_one_too_many(request.remote_addr):
            abort(HTTPStatus.TOO_MANY_REQUESTS)
        return function(request, **arguments)
    return limited


@app.route(f'/<database_name>/{PATH}', methods=['POST'])
@set_max_request_size(MAX_BYTES)
@_limited
@with_pool
def changed(request, pool):
    """Take the notice of a server; tell nobody else whether there is one.

    :param request: with the secret as a bearer token; its body is not read
    :param pool: of the database
    """
    secret = request.headers.get('Authorization', '').partition(' ')[2]
    try:
        Server = pool.get(SERVER)
    except KeyError:
        abort(HTTPStatus.FORBIDDEN)
    name, context = pool.database_name, {'_request': request.context}
    with Transaction().start(name, 0, readonly=True, context=context):
        server = _sender(Server, secret)
    if not server:
        abort(HTTPStatus.FORBIDDEN)
    with Transaction().start(name, 0, context=context) as transaction:
        Server.look_soon(Server(server))
    response = Response(ANSWER)
    # Without workers, when the answer was sent.
    for task in transaction.tasks:
        response.call_on_close(partial(run_task, pool, task))
    return response
