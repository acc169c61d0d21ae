# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four people at work while servers come and go. Who gets no answer looks
whether it was done, or does again what cannot be done twice."""
import datetime as dt
import http.client
import itertools
import random
import subprocess
import threading
import time
import traceback
from collections import Counter, defaultdict

import seed
from modality import ModalityError
from pydicom.uid import generate_uid
from scanner import OVER
from support import archive
from support.images import context_of
from support.records import Rpc, RpcError

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'
STEP = 'gnuhealth.imaging_worklist.performed_step'
CANDIDATE = 'gnuhealth.imaging_orthanc.link_candidate'
ORDER = 'wizard.gnuhealth.patient.imaging.test.request'
#: What the server says when it did nothing.
REFUSALS = {'UserError', 'UserWarning', 'ConcurrencyException'}
#: No answer, or one that does not say what was done.
LOST = (
    OSError, http.client.HTTPException, ModalityError, RpcError,
    RuntimeError, subprocess.TimeoutExpired, ValueError)
#: So long nobody waits: something does not come back.
PATIENCE = 300


class Everything:
    "Names of all warnings: these people say yes."

    def __contains__(self, name):
        return True


class Journal:
    """What people were told, to be compared with what is there.

    :ivar orders: rows of requests by the question that tells an order apart
    :ivar examined: number of images and UID of the step, or None, by Study
        Instance UID
    :ivar canceled: ids of requests
    :ivar signed: ids of results
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._claimed = set()
        self.orders, self.examined = {}, {}
        self.canceled, self.signed = set(), set()
        self.seconds, self.until_done = defaultdict(list), defaultdict(list)
        self.lost, self.no_answers = Counter(), Counter()
        self.refused, self.done = Counter(), Counter()

    def claim(self, uid):
        """Return whether nobody else does or cancels the exam of a Study
        Instance UID: people talk."""
        with self._lock:
            new = uid not in self._claimed
            self._claimed.add(uid)
            return new

    def open_requests(self):
        "Return rows of requests of which nobody said more than the order."
        with self._lock:
            return [
                row for rows in self.orders.values() for row in rows
                if row['merge_id'] not in self._claimed]


class Person(threading.Thread):
    """Somebody at work until it is over.

    :param hospital: day.Hospital
    :ivar error: what went wrong, text
    """
    login, pause = None, 1

    def __init__(self, hospital, number):
        super().__init__(daemon=True)
        self.hospital, self.journal = hospital, hospital.journal
        self.chance = random.Random(f'{hospital.seed} {number}')
        self.error, self._sessions = None, {}

    def rpc(self, method, *arguments, login=None):
        "Call a method as this or another user."
        login = login or self.login
        if login not in self._sessions:
            self._sessions[login] = Rpc(
                login, seed.PASSWORD, self.hospital.url, Everything())
        try:
            return self._sessions[login](method, *arguments)
        except RpcError as error:
            if error.kind == '401':
                del self._sessions[login]
            raise

    def wizard(self, name, state, data, model, *ids, login=None):
        "Start a wizard on records, and run one state of it."
        self.rpc('model.res.user.get_preferences', True, login=login)
        return self._sessions[login or self.login].run_wizard(
            name, [(state, data)], **context_of(model, *ids))

    def find(self, model, domain, *names, login=None):
        "Return rows of records, those of the newest first."
        return self.rpc(f'model.{model}.search_read', domain, 0, 50,
            [('id', 'DESC')], ['id', *names], login=login)

    def do(self, what, attempt, seen=None):
        """Do something until it is done, and return what was answered.

        :param what: its name in the report
        :param seen: function that tells whether it was done, None when doing
            it again does nothing more
        :raises RpcError: the server refuses it
        """
        begin = time.monotonic()
        while True:
            start = time.monotonic()
            try:
                answer = attempt()
            except LOST as error:
                if getattr(error, 'kind', None) in REFUSALS:
                    raise
                self._wait(what, begin, error)
                answer = seen and self.do(f'{what}?', seen)
                if not answer:
                    continue
            else:
                self.journal.seconds[what].append(time.monotonic() - start)
            self.journal.until_done[what].append(time.monotonic() - begin)
            return answer

    def _wait(self, what, begin, error):
        if time.monotonic() - begin > PATIENCE:
            raise AssertionError(f"{what} cannot be done: {error!r}"[:2000])
        self.journal.lost[what] += 1
        self.journal.no_answers[
            f'{type(error).__name__} {getattr(error, "kind", "")}'.strip()
            ] += 1
        time.sleep(1)

    def run(self):
        "Work, and note what should not happen."
        try:
            while not self.hospital.over.is_set():
                try:
                    self.work()
                except RpcError as error:
                    self.journal.refused[
                        f'{self.login}: {error.kind}: {error.message}'] += 1
                time.sleep(self.chance.uniform(0.5, 1.5) * self.pause)
        except BaseException:
            self.error = traceback.format_exc()

    def work(self):
        "Do one thing."
        raise NotImplementedError

    def patient(self, puids):
        "Return the row of one patient, None when he was merged into another."
        puid = self.chance.choice(puids)
        return next(iter(self.do('patient', lambda: self.find(
            'gnuhealth.patient', [('party.ref', '=', puid)], 'party'))), None)


class Doctor(Person):
    """Orders exams, in spite of what is asked."""
    login, pause = seed.DOCTOR.login, 1

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._numbers = itertools.count(1)

    def work(self):
        "Order one or two exams, and read what the list has of it."
        patient = self.patient(self.hospital.puids)
        if not patient:
            return
        token = f'soak {next(self._numbers):05}'
        exams = self.chance.sample(
            self.hospital.exams, self.chance.choice([1, 1, 2]))
        start = {
            'patient': patient['id'], 'doctor': self.hospital.doctor,
            'date': dt.datetime.now().replace(second=0, microsecond=0),
            'tests': exams, 'clinical_question': token, 'urgent': False}

        def listed():
            return self.find(REQUEST, [('clinical_question', '=', token)],
                'merge_id', 'patient', 'requested_test')
        if self.chance.random() < .5:
            # The same window again
            session = self._window()
            self.do('order', lambda: self._order(session, start))
        else:
            self.do('order', lambda: self._order(
                    self._window(), start), listed)
        rows = self.do('list of orders', listed)
        assert len(rows) == len(exams), (token, exams, rows)
        self.journal.orders[token] = rows

    def _window(self):
        return self.do('window', lambda: self.rpc(f'{ORDER}.create'))[0]

    def _order(self, session, start):
        result = self.rpc(
            f'{ORDER}.execute', session, {'start': start},
            'order_and_request')
        if 'view' in result:
            self.journal.done['orders that were asked about'] += 1
            result = self.rpc(f'{ORDER}.execute', session, {
                    'start': start, 'safety': {
                        **result['view']['defaults'], 'reason': "Sepsis."}},
                'order_anyway')
        assert result['actions'], result
        return result


class Radiographer(Person):
    """Examines whom two machines offer: one with the node and MPPS, one with
    the worklist files of Orthanc and none. Says whose the steps are of a
    patient who changed meanwhile."""
    login, pause = seed.RADIOGRAPHER.login, 0.5

    def work(self):
        "Examine one patient."
        self.review()
        machine = self.chance.choice(self.hospital.machines)
        steps = hasattr(machine, 'begin')
        entries = self.do(f'worklist of {machine.aet}', machine.worklist)
        entry = next((
                entry for entry in self.chance.sample(entries, len(entries))
                if self.journal.claim(str(entry.StudyInstanceUID))), None)
        if entry is None:
            return
        uid = generate_uid() if steps else None
        if steps:
            self.do('exam begins', lambda: machine.begin(entry, uid))
        paths = self._acquire(entry, machine.folder)
        self.do('images', lambda: machine.send(paths))
        if steps:
            self.do('exam is done', lambda: machine.complete(
                    uid, paths, OVER))
        self.journal.examined[str(entry.StudyInstanceUID)] = len(paths), uid
        for path in paths:
            path.unlink()

    def review(self):
        """Give steps with a problem to the request whose UID they have; return
        how many."""
        steps = self.do('steps to assign', lambda: self.find(
                STEP, [('problem', '!=', None)], 'study_uid'))
        for step in steps:
            requests = self.do('requests of a step', lambda: self.find(
                    REQUEST, [('merge_id', '=', step['study_uid'])]))
            self.do('assign step', lambda: self.wizard(
                    f'{STEP}.assign', 'assign',
                    {'start': {'requests': [r['id'] for r in requests]}},
                    STEP, step['id']),
                lambda: self.find(
                    STEP, [('id', '=', step['id']), ('problem', '=', None)]))
            self.journal.done['steps assigned by the radiographer'] += 1
        return len(steps)

    def _acquire(self, entry, folder):
        study = archive.study(0, uid=str(entry.StudyInstanceUID),
            patient_id=str(entry.PatientID), sex=str(entry.PatientSex),
            patient_name=str(entry.PatientName), charset='ISO_IR 192',
            birth_date=str(entry.PatientBirthDate), encoding='utf-8',
            omitted=frozenset(), date=f'{dt.date.today():%Y%m%d}',
            accession_number=str(entry.AccessionNumber), series=1,
            instances=self.chance.randint(1, 5))
        paths = []
        for number, data in enumerate(archive.files(study)):
            paths.append(folder / f'{study.uid}.{number}.dcm')
            paths[-1].write_bytes(data)
        return paths


class Radiologist(Person):
    """Reports and signs, and decides whose the studies are that rules do not
    link."""
    login, pause = seed.RADIOLOGIST.login, 2

    def work(self):
        "Do one of both."
        self.review()
        studies = self.do('reading list', lambda: self.find(
                STUDY, [('request.state', '=', 'requested')], 'request'))
        if studies:
            self._report(self.chance.choice(studies)['request'])

    def review(self):
        "Link the studies that have the UID of a request; return how many."
        studies = self.do('studies to review', lambda: self.find(
                STUDY, [('link_state', '=', 'review')],
                'study_instance_UID'))
        for study in studies:
            for candidate in self.do('candidates', lambda: self.find(
                        CANDIDATE, [
                            ('study', '=', study['id']),
                            ('request', '!=', None)], 'request.merge_id')):
                if candidate['request.']['merge_id'] == (
                        study['study_instance_UID']):
                    self._link(study['id'], candidate['id'])
                    break
        return len(studies)

    def _link(self, study, candidate):
        self.do('link to candidate', lambda: self.wizard(
                'gnuhealth.imaging_orthanc.choose_candidate', 'choose', {},
                CANDIDATE, candidate),
            lambda: self.find(STUDY, [
                    ('id', '=', study), ('link_state', '=', 'linked')]))
        self.journal.done['studies linked by the radiologist'] += 1

    def _report(self, request):
        def results():
            return self.find(RESULT, [('request', '=', request)], 'state')
        self.do('new result', lambda: self.rpc(
                f'model.{REQUEST}.generate_results', [request]), results)
        result = self.do('result', results)[0]['id']
        self.do('report', lambda: self.rpc(
                f'model.{RESULT}.write', [result], {'comment': "Nothing."}))
        self.do('sign', lambda: self.rpc(
                f'model.{RESULT}.finalize', [result]),
            lambda: self.find(RESULT, [
                    ('id', '=', result), ('state', '=', 'final')]))
        self.journal.signed.add(result)


class Desk(Person):
    """Corrects, merges, moves and cancels."""
    login, pause = 'desk', 2

    def work(self):
        "Do one of it."
        self.chance.choice([
                self._correct, self._reschedule, self._reschedule,
                self._cancel, self._merge])()

    def _correct(self):
        patient = self.patient(self.hospital.corrected)
        if patient:
            born = dt.date(1950, 1, 1) + dt.timedelta(
                self.chance.randrange(18000))
            self.do('birth date', lambda: self.rpc(
                    'model.party.party.write', [patient['party']],
                    {'dob': born}))

    def _open(self):
        rows = self.journal.open_requests()
        return self.chance.choice(rows) if rows else None

    def _reschedule(self):
        row = self._open()
        if row:
            at = dt.datetime.now().replace(
                second=0, microsecond=0) + dt.timedelta(
                    hours=self.chance.randint(1, 5))
            self.do('reschedule', lambda: self.wizard(
                    f'{REQUEST}.reschedule', 'reschedule',
                    {'start': {'date': at, 'reason': "The bus."}},
                    REQUEST, row['id']),
                lambda: self.find(
                    REQUEST, [('id', '=', row['id']), ('date', '=', at)]))

    def _cancel(self):
        row, login = self._open(), seed.RADIOGRAPHER.login
        if row and self.journal.claim(row['merge_id']):
            self.do('cancel', lambda: self.wizard(
                    f'{REQUEST}.cancel', 'cancel',
                    {'start': {'choice': self.hospital.reason}},
                    REQUEST, row['id'], login=login),
                lambda: self.find(REQUEST, [
                        ('id', '=', row['id']), ('state', '=', 'canceled')]))
            self.journal.canceled.add(row['id'])

    def _merge(self):
        if not self.hospital.twins:
            return
        source, destination = self.hospital.twins.pop()
        self.do('merge', lambda: self.wizard(
                'party.replace', 'replace', {'ask': {
                        'source': source, 'destination': destination}},
                'party.party', source, login='merger'),
            lambda: self.find('party.party', [
                    ('id', '=', source), ('active', '=', False)],
                login='merger'))
        self.journal.done['patients merged'] += 1
