# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthanc servers: where they are, whether they answer, and their runs of
synchronisation."""
import datetime as dt
import logging
from contextlib import contextmanager

from dateutil.relativedelta import relativedelta
from sql import Null
from sql.aggregate import Count

from trytond.config import config
from trytond.i18n import gettext
from trytond.model import (
    DeactivableMixin, Index, ModelSQL, ModelView, Unique, fields)
from trytond.modules.health_imaging.common import check_rights
from trytond.modules.health_imaging.migration import free_shipped_records
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, If
from trytond.rpc import RPC
from trytond.transaction import Transaction, without_check_access

from . import client as orthanc
from . import migration, password, synchronization
from .exceptions import (
    SecretKeyError, ServerError, ServerInUseError, ServerURLError)

logger = logging.getLogger(__name__)

MASK = '*' * 10
_CONNECTION = {
    'domain', 'user', 'password', 'verify_tls', 'ca_file', 'active'}


@contextmanager
def user_errors(server):
    """Turn what goes wrong with an Orthanc into one translated UserError.

    :param server: record of the server, or its label
    """
    try:
        yield
    except orthanc.OrthancError as error:
        raise ServerError(error_text(error, server)) from None


def error_text(error, server):
    """Return the translated sentence for an error, for a person to read.

    :param error: OrthancError
    :param server: record of the server, or its label
    """
    label = getattr(server, 'label', None) or str(server)
    return gettext(f'health_orthanc.msg_error_{error.reason}', server=label)


class Server(DeactivableMixin, ModelSQL, ModelView):
    "Orthanc Server"
    __name__ = 'gnuhealth.orthanc.config'
    _rec_name = 'label'

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
    verify_tls = fields.Boolean("Verify Certificate",
        help="Uncheck it only for a server whose certificate cannot be "
        "verified, in a network that you trust.")
    ca_file = fields.Char("CA File",
        states={'invisible': ~Eval('verify_tls')},
        help="The file on this computer with the certificates to trust, "
        "empty for those of the system.")
    connect_timeout = fields.Integer("Connection Timeout",
        domain=[('connect_timeout', '>', 0), ('connect_timeout', '<=', 120)],
        required=True, help="In seconds.")
    read_timeout = fields.Integer("Read Timeout",
        domain=[('read_timeout', '>', 0), ('read_timeout', '<=', 600)],
        required=True, help="In seconds.")
    validated = fields.Boolean("Validated", readonly=True,
        help="The server answered when it was asked last.")
    version = fields.Char("Version", readonly=True)
    viewers = fields.MultiSelection([
            ('explorer', "Orthanc Explorer"),
            ('explorer2', "Orthanc Explorer 2"),
            ('ohif', "OHIF"),
            ('stone', "Stone"),
            ], "Viewers", readonly=True, sort=False,
        help="The viewers found on the server.")
    last_error = fields.Text("Last Error", readonly=True,
        states={'invisible': ~Eval('last_error')})
    last_changed_index = fields.Integer("Last Index", readonly=True,
        help="The last change of the server that is known here.")
    sync_time = fields.DateTime("Last Synchronization", readonly=True)
    since_sync = fields.Function(
        fields.Char("Since Last Synchronization"), 'get_since_sync')
    link_base_url = fields.Function(
        fields.Char("Base URL of Links"), 'get_link_base_url')
    link = fields.Function(fields.Char("Orthanc Explorer"), 'get_link')
    number_of_studies = fields.Function(
        fields.Integer("Studies"), 'get_number_of_studies')
    runs = fields.One2Many(
        'gnuhealth.orthanc.sync_run', 'server', "Runs", readonly=True)
    compared = fields.Char("Compared Counts", readonly=True,
        states={'invisible': True})
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
                'sync_now': RPC(readonly=False),
                })

    @classmethod
    def __register__(cls, module):
        super().__register__(module)
        table_h = cls.__table_handler__(module)
        # The password is no field, so that nothing can read it over RPC.
        table_h.add_column('password', 'VARCHAR')
        table_h.not_null_action('password', action='remove')
        migration.unify_servers(cls)
        migration.keep_last_index(cls, module)
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
    def default_validated():
        return False

    @classmethod
    def get_password(cls, servers, name):
        return {
            id_: MASK if stored else None
            for id_, stored in cls._stored_passwords(servers).items()}

    @classmethod
    def set_password(cls, servers, name, value):
        if value == MASK:
            return
        table = cls.__table__()
        try:
            stored = password.seal(value)
        except password.SecretError as error:
            raise SecretKeyError(gettext(
                    'health_orthanc.msg_secret_key', reason=str(error)))
        _execute(table.update([table.password], [stored],
                where=table.id.in_([s.id for s in servers])))

    @classmethod
    def _stored_passwords(cls, servers):
        table = cls.__table__()
        return dict(_execute(table.select(table.id, table.password,
                    where=table.id.in_([s.id for s in servers]))))

    def client(self):
        """Return a client for this server, to be used in a with statement.

        :rtype: client.OrthancClient
        """
        try:
            secret = password.unseal(self._stored_passwords([self])[self.id])
        except password.SecretError as error:
            raise SecretKeyError(gettext(
                    'health_orthanc.msg_secret_key', reason=str(error)))
        return orthanc.OrthancClient(
            self.domain, self.user, secret,
            verify=(self.ca_file or True) if self.verify_tls else False,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout)

    def get_since_sync(self, name):
        if not self.sync_time:
            return ''
        delta = relativedelta(dt.datetime.now(), self.sync_time)
        for unit in ['years', 'months', 'days', 'hours', 'minutes']:
            count = getattr(delta, unit)
            if count > 0:
                return gettext(f'health_orthanc.msg_since_{unit}', n=count)
        return gettext('health_orthanc.msg_since_now')

    def get_link_base_url(self, name=None):
        return (self.proxy_domain or self.domain or '').rstrip('/')

    def get_link(self, name):
        return f'{self.get_link_base_url()}/app/explorer.html'

    @classmethod
    def get_number_of_studies(cls, servers, name):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        table = Study.__table__()
        counts = {s.id: 0 for s in servers}
        counts.update(_execute(table.select(
                    table.orthanc_server, Count(table.id),
                    where=table.orthanc_server.in_(list(counts))
                    & (table.missing_since == Null),
                    group_by=table.orthanc_server)))
        return counts

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Bool(Eval('active')) & ~Bool(Eval('validated')),
                    'danger', '')),
            ]

    @classmethod
    def create(cls, vlist):
        vlist = [cls._clean(v) for v in vlist]
        servers = super().create(vlist)
        cls.__queue__.check_servers(servers)
        return servers

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        args = []
        changed = []
        for servers, values in zip(actions, actions):
            values = cls._clean(values)
            if values.get('password') == MASK:
                del values['password']
            if _CONNECTION & values.keys():
                changed.extend(servers)
            args.extend((servers, values))
        super().write(*args)
        if changed:
            cls.__queue__.check_servers(list(set(changed)))

    @classmethod
    def _clean(cls, values):
        """Return the values with their URLs in one form."""
        values = values.copy()
        for name in ['domain', 'proxy_domain']:
            if values.get(name):
                values[name] = normal_url(values[name])
        return values

    @classmethod
    def delete(cls, servers):
        for server in servers:
            if server.number_of_studies_ever():
                raise ServerInUseError(gettext(
                        'health_orthanc.msg_server_in_use',
                        server=server.rec_name,
                        studies=server.number_of_studies_ever()))
        super().delete(servers)

    def number_of_studies_ever(self):
        """Return how many studies came from this server, missing included."""
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        return Study.search_count([('orthanc_server', '=', self.id)])

    @classmethod
    def copy(cls, servers, default=None):
        default = {} if default is None else default.copy()
        for name in [
                'validated', 'version', 'viewers', 'last_error',
                'last_changed_index', 'sync_time', 'runs', 'compared',
                'lease', 'lease_until']:
            default.setdefault(name, None)
        return super().copy(servers, default=default)

    @classmethod
    @ModelView.button
    def remove_config_server(cls, servers):
        cls.delete(servers)

    @classmethod
    @ModelView.button
    def test_connection(cls, servers):
        """Ask each server now and show what is wrong with the first bad one.

        What was found is kept, so the transaction ends before the error.
        """
        problems = cls.check_servers(servers)
        if problems:
            Transaction().commit()
            raise ServerError(problems[0])

    @classmethod
    @without_check_access
    def check_servers(cls, servers):
        """Ask servers whether they answer, and keep what they say.

        :return: list of the translated problems
        """
        found = []
        for server in servers:
            with server.client() as client:
                found.append((server, *probe(client)))
        problems = []
        for server, values, error in found:
            if error:
                values = {
                    'validated': False,
                    'last_error': error_text(error, server),
                    }
                problems.append(values['last_error'])
            super().write([server], values)
        return problems

    @classmethod
    @ModelView.button
    def do_sync(cls, servers):
        """Fetch what is new on the servers, in the background."""
        for server in servers:
            cls.__queue__.sync_server(server, started_by='button')

    @classmethod
    @without_check_access
    def sync(cls, servers=None):
        """Fetch what is new on servers, by default all validated ones.

        Called by the scheduled task. Each server has a task of its own, so
        that one that hangs delays no other.
        """
        if servers is None:
            servers = cls.search([('validated', '=', True)])
        cls._sync_each(servers, started_by='cron')

    @classmethod
    @without_check_access
    def full_sync(cls, servers=None):
        """Compare everything on servers, by default on all validated ones."""
        if servers is None:
            servers = cls.search([('validated', '=', True)])
        cls._sync_each(servers, full=True, started_by='nightly')

    @classmethod
    def _sync_each(cls, servers, full=False, started_by=None):
        for server in servers:
            cls.__queue__.sync_server(
                server, full=full, started_by=started_by)

    @classmethod
    @without_check_access
    def sync_server(cls, server, full=False, started_by=None):
        """Synchronize one server and keep what happened as a run.

        A server that is synchronized already is left alone.

        :return: id of the run, or None
        """
        try:
            return synchronization.Run(server, full, started_by).go()
        except synchronization.Busy:
            logger.info("server %s is synchronized already", server.id)
            return None

    @classmethod
    def sync_now(cls, labels=None):
        """Synchronize servers at once and say what happened, for scripts.

        :param labels: list of labels, None for all that are active
        :return: list of dicts with label, found, state, error and the counts
            of the run
        """
        check_rights(cls.__name__, 'write')
        with without_check_access():
            domain = [('label', 'in', labels)] if labels is not None else []
            servers = cls.search(domain)
            missing = set(labels or []) - {s.label for s in servers}
            if missing:
                return [{'label': label, 'found': False}
                    for label in sorted(missing)]
            return [cls._sync_and_tell(server) for server in servers]

    @classmethod
    def _sync_and_tell(cls, server):
        Run = Pool().get('gnuhealth.orthanc.sync_run')
        label = server.label
        run = cls.sync_server(server, started_by='script')
        if run is None:
            return {
                'label': label, 'found': True, 'state': 'busy',
                'error': gettext(
                    'health_orthanc.msg_sync_busy', server=label),
                }
        return {'label': label, 'found': True, **Run(run).summary()}


def normal_url(text):
    """Return a URL in its one form.

    :raises ServerURLError: when it is none that may be asked
    """
    try:
        return orthanc.normalize_url(text)
    except orthanc.InvalidURL:
        raise ServerURLError(gettext(
                'health_orthanc.msg_error_invalid_url', server=text)) from None


def probe(client):
    """Ask a server who it is.

    :return: values of the server, and the OrthancError or None
    """
    try:
        system = client.system()
        client.statistics()
        viewers = client.viewers()
    except orthanc.OrthancError as error:
        return {}, error
    return {
        'validated': True,
        'version': system['Version'],
        'viewers': viewers,
        'last_error': None,
        }, None


def _execute(query):
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor.fetchall() if cursor.description else []


class SyncRun(ModelSQL, ModelView):
    "Orthanc Synchronization"
    __name__ = 'gnuhealth.orthanc.sync_run'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='CASCADE')
    full = fields.Boolean("Full", readonly=True)
    started_by = fields.Selection([
            ('button', "Button"),
            ('cron', "Schedule"),
            ('nightly', "Nightly Comparison"),
            ('wizard', "Wizard"),
            ('script', "Script"),
            ('upload', "Upload"),
            (None, ""),
            ], "Started by", readonly=True, sort=False)
    start = fields.DateTime("Start", readonly=True)
    end = fields.DateTime("End", readonly=True)
    state = fields.Selection([
            ('running', "Running"),
            ('done', "Done"),
            ('failed', "Failed"),
            ('interrupted', "Interrupted"),
            ], "State", readonly=True, sort=False)
    state_string = state.translated('state')
    done = fields.Integer("Studies Looked at", readonly=True)
    total = fields.Integer("Of", readonly=True)
    studies_new = fields.Integer("New Studies", readonly=True)
    studies_changed = fields.Integer("Changed Studies", readonly=True)
    studies_gone = fields.Integer("Missing Studies", readonly=True)
    series_new = fields.Integer("New Series", readonly=True)
    series_changed = fields.Integer("Changed Series", readonly=True)
    series_gone = fields.Integer("Missing Series", readonly=True)
    instances_new = fields.Integer("New Instances", readonly=True)
    instances_changed = fields.Integer("Changed Instances", readonly=True)
    instances_gone = fields.Integer("Missing Instances", readonly=True)
    studies_linked = fields.Integer("Linked Studies", readonly=True)
    skipped = fields.Integer("Skipped", readonly=True)
    skipped_reasons = fields.Text("Reasons", readonly=True,
        states={'invisible': ~Eval('skipped_reasons')})
    calls = fields.Integer("HTTP Calls", readonly=True)
    error = fields.Text("Error", readonly=True,
        states={'invisible': ~Eval('error')})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('start', 'DESC'), ('id', 'DESC')]
        cls._sql_indexes.add(Index(table,
                (table.server, Index.Equality()),
                (table.start, Index.Range(order='DESC'))))

    def get_rec_name(self, name):
        return f'{self.server.label} {self.start:%Y-%m-%d %H:%M}'

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Eval('state') == 'failed', 'danger',
                    If(Eval('state') == 'interrupted', 'warning',
                        If(Eval('state') == 'running', 'success', '')))),
            ]

    def summary(self):
        """Return state, error and counts, for scripts."""
        names = [
            'state', 'error', 'full', 'total', 'studies_new',
            'studies_changed', 'studies_gone', 'series_new',
            'series_changed', 'series_gone', 'instances_new',
            'instances_changed', 'instances_gone', 'studies_linked',
            'skipped', 'skipped_reasons', 'calls']
        return {name: getattr(self, name) for name in names}


class Cron(metaclass=PoolMeta):
    __name__ = 'ir.cron'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.method.selection.extend([
                ('gnuhealth.orthanc.config|sync', "Sync Orthanc servers"),
                ('gnuhealth.orthanc.config|full_sync',
                    "Compare Orthanc servers"),
                ])

    @classmethod
    def __register__(cls, module):
        super().__register__(module)
        migration.adopt_schedule()
