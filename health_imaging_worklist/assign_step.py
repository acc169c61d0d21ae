# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard by which a person says to which request a step belongs."""
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.doors import (
    ReloadingWizard, selected_records)
from trytond.modules.health_imaging.identity import identity_line
from trytond.modules.health_imaging.rights import check_read
from trytond.pool import Pool
from trytond.transaction import check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from .exceptions import RequestMissingError, StepPatientWarning
from .inbox import differs
from .performed import Patient

_STEP = 'gnuhealth.imaging_worklist.performed_step'
_REQUEST = 'gnuhealth.imaging.test.request'


class AssignStart(ModelView):
    "Assign a Step to Requests"
    __name__ = 'gnuhealth.imaging_worklist.performed_step.assign.start'

    told = fields.Text("The Machine Says", readonly=True)
    requests = fields.Many2Many(_REQUEST, None, None, "Requests",
        required=True,
        domain=[('state', 'in', ['requested', 'done'])],
        help="The requests of the exam that the machine did.")


class AssignStep(ReloadingWizard, Wizard):
    "Assign a Step to Requests"
    __name__ = 'gnuhealth.imaging_worklist.performed_step.assign'

    start = StateView('gnuhealth.imaging_worklist.performed_step.assign.start',
        'health_imaging_worklist.assign_step_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Assign", 'assign', 'tryton-ok', default=True),
            ])
    assign = StateTransition()

    _rights = {_STEP: ['read'], _REQUEST: ['write']}
    _models = {_STEP}

    def default_start(self, field_names):
        step, *_ = selected_records(self, Pool().get(_STEP))
        return {
            'told': '\n'.join(filter(None, [
                        step.rec_name,
                        ', '.join(filter(None, [
                                    step.patient_id,
                                    str(step.patient_birth or ''),
                                    step.patient_sex])),
                        step.accession_number])),
            'requests': [r.id for r in self._candidates(step)],
            }

    @staticmethod
    def _candidates(step):
        """Return the one request that may be meant: of the patient whose ID
        the machine says, and still to be examined there."""
        if not step.patient_id:
            return []
        Request = Pool().get(_REQUEST)
        with check_access():
            found = Request.search([
                    ('patient.party.ref', '=', step.patient_id),
                    ('state', '=', 'requested'),
                    ('to_examine', '=', True),
                    ('aetitle', '=', step.aetitle),
                    ], limit=2)
        return found if len(found) == 1 else []

    def transition_assign(self):
        Step = Pool().get(_STEP)
        steps = selected_records(self, Step)
        with check_access():
            Step.assign(steps)
        requests = list(getattr(self.start, 'requests', None) or [])
        if not requests:
            raise RequestMissingError(gettext(
                    'health_imaging_worklist.msg_request_missing'))
        check_read(requests)
        self._check_patients(steps, requests)
        Step.decide(steps, requests)
        return 'end'

    @staticmethod
    def _check_patients(steps, requests):
        """Ask before a step is given to the request of somebody who seems to
        be another one.

        :raises StepPatientWarning: he does, the user may go on
        """
        Warning = Pool().get('res.user.warning')
        for step in steps:
            told = Patient(
                step.patient_id, step.patient_name, step.patient_birth,
                step.patient_sex)
            for request in requests:
                key = Warning.format(
                    'imaging_step_patient', [step, request])
                if differs(told, request.patient) and Warning.check(key):
                    raise StepPatientWarning(key, gettext(
                            'health_imaging_worklist.msg_step_patient',
                            told=' '.join(filter(None, [
                                        step.patient_name, step.patient_id,
                                        str(step.patient_birth or '')])),
                            patient=request.patient.rec_name,
                            identity=identity_line(request.patient)))
