# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthanc servers, and what starts their synchronization."""
import datetime as dt
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from dateutil.relativedelta import relativedelta
from sql import Null, Window
from sql.aggregate import Count
from sql.functions import RowNumber

from trytond.config import config
from trytond.i18n import gettext
from trytond.ir import queue_
from trytond.model import DeactivableMixin, ModelSQL, ModelView, Unique, fields
from trytond.modules.health_imaging.calls import (
    CheckedCalls, checked, is_texts)
from trytond.modules.health_imaging.minute import Minute, in_words, now
from trytond.modules.health_imaging.rights import check_rights
from trytond.modules.health_imaging.shipped import free_shipped_records
from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_imaging.told import Told, tell
from trytond.modules.health_imaging.workflow import differs
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.rpc import RPC
from trytond.tools import reduce_ids
from trytond.transaction import Transaction, check_access, without_check_access

from . import after_sync, in_the_clear, migration, password
from .archive import orthanc
from .archive.orthanc import LEVELS
from .connection import connect, connections, secret_errors, stored_passwords
from .encapsulated_report import ReportsServer
from .exceptions import (
    PasswordAgainError, SecretKeyError, ServerError, ServerInUseError,
    ServerURLError, error_text)
from .links.events import log_unexpected
from .notice import NotifiedServer
from .protection import ProtectingServer
from .sync.lease import Busy, left_behind
from .sync.run import Run
from .sync.transactions import transact
from .viewer import ServerViewers

logger = logging.getLogger(__name__)

MASK = '*' * 10
#: How long somebody waits for the test of a server, in seconds.
TEST_SECONDS = 9
#: How long servers may take at the most that nobody waits for, in seconds:
#: less than passes until they are asked again.
CHECK_SECONDS = 600
#: How many runs the form of a server shows.
SHOWN_RUNS = 100
#: Plugins of Orthanc without which something is missed.
_PLUGINS = {'dicom-web', 'worklists'}
#: What decides whether and how a server answers.
_CONNECTION = {
    'domain', 'user', 'password', 'verify_tls', 'ca_file', 'connect_timeout',
    'read_timeout'}
#: To whom the password is sent.
_RECIPIENT = {'domain', 'verify_tls', 'ca_file'}
#: When the queue expects what is quick to be done, what waits for those that
#: may not answer, and what may take long. Who is expected first goes first.
_AT_ONCE, _SOON = dt.timedelta(0), dt.timedelta(minutes=15)
_LATER = dt.timedelta(days=1)
#: Who waits for the end of a run that he started.
_WAITED_FOR = {None, 'script', 'upload'}
_URL_PROBLEMS = {'credentials', 'blank', 'scheme'}


@contextmanager
def user_errors(server):
    "Turn what goes wrong with the Orthanc of a server into a UserError."
    try:
        yield
    except orthanc.OrthancError as error:
        raise ServerError(error_text(error, server.label)) from None


class _LongInteger(fields.Integer):
    "An integer of 64 bits: a PACS counts its changes for decades."
    _sql_type = 'BIGINT'


class Server(
        CheckedCalls, DeactivableMixin, NotifiedServer, ProtectingServer,
        ReportsServer, ServerViewers, ModelSQL, ModelView):
    "Orthanc Server"
    __name__ = 'gnuhealth.orthanc.config'
    _rec_name = 'label'

    # What only the synchronisation and the server itself can tell.
    _found = frozenset({
            'validated', 'check_time', 'version', 'viewers', 'last_error',
            'answer', 'last_changed_index', 'sync_time', 'compared', 'resume',
            'lease', 'lease_until', 'store_reports_since'})

    label = fields.Char("Label", required=True,
        help="The name of the server for people.")
    domain = fields.Char("URL", required=True,
        help="The address at which GNU Health reaches Orthanc.")
    proxy_domain = fields.Char("Public URL",
        help="The address at which the browsers of the users reach Orthanc, "
        "when it is another one. Links use it.")
    user = fields.Char("User", required=True)
    password = fields.Function(fields.Char("Password", required=True,
            strip=False,
            help="It is kept, and never shown again."),
        'get_password', setter='set_password')
    password_warning = fields.Function(fields.Text("Unencrypted Password",
            states={'invisible': ~Eval('password_warning')}),
        'get_password_warning')
    verify_tls = fields.Boolean("Verify Certificate",
        help="Uncheck it only for a server whose certificate cannot be "
        "verified, in a network that you trust.")
    ca_file = fields.Char("CA File",
        states={'invisible': ~Eval('verify_tls')},
        help="The file on the computer of trytond with the certificates to "
        "trust, empty for those of the system.")
    connect_timeout = fields.Integer("Connection Timeout",
        domain=[('connect_timeout', '>', 0), ('connect_timeout', '<=', 120)],
        required=True, help="In seconds.")
    read_timeout = fields.Integer("Read Timeout",
        domain=[('read_timeout', '>', 0), ('read_timeout', '<=', 600)],
        required=True, help="In seconds.")
    run_hours = fields.Integer("Longest Run",
        domain=[('run_hours', '>', 0), ('run_hours', '<=', 168)],
        required=True,
        help="In hours. A synchronization that takes longer ends, and the "
        "next one goes on where it was.")
    validated = fields.Boolean("Validated", readonly=True,
        help="The server answered when it was asked last.")
    check_time = Minute("Last Test", readonly=True,
        help="When the server was asked last whether it answers.")
    version = fields.Char("Version", readonly=True)
    answer = fields.Text("Answer", readonly=True,
        states={'invisible': True},
        help="What the server said of itself when it was asked last, as JSON.")
    findings = fields.Function(fields.Text("Findings",
            states={'invisible': ~Eval('findings')},
            help="What the server said of itself when it was asked last."),
        'get_findings')
    last_error = Told("Last Error", readonly=True,
        states={'invisible': ~Eval('last_error')})
    last_changed_index = _LongInteger("Last Index", readonly=True,
        help="The last change of the server that is known here.")
    sync_time = Minute("Last Synchronization", readonly=True)
    since_sync = fields.Function(
        fields.Char("Since Last Synchronization"), 'get_since_sync')
    link_base_url = fields.Function(
        fields.Char("Base URL of Links"), 'get_link_base_url')
    link = fields.Function(fields.Char("Orthanc Explorer"), 'get_link')
    number_of_studies = fields.Function(
        fields.Integer("Studies"), 'get_number_of_studies')
    runs = fields.Function(fields.One2Many(
            'gnuhealth.orthanc.sync_run', 'server', "Runs", readonly=True),
        'get_runs')
    compared = fields.Char("Compared Counts", readonly=True,
        states={'invisible': True},
        help="How many studies, series and instances are known, and how many "
        "more the server has because they cannot be stored.")
    resume = fields.Char("Resume", readonly=True,
        states={'invisible': True},
        help="Where the next full run goes on when one was interrupted.")
    lease = fields.Char("Lease", readonly=True,
        states={'invisible': True},
        help="What holds the server while it synchronizes.")
    lease_until = fields.DateTime("Leased until", readonly=True,
        states={'invisible': True})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('label_unique', Unique(table, table.label),
                'health_orthanc.msg_server_label_unique'),
            ('domain_unique', Unique(table, table.domain),
                'health_orthanc.msg_server_domain_unique'),
            ]
        cls._order = [('label', 'ASC')]
        cls._buttons.update({
                'do_sync': {
                    'invisible': ~Eval('active', True),
                    'depends': ['active'],
                    },
                'test_connection': {},
                'remove_config_server': {},
                })
        cls.__rpc__.update({
                'sync_now': RPC(
                    readonly=False, decorator=checked(labels=is_texts)),
                })

    @classmethod
    def __register__(cls, module):
        migration.unify_servers(cls, module)
        super().__register__(module)
        table_h = cls.__table_handler__(module)
        # The password is no field, so that nothing can read it over RPC.
        table_h.add_column('password', 'VARCHAR')
        table_h.not_null_action('password', action='remove')
        migration.keep_last_index(cls, module)
        migration.adopt_sync_button()
        free_shipped_records('health_orthanc', [
                'user_orthanc', 'orthanc_user_group_health_admin'])

    @staticmethod
    def default_verify_tls():
        return True

    @staticmethod
    def default_connect_timeout():
        return config.getint(
            'health_orthanc', 'connect_timeout', default=5)

    @staticmethod
    def default_read_timeout():
        return config.getint('health_orthanc', 'read_timeout', default=60)

    @staticmethod
    def default_run_hours():
        return config.getint('health_orthanc', 'run_hours', default=6)

    @staticmethod
    def default_validated():
        return False

    @classmethod
    def get_password(cls, servers, name):
        return {
            id_: MASK if stored else None
            for id_, stored in stored_passwords(servers).items()}

    @classmethod
    def get_password_warning(cls, servers, name):
        """Tell who may change servers of passwords that are not encrypted."""
        ModelAccess = Pool().get('ir.model.access')
        with check_access():
            may = ModelAccess.check(
                cls.__name__, 'write', raise_exception=False)
        text = gettext('health_orthanc.msg_password_in_the_clear')
        return {
            id_: text if may and password.is_plain(stored) else None
            for id_, stored in stored_passwords(servers).items()}

    @classmethod
    def set_password(cls, servers, name, value):
        if value == MASK:
            return
        table = cls.__table__()
        with secret_errors():
            stored = password.seal(value)
        execute(table.update([table.password], [stored],
                where=table.id.in_([s.id for s in servers])))

    @classmethod
    def rotate_passwords(cls):
        """Encrypt all passwords with the newest key of the configuration, or
        store them plain when it has none any more; none when one cannot be
        read. To be run by an administrator in trytond-console.

        :return: how many passwords there are
        """
        table = cls.__table__()
        rows = execute(table.select(table.id, table.password,
                where=table.password != Null))
        with secret_errors():
            sealed = [
                (id_, password.seal(password.unseal(stored)))
                for id_, stored in rows]
        for id_, stored in sealed:
            execute(table.update(
                    [table.password], [stored], where=table.id == id_))
        return len(sealed)

    @classmethod
    def get_since_sync(cls, servers, name):
        table = cls.__table__()
        # The field is read without its seconds.
        times = execute(table.select(table.id, table.sync_time,
                where=reduce_ids(table.id, [s.id for s in servers])))
        return {id_: cls._since(moment) for id_, moment in times}

    @staticmethod
    def _since(moment):
        """Return how long ago a time (UTC) was, in words."""
        if not moment:
            return ''
        delta = relativedelta(dt.datetime.now(), moment)
        for unit in ['year', 'month', 'day', 'hour', 'minute']:
            count = getattr(delta, f'{unit}s')
            if count > 0:
                return in_words(-count, unit, add_direction=True)
        return gettext('health_orthanc.msg_since_now')

    def get_findings(self, name):
        """Return what the server has and offers, in words."""
        if not (self.validated and self.answer):
            return ''
        answer = json.loads(self.answer)
        plugins = _PLUGINS & set(answer['plugins'])
        lines = [('found', answer)] + [
            (key, {'plugins': ', '.join(sorted(some))})
            for key, some in [
                ('active', plugins), ('not_active', _PLUGINS - plugins)]
            if some]
        return '\n'.join(
            gettext(f'health_orthanc.msg_server_{key}', **values)
            for key, values in lines)

    def get_link_base_url(self, name=None):
        return (self.proxy_domain or self.domain or '').rstrip('/')

    def get_link(self, name):
        return f'{self.get_link_base_url()}/app/explorer.html'

    @classmethod
    def get_runs(cls, servers, name):
        """Return the last runs: to read the ids of all takes seconds."""
        run = Pool().get('gnuhealth.orthanc.sync_run').__table__()
        found = {s.id: [] for s in servers}
        ranked = run.select(run.server, run.id,
            RowNumber(window=Window([run.server],
                    order_by=[run.start.desc, run.id.desc])).as_('rank'),
            where=run.server.in_(list(found)))
        for server, id_ in execute(ranked.select(ranked.server, ranked.id,
                    where=ranked.rank <= SHOWN_RUNS, order_by=[ranked.rank])):
            found[server].append(id_)
        return found

    @classmethod
    def get_number_of_studies(cls, servers, name):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        table = Study.__table__()
        counts = {s.id: 0 for s in servers}
        counts.update(execute(table.select(
                    table.orthanc_server, Count(table.id),
                    where=table.orthanc_server.in_(list(counts))
                    & (table.missing_since == Null),
                    group_by=table.orthanc_server)))
        return counts

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="label"]', 'visual',
                If(Bool(Eval('active')) & ~Bool(Eval('validated')),
                    'danger', '')),
            ]

    @classmethod
    def create(cls, vlist):
        vlist = [cls._clean(v) for v in vlist]
        servers = super().create(vlist)
        for values in vlist:
            in_the_clear.warn_user(cls._new_addresses([], values))
        cls._check_later([s for s in servers if not s.validated])
        return servers

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        args = []
        changed, addresses = set(), set()
        for servers, values in zip(actions, actions):
            values = cls._clean(values)
            addresses |= cls._new_addresses(servers, values)
            cls._check_recipient(servers, values)
            if _CONNECTION & values.keys():
                for server in servers:
                    connections.close(server.domain)
                values.setdefault('validated', False)
                changed.update(servers)
            elif values.get('active'):
                changed.update(servers)
            moved = [s for s in servers
                if values.get('domain', s.domain) != s.domain]
            if moved:
                # The change log is another one, so everything is compared.
                args.extend((moved, _START_AGAIN))
            args.extend((servers, values))
        super().write(*args)
        in_the_clear.warn_user(addresses)
        cls._check_later(changed)

    @classmethod
    def _check_recipient(cls, servers, values):
        """Raise PasswordAgainError when a person has the password sent to
        another address, or over another connection, without knowing it."""
        if not Transaction().check_access or values.get('password'):
            return
        for server in servers:
            if any(differs(server, name, values[name])
                    for name in _RECIPIENT & values.keys()):
                raise PasswordAgainError(gettext(
                        'health_orthanc.msg_password_again',
                        server=server.label))

    @classmethod
    def _check_later(cls, servers):
        cls._enqueue(
            'check_servers', [s for s in servers if s.active], together=True)

    @classmethod
    def _new_addresses(cls, servers, values):
        """Return the addresses in values that are new to some server."""
        return {
            values[name] for name in in_the_clear.ADDRESSES
            if values.get(name)
            and [values[name]] != [*{getattr(s, name) for s in servers}]}

    @classmethod
    def _clean(cls, values):
        """Return the values that may be stored, URLs in their one form."""
        if Transaction().check_access:
            values = {n: v for n, v in values.items() if n not in cls._found}
        else:
            values = values.copy()
        for name in in_the_clear.ADDRESSES:
            if name in values:
                values[name] = values[name] and normal_url(
                    values[name], cls.__names__(name)['field']) or None
        if values.get('password') == MASK:
            del values['password']
        return values

    @classmethod
    def delete(cls, servers):
        """Delete servers, and what Orthanc patients are left of them.

        :raises ServerInUseError: one has studies, be they missing or former
        """
        pool = Pool()
        FormerStudy = pool.get('gnuhealth.orthanc.study')
        OrthancPatient = pool.get('gnuhealth.orthanc.patient')
        Study = pool.get('gnuhealth.imaging_orthanc.study')
        with without_check_access():
            for server in servers:
                studies = (
                    Study.search_count([('orthanc_server', '=', server.id)])
                    + FormerStudy.search_count([('server', '=', server.id)]))
                if studies:
                    raise ServerInUseError(gettext(
                            'health_orthanc.msg_server_in_use',
                            server=server.label, studies=studies))
            OrthancPatient.delete(OrthancPatient.search(
                    [('server', 'in', [s.id for s in servers])]))
        super().delete(servers)

    @classmethod
    def copy(cls, servers, default=None):
        return super().copy(servers, default={
                **dict.fromkeys(cls._found), **(default or {})})

    @classmethod
    @ModelView.button
    def remove_config_server(cls, servers):
        "Delete servers that have no studies."
        cls.delete(servers)

    @classmethod
    @ModelView.button
    def test_connection(cls, servers):
        """Ask each server now, keep what they say (so the transaction ends),
        and show what is wrong with those that fail, soon, as somebody
        waits."""
        problems = cls.check_servers(servers, TEST_SECONDS)
        if problems:
            Transaction().commit()
            raise ServerError('\n'.join(problems))

    @classmethod
    @without_check_access
    def check_servers(cls, servers, seconds=CHECK_SECONDS):
        """Ask servers whether they answer, all at once, keep what they say,
        and return the translated problems, list. It ends transactions.

        :param seconds: how long each has to answer
        """
        found = dict(cls._checked(servers, seconds))
        return [
            found[server]['last_error'] for server in servers
            if not found[server]['validated']]

    @classmethod
    @without_check_access
    def check_and_sync(cls, servers, full=False, started_by=None):
        """Ask servers whether they answer, all at once, together with those
        for which another such task waits, and synchronize in the background
        each that does, see sync_server. It ends transactions.
        """
        options = {'full': full, 'started_by': started_by}
        tasks = transact(lambda: cls._take_over('check_and_sync', options))
        others = {id_ for task in tasks for id_ in _servers_of(task.data)}
        servers = [*servers, *cls.search([
                    ('id', 'in', list(others - {s.id for s in servers}))])]
        for server, values in cls._checked(servers):
            if values['validated']:
                cls.sync_later([server], patient=True, **options)
                Transaction().commit()
        transact(lambda: Pool().get('ir.queue').write(
                tasks, {'finished_at': dt.datetime.now()}))

    @classmethod
    def _checked(cls, servers, seconds=CHECK_SECONDS):
        """Ask servers who they are, all at once, and yield each as soon as it
        answered, with the values that were kept. It ends transactions."""
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(len(servers) or 1) as threads:
            asked = {threads.submit(*s._question(end)): s for s in servers}
            Transaction().commit()
            for answer in as_completed(asked):
                server = asked[answer]
                values = {**server._outcome(answer), 'check_time': now()}
                transact(lambda: super(Server, cls).write([server], values))
                yield server, values

    def _question(self, end):
        """Return a function that asks the server who it is until a moment,
        and what to call it with: it may run in a thread, without database."""
        try:
            return _answer, connect(self), end
        except (SecretKeyError, orthanc.OrthancError) as error:
            return _fail, error

    def _outcome(self, answer):
        """Return what to keep of an answer, a future."""
        try:
            with user_errors(self):
                return answer.result()
        except (ServerError, SecretKeyError) as error:
            message = error.message
        except Exception as error:
            # The others are asked in the same task.
            log_unexpected(error)
            message = tell('health_orthanc.msg_sync_unexpected')
        return {'validated': False, 'last_error': message}

    @classmethod
    @ModelView.button
    def do_sync(cls, servers):
        """Fetch what is new on the servers, in the background."""
        cls.sync_later(servers, started_by='button')

    @classmethod
    def full_sync(cls, servers=None):
        "Compare everything on servers, by default on all that are active."
        cls.sync(servers, full=True, started_by='nightly')

    @classmethod
    @without_check_access
    def sync(cls, servers=None, full=False, started_by='cron'):
        """Fetch what is new on servers, by default on all that are active, in
        a task for each. Those that did not answer the last time, and all that
        are compared, are asked first whether they answer, in one task, so
        that they keep no more than one worker.

        :param bool full: compare everything, not only what is new
        :param str started_by: see gnuhealth.orthanc.sync_run
        """
        if servers is None:
            servers = cls.search([])
        asked = [s for s in servers if full or not s.validated]
        cls.sync_later(
            [s for s in servers if s not in asked], started_by=started_by)
        cls._check_first(asked, full, started_by)

    @classmethod
    def _check_first(cls, servers, full, started_by):
        "Let check_and_sync be called for servers, in one task."
        cls._enqueue('check_and_sync', servers, _SOON, together=True,
            full=full, started_by=started_by)

    @classmethod
    def sync_later(cls, servers, full=False, started_by=None, patient=False):
        """Synchronize servers in the background, each in a task of its own.

        :param bool full: compare everything, not only what is new
        :param str started_by: see gnuhealth.orthanc.sync_run
        :param bool patient: see sync_server
        """
        cls._enqueue('sync_server', servers, _LATER if full else _AT_ONCE,
            full=full, started_by=started_by,
            **({'patient': True} if patient else {}))

    @classmethod
    def _enqueue(cls, method, servers, expected=_AT_ONCE, together=False,
            **options):
        """Let workers call a method for servers, but for those for which a
        task that does the same waits already.

        :param expected: how long what is put into the queue at once goes first
        :param bool together: whether one task is for all of them
        """
        if servers and queue_.has_worker:
            queued = cls._queued(method, options)
            servers = [s for s in servers if s.id not in queued]
        # Not where the context of a client sends it: it would wait for ever,
        # and keep others out.
        with Transaction().set_context(
                queue_name='default', queue_scheduled_at=None,
                queue_expected_at=expected):
            for some in [servers] if together and servers else servers:
                getattr(cls.__queue__, method)(some, **options)

    @classmethod
    @without_check_access
    def _queued(cls, method, options):
        """Return the ids of servers for which a task waits that does what a
        method does, or which are asked just now whether they answer."""
        methods, names = {method}, ['full']
        if options.get('patient'):
            names.append('patient')
        elif method == 'check_and_sync' or options.get('started_by') == 'cron':
            methods = {'check_and_sync', 'sync_server'}
        # A worker that was killed does not finish its task.
        since = dt.datetime.now() - dt.timedelta(seconds=CHECK_SECONDS)
        return {
            id_ for task in cls._tasks(
                methods, ('scheduled_at', '=', None),
                ['OR', ('dequeued_at', '=', None),
                    [('dequeued_at', '>', since),
                        ('data.method', '=', 'check_and_sync')]])
            if all(task.data['kwargs'].get(name) == options.get(name)
                for name in names)
            for id_ in _servers_of(task.data)}

    @classmethod
    def _take_over(cls, method, options):
        """Return the tasks that wait and call a method with the same options,
        and let no worker take them: the task that runs does it for them."""
        if not queue_.has_worker:
            return []
        tasks = [
            task for task in cls._tasks(
                [method], ('scheduled_at', '=', None),
                ('dequeued_at', '=', None))
            if task.data['kwargs'] == options]
        Pool().get('ir.queue').write(
            tasks, {'dequeued_at': dt.datetime.now()})
        return tasks

    @classmethod
    def _tasks(cls, methods, *domain):
        "Return the tasks of the queue that are not done, of some methods."
        return Pool().get('ir.queue').search([
                ('name', '=', 'default'),
                ('finished_at', '=', None),
                ('data.model', '=', cls.__name__),
                ('data.method', 'in', list(methods)),
                *domain])

    @classmethod
    @without_check_access
    def sync_server(cls, server, full=False, started_by=None, patient=False):
        """Synchronize one server, keep what happened as a run, and do what
        follows. The transaction is committed.

        A server that is silent while others may wait for the worker is left to
        check_and_sync, and no run is kept.

        :param bool full: compare everything, not only what is new
        :param str started_by: see gnuhealth.orthanc.sync_run
        :param bool patient: wait for the first answer for as long as for any
        :return: id of the run, None where one is going on already
        """
        # Where somebody waits for the run, no other takes its turn.
        in_turns = queue_.has_worker and started_by not in _WAITED_FOR
        run = Run(server, full, started_by, in_turns=in_turns,
            hasty=in_turns and not patient)
        try:
            id_ = run.go()
        except Busy:
            logger.info("server %s is synchronized already", server.id)
            return None
        if run.is_silent:
            cls._check_first([server], full, started_by)
        else:
            after_sync.follow(server.id, id_)
        if run.is_paused:
            cls.sync_later([server], full=run.full, started_by=started_by,
                patient=patient)
        if queue_.has_worker:
            cls._take_up()
        return id_

    @classmethod
    def _take_up(cls):
        """Let workers read the servers of those that were killed, but not one
        that may kill them all."""
        SyncRun = Pool().get('gnuhealth.orthanc.sync_run')
        cls.sync_later(
            [s for s in cls.browse(left_behind())
                if len(SyncRun.unfinished(s.id)) == 1])

    @classmethod
    @without_check_access
    def fetch_studies(cls, server, ids):
        """Fetch some studies of a server that was synchronized before, and
        nothing else. The transaction is committed.

        :param ids: their Orthanc ids
        :return: id of the run, None where one is going on already
        """
        try:
            return Run(server, started_by='upload', only=list(ids)).go()
        except Busy:
            return None

    @classmethod
    def sync_now(cls, labels=None):
        """Synchronize active servers at once and say what happened, for
        scripts.

        :param labels: list of labels, None for all that are validated
        :return: list of dicts with label, state, error and counts (``run``)
        """
        check_rights(cls.__name__, 'write')
        if labels is None:
            domain = [('validated', '=', True)]
        else:
            domain = [('label', 'in', labels)]
        with without_check_access():
            return [cls._sync_and_tell(server)
                for server in cls.search(domain)]

    @classmethod
    def _sync_and_tell(cls, server):
        SyncRun = Pool().get('gnuhealth.orthanc.sync_run')
        label = server.label
        run = cls.sync_server(server, started_by='script')
        if run is None:
            return {
                'label': label, 'state': 'busy', 'run': {},
                'error': gettext(
                    'health_orthanc.msg_sync_busy', server=label),
                }
        return {'label': label, **SyncRun(run).summary()}


_START_AGAIN = dict.fromkeys(['last_changed_index', 'compared', 'resume'])


def normal_url(text, field):
    """Return a URL in its one form.

    :param str field: the name of the field it comes from, for people
    :raises ServerURLError: it is none that may be asked
    """
    try:
        return orthanc.normalize_url(text)
    except orthanc.InvalidURL as error:
        problem = error.problem
    if problem not in _URL_PROBLEMS:
        problem = 'other'
    # What was typed is not repeated: a password may be in it.
    raise ServerURLError(
        gettext(f'health_orthanc.msg_url_{problem}', field=field))


def _answer(client, end):
    """Return what a server answers until a moment of time.monotonic."""
    with client:
        client.end_at(end)
        return probe(client)


def _servers_of(data):
    "Return the ids of the servers that the data of a task names, list."
    ids = data['instances']
    return [ids] if isinstance(ids, int) else ids


def _fail(error):
    raise error


def probe(client):
    """Ask a server who it is.

    :return: values of the server
    :raises OrthancError: it does not answer as an Orthanc does
    """
    version, found = client.version(), client.statistics()
    # What a synchronization reads first
    client.last_change()
    plugins = client.plugins()
    return {
        'validated': True,
        'version': version,
        'viewers': tuple(client.viewers(plugins)),
        'answer': json.dumps({
                'version': version, 'plugins': plugins,
                'has_patients': client.has_patients,
                **{level: found[f'Count{level.title()}'] for level in LEVELS},
                }),
        'last_error': None,
        }
