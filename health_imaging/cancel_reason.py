# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancelling requests: the reasons to choose from, and the wizard."""
from trytond.i18n import gettext
from trytond.model import (
    DeactivableMixin, ModelSQL, ModelView, fields, sequence_ordered)
from trytond.pool import Pool
from trytond.transaction import check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from .calls import CheckedCalls
from .doors import CheckedWizard, selected_records
from .exceptions import ReasonMissingError, RequestNotReadyError


class CancelReason(
        CheckedCalls, sequence_ordered(), DeactivableMixin, ModelSQL,
        ModelView):
    "Reason for Cancellation"
    __name__ = 'gnuhealth.imaging.cancel.reason'

    name = fields.Char("Name", required=True, translate=True)


class CancelRequestStart(ModelView):
    "Cancel Imaging Requests"
    __name__ = 'gnuhealth.imaging.test.request.cancel.start'

    choice = fields.Many2One(
        'gnuhealth.imaging.cancel.reason', "Reason", required=True,
        help="Why the exam is not done, kept with the request.")
    reason = fields.Text("Details",
        help="What else is to be known, kept with the request.")


class CancelRequest(CheckedWizard, Wizard):
    "Cancel Imaging Requests"
    __name__ = 'gnuhealth.imaging.test.request.cancel'

    start = StateView('gnuhealth.imaging.test.request.cancel.start',
        'health_imaging.imaging_test_request_cancel_start_view_form', [
            Button("Keep", 'end', 'tryton-cancel'),
            Button("Cancel Requests", 'cancel', 'tryton-ok', default=True),
            ])
    cancel = StateTransition()

    _rights = {'gnuhealth.imaging.test.request': ['write']}
    _models = {'gnuhealth.imaging.test.request'}

    def transition_cancel(self):
        Request = Pool().get('gnuhealth.imaging.test.request')
        requests = selected_records(self, Request)
        with check_access():
            Request.cancel(requests)
        choice = getattr(self.start, 'choice', None)
        if not choice:
            raise ReasonMissingError(gettext(
                    'health_imaging.msg_reason_missing'))
        for request in requests:
            if (request.state, 'canceled') not in Request._transitions:
                raise RequestNotReadyError(gettext(
                        'health_imaging.msg_request_not_cancelable',
                        request=request.rec_name))
        details = (getattr(self.start, 'reason', None) or '').strip()
        Request.cancel_for(requests, details or None, choice)
        return 'end'
