# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders exams with a health service, updates the service, makes its invoice
and plans a surgery with the result, and prints what it saw as JSON.

It runs in an environment with the suite, gnuhealth-services-imaging and
gnuhealth-surgery: ``python order_with_service.py TRYTOND_CONF DATABASE``.
"""
import datetime as dt
import json
import sys
from decimal import Decimal

from fill_504 import hospital, made, one, people, write, xml

from trytond.config import config
from trytond.pool import Pool
from trytond.transaction import Transaction

REQUEST = 'gnuhealth.imaging.test.request'


def accounts():
    "Make what an invoice needs."
    company = made['company']
    receivable = one('account.account.type', name="Receivable",
        company=company, statement='balance', receivable=True, assets=True)
    revenue = one('account.account.type', name="Revenue", company=company,
        statement='income', revenue=True)
    receivable = one('account.account', name="Receivable", company=company,
        type=receivable.id, party_required=True, reconcile=True)
    revenue = one('account.account', name="Revenue", company=company,
        type=revenue.id)
    category = one('product.category', name="Imaging", accounting=True,
        account_revenue=revenue.id)
    Template = Pool().get('product.template')
    Template.write(Template.search([]), {'account_category': category.id})
    term = one('account.invoice.payment_term', name="At once",
        lines=[('create', [{'type': 'remainder'}])])
    Configuration = Pool().get('account.configuration')
    settings = Configuration(1)
    settings.default_account_receivable = receivable.id
    settings.default_customer_payment_term = term.id
    settings.save()


def exams():
    products = ['ctscancharges', 'xraycharges']
    for name, price in zip(products, [Decimal('120'), Decimal('40')]):
        write('product.template', xml(
                f'health_imaging.product_template_{name}'), list_price=price)
    return [
        one('gnuhealth.imaging.test', name=name, code=name,
            test_type=xml(f'health_imaging.gnuhealth_test_type_{type_}'),
            product=xml(f'health_imaging.product_product_{product}')).id
        for name, type_, product in zip(
            ["CT head", "Chest X-ray"], ['ctscan', 'cr'], products)]


def order(service, exams, **values):
    "Order by the wizard, in whose form the services have put their fields."
    pool = Pool()
    Wizard = pool.get('gnuhealth.patient.imaging.test.request', type='wizard')
    Start = pool.get('gnuhealth.patient.imaging.test.request.start')
    Request = pool.get(REQUEST)
    known = Request.search([])
    session, _, _ = Wizard.create()
    start = Start.default_get(list(Start._fields), with_rec_name=False)
    start.update({
            'patient': made['patients'][0], 'doctor': made['doctors'][0],
            'date': dt.datetime(2026, 3, 4, 15), 'tests': exams,
            'service': service.id, 'context': None, **values})
    answer = Wizard.execute(session, {'start': start}, 'request')
    new = [r for r in Request.search([]) if r not in known]
    return sorted(new, key=lambda r: r.request_line), answer


def invoice(service):
    Wizard = Pool().get('gnuhealth.service.invoice.create', type='wizard')
    session, _, _ = Wizard.create()
    with Transaction().set_context(active_ids=[service.id]):
        Wizard.execute(session, {'start': {}}, 'create_service_invoice')
    made_invoice, = Pool().get('account.invoice').search([])
    return made_invoice


def story():
    pool = Pool()
    Request = pool.get(REQUEST)
    people(hospital())
    with Transaction().set_context(company=made['company']):
        accounts()
        offered = exams()
        patient = pool.get('gnuhealth.patient')(made['patients'][0])
        one('party.address', party=patient.party.id, street="Road 1")
        service = one('gnuhealth.health_service', patient=patient.id,
            desc="Imaging")
        with Transaction().set_user(made['users'][0]):
            requests, _ = order(service, offered)
            single, _ = order(service, offered[:1], ungroup_tests=True)
        Request.update_service(single)
        # Whether she is pregnant is not known: she is asked.
        with Transaction().set_context(_skip_warnings=True):
            Request.requested(requests)
        result, = Request.make_results(requests[:1])
        made_invoice = invoice(service)
        with Transaction().set_user(made['users'][0]):
            surgery = one('gnuhealth.surgery', patient=patient.id)
            assessment = one('gnuhealth.preoperative_assessment',
                patient=patient.id, imaging_test=result.id,
                assessment_date=dt.date(2026, 3, 5))
        return {
            'numbers': [r.request_line for r in requests + single],
            'services': [r.service.id for r in requests + single],
            'updated': [r.service_updated for r in Request.browse(
                    requests + single)],
            'merge_ids': len({r.merge_id for r in requests + single}),
            'lines': [line.product.rec_name for line in
                pool.get('gnuhealth.health_service')(service).service_line],
            'amount': str(made_invoice.untaxed_amount),
            'service_state':
                pool.get('gnuhealth.health_service')(service).state,
            'surgery': bool(surgery.id),
            'assessed': assessment.imaging_test == result,
            'views': views(),
            }


def views():
    "Open the views that the other modules extend."
    pool = Pool()
    View = pool.get('ir.ui.view')
    opened = 0
    for view in View.search([
                ('module', 'in', ['health_services_imaging',
                        'health_surgery']),
                ('model', '!=', None)]):
        pool.get(view.model).fields_view_get(
            view_id=(view.inherit or view).id)
        opened += 1
    return opened


def main(configuration, database):
    config.update_etc(configuration)
    Pool.start()
    Pool(database).init()
    # trytond locks a table only when the transaction starts.
    with Transaction().start(
            database, 1, context={'company': None},
            _lock_tables=['account_configuration']):
        print(json.dumps(story()))


if __name__ == '__main__':
    main(*sys.argv[1:])
