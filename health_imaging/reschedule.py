# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Doing an exam at another time, and what is kept of it."""
from typing import NamedTuple

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.transaction import Transaction, check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from .dashboard import OPEN
from .doors import ReloadingWizard, reasoned_records
from .exceptions import OrderIncompleteError, RequestNotReadyError
from .institution import institution_timezone, local_datetime
from .kept import Ledger
from .minute import Minute, now
from .professional import own_health_professional
from .retention import Forgotten
from .rights import ADMINISTRATION, groups_of
from .told import Told


class _Allowed(NamedTuple):
    """In the context: the date may change; clients can send no such object."""
    date: bool = True


# Who reschedules the requests of everybody.
_PLANNERS = [
    'health_imaging.group_health_imaging',
    'health_imaging.group_health_imaging_front_desk', ADMINISTRATION]


def is_rescheduling():
    """Return whether the date of sent requests may change now."""
    return isinstance(
        Transaction().context.get('_imaging_reschedule'), _Allowed)


class RescheduleMixin:
    """Mixin of requests: another date for requests that were sent."""
    __slots__ = ()

    reschedules = fields.One2Many(
        'gnuhealth.imaging.test.request.reschedule.log', 'request',
        "Rescheduled", readonly=True,
        states={'invisible': ~Eval('reschedules', [])})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons['reschedule'] = {'invisible': ~Eval('state').in_(OPEN)}

    @classmethod
    @ModelView.button_action('health_imaging.wizard_reschedule')
    def reschedule(cls, requests):
        """Open the wizard that reschedules requests."""

    @classmethod
    def reschedule_to(cls, requests, date, reason):
        """Change the date of requests, and keep who did it, when and why.

        State and the time of sending stay.

        :param datetime.datetime date: when the exams are to be done
        :raises RequestNotReadyError: one is done or canceled
        :raises SafetyWarning: the user is asked about what the rules of
            safety find now, and may go on
        """
        Log = Pool().get('gnuhealth.imaging.test.request.reschedule.log')
        for request in requests:
            request._check_reschedule()
        Log.create([{
                    'request': request.id,
                    'user': Transaction().user or None,
                    'at': now(),
                    'from_date': request.date,
                    'to_date': date,
                    'reason': reason,
                    } for request in requests])
        zone = institution_timezone()
        day = local_datetime(date, zone).date()
        # Who came for another day is not here for this one.
        gone = [r for r in requests if r.arrived_at
            and local_datetime(r.date, zone).date() != day]
        with Transaction().set_context(_imaging_reschedule=_Allowed()):
            cls.write(requests, {'date': date})
        cls.write(gone, {'arrived_at': None})
        cls.check_safety(
            [r for r in requests if r.state == 'requested'], again=True)

    def _check_reschedule(self):
        """Check that the user may change the date.

        :raises RequestNotReadyError: it is done or canceled
        :raises AccessError: the user neither plans nor ordered it
        """
        if self.state not in OPEN:
            raise RequestNotReadyError(gettext(
                    'health_imaging.msg_request_not_reschedulable',
                    request=self.rec_name))
        _, plans = groups_of(*_PLANNERS)
        if not plans and Transaction().user not in {
                self.create_uid.id, getattr(self.requested_by, 'id', None)} \
                and self.doctor.id != own_health_professional():
            raise AccessError(gettext(
                    'health_imaging.msg_reschedule_refused',
                    request=self.rec_name))


class RescheduleLog(Forgotten, Ledger, ModelSQL, ModelView):
    "Rescheduling of an Imaging Request"
    __name__ = 'gnuhealth.imaging.test.request.reschedule.log'
    _years = 'health_imaging', 'reasons_years', 0

    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request", required=True,
        readonly=True, ondelete='CASCADE')
    at = Minute("At", required=True, readonly=True)
    user = fields.Many2One('res.user', "User", readonly=True)
    from_date = Minute("From", readonly=True)
    to_date = Minute("To", required=True, readonly=True)
    reason = Told("Reason", required=True, readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('at', 'DESC'), ('id', 'DESC')]

    def get_rec_name(self, name):
        return self.request.rec_name


class RescheduleStart(ModelView):
    "Reschedule Imaging Requests"
    __name__ = 'gnuhealth.imaging.test.request.reschedule.start'

    date = Minute("Date", required=True,
        help="When the exam is to be done.")
    reason = fields.Text("Reason", required=True,
        help="Why the exam is done at another time, kept with the request.")


class Reschedule(ReloadingWizard, Wizard):
    "Reschedule Imaging Requests"
    __name__ = 'gnuhealth.imaging.test.request.reschedule'

    start = StateView('gnuhealth.imaging.test.request.reschedule.start',
        'health_imaging.imaging_reschedule_start_view_form', [
            Button("Keep", 'end', 'tryton-cancel'),
            Button("Reschedule", 'reschedule', 'tryton-ok', default=True),
            ])
    reschedule = StateTransition()

    _rights = {'gnuhealth.imaging.test.request': ['read']}
    _models = {'gnuhealth.imaging.test.request'}

    def default_start(self, field_names):
        with check_access():
            dates = {r.date for r in self.records or []}
        return {'date': dates.pop()} if len(dates) == 1 else {}

    def transition_reschedule(self):
        Request = Pool().get('gnuhealth.imaging.test.request')
        requests, reason = reasoned_records(self, Request, 'reschedule')
        date = getattr(self.start, 'date', None)
        if not date:
            raise OrderIncompleteError(gettext(
                    'health_imaging.msg_date_missing'))
        Request.reschedule_to(requests, date, reason)
        return 'end'
