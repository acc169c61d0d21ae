# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a database of the released packages 5.0.4 with what a hospital has
after some years, and prints the ids of what the tests ask for as JSON.

It runs with the Python of the released packages:
``python fill_504.py TRYTOND_CONF DATABASE STUDIES SERIES INSTANCES
[URL USER PASSWORD]``.  The three numbers add plain studies, with so many
series each and so many instances in each series.  The URL is that of an
Orthanc from which 5.0.4 fetches all it has.
"""
import datetime as dt
import hashlib
import json
import sys

from sql import Table
from sql.functions import CurrentTimestamp

from trytond.config import config
from trytond.pool import Pool
from trytond.transaction import Transaction

MAIN = 'http://pacs.example:8042'
MAIN_AGAIN = 'http://PACS.example:8042/'
BRANCH = 'HTTPS://Branch.Example/orthanc/'
GONE = 'http://gone.example:8042'
ROOT = '1.2.836.0.1.3240043.7.198.'
PNG = bytes.fromhex(
    '89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de'
    '0000000c4944415408d763f8cfc0000003010100c9fe92ef0000000049454e44ae'
    '426082')
UNSAFE_TEMPLATE = """\
{% python import os %}
(0010,0020) LO [${my.patient.puid}]
"""
PEOPLE = [
    ("Ana Isabel", "Betz", 'f', '1985-10-04'),
    ("José María", "Ñúñez Müller", 'm', '1984-02-29'),
    ("丽华", "陈", 'f', '1990-10-01'),
    ("Наталья", "Соколова", 'f', '1957-07-08'),
    ("Tom", "O'Brien", 'm', None),
    ("Baby", "Rossi", 'f', '2024-05-30'),
    ("Karl", "Löwe", 'm', '1931-01-01'),
    ("Yui", "Tanaka", 'f', '2001-12-31'),
    ]

made = {}


def create(model, *values):
    "Create records and return them."
    return Pool().get(model).create(list(values))


def one(model, /, **values):
    "Create a record and return it."
    return create(model, values)[0]


def xml(name):
    "Return the id of what a module made under an id, such as module.id."
    return Pool().get('ir.model.data').get_id(*name.split('.'))


def insert(table, /, **values):
    "Insert a row and return its id."
    return insert_rows(table, [values])[0]


def insert_rows(name, rows):
    "Insert rows with the same columns and return their ids."
    table = Table(name)
    cursor = Transaction().connection.cursor()
    names = [*rows[0], 'create_uid', 'create_date']
    last = max_id(name)
    for start in range(0, len(rows), 1000):
        part = rows[start:start + 1000]
        cursor.execute(*table.insert(
                [getattr(table, n) for n in names],
                [[*row.values(), 1, CurrentTimestamp()] for row in part]))
    return ids_after(name, last)


def max_id(name):
    return max(ids_after(name, 0), default=0)


def ids_after(name, last):
    table = Table(name)
    cursor = Transaction().connection.cursor()
    cursor.execute(*table.select(
            table.id, where=table.id > last, order_by=table.id))
    return [id_ for id_, in cursor.fetchall()]


def update(name, id_, /, **values):
    "Change a row as only SQL can."
    table = Table(name)
    Transaction().connection.cursor().execute(*table.update(
            [getattr(table, n) for n in values], list(values.values()),
            where=table.id == id_))


def orthanc_id(*parts):
    "Return the id that Orthanc gives, PS3.3 identifiers hashed."
    digest = hashlib.sha1('|'.join(parts).encode()).hexdigest()
    return '-'.join(digest[i:i + 8] for i in range(0, 40, 8))


# The hospital

def hospital():
    pool = Pool()
    items = pool.get('ir.module.config_wizard.item').search([])
    pool.get('ir.module.config_wizard.item').write(items, {'state': 'done'})
    party = one('party.party', name="Hospital Santa Rosa",
        is_institution=True, is_person=False)
    currency = one('currency.currency', name="Sol", symbol='S/', code='PEN')
    company = one('company.company', party=party.id, currency=currency.id,
        timezone='America/Lima')
    institution = one('gnuhealth.institution', party=party.id, code='HSR',
        institution_type='hospital', public_level='public')
    User = pool.get('res.user')
    User.write([User(1)], {
            'companies': [('add', [company.id])], 'company': company.id})
    made['company'] = company.id
    return institution


def people(institution):
    made['users'] = [
        user('doctor', ['health.group_health_doctor']),
        user('radiologist', ['health.group_health_doctor',
                'health_imaging.group_health_imaging']),
        user('pacs', ['health_orthanc.group_imaging_orthanc_admin']),
        ]
    made['doctors'] = [
        one('gnuhealth.healthprofessional', institution=institution.id,
            party=one('party.party', name=name, lastname="Cordara",
                gender='f', is_person=True, is_healthprof=True,
                ref=f'DOC00000{i}', fed_country='XXX',
                internal_user=made['users'][i]).id).id
        for i, name in enumerate(["Marcela", "Cameron"])]
    made['patients'] = [
        one('gnuhealth.patient', party=one('party.party', name=name,
                lastname=lastname, gender=gender, ref=f'PAT12345{i}',
                dob=birth and dt.date.fromisoformat(birth), is_person=True,
                is_patient=True, fed_country='XXX').id).id
        for i, (name, lastname, gender, birth) in enumerate(PEOPLE)]


def user(login, groups):
    return one('res.user', name=login.title(), login=login,
        companies=[('add', [made['company']])], company=made['company'],
        groups=[('add', [xml(g) for g in groups])]).id


# What the administrators changed

def changes_of_the_hospital():
    pool = Pool()
    group = one('res.group', name="Night shift")
    made['group'] = group.id
    Menu = pool.get('ir.ui.menu')
    Menu.write([Menu(xml('health_imaging.menu_imaging'))], {
            'groups': [('add', [group.id])]})
    Access = pool.get('ir.model.access')
    Access.write(
        [Access(xml('health_imaging.access_health_imaging_test_doctor'))],
        {'perm_write': True})
    model, = pool.get('ir.model').search([
            ('model', '=', 'gnuhealth.imaging.test.result')])
    made['access'] = one('ir.model.access', model=model.id, group=group.id,
        perm_read=True, perm_write=False, perm_create=False,
        perm_delete=False).id
    # A schedule that was there before 5.0, every seven minutes.
    made['cron'] = insert('ir_cron',
        method='gnuhealth.orthanc.config|sync', interval_number=7,
        interval_type='minutes', active=True,
        next_call=dt.datetime(2026, 1, 1))
    own_sequences()
    own_look()


def own_look():
    "A letterhead, a field in a form, a user who only has a group."
    Report = Pool().get('ir.action.report')
    made['report'] = xml('health_imaging.imaging_result_report')
    Report.write([Report(made['report'])], {'report_content_custom': PNG})
    made['view'] = one('ir.ui.view', model='gnuhealth.imaging.test.request',
        inherit=xml('health_imaging.view_imaging_test_request_form'),
        data='<data><xpath expr="//field[@name=\'doctor\']" '
        'position="after"><label name="create_date"/>'
        '<field name="create_date"/></xpath></data>').id
    made['guest'] = one('res.user', name="Guest", login='guest',
        groups=[('add', [xml('health_imaging.group_health_imaging')])],
        active=False).id


def own_sequences():
    made['sequences'] = {}
    for field, type_, prefix in [
            ('imaging_req_seq', 'seq_type_gnuhealth_imaging_test_request',
                'RX'),
            ('imaging_test_sequence', 'seq_type_gnuhealth_imaging_test',
                'RES')]:
        sequence = one('ir.sequence', name=f"Own {prefix}", prefix=prefix,
            padding=5, number_next=500,
            sequence_type=xml(f'health_imaging.{type_}'))
        one(f'gnuhealth.sequences.{field}', **{field: sequence.id})
        made['sequences'][field] = sequence.id


# The catalogue

def catalogue():
    made['templates'] = {
        'default': template("As shipped"),
        'typo': template("With the typo", charset='IS0_IR 192'),
        'latin': template("Edited", charset='ISO_IR 100',
            comment="For the old CT",
            template='(0010,0020) LO [$PatientID]\n'
            '(0020,000d) UI [$StudyInstanceUID]\n'),
        'json': template("JSON", template_type='json', charset='IS0_IR 100'),
        'unsafe': template("Unsafe", template=UNSAFE_TEMPLATE),
        'blank': template("No charset", charset=None),
        }
    own_type = one('gnuhealth.imaging.test.type', code='FLUO',
        name="Fluoroscopy of the hospital")
    made['types'] = [own_type.id]
    ct, xray, us = [
        xml(f'health_imaging.gnuhealth_test_type_{name}')
        for name in ['ctscan', 'xray', 'ultrasound']]
    made['exams'] = {
        'ct': exam("CT head", 'CTH', ct, 'typo', 'CT1'),
        'xray': exam("Chest X-ray", 'CXR', xray, 'json', 'XR1'),
        'us': exam("Ultrasound abdomen", 'USA', us, 'default', None),
        'fluo': exam("Swallow", 'FLU', own_type.id, None, None),
        'same_code': exam("Chest X-ray, two views", 'CXR', xray, 'latin',
            'ROOM 2'),
        'inactive': exam("Skull X-ray", 'CXR', xray, None, None,
            active=False),
        }
    Exam = Pool().get('gnuhealth.imaging.test')
    with Transaction().set_context(language='es'):
        Exam.write([Exam(made['exams']['ct'])], {'name': "TAC de cráneo"})
    made['words'] = insert('ir_translation',
        name='gnuhealth.imaging.test,name', res_id=made['exams']['xray'],
        lang='fr', type='model', src="Chest X-ray", value="Radio du thorax",
        fuzzy=False, module=None)


def template(name, **values):
    return one(
        'gnuhealth.imaging_worklist.worklist_template', name=name, **values).id


def exam(name, code, type_, template_, aetitle, **values):
    return one('gnuhealth.imaging.test', name=name, code=code,
        test_type=type_, aetitle=aetitle,
        imaging_worklist_template=made['templates'].get(template_),
        product=xml('health_imaging.product_product_ctscancharges'),
        **values).id


# Orders and results

def order(patient, *exams, **values):
    "Order exams by the wizard; they get one merge id."
    pool = Pool()
    Wizard = pool.get('gnuhealth.patient.imaging.test.request', type='wizard')
    Start = pool.get('gnuhealth.patient.imaging.test.request.start')
    session, _, _ = Wizard.create()
    wizard = Wizard(session)
    wizard.start = Start(
        patient=made['patients'][patient], doctor=made['doctors'][0],
        date=values.get('date', dt.datetime(2026, 1, 15, 13, 30)),
        urgent=values.get('urgent', False), context=None,
        tests=[made['exams'][e] for e in exams])
    before = max_id('gnuhealth_imaging_test_request')
    wizard.transition_request()
    return ids_after('gnuhealth_imaging_test_request', before)


def requested(*ids):
    Request = Pool().get('gnuhealth.imaging.test.request')
    Request.requested(Request.browse(ids))


def results(*ids):
    "Generate results by the wizard and return their ids."
    Wizard = Pool().get('wizard.generate.result', type='wizard')
    session, _, _ = Wizard.create()
    before = max_id('gnuhealth_imaging_test_result')
    with Transaction().set_context(active_ids=list(ids)):
        Wizard(session).do_open_({})
    return ids_after('gnuhealth_imaging_test_result', before)


def write(model, id_, /, **values):
    Model = Pool().get(model)
    Model.write([Model(id_)], values)


def orders():
    request = 'gnuhealth.imaging.test.request'
    result = 'gnuhealth.imaging.test.result'
    draft, = order(0, 'us')
    write(request, draft, comment="Fasting")
    waiting, = order(1, 'ct', urgent=True)
    requested(waiting)
    # One order of three exams: one merge id for all.
    shared = order(2, 'ct', 'xray', 'us')
    requested(*shared)
    shared_done = order(3, 'ct', 'xray')
    requested(*shared_done)
    shared_results = results(*shared_done)
    write(result, shared_results[1], comment="No fracture.")
    # A copy has the same merge id, and the result of the first is there.
    done, = order(0, 'xray')
    requested(done)
    read, = results(done)
    write(result, read, comment="Normal heart.\nNo effusion.",
        report_style='no_images')
    Request = Pool().get(request)
    copy, = Request.copy([Request(done)])
    # Results generated twice; the second one was read.
    twice, = order(4, 'ct')
    requested(twice)
    first, = results(twice)
    second, = results(twice)
    write(result, second, comment="Read here.")
    # The same twice, and both were read.
    both, = order(5, 'us')
    requested(both)
    both_results = [results(both)[0], results(both)[0]]
    for id_ in both_results:
        write(result, id_, comment=f"Read {id_}.")
    unread, = order(6, 'fluo')
    requested(unread)
    unread_result, = results(unread)
    # Orders from before worklists: one merge id and a status for all.
    old = [order(p, 'xray', date=dt.datetime(2019, 3, p, 8))[0]
        for p in range(1, 4)]
    requested(*old)
    old_result, = results(old[0])
    for id_ in old:
        update('gnuhealth_imaging_test_request', id_,
            merge_id=ROOT + '4242', worklist_status='todo')
    none, = order(7, 'us')
    update('gnuhealth_imaging_test_request', none, merge_id=None,
        worklist_status=None)
    canceled, = order(7, 'ct')
    requested(canceled)
    write(request, canceled, worklist_status='canceled')
    line, same_line = order(7, 'ct', 'us')
    number = Request(line).request_line
    write(request, same_line, request_line=number)
    without = order(7, 'us')
    lost, = results(*without)
    update('gnuhealth_imaging_test_result', lost, request=None, patient=None)
    made['requests'] = dict(draft=draft, waiting=waiting, shared=shared,
        shared_done=shared_done, done=done, copy=copy.id, twice=twice,
        both=both, unread=unread, old=old, none=none, canceled=canceled,
        line=line, same_line=same_line, lost=without[0])
    made['results'] = dict(shared=shared_results, read=read, first=first,
        second=second, both=both_results, unread=unread_result,
        old=old_result, lost=lost)
    attachments(read, first, second)


def attachments(read, first, second):
    made['attachments'] = [
        one('ir.attachment', name='1.2.3.4', data=PNG, type='data',
            description="Slice 12", resource=f'{RESULT},{read}').id,
        one('ir.attachment', name='letter.pdf', data=b'%PDF-1.4 letter',
            type='data', resource=f'{RESULT},{second}').id,
        one('ir.attachment', name='page 1', data=PNG, type='data',
            resource=f'{RESULT},{first}').id,
        one('ir.attachment', name='old images', type='link',
            link='http://archive.example/7', resource=f'{RESULT},{read}').id,
        ]
    made['note'] = one('ir.note', message="Called the ward.",
        resource=f'{RESULT},{read}').id


RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'


# The PACS

def servers():
    made.setdefault('servers', {}).update({
        'main': server("Main", MAIN, validated=True, last_changed_index=4711),
        'again': server("Main, again", MAIN_AGAIN, validated=False),
        'branch': server("Branch", BRANCH, validated=True,
            proxy_domain='https://images.example/branch/',
            last_changed_index=12),
        'unused': server("Unused", 'localhost:8042', validated=False),
        'odd': server("Odd", 'http://me:secret@odd.example', validated=False),
        })


def server(label, domain, **values):
    # Made as the wizard of 5.0.4 does, but without asking the server.
    return insert('gnuhealth_orthanc_config', label=label, domain=domain,
        user='orthanc', password=f'secret of {label}', **{
            'proxy_domain': None, 'last_changed_index': -1, **values})


def study(uid, person, server=MAIN, **values):
    "Make a study as a synchronisation of 5.0.4 does."
    ident = f'PAT12345{person}'
    return insert('gnuhealth_imaging_orthanc_study', **{
            'study_instance_UID': uid, 'orthanc_UID': orthanc_id(ident, uid),
            'server': server, 'date': '20260116', 'patient_id': ident,
            'patient_name': '^'.join(reversed(PEOPLE[person][:2])),
            'patient': None, 'imaging_test': None, 'merge_id': None,
            'merge_comment': None, 'notes': None, 'institution': "Santa Rosa",
            'performing_physician_name': "CORDARA^MARCELA", **values})


def series(study, uid, modality='CT', instances=(), **values):
    id_ = insert('gnuhealth_imaging_orthanc_study_series', **{
            'study': study, 'series_UID': uid, 'modality': modality,
            'orthanc_UID': orthanc_id('series', uid), 'series_number': '1',
            'series_description': "Thorax", 'notes': None, **values})
    return id_, [instance(id_, f'{uid}.{n}', n) for n in instances]


def instance(series, uid, number):
    return insert('gnuhealth_imaging_orthanc_series_instances',
        series=series, sop_instance_UID=uid, instance_number=number,
        orthanc_UID=orthanc_id('instance', uid),
        image_position_patient=f'-125.5, -98.75, {number * 5}.0')


def merge_id(request):
    return Pool().get('gnuhealth.imaging.test.request')(request).merge_id


def studies():
    requests, results_ = made['requests'], made['results']
    patients = made['patients']
    ids = made['studies'] = {}
    ids['linked'] = study(merge_id(requests['done']), 0,
        merge_id=merge_id(requests['done']), patient=patients[0],
        imaging_test=results_['read'], notes="Look at slice 12")
    # The UID of an order of two exams, filed with the second one.
    ids['shared'] = study(merge_id(requests['shared_done'][0]), 3,
        merge_id=merge_id(requests['shared_done'][0]), patient=patients[3],
        imaging_test=results_['shared'][1])
    # Images of an order without a result yet.
    ids['early'] = study(merge_id(requests['waiting']), 1,
        merge_id=merge_id(requests['waiting']), patient=patients[1])
    ids['patient'] = study('1.2.3.100', 2, patient=patients[2],
        patient_name="CHEN^LIHUA=陈^丽华", merge_comment="By hand")
    ids['nobody'] = study('1.2.3.101', 4, date='', patient_name='',
        patient_id='', orthanc_UID=orthanc_id('', '1.2.3.101'))
    ids['odd_date'] = study('1.2.3.102', 5, date='2024.02.30',
        merge_comment="NEED TO VERIFY!")
    ids['no_date'] = study('1.2.3.103', 5, date=None, institution=None)
    ids['gone'] = study('1.2.3.104', 6, server=GONE, patient=patients[6])
    ids['gone_again'] = study('1.2.3.105', 6, server=GONE + '/')
    ids['branch'] = study('1.2.3.106', 7,
        server='https://branch.example/orthanc')
    # Came again under another PatientID, whose Orthanc id it got.
    ids['two_persons'] = study('1.2.3.108', 0, patient=patients[0],
        orthanc_UID=orthanc_id('PAT123457', '1.2.3.108'))
    ids['odd_server'] = study('1.2.3.107', 7, server='my old pacs')
    duplicates(ids, patients)
    trees(ids)
    # Called as 5.0.4 calls pictures: after their SOP Instance UID alone.
    made.setdefault('pictures', {})['linked'] = one('ir.attachment',
        name='1.2.3.0.1.3', data=PNG, type='data', description="Slice 3",
        resource=f"{RESULT},{results_['read']}").id
    made['study_attachment'] = one('ir.attachment', name='consent.pdf',
        data=b'%PDF-1.4 consent', type='data',
        resource=f"{STUDY},{ids['second']}").id


def duplicates(ids, patients):
    "Studies that a second spelling of the URL brought in again."
    ids['first'] = study('1.2.3.200', 2, notes="Notes of the first")
    ids['second'] = study('1.2.3.200', 2, server=MAIN_AGAIN,
        patient=patients[2], notes="Notes of the second",
        merge_comment="Second")
    ids['conflict_first'] = study('1.2.3.201', 4, patient=patients[4])
    ids['conflict_second'] = study('1.2.3.201', 4, server=MAIN_AGAIN,
        patient=patients[5])
    # Re-sent under another PatientID: two studies of one UID.
    ids['resent_first'] = study('1.2.3.202', 6)
    ids['resent_second'] = study('1.2.3.202', 7, server=MAIN_AGAIN)


def trees(ids):
    made['series'], made['instances'] = {}, {}
    for i, (name, id_) in enumerate(ids.items()):
        made['series'][name], made['instances'][name] = series(
            id_, f'1.2.3.{i}.1', instances=range(1, 4))
    made['series']['second_of_linked'], _ = series(
        ids['linked'], '1.2.3.9.2', modality='SR', series_number='2',
        series_description='')
    # The same series twice, with one instance in both of them.
    made['series']['once'], made['instances']['once'] = series(
        ids['patient'], '1.2.3.8.1', instances=[1, 2])
    made['series']['twice'], made['instances']['twice'] = series(
        ids['patient'], '1.2.3.8.1', instances=[2, 3], notes="Motion")
    # The same instance twice.
    made['instances']['again'] = instance(
        made['series']['linked'], '1.2.3.0.1.2', 2)
    # Both spellings of the URL brought the same series.
    made['series']['first_too'], made['instances']['first_too'] = series(
        ids['first'], '1.2.3.7.1', instances=[1, 2])
    made['series']['second_too'], made['instances']['second_too'] = series(
        ids['second'], '1.2.3.7.1', instances=[1, 2, 3], notes="Sharp")


def former():
    "What versions before 5.0 left."
    person = insert('gnuhealth_orthanc_patient', name='BETZ^ANA',
        bd=dt.date(1985, 10, 4), ident='PAT123450', server=server_id('main'),
        uuid=orthanc_id('PAT123450'), patient=made['patients'][0])
    stranger = insert('gnuhealth_orthanc_patient', name='DOE^JANE', bd=None,
        ident='X-1', server=server_id('branch'), uuid=orthanc_id('X-1'),
        patient=None)
    made['former_patients'] = [person, stranger]
    made['former_studies'] = [
        insert('gnuhealth_orthanc_study', patient=person,
            uuid=orthanc_id('PAT123450', '1.2.3.300'),
            description="CT head", date=dt.date(2022, 5, 6), ident='77',
            institution="Santa Rosa", ref_phys='CORDARA^M',
            req_phys='CORDARA^C', instance_uid='1.2.3.300',
            merge_id=None, server=server_id('main'),
            imaging_test=made['results']['read']),
        insert('gnuhealth_orthanc_study', patient=stranger,
            uuid=orthanc_id('X-1', '1.2.3.301'), description=None, date=None,
            ident=None, institution=None, ref_phys=None, req_phys=None,
            instance_uid=None, merge_id=None, server=server_id('branch'),
            imaging_test=None),
        ]


def server_id(name):
    return made['servers'][name]


def plain_studies(count, series_each, instances_each):
    "Add many studies, as synchronisations left them."
    patients = made['patients']
    rows = [{
            'study_instance_UID': f'1.2.9.{i}',
            'orthanc_UID': orthanc_id(f'PAT12345{i % 8}', f'1.2.9.{i}'),
            'server': BRANCH if i % 10 == 3 else MAIN,
            'date': f'2025{i % 12 + 1:02}{i % 28 + 1:02}',
            'patient_id': f'PAT12345{i % 8}', 'patient_name': 'PLAIN^NAME',
            'patient': patients[i % 8] if i % 3 else None,
            'institution': "Santa Rosa",
            'performing_physician_name': "CORDARA^MARCELA",
            } for i in range(count)]
    studies_ = insert_rows('gnuhealth_imaging_orthanc_study', rows)
    rows = [{
            'study': s, 'series_UID': f'1.2.9.{s}.{n}', 'modality': 'CT',
            'orthanc_UID': orthanc_id('series', f'1.2.9.{s}.{n}'),
            'series_number': str(n), 'series_description': f"Series {n}",
            } for s in studies_ for n in range(1, series_each + 1)]
    series_ = insert_rows('gnuhealth_imaging_orthanc_study_series', rows)
    for start in range(0, len(series_), 1000):
        insert_rows('gnuhealth_imaging_orthanc_series_instances', [{
                    'series': s, 'sop_instance_UID': f'1.2.9.0.{s}.{n}',
                    'orthanc_UID': orthanc_id('instance', f'{s}.{n}'),
                    'instance_number': n,
                    'image_position_patient': f'-125.5, -98.75, {n * 5}.0',
                    } for s in series_[start:start + 1000]
                for n in range(1, instances_each + 1)])


def synchronize(url, login, password):
    "Let 5.0.4 fetch the studies of a server."
    made['real_url'] = url
    made['servers']['real'] = insert('gnuhealth_orthanc_config',
        label="Real", domain=url, user=login, password=password,
        validated=True, last_changed_index=-1, proxy_domain=None)
    before = max_id('gnuhealth_imaging_orthanc_study')
    Pool().get(STUDY).full_synchronize()
    made['real_studies'] = ids_after(
        'gnuhealth_imaging_orthanc_study', before)
    Study = Pool().get(STUDY)
    linked = Study(made['real_studies'][0])
    linked.patient = made['patients'][0]
    linked.imaging_test = made['results']['unread']
    linked.merge_comment = "Chosen by hand"
    linked.notes = "As discussed."
    linked.save()
    picture(linked)


def picture(study):
    "Put a picture into the result of a study that is on a server."
    instance = study.series[0].instances[0]
    before = max_id('ir_attachment')
    type(instance).attach_image_to_imaging_test_report([instance])
    made['pictures'] = {'real': ids_after('ir_attachment', before)[0]}


def fill(numbers, orthanc):
    people(hospital())
    changes_of_the_hospital()
    catalogue()
    with Transaction().set_user(made['users'][0]):
        orders()
    if orthanc:
        # Alone, since 5.0.4 stops at the first server that does not answer.
        made['servers'] = {}
        synchronize(*orthanc)
    servers()
    studies()
    former()
    plain_studies(*numbers)


def main(configuration, database, *arguments):
    config.update_etc(configuration)
    Pool.start()
    Pool(database).init()
    with Transaction().start(database, 1, context={'company': None}) as t:
        fill([int(n) for n in arguments[:3]], arguments[3:])
        t.commit()
    print(json.dumps(made))


if __name__ == '__main__':
    main(*sys.argv[1:])
