# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a database of a landed state with what people of each role and
modalities do in a hospital, and prints the ids of what the tests ask for as
JSON.

It runs with the Python of an environment in which that state is installed,
and uses its own seed and its own archive of images:
``python fill_landed.py TRYTOND_CONF DATABASE SOURCE URL USER PASSWORD``.  The
URL is that of an empty Orthanc.
"""
import base64
import datetime as dt
import io
import json
import sys
import urllib.request
from pathlib import Path

EXAM = 'gnuhealth.imaging.test'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'
SERVER = 'gnuhealth.orthanc.config'
STEP = 'gnuhealth.imaging_worklist.performed_step'
INSTANCE = 'gnuhealth.imaging_orthanc.series_instances'
DAY = dt.date.today()
# Given name, family name, date of birth, sex.
PEOPLE = {
    'ana': ("Ana", "Betz", dt.date(1985, 10, 4), 'f'),
    'eva': ("Eva", "Rossi", dt.date(1971, 3, 2), 'f'),
    'ida': ("Ida", "Tanaka", dt.date(1940, 12, 24), 'f'),
    'tom': ("Tom", "O'Brien", dt.date(1999, 5, 31), 'm'),
    'karl': ("Karl", "Lang", dt.date(1931, 7, 1), 'm'),
    }

made = {
    'patients': {}, 'requests': {}, 'results': {}, 'studies': {},
    'pictures': {}, 'templates': {}}


class Hospital:
    """Users who work with the database, and the PACS.

    :param configuration: of trytond
    :param database: its name
    :param pacs: address, user and password of an Orthanc
    """

    def __init__(self, configuration, database, *pacs):
        self._configuration = configuration
        self._database = database
        self.url, self.login, self.password = pacs
        self._users = {}

    def user(self, login):
        "Return the proteus configuration of a user."
        from proteus.config import set_trytond
        if login not in self._users:
            self._users[login] = set_trytond(
                self._database, login, config_file=self._configuration)
        return self._users[login]

    def model(self, name, login='admin'):
        "Return a model as a user has it."
        from proteus import Model
        return Model.get(name, self.user(login))

    def get(self, name, id_, login='admin'):
        return self.model(name, login)(id_)

    def wizard(self, name, login, *records):
        from proteus import Wizard
        return Wizard(name, list(records), config=self.user(login))

    def click(self, record, button):
        "Press a button, and say yes to each question."
        return self.agree(record, lambda: record.click(button))

    def save(self, record):
        "Save, and say yes to each question."
        return self.agree(record, record.save)

    def agree(self, record, do):
        "Do something with a record, and say yes to each question."
        from trytond.exceptions import UserWarning
        while True:
            try:
                return do()
            except UserWarning as question:
                login, context = record._config._user, record._config.context
                self.model('res.user.warning', login)._proxy.skip(
                    question.name, False, context)

    def rest(self, method, path, data=None):
        "Ask the PACS, and return its answer."
        token = base64.b64encode(f'{self.login}:{self.password}'.encode())
        if isinstance(data, dict):
            data = json.dumps(data).encode()
        request = urllib.request.Request(
            f'{self.url}{path}', data, method=method,
            headers={'Authorization': f'Basic {token.decode()}'})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or 'null')

    def synchronize(self):
        "Let the one who looks after the PACS press the button."
        self.get(SERVER, made['server'], 'it').click('do_sync')
        run, = self.model('gnuhealth.orthanc.sync_run').find(
            [], order=[('id', 'DESC')], limit=1)
        assert run.state == 'done', (run.state, run.error)

    def study(self, uid, **values):
        "Return the study of a UID."
        found, = self.model(STUDY, 'radiologist').find([
                ('study_instance_UID', '=', uid),
                *((name, '=', value) for name, value in values.items())])
        return found


# Who and what is there

def people(hospital):
    import seed
    admin = hospital.user('admin')
    seed.seed(admin)
    company, = hospital.model('company.company').find([])
    for login, group in [
            ('desk', 'health.group_health_frontdesk'),
            ('it', 'health_orthanc.group_imaging_orthanc_admin'),
            ('lead', 'health_imaging.group_health_imaging_admin'),
            ('node', 'health_imaging_worklist.group_worklist_script')]:
        seed.make_user(admin, seed.Login(login, seed.Person(
                    login.title(), "Tamang", None, 'f', login.upper(),
                    'pgfs'), [group]), company)
    for name, (given, family, birth, sex) in PEOPLE.items():
        made['patients'][name] = seed.make_patient(
            hospital.user('desk'), seed.Person(
                given, family, birth, sex, puid(name), 'pgfs')).id


def puid(name):
    return f'{name.upper()}0001'


def server(hospital):
    wizard = hospital.wizard(
        'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect', 'it')
    wizard.form.label = "PACS"
    wizard.form.domain = hospital.url
    wizard.form.user = hospital.login
    wizard.form.password = hospital.password
    wizard.execute('connect')
    added, = hospital.model(SERVER, 'it').find([])
    added.store_reports = True
    added.save()
    made.update(server=added.id, password=hospital.password)


def order(hospital, name, patient, exam='CTHEAD', sent=True):
    "Let the doctor order an exam, and return the request."
    Request = hospital.model(REQUEST, 'doctor')
    exam, = hospital.model(EXAM, 'doctor').find([('code', '=', exam)])
    request = Request(
        patient=hospital.get(
            'gnuhealth.patient', made['patients'][patient], 'doctor'),
        requested_test=exam)
    request.save()
    if sent:
        send_order(hospital, [request])
    made['requests'][name] = request.id
    return request


def send_order(hospital, requests):
    "Let the doctor send requests, in spite of what may harm the patient."
    Request = type(requests[0])
    for request in requests:
        if 'clinical_question' in Request._fields:
            request.clinical_question = "Bleeding?"
            request.save()
    hospital.agree(
        requests[0], lambda: Request.click(requests, 'requested'))


def order_together(hospital, name, patient, *exams):
    "Let the doctor order exams together, and return their requests."
    Request = hospital.model(REQUEST, 'doctor')
    known = {r.id for r in Request.find([])}
    wizard = hospital.wizard(
        'gnuhealth.patient.imaging.test.request', 'doctor', hospital.get(
            'gnuhealth.patient', made['patients'][patient], 'doctor'))
    for code in exams:
        exam, = hospital.model(EXAM, 'doctor').find([('code', '=', code)])
        wizard.form.tests.append(exam)
    wizard.execute('request')
    found = [
        r for r in Request.find([], order=[('request_line', 'ASC')])
        if r.id not in known]
    send_order(hospital, found)
    made['requests'][name] = [r.id for r in found]


def result(hospital, name):
    "Let the radiologist begin the result of a request."
    request = hospital.get(REQUEST, made['requests'][name], 'radiologist')
    hospital.click(request, 'generate_results')
    begun, = hospital.model(RESULT, 'radiologist').find(
        [('request', '=', request.id)])
    begun.comment = f"Interpretation of {name}."
    begun.save()
    made['results'][name] = begun.id
    return begun


def picture(hospital, name, study, number=1):
    "Let the radiologist put a picture of a study into its result."
    instance, = hospital.model(INSTANCE, 'radiologist').find([
            ('series.study', '=', study.id),
            ('instance_number', '=', number)])
    Attachment = hospital.model('ir.attachment', 'radiologist')
    known = {a.id for a in Attachment.find([])}
    instance.click('attach_image_to_imaging_test_report')
    added, = [a for a in Attachment.find([]) if a.id not in known]
    made['pictures'][name] = added.id


# Machines send images

def images(number, patient, **values):
    "Return a study of a patient as a machine makes it."
    from support import archive
    given, family, birth, sex = PEOPLE[patient]
    return archive.study(number, **{
            'patient_id': puid(patient), 'patient_name': f'{family}^{given}',
            'charset': '', 'encoding': 'ascii', 'omitted': frozenset(),
            'birth_date': f'{birth:%Y%m%d}', 'sex': sex.upper(),
            'date': f'{DAY:%Y%m%d}', 'accession_number': '', 'series': 1,
            'instances': 2, **values})


def send(hospital, *studies):
    from support import archive
    archive.upload(hospital, studies)


def take_back(hospital, study):
    "Delete a study where it is."
    for id_ in hospital.rest('POST', '/tools/find', {
                'Level': 'Study', 'Query': {
                    'StudyInstanceUID': study.uid,
                    'PatientID': study.patient_id}}):
        hospital.rest('DELETE', f'/studies/{id_}')


def first_day(hospital):
    "Studies that rules link, that people link, and that nobody links."
    for name, patient in [
            ('by_uid', 'ana'), ('by_accession', 'eva'), ('moved', 'ida'),
            ('moved_to', 'ida'), ('relinked', 'karl'), ('draft', 'tom'),
            ('without', 'tom')]:
        order(hospital, name, patient, sent=name != 'draft')
    requests = {
        name: hospital.get(REQUEST, id_)
        for name, id_ in made['requests'].items()}
    order_of = {name: r.request for name, r in requests.items()}
    sent = {
        'by_uid': images(1, 'ana', uid=requests['by_uid'].merge_id),
        'by_accession': images(
            2, 'eva', accession_number=order_of['by_accession']),
        'by_puid': images(3, 'ida'),
        'by_person': images(4, 'karl', patient_id='OTHER1', birth_date=''),
        'of_result': images(5, 'karl', patient_id='OTHER2', birth_date=''),
        'review': images(6, 'eva', birth_date='19550505'),
        'rejected': images(7, 'ana', birth_date='19550506'),
        'undone': images(8, 'tom'),
        'nobody': images(9, 'karl', patient_id='', patient_name='',
            birth_date='', sex=''),
        'missing': images(10, 'karl'),
        'missing_of_nobody': images(11, 'karl', patient_id='OTHER3',
            birth_date=''),
        'moved': images(12, 'ida', accession_number=order_of['moved']),
        'relinked': images(14, 'karl', accession_number=order_of['relinked']),
        'odd_dates': images(13, 'karl', patient_id='OTHER4', date='25230506',
            birth_date='14000101'),
        }
    send(hospital, *sent.values())
    hospital.synchronize()
    for name, study in sent.items():
        made['studies'][name] = hospital.study(study.uid).id
    choose(hospital)
    reports(hospital)
    take_back(hospital, sent['missing'])
    take_back(hospital, sent['missing_of_nobody'])
    move(hospital, sent['moved'], order_of['moved_to'])


def choose(hospital):
    "Let the radiologist decide on studies."
    def study(name):
        return hospital.get(STUDY, made['studies'][name], 'radiologist')
    chosen = study('by_person')
    chosen.patient = hospital.get(
        'gnuhealth.patient', made['patients']['karl'], 'radiologist')
    chosen.notes = "He says that it is his."
    hospital.save(chosen)
    study('rejected').click('reject')
    hospital.click(study('undone'), 'undo_link')


def reports(hospital):
    "Let the radiologist report: a draft and signed results, with pictures."
    order(hospital, 'of_result', 'karl', exam='USABDO')
    with_pictures = [
        'by_uid', 'by_accession', 'moved', 'of_result', 'relinked']
    for name in [*with_pictures, 'without']:
        result(hospital, name)
    chosen = hospital.get(STUDY, made['studies']['of_result'], 'radiologist')
    chosen.imaging_test = hospital.get(
        RESULT, made['results']['of_result'], 'radiologist')
    hospital.save(chosen)
    for name in with_pictures:
        picture(hospital, name, hospital.get(
                STUDY, made['studies'][name], 'radiologist'))
    letter = hospital.model('ir.attachment', 'radiologist')(
        name='letter.pdf', data=b'%PDF-1.4 letter', type='data',
        resource=hospital.get(
            RESULT, made['results']['by_uid'], 'radiologist'))
    letter.save()
    made['letter'] = letter.id
    for name in ['by_accession', 'relinked']:
        hospital.click(hospital.get(
                RESULT, made['results'][name], 'radiologist'), 'finalize')
    # It turned out to be another person's.
    chosen = hospital.get(STUDY, made['studies']['relinked'], 'radiologist')
    chosen.imaging_test = None
    chosen.request = None
    chosen.patient = hospital.get(
        'gnuhealth.patient', made['patients']['eva'], 'radiologist')
    hospital.save(chosen)


def move(hospital, study, order_number):
    "Send a study again with the number of another order."
    from dataclasses import replace
    take_back(hospital, study)
    send(hospital, replace(study, accession_number=order_number))
    hospital.synchronize()


def twins(hospital):
    """Studies that came again under another PatientID, and are missing under
    the former one; and one that is there under both."""
    names = ['of_person', 'of_rule', 'same_patient', 'taken', 'both']
    for name in names:
        order(hospital, name, 'ana', exam='XRCHEST')
    first = {
        name: images(20 + i, 'ana', patient_id=f'WRONG{i}', birth_date='')
        for i, name in enumerate(names)}
    first['of_rule'] = images(21, 'ana')
    of_other = images(24, 'eva')
    for studies in [[of_other], first.values()]:
        send(hospital, *studies)
        hospital.synchronize()
    for name, study in first.items():
        known = hospital.study(study.uid, patient_id=study.patient_id)
        made['studies'][f'former_{name}'] = known.id
        if name == 'of_rule':
            continue
        begun = result(hospital, name)
        known.imaging_test = begun
        hospital.save(known)
        picture(hospital, name, known)
    made['studies']['both'] = hospital.study(
        of_other.uid, patient_id=of_other.patient_id).id
    send_again(hospital, first)


def send_again(hospital, first):
    again = {
        'of_person': images(20, 'karl', patient_id='STILL', birth_date=''),
        'of_rule': images(21, 'eva'),
        'same_patient': images(22, 'ana'),
        'taken': images(23, 'karl', patient_id='TAKEN', birth_date=''),
        }
    for name, study in again.items():
        take_back(hospital, first[name])
        send(hospital, study)
    hospital.synchronize()
    for name, study in again.items():
        made['studies'][name] = hospital.study(
            study.uid, patient_id=study.patient_id).id
    hospital.click(hospital.get(
            STUDY, made['studies']['taken'], 'radiologist'), 'accept')


# What came since the former state

def work(hospital):
    "What people do besides reporting."
    order_together(hospital, 'together', 'tom', 'CTHEAD', 'XRCHEST')
    begin_step(hospital, 'together')
    canceled = order(hospital, 'canceled', 'tom')
    wizard = hospital.wizard(
        'gnuhealth.imaging.test.request.cancel', 'doctor', canceled)
    wizard.form.choice, = hospital.model(
        'gnuhealth.imaging.cancel.reason', 'doctor').find(
        [('name', '=', "Patient did not come")])
    wizard.form.reason = "He did not come."
    wizard.execute('cancel')
    amend(hospital, 'by_accession')
    photograph(hospital, 'by_uid')
    template = hospital.model(
        'gnuhealth.imaging.report.template', 'lead')(
        name="Head", text="No haemorrhage.")
    template.save()
    report_desk(hospital, 'by_uid')
    look(hospital, 'by_uid')
    serve_both(hospital, 'served', 'tom')
    upload(hospital)
    delete(hospital, 'nobody')
    lose(hospital)


def begin_step(hospital, name):
    "Let a machine say that it began the first of some requests."
    request = hospital.get(REQUEST, made['requests'][name][0])
    hospital.model(STEP, 'node')._proxy.receive('node', [{
                'number': 1, 'kind': 'create', 'uid': '1.2.826.1',
                'ae_title': 'CT1', 'address': '127.0.0.1',
                'received': dt.datetime.now().isoformat(),
                'attributes': {
                    '00400252': {'vr': 'CS', 'Value': ['IN PROGRESS']},
                    '00400270': {'vr': 'SQ', 'Value': [{
                                '0020000D': {
                                    'vr': 'UI', 'Value': [request.merge_id]},
                                '00400009': {
                                    'vr': 'SH', 'Value': [request.step_id]},
                                }]}}}], hospital.user('node').context)


def serve_both(hospital, name, patient):
    "Let the radiologist say that the images of a request are another's too."
    first, second = (
        order(hospital, f'{name}_{n}', patient, exam=exam)
        for n, exam in enumerate(['CTHEAD', 'CTABDO']))
    study = images(31, patient, accession_number=first.request)
    send(hospital, study)
    hospital.synchronize()
    linked = hospital.study(study.uid)
    linked.further_requests.append(
        hospital.get(REQUEST, second.id, 'radiologist'))
    hospital.save(linked)
    made['studies'][name] = linked.id


def report_desk(hospital, name):
    "Let the radiologist write by sections, and tell what cannot wait."
    hospital.model('gnuhealth.imaging.macro', 'radiologist')(
        code='.nad', text="No abnormality.").save()
    draft = hospital.get(RESULT, made['results'][name], 'radiologist')
    draft.technique = "Plain."
    draft.impression = "Bleeding."
    draft.save()
    wizard = hospital.wizard(
        'gnuhealth.imaging.critical_finding.report', 'radiologist', draft)
    wizard.form.finding = "Bleeding."
    wizard.execute('report')


def amend(hospital, name):
    "Let the radiologist correct a signed result, and sign it again."
    signed = hospital.get(RESULT, made['results'][name], 'radiologist')
    wizard = hospital.wizard(
        'gnuhealth.imaging.test.result.amend', 'radiologist', signed)
    wizard.form.reason = "The other side."
    wizard.execute('amend')
    signed.reload()
    signed.comment += " Left."
    signed.save()
    hospital.click(signed, 'finalize')


def photograph(hospital, name):
    "Let the radiologist attach a picture that is of no study."
    from PIL import Image
    photo = io.BytesIO()
    Image.new('RGB', (640, 480), 'navy').save(photo, 'JPEG')
    attached = hospital.model('ir.attachment', 'radiologist')(
        name='photo.jpg', data=photo.getvalue(), type='data',
        resource=hospital.get(RESULT, made['results'][name], 'radiologist'))
    attached.save()
    made['photo'] = attached.id


def look(hospital, name):
    "Let the radiologist see the pictures of a study."
    hospital.wizard('gnuhealth.imaging_orthanc.preview', 'radiologist',
        hospital.get(STUDY, made['studies'][name], 'radiologist'))


def upload(hospital):
    "Let the radiologist upload a file."
    from support import archive
    study = images(30, 'eva', instances=1)
    wizard = hospital.wizard(
        'gnuhealth.imaging_orthanc.upload_image_data', 'radiologist')
    wizard.form.file_name = 'image.dcm'
    wizard.form.data_to_upload = next(archive.files(study))
    wizard.execute('upload')
    hospital.synchronize()
    made['studies']['uploaded'] = hospital.study(study.uid).id


def delete(hospital, name):
    "Let the one who looks after the PACS delete a study."
    wizard = hospital.wizard(
        'gnuhealth.imaging_orthanc.delete', 'it',
        hospital.get(STUDY, made['studies'][name], 'it'))
    wizard.form.reason = "It is nobody's."
    wizard.execute('remove')


def lose(hospital):
    "Add a server that is gone when it is synchronized."
    gone = hospital.model(SERVER, 'it')(
        label="Old PACS", domain='http://127.0.0.1:9', user='u',
        password='p')
    gone.save()
    gone.click('do_sync')
    made['gone_server'] = gone.id


def die(hospital):
    """A worker that was ended after it took notes of what to decide, and a
    study that it could not decide."""
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    with Transaction().start(hospital._database, 1) as transaction:
        pool = Pool()
        events = pool.get('gnuhealth.orthanc.link_event')
        events.note('study', [made['studies']['by_puid']], 'sync')
        Study = pool.get(STUDY)
        Study.write([Study(made['studies']['review'])], {
                'undecided_since': dt.datetime.now()})
        transaction.tasks.clear()


def fill(last, configuration, database, source, *pacs):
    """Fill the database and print what was made.

    :param last: functions of the hospital that do what only this state allows
    """
    for folder in ['tests', 'his-utils/demo']:
        sys.path.insert(0, str(Path(source, folder)))
    hospital = Hospital(configuration, database, *pacs)
    people(hospital)
    made['users'] = {
        user.login: user.id for user in hospital.model('res.user').find([])}
    server(hospital)
    first_day(hospital)
    twins(hospital)
    for function in last:
        function(hospital)
    made['files'] = stored_files(database)
    print(json.dumps(made))


def stored_files(database):
    "Return the files beside the database, in base64 by their path."
    from trytond.config import config
    folder = Path(config.get('database', 'path'), database)
    return {
        str(path.relative_to(folder)): base64.b64encode(
            path.read_bytes()).decode()
        for path in folder.rglob('*') if path.is_file()}


if __name__ == '__main__':
    fill([work, die], *sys.argv[1:])
