# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything at once: four people work, and each process of the hospital is
killed once a minute, the PACS stops answering, and the database is restarted.
Nothing is lost, nothing is there twice. See ``run.py``."""
import datetime as dt
import os
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import seed
from counts import Counts
from modality import Modality
from parts import DESK, MERGER, Health, Part, Parts, publishing
from people import Desk, Doctor, Journal, Radiographer, Radiologist
from proteus import Model
from proteus.config import set_xmlrpc_session
from report import readable
from scanner import MACHINE, NODE, Node, Scanner
from services import HOST, Orthanc
from support.databases import SEEDED
from support.link_invariant import opened
from support.notices import write_script
from support.records import make_patient

from trytond.modules.health_imaging.minute import now
from trytond.modules.health_orthanc.encapsulated_report import CLAIMED
from trytond.modules.health_orthanc.notice import PATH, renew_secret
from trytond.pool import Pool
from trytond.transaction import Transaction

ROOT = Path(__file__).parents[2]
MINUTES = float(os.environ.get('SOAK_MINUTES') or 5)
SERVER = 'gnuhealth.orthanc.config'
#: Who has claimed a report for so long was killed.
ABANDONED = dt.timedelta(seconds=20)
#: So long it may take until everything is as it should be, in seconds: on a
#: computer that does much else, too.
SETTLING = 600
# Who is there, whose birth date is corrected, and who is there twice.
USUAL, CORRECTED, TWINS = 16, 4, 6


class Hospital:
    """All servers, and what the people know of them.

    :param database: support.databases.Copy
    :param cluster: support.postgres.Cluster
    :ivar puids: of the patients who come
    :ivar corrected: those of them whose birth date is corrected
    :ivar twins: pairs of ids of parties, to be merged
    :ivar exams: ids of what is ordered
    :ivar doctor: id of the health professional who orders
    :ivar reason: id of the reason for cancellations
    :ivar phases: how long each part of the day took, seconds by name
    """

    def __init__(self, database, cluster, folder):
        self.database, self.folder = database, folder
        self.seed = int(os.environ.get('SOAK_SEED') or 1)
        self.over = threading.Event()
        self.journal = Journal()
        self.phases = {}
        self._stack, parts = ExitStack(), []
        script = folder / 'notify.lua'
        script.touch()
        self.orthanc = self._start(parts, ['orthanc'], Orthanc(
            folder / 'orthanc', users={'gnuhealth': seed.PASSWORD},
            modalities={e.aetitle: e.aetitle for e in seed.EXAMS},
            extra={'LuaScripts': [str(script)]}))
        self._make_records()
        self.health = self._start(
            parts, ['trytond', 'worker-1', 'worker-2', 'cron'], Health(
                folder / 'health', environment={'HOME': str(folder)},
                **database.options))
        self.url = f'{self.health.url}/{database.name}/'
        write_script(script, self.url + PATH, self._secret)
        self.orthanc.stop()
        self.orthanc.start()
        self._make_users()
        self.node = self._start(parts, ['node'], Node(
            folder / 'node', self.health, seed.PASSWORD))
        script = publishing(folder, self.health, self.orthanc.worklists,
            folder / 'node' / 'password')
        parts.append(Part('worklist', script, folder))
        script.start()
        self.machines = [
            Scanner('CT1', self.node, self.orthanc, folder / 'CT1'),
            Modality('XR1', HOST, self.orthanc.dicom_port, self.orthanc.aet,
                folder / 'XR1')]
        self.parts = Parts(parts, cluster, MINUTES)

    def _start(self, parts, names, service):
        "Start a service, and add the parts that its processes are."
        parts += [
            Part(name, process, self.folder)
            for name, process in zip(names, service.processes)]
        return self._stack.enter_context(service)

    def _make_records(self):
        "Make patients and the server, and let cron come each minute."
        with opened(self.database) as transaction:
            pool = Pool()
            parties = {}
            for kind, count in [
                    ('SOAK', USUAL), ('WRONG', CORRECTED), ('ONE', TWINS),
                    ('OTHER', TWINS)]:
                for number in range(count):
                    puid = f'{kind}{number:03}'
                    parties[puid] = make_patient(
                        "Ana", f"Betz {puid}", 'fm'[number % 2],
                        dt.date(1960, 2, 3) + dt.timedelta(number),
                        ref=puid).party.id
            self.puids = list(parties)
            self.corrected = [p for p in parties if p.startswith('WRONG')]
            self.twins = [
                (parties[f'ONE{n:03}'], parties[f'OTHER{n:03}'])
                for n in range(TWINS)]
            server, = pool.get(SERVER).create([{
                        'label': "PACS", 'domain': self.orthanc.url,
                        'user': self.orthanc.user, 'store_reports': True,
                        'password': self.orthanc.password,
                        'read_timeout': 5, 'validated': True}])
            self._secret = renew_secret(server)
            Cron = pool.get('ir.cron')
            Cron.write(
                Cron.search([('method', '=', f'{SERVER}|sync')]),
                {'interval_number': 1, 'next_call': dt.datetime.now()})
            transaction.tasks.clear()
            Exam = pool.get('gnuhealth.imaging.test')
            self.exams = [e.id for e in Exam.search(
                    [('aetitle', 'in', ['CT1', 'XR1'])])]
            doctor, = pool.get('gnuhealth.healthprofessional').search(
                [('party.internal_user.login', '=', seed.DOCTOR.login)])
            reason, = pool.get('gnuhealth.imaging.cancel.reason').search(
                [], limit=1)
            self.doctor, self.reason = doctor.id, reason.id
            Transaction().commit()

    def _make_users(self):
        "Make the other users, and the machine that asks the node."
        with set_xmlrpc_session(self.url, 'admin', seed.PASSWORD) as config:
            company, = Model.get('company.company', config).find([])
            for login in [NODE, DESK, MERGER]:
                seed.make_user(config, login, company)
            machine = Model.get(MACHINE, config)(name="CT", aetitle='CT1')
            exam, = Model.get('gnuhealth.imaging.test', config).find(
                [('aetitle', '=', 'CT1')])
            machine.exams.append(exam)
            machine.save()

    @contextmanager
    def phase(self, name):
        "Context of a part of the day, whose duration is noted."
        begin = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = time.monotonic() - begin

    def close(self):
        "End all servers."
        self.parts.stop()
        self._stack.close()

    def query(self, text, *parameters):
        "Return the rows of a query on a connection of its own."
        with closing(self.database.connect()) as connection:
            with connection, connection.cursor() as cursor:
                cursor.execute(text, parameters or None)
                return cursor.fetchall() if cursor.description else None


@pytest.fixture
def hospital(templates, copies, tmp_path, cluster):
    begin = time.monotonic()
    templates.need_seeded()
    database = copies.make(SEEDED, tmp_path)
    made = time.monotonic()
    hospital = Hospital(database, cluster, tmp_path)
    hospital.phases = {
        "the database is made": made - begin,
        "servers start": time.monotonic() - made}
    yield hospital
    hospital.close()
    copies.drop(database)


def work(hospital):
    """Let all people work while everything is killed, and return those who
    decide what the software must not."""
    people = [
        person(hospital, number) for number, person in enumerate(
            [Doctor, Radiographer, Radiologist, Desk])]
    for person in people:
        person.start()
    with hospital.phase("people work"):
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end and not any(p.error for p in people):
            hospital.parts.tick()
    hospital.over.set()
    with hospital.phase("they end what they began"):
        # With the rest of the plan: the PACS may be stopped.
        while any(p.is_alive() for p in people) or (
                hospital.parts.plan and not any(p.error for p in people)):
            hospital.parts.tick()
    assert not any(p.error for p in people), '\n'.join(
        p.error for p in people if p.error)
    return people[1:3]


def settle(hospital, counts, people):
    """Wait until nothing is left to do, and nothing to decide for people.

    What another process claimed that was killed is free after a quarter of an
    hour: this time is not waited for.
    """
    begin = time.monotonic()
    while (waits := counts.waits()) or any([p.review() for p in people]):
        hospital.parts.look_after()
        seconds = time.monotonic() - begin
        counts.waited.update(dict.fromkeys(waits, seconds))
        counts.counts['reports of a killed process'] += free(hospital)
        if seconds > SETTLING:
            counts.wrong.append(f"still waits: {waits or 'people decide'}")
            break


def free(hospital):
    """Let others have the reports that a process claimed a while ago, and
    return how many these are."""
    return len(hospital.query(
            'UPDATE gnuhealth_orthanc_report SET claimed_until = NULL '
            'WHERE claimed_until < %s RETURNING id',
            now() + CLAIMED - ABANDONED))


def test_nothing_is_lost_and_nothing_is_there_twice(hospital):
    counts = Counts(hospital)
    try:
        people = work(hospital)
        with hospital.phase("nothing is left to do"):
            settle(hospital, counts, people)
        with hospital.phase("everything is compared"):
            counts.check()
    finally:
        text = readable(hospital, counts)
        print(text)
        report = ROOT / '.tox' / 'soak' / 'report.txt'
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(text)
    assert not counts.wrong
