# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard "Sign and Next": signs a result and goes on with the reading
list."""
from trytond.model import ModelView
from trytond.pool import Pool
from trytond.transaction import check_access
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from .doors import CheckedWizard, selected_records


class SignNextEmpty(ModelView):
    "Reading List Is Empty"
    __name__ = 'gnuhealth.imaging.test.result.sign_next.empty'


class SignNext(CheckedWizard, Wizard):
    "Sign and Next"
    __name__ = 'gnuhealth.imaging.test.result.sign_next'

    start_state = 'sign'
    sign = StateTransition()
    open_ = StateAction('health_imaging.act_imaging_test_result_view')
    empty = StateView('gnuhealth.imaging.test.result.sign_next.empty',
        'health_imaging.imaging_test_result_sign_next_empty_view_form', [
            Button("Close", 'end', 'tryton-ok', default=True),
            ])

    _rights = {
        'gnuhealth.imaging.test.request': ['write'],
        'gnuhealth.imaging.test.result': ['write', 'create'],
        }
    _models = {'gnuhealth.imaging.test.result'}

    # The next request, opened by the last state.
    _request = None

    def transition_sign(self):
        pool = Pool()
        Request = pool.get('gnuhealth.imaging.test.request')
        Result = pool.get('gnuhealth.imaging.test.result')
        with check_access():
            Result.finalize(selected_records(self, Result))
        self._request = Request.next_to_read()
        return 'open_' if self._request else 'empty'

    def do_open_(self, action):
        with check_access():
            action = type(self._request).report([self._request])
        return action, {}
