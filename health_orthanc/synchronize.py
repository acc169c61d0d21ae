# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizards that synchronize servers: "Get New Studies" fetches what is new,
"Full Synchronize" compares everything."""
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.doors import CheckedWizard
from trytond.pool import Pool
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from .exceptions import ServerError


class GetNewStudiesStart(ModelView):
    "Get New Studies"
    __name__ = 'gnuhealth.imaging_orthanc.get_new_studies.start'


class GetNewStudies(CheckedWizard, Wizard):
    "Get New Studies"
    __name__ = 'gnuhealth.imaging_orthanc.get_new_studies'

    _rights = {'gnuhealth.imaging_orthanc.study': ['write']}
    _models = {'gnuhealth.imaging_orthanc.study'}

    start = StateView('gnuhealth.imaging_orthanc.get_new_studies.start',
        'health_orthanc.get_new_studies_start_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Get New Studies", 'update', 'tryton-ok', default=True),
            ])
    update = StateTransition()
    runs = StateAction('health_orthanc.act_sync_run_form')

    def transition_update(self):
        Server = Pool().get('gnuhealth.orthanc.config')
        servers = Server.search([])
        if not servers:
            raise ServerError(gettext('health_orthanc.msg_no_server'))
        Server.sync(servers, started_by='wizard')
        return 'runs'


class FullSynchronizeStart(ModelView):
    "Full Synchronize"
    __name__ = 'gnuhealth.imaging_orthanc.full_synchronize.start'

    servers = fields.Many2Many(
        'gnuhealth.orthanc.config', None, None, "Servers", required=True,
        help="The servers to compare with what is known here.")

    @staticmethod
    def default_servers():
        Server = Pool().get('gnuhealth.orthanc.config')
        return [s.id for s in Server.search([])]


class FullSynchronize(CheckedWizard, Wizard):
    "Full Synchronize"
    __name__ = 'gnuhealth.imaging_orthanc.full_synchronize'

    _rights = {'gnuhealth.orthanc.config': ['write']}
    _models = {'gnuhealth.imaging_orthanc.study'}

    start = StateView('gnuhealth.imaging_orthanc.full_synchronize.start',
        'health_orthanc.full_synchronize_start_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Synchronize", 'synchronize', 'tryton-ok', default=True),
            ])
    synchronize = StateTransition()
    runs = StateAction('health_orthanc.act_sync_run_form')

    def transition_synchronize(self):
        Server = Pool().get('gnuhealth.orthanc.config')
        Server.sync(self.start.servers, full=True, started_by='wizard')
        return 'runs'
