# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard "New order": several exams for one patient in one order."""
import datetime as dt

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import PYSONEncoder
from trytond.transaction import Transaction
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from .common import check_rights
from .configuration import next_numbers
from .exceptions import NothingSelectedError
from .professional import own_health_professional


class OrderStart(ModelView):
    "New Imaging Order"
    __name__ = 'gnuhealth.patient.imaging.test.request.start'

    patient = fields.Many2One('gnuhealth.patient', "Patient", required=True)
    date = fields.DateTime("Date", required=True,
        help="When the exams are to be done.")
    urgent = fields.Boolean("Urgent")
    doctor = fields.Many2One(
        'gnuhealth.healthprofessional', "Requested by", required=True,
        help="The health professional who asks for the exams.")
    context = fields.Many2One(
        'gnuhealth.pathology', "Context",
        help="The condition that the exams are to confirm, follow or rule "
        "out.")
    tests = fields.Many2Many(
        'gnuhealth.request-imaging-test', 'request', 'test', "Exams",
        required=True)
    requests = fields.Char("Requests Made", readonly=True,
        states={'invisible': True})

    @staticmethod
    def default_date():
        return dt.datetime.now().replace(microsecond=0)

    @staticmethod
    def default_urgent():
        return False

    @staticmethod
    def default_patient():
        context = Transaction().context
        if context.get('active_model') == 'gnuhealth.patient':
            return context.get('active_id')

    @staticmethod
    def default_doctor():
        return own_health_professional()


class OrderTest(ModelView):
    "Imaging Order - Exam"
    __name__ = 'gnuhealth.request-imaging-test'

    request = fields.Many2One(
        'gnuhealth.patient.imaging.test.request.start', "Order",
        required=True)
    test = fields.Many2One('gnuhealth.imaging.test', "Exam", required=True)


class Order(Wizard):
    "New Imaging Order"
    __name__ = 'gnuhealth.patient.imaging.test.request'

    start = StateView('gnuhealth.patient.imaging.test.request.start',
        'health_imaging.patient_imaging_test_request_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Order", 'request', 'tryton-ok', default=True),
            Button("Order and Request", 'order_and_request', 'tryton-launch'),
            ])
    request = StateTransition()
    order_and_request = StateTransition()
    open_ = StateAction('health_imaging.act_imaging_test_request_view')

    def transition_request(self):
        self._order()
        return 'open_'

    def transition_order_and_request(self):
        Request = Pool().get('gnuhealth.imaging.test.request')
        Request.requested(self._order())
        return 'open_'

    def _order(self):
        """Make the requests of the order and return them."""
        Request = Pool().get('gnuhealth.imaging.test.request')
        check_rights('gnuhealth.imaging.test.request', 'create')
        tests = list(getattr(self.start, 'tests', None) or [])
        if not tests:
            raise NothingSelectedError(gettext(
                    'health_imaging.msg_order_without_exam'))
        Request._check_exams(t.id for t in tests)
        number, = next_numbers('imaging_req_seq', 1)
        requests = Request.create([
                self._request_values(test, number) for test in tests])
        self.start.requests = ' '.join(str(r.id) for r in requests)
        return requests

    def _request_values(self, test, number):
        """Return the values of the request of one exam of the order."""
        start = self.start
        return {
            'request': number,
            'requested_test': test.id,
            'patient': start.patient.id,
            'doctor': start.doctor.id,
            'context': start.context.id if start.context else None,
            'date': start.date,
            'urgent': start.urgent,
            }

    def do_open_(self, action):
        ids = [int(i) for i in (self.start.requests or '').split()]
        action['pyson_domain'] = PYSONEncoder().encode([('id', 'in', ids)])
        action['domains'] = []
        return action, {}
