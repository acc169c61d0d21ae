# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases results that are not signed: somebody else writes the report, or
the exam is done again.

The result stays with its request, so that nothing is lost, and whoever
reports the exam next goes on with it.
"""
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.transaction import Transaction
from trytond.wizard import Button, StateTransition, StateView, Wizard

from .doors import ReloadingWizard, reasoned_records
from .exceptions import ReleaseError
from .minute import Minute, now
from .sections import SECTIONS
from .workflow import hold

_released_only = {'invisible': ~Eval('released_at')}


class ReleaseMixin:
    """Mixin of results: who released them, and why."""
    __slots__ = ()

    released_by = fields.Many2One('res.user', "Released by", readonly=True,
        states=_released_only)
    released_at = Minute("Released at", readonly=True,
        states=_released_only)
    release_reason = fields.Text("Reason for Release", readonly=True,
        states=_released_only)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._stamped |= {'released_by', 'released_at', 'release_reason'}
        cls._buttons['release'] = {
            'invisible': (Eval('state') != 'draft')
            | ~Eval('request') | (Eval('revision', 0) > 0)}

    @classmethod
    @ModelView.button_action('health_imaging.wizard_release_result')
    def release(cls, results):
        """Open the wizard that releases results."""

    @classmethod
    def give_back(cls, results, reason, keep):
        """Release results, their requests are requested again.

        :param bool keep: whether the text and the images stay
        :raises FinalResultError: one is signed
        :raises ReleaseError: one was signed, or has no request
        """
        cls.check_draft(results)
        for result in results:
            result._check_release()
        requests = [r.request for r in results]
        # As in every other place, requests are locked first.
        hold(requests)
        if not keep:
            cls._empty(results)
        cls.write(results, {
                'released_by': Transaction().user or None,
                'released_at': now(),
                'release_reason': reason,
                'first_read_by': None, 'first_read_at': None})
        type(requests[0]).reopen(requests)

    def _check_release(self):
        message = None
        if not self.request:
            message = 'health_imaging.msg_release_no_request'
        elif self.revision:
            message = 'health_imaging.msg_release_signed'
        if message:
            raise ReleaseError(gettext(message, result=self.rec_name))

    @classmethod
    def _empty(cls, results):
        """Delete the texts and the images of results."""
        Attachment = Pool().get('ir.attachment')
        cls.write(results, dict.fromkeys(SECTIONS))
        Attachment.delete([a for r in results for a in r.images])


class ReleaseResultStart(ModelView):
    "Release Imaging Result"
    __name__ = 'gnuhealth.imaging.test.result.release.start'

    reason = fields.Text("Reason", required=True,
        help="Why the report is not written now, kept with the result.")
    keep = fields.Boolean("Keep Text and Images",
        help="Whoever reports the exam next goes on with them. Otherwise "
        "they are deleted.")

    @staticmethod
    def default_keep():
        return True


class ReleaseResult(ReloadingWizard, Wizard):
    "Release Imaging Result"
    __name__ = 'gnuhealth.imaging.test.result.release'

    start = StateView('gnuhealth.imaging.test.result.release.start',
        'health_imaging.imaging_test_result_release_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Release", 'release', 'tryton-ok', default=True),
            ])
    release = StateTransition()

    _rights = {'gnuhealth.imaging.test.result': ['write']}
    _models = {'gnuhealth.imaging.test.result'}

    def transition_release(self):
        Result = Pool().get('gnuhealth.imaging.test.result')
        results, reason = reasoned_records(self, Result, 'release')
        # Nothing is deleted unless it is said.
        Result.give_back(results, reason, getattr(self.start, 'keep', True))
        return 'end'
