# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard "Add Orthanc Server"."""
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.doors import CheckedWizard
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.transaction import Transaction
from trytond.wizard import Button, StateTransition, StateView, Wizard

from . import in_the_clear
from .archive.orthanc import OrthancError
from .connection import new_client
from .exceptions import ServerURLError, error_text
from .server import normal_url, probe

# What the new server takes over.
_COPIED = [
    'label', 'domain', 'proxy_domain', 'user', 'password', 'verify_tls',
    'ca_file']


class AddServerStart(ModelView):
    "Add Orthanc Server"
    __name__ = 'gnuhealth.imaging_orthanc.orthanc_add_init_data'

    label = fields.Char("Label", required=True,
        help="The name of the server for people.")
    domain = fields.Char("URL", required=True,
        help="The address at which GNU Health reaches Orthanc, such as "
        "http://192.0.2.10:8042")
    proxy_domain = fields.Char("Public URL",
        help="The address at which the browsers of the users reach Orthanc, "
        "when it is another one.")
    user = fields.Char("User", required=True)
    password = fields.Char("Password", required=True, strip=False)
    verify_tls = fields.Boolean("Verify Certificate",
        help="Uncheck it only for a server whose certificate cannot be "
        "verified, in a network that you trust.")
    ca_file = fields.Char("CA File",
        states={'invisible': ~Eval('verify_tls')},
        help="The file on the computer of GNU Health with the certificates "
        "to trust, empty for those of the system.")

    @staticmethod
    def default_verify_tls():
        return True


class AddServerDone(ModelView):
    "Orthanc Server Added"
    __name__ = 'gnuhealth.imaging_orthanc.add_server.done'

    label = fields.Char("Server", readonly=True)
    version = fields.Char("Version", readonly=True)
    number_of_studies = fields.Integer("Studies", readonly=True)
    viewers = fields.Char("Viewers", readonly=True)


class AddServerFailed(ModelView):
    "Orthanc Server not Added"
    __name__ = 'gnuhealth.imaging_orthanc.add_server.failed'

    reason = fields.Text("Reason", readonly=True)


class AddServer(CheckedWizard, Wizard):
    "Add Orthanc Server"
    __name__ = 'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect'

    _rights = {'gnuhealth.orthanc.config': ['create']}
    _models = frozenset()

    start = StateView('gnuhealth.imaging_orthanc.orthanc_add_init_data',
        'health_orthanc.view_orthanc_add_init_data', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Begin", 'connect', 'tryton-ok', default=True),
            ])
    connect = StateTransition()
    done = StateView('gnuhealth.imaging_orthanc.add_server.done',
        'health_orthanc.add_server_done_view_form', [
            Button("Close", 'end', 'tryton-ok', default=True),
            ])
    failed = StateView('gnuhealth.imaging_orthanc.add_server.failed',
        'health_orthanc.add_server_failed_view_form', [
            Button("Close", 'end', 'tryton-cancel'),
            Button("Back", 'start', 'tryton-back', default=True),
            ])

    def default_start(self, field_names):
        """Return what was typed before, for who comes back."""
        values = {name: getattr(self.start, name, None) for name in _COPIED}
        return {n: v for n, v in values.items() if v is not None}

    def transition_connect(self):
        Server = Pool().get('gnuhealth.orthanc.config')
        values = {name: getattr(self.start, name, None) for name in _COPIED}
        # What a wizard holds is kept in the database for a while.
        self.start.password = None
        try:
            return self._connect(Server, values)
        except ServerURLError as error:
            # Somebody may have written a password into it.
            self.start.domain = self.start.proxy_domain = None
            return self._failed(error.message)
        except OrthancError as error:
            return self._failed(error_text(error, values['domain']))

    def _connect(self, Server, values):
        names = Server.fields_get(['domain', 'proxy_domain'])
        for name, definition in names.items():
            if values[name]:
                values[name] = normal_url(values[name], definition['string'])
        for same in Server.search([
                    ['OR',
                        ('domain', '=', values['domain']),
                        ('label', '=', values['label']),
                        ],
                    ('active', 'in', [True, False]),
                    ], limit=1):
            return self._failed(gettext(
                    'health_orthanc.msg_server_exists', server=same.label))
        # Before the password is sent for the first time.
        in_the_clear.warn(filter(None, map(
                    values.get, in_the_clear.ADDRESSES)))
        secret = values.pop('password')
        server = Server(
            **values,
            connect_timeout=Server.default_connect_timeout(),
            read_timeout=Server.default_read_timeout())
        with new_client(server, secret) as client:
            # What the person was warned of is kept.
            Transaction().commit()
            found = probe(client)
            studies, *_ = client.counts()
        server, = Server.create([{**values, **found, 'password': secret}])
        Server.do_sync([server])
        self.done.label = server.label
        self.done.version = server.version
        self.done.number_of_studies = studies
        self.done.viewers = server.viewer_names
        return 'done'

    def _failed(self, reason):
        self.failed.reason = reason
        return 'failed'

    def default_done(self, field_names):
        return self.done._default_values

    def default_failed(self, field_names):
        return self.failed._default_values
