# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard "Get New Studies": fetches what is new on all servers."""
from trytond.i18n import gettext
from trytond.model import ModelView
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
        Server.sync_later(servers, started_by='wizard')
        return 'runs'
