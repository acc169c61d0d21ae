# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a database of the released packages 4.4.1 (trytond 6.0) with orders,
results, worklist templates and what they fetch from an Orthanc, and prints
the ids of what the tests ask for as JSON.

It runs with the Python of the released packages:
``python fill_441.py TRYTOND_CONF DATABASE URL USER PASSWORD``.
"""
import datetime as dt
import json
import sys

from fill_504 import ROOT, create, insert, made, one, orthanc_id, write, xml

from trytond.config import config
from trytond.pool import Pool
from trytond.transaction import Transaction

OLD_SYNTAX = """\
(0008,0005) CS [GB18030]
(0010,0020) LO [$PatientID]
## the urgent ones
#if my.urgent
(0040,1003) SH [STAT]
#end
(0020,000d) UI [$StudyInstanceUID]
(0010,0010) PN [${PatientName}]
(0040,0100) SQ
  (fffe,e000) na
    (0008,0060) CS [$Modality]
    (0040,0001) AE [$ScheduledStationAETitle]
    (0040,0002) DA [$ScheduledProcedureStepStartDate]
    (0040,0003) TM [$ScheduledProcedureStepStartTime]
  (fffe,e00d) na
(fffe,e0dd) na
"""
PEOPLE = [
    ("Ana", "Betz", 'f', dt.date(1985, 10, 4)),
    ("丽华", "陈", 'f', dt.date(1990, 10, 1)),
    ]


def hospital():
    User = Pool().get('res.user')
    party = one('party.party', name="Hospital Santa Rosa",
        is_institution=True)
    currency = one('currency.currency', name="Sol", symbol='S/', code='PEN')
    company = one('company.company', party=party.id, currency=currency.id,
        timezone='America/Lima')
    institution = one('gnuhealth.institution', name=party.id, code='HSR',
        institution_type='hospital', public_level='public')
    User.write([User(1)], {
            'companies': [('add', [company.id])], 'company': company.id})
    made['company'] = company.id
    return institution


def people(institution):
    doctor = one('party.party', name="Marcela", lastname="Cordara",
        gender='f', is_person=True, is_healthprof=True, ref='DOC000001',
        fed_country='XXX', internal_user=1)
    made['doctors'] = [one('gnuhealth.healthprofessional', name=doctor.id,
        institution=institution.id).id]
    made['patients'] = [
        one('gnuhealth.patient', name=one('party.party', name=name,
                lastname=lastname, gender=gender, dob=born, is_person=True,
                is_patient=True, ref=f'PAT44000{i}', fed_country='XXX').id).id
        for i, (name, lastname, gender, born) in enumerate(PEOPLE)]


def catalogue():
    template = 'gnuhealth.orthanc.worklist.template'
    made['templates'] = {
        'default': one(template, name="As shipped").id,
        'old': one(template, name="Old syntax", template=OLD_SYNTAX,
            dump_file_encoding='gb18030', comment="For the CT").id,
        'latin': one(template, name="No term", dump_file_encoding='latin1',
            template=OLD_SYNTAX.partition('\n')[2]).id,
        }
    made['exams'] = {
        name: one('gnuhealth.imaging.test', name=title, code=code,
            test_type=xml(f'health_imaging.gnuhealth_test_type_{type_}'),
            product=xml('health_imaging.product_product_ctscancharges'),
            aetitle='CT1', worklist_template=made['templates'].get(template)
            ).id
        for name, title, code, type_, template in [
            ('ct', "CT head", 'CTH', 'ctscan', 'old'),
            ('mri', "MR knee", 'MRK', 'mri', 'default'),
            ('us', "Ultrasound", 'USA', 'ultrasound', 'latin'),
            ('none', "X-ray", 'XRA', 'xray', None)]}


def orders():
    Request = Pool().get('gnuhealth.imaging.test.request')
    requests = [
        one('gnuhealth.imaging.test.request',
            patient=made['patients'][patient],
            requested_test=made['exams'][exam], doctor=made['doctors'][0],
            urgent=exam == 'ct', date=dt.datetime(2024, 3, 4, 15))
        for patient, exam in [(0, 'ct'), (0, 'mri'), (1, 'us')]]
    Request.requested(requests)
    ct, mri, us = requests
    made['requests'] = {'ct': ct.id, 'mri': mri.id, 'us': us.id}
    Wizard = Pool().get('wizard.generate.result', type='wizard')
    session, _, _ = Wizard.create()
    with Transaction().set_context(active_ids=[ct.id, mri.id]):
        Wizard(session).do_open_({})
    Result = Pool().get('gnuhealth.imaging.test.result')
    results = Result.search([], order=[('id', 'ASC')])
    made['results'] = {
        name: next(r.id for r in results if r.request == request)
        for name, request in [('ct', ct), ('mri', mri)]}
    write('gnuhealth.imaging.test.result', made['results']['ct'],
        comment="No bleeding.")
    made['attachment'] = one('ir.attachment', name='letter.pdf', type='data',
        data=b'%PDF-1.4 letter',
        resource=f"gnuhealth.imaging.test.result,{made['results']['ct']}").id


def pacs(url, login, password):
    pool = Pool()
    Server = pool.get('gnuhealth.orthanc.config')
    Patient = pool.get('gnuhealth.orthanc.patient')
    Study = pool.get('gnuhealth.orthanc.study')
    server, same = create('gnuhealth.orthanc.config', {
            'label': "PACS", 'domain': f'{url}/', 'user': login,
            'password': password, 'validated': True, 'last': 0,
            }, {
            'label': "The same", 'domain': f'{url}/', 'user': login,
            'password': password, 'validated': False, 'last': 0})
    Server.sync([server])
    made['url'] = server.domain
    made['servers'] = [server.id, same.id]
    made['last'] = server.last
    studies = Study.search([], order=[('id', 'ASC')])
    patients = Patient.search([], order=[('id', 'ASC')])
    # By hand: the patient of each study, and the result of one.
    for patient in patients:
        patient.patient = made['patients'][0]
        patient.save()
    studies[0].imaging_test = made['results']['ct']
    studies[0].save()
    made['former_patients'] = [p.id for p in patients]
    made['former_studies'] = [s.id for s in studies]
    made['uuids'] = [s.uuid for s in studies]
    # From before instance UIDs were kept, and gone from the server.
    gone = insert('gnuhealth_orthanc_patient', name='GONE^AWAY',
        bd=None, ident='X-9', server=server.id, uuid=orthanc_id('X-9'),
        patient=made['patients'][1])
    made['former_studies'].append(insert('gnuhealth_orthanc_study',
        patient=gone, uuid=orthanc_id('X-9', '1.2.3.9'), description="Gone",
        date=dt.date(2018, 1, 2), server=server.id, instance_uid=None,
        merge_id=ROOT + '9', imaging_test=made['results']['mri']))
    made['cron'] = one('ir.cron', method='gnuhealth.orthanc.config|sync',
        interval_number=9, interval_type='minutes').id


def main(configuration, database, *orthanc):
    config.update_etc(configuration)
    Pool.start()
    Pool(database).init()
    with Transaction().start(database, 1, context={'company': None}) as t:
        people(hospital())
        catalogue()
        orders()
        pacs(*orthanc)
        t.commit()
    print(json.dumps(made))


if __name__ == '__main__':
    main(*sys.argv[1:])
