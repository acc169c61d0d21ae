# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two things at the same moment that change the links of studies, in real
trytond processes: whatever came first, what is seen afterwards is what would
be decided now.

What happens at the same time is shown by rows and requests that are held
until something else has happened, never by how long it takes.
"""
import datetime as dt
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
import seed
from services import Orthanc, Trytond
from support import archive
from support.at_once import Row, at_once, attempt, wait_for_locks
from support.databases import SEEDED
from support.fault_server import FaultServer
from support.images import context_of
from support.link_invariant import (
    CANDIDATE, REQUEST, RESULT, STUDY, faults, opened)
from support.records import (
    PASSWORD, Rpc, RpcError, make_exam, make_patient, make_picture,
    make_request, make_user)

from trytond.modules.health_orthanc.links import events
from trytond.pool import Pool

SERVER = 'gnuhealth.orthanc.config'
EVENT = 'gnuhealth.orthanc.link_event'
PARTY, PATIENT = 'party.party', 'gnuhealth.patient'
ATTACHMENT = 'ir.attachment'

_numbers = itertools.count(1)


class Hospital:
    """A hospital whose users come to one trytond, with a PACS.

    :ivar server: id of the PACS
    """

    def __init__(self, database, trytond, orthanc, proxy):
        self.database, self.trytond = database, trytond
        self.orthanc, self.proxy = orthanc, proxy
        with opened(database):
            make_user('desk', 'health.group_health_frontdesk',
                password=PASSWORD)
            make_user('merger', 'party.group_party_admin',
                'health.group_health_admin', password=PASSWORD)
            self.exam = make_exam("CT of links", type_='ctscan').id
            server, = Pool().get(SERVER).create([{
                        'label': "PACS", 'domain': proxy.url,
                        'user': orthanc.user, 'password': orthanc.password}])
            self.server = server.id

    def rpc(self, login):
        "Return a new session of a user: each has a connection of its own."
        password = PASSWORD if login in {'desk', 'merger'} else seed.PASSWORD
        return Rpc(login, password,
            f'{self.trytond.url}/{self.trytond.database}/')

    def sync(self):
        self.rpc('admin')(f'model.{SERVER}.do_sync', [self.server])

    def read(self, model, id_, *names):
        with opened(self.database):
            row, = Pool().get(model).read([id_], list(names))
        return [row[name] for name in names]

    def ids(self, model, domain):
        with opened(self.database):
            return [r.id for r in Pool().get(model).search(
                    domain, order=[('id', 'ASC')])]

    def waiting(self):
        "Return the ids of the events that are not decided."
        return self.ids(EVENT, [('decided_at', '=', None)])


class Ana:
    """A patient with two requests, whose studies come to the PACS.

    :ivar patient, party: ids
    :ivar requests: ids
    """

    def __init__(self, hospital, name="Ana"):
        self.hospital = hospital
        self.number = 9000 + next(_numbers)
        self.puid = f'LINKS{self.number}'
        self.born = dt.date(1970, 1, 2) + dt.timedelta(days=self.number)
        self.name = name
        with opened(hospital.database):
            pool = Pool()
            Request = pool.get(REQUEST)
            patient = make_patient(
                name, "Betz", 'f', self.born, ref=self.puid)
            exam = pool.get('gnuhealth.imaging.test')(hospital.exam)
            requests = [make_request(patient, exam) for _ in range(2)]
            Request.requested(requests)
            self.patient, self.party = patient.id, patient.party.id
            self.requests = [r.id for r in requests]
            self.orders = [r.request for r in requests]

    def send(self, order=0, **values):
        "Send a study to the PACS; return its Study Instance UID."
        number = 900_000 + next(_numbers)
        uid = f'{archive.ROOT}.9.{number}'
        archive.upload(self.hospital.orthanc, [archive.study(number, **{
                        'uid': uid, 'patient_id': self.puid,
                        'patient_name': f'Betz^{self.name}',
                        'birth_date': f'{self.born:%Y%m%d}', 'sex': 'F',
                        'charset': '', 'encoding': 'ascii',
                        'omitted': frozenset(),
                        'date': f'{dt.date.today():%Y%m%d}',
                        'accession_number': self.orders[order],
                        'series': 1, 'instances': 1, **values})])
        return uid

    def store(self, order=0, **values):
        "Send a study, synchronize, and return its id."
        uid = self.send(order, **values)
        self.hospital.sync()
        return self.find(uid)

    def find(self, uid):
        id_, = self.hospital.ids(
            STUDY, [('study_instance_UID', '=', uid)])
        return id_

    def correct(self, born, login='desk'):
        "Correct the birth date."
        self.hospital.rpc(login)(
            f'model.{PARTY}.write', [self.party], {'dob': born})

    def merge_into(self, other):
        "Merge into another patient, over RPC."
        with opened(self.hospital.database):
            pool = Pool()
            user, = pool.get('res.user').search([('login', '=', 'merger')])
            pool.get('res.user.warning').create([{
                        'user': user.id, 'always': False, 'name':
                        f'party.replace name {self.party} {other.party}'}])
        self.hospital.rpc('merger').run_wizard('party.replace', [
                ('replace', {'ask': {'source': self.party,
                            'destination': other.party}})],
            **context_of(PARTY, self.party))

    def twin(self):
        "Make a second record of the same person."
        return Twin(self)

    def report(self, order=0, picture_of=None):
        """Make the result of a request, with a picture of a study."""
        rpc = self.hospital.rpc('radiologist')
        rpc(f'model.{REQUEST}.generate_results', [self.requests[order]])
        result, = self.hospital.ids(
            RESULT, [('request', '=', self.requests[order])])
        rpc(f'model.{RESULT}.write', [result], {'comment': "Fine."})
        if picture_of:
            with opened(self.hospital.database):
                Pool().get(ATTACHMENT).create([{
                            'name': 'a.png', 'type': 'data',
                            'data': make_picture(),
                            'resource': f'{RESULT},{result}',
                            'imaging_study': picture_of}])
        return result


class Twin:

    def __init__(self, ana):
        with opened(ana.hospital.database):
            patient = make_patient(ana.name, "Betz", 'f', ana.born,
                ref=f'TWIN{ana.number}')
            self.patient, self.party = patient.id, patient.party.id


@pytest.fixture(scope='module')
def pacs(tmp_path_factory):
    with Orthanc(tmp_path_factory.mktemp('orthanc')) as orthanc:
        with FaultServer(orthanc.url) as proxy:
            yield orthanc, proxy


@pytest.fixture(scope='module')
def seeded_copy(templates, copies, tmp_path_factory):
    templates.need_seeded()
    database = copies.make(SEEDED, tmp_path_factory.mktemp('database'))
    yield database
    copies.drop(database)


@pytest.fixture(scope='module')
def whole(seeded_copy, pacs, tmp_path_factory):
    trytond = Trytond(
        tmp_path_factory.mktemp('trytond'), **seeded_copy.options)
    trytond.start()
    yield Hospital(seeded_copy, trytond, *pacs)
    trytond.kill()


@pytest.fixture
def hospital(whole):
    yield whole
    assert not faults(whole.database)


class Held:
    """Lets the next request that fits wait until it is released."""

    def __init__(self, hospital, pattern):
        self._there, self._released = threading.Event(), threading.Event()
        hospital.proxy.on(pattern, self._hold, nth=1)

    def _hold(self, exchange):
        self._there.set()
        while not self._released.is_set() and exchange.wait(0.05):
            pass
        return exchange.forward()

    def wait(self):
        "Wait until it is there."
        assert self._there.wait(60)

    def release(self):
        self._released.set()


def in_background(action, *arguments):
    """Do something of which perhaps nobody hears the answer, as a thread."""
    def work():
        with suppress(OSError, RpcError):
            action(*arguments)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@contextmanager
def run_between_blocks(hospital):
    "Let a run wait for what the server tells."
    held = Held(hospital, 'bulk-content')
    run = in_background(hospital.sync)
    try:
        held.wait()
        yield
    finally:
        held.release()
    run.join()


@contextmanager
def run_in_a_block(hospital):
    """Let a run wait when it has decided on its studies and has not yet
    committed them: it wants to prolong its lease.

    :return: the thread that waits for the run
    """
    held = Held(hospital, 'bulk-content')
    run = in_background(hospital.sync)
    held.wait()
    with Row(hospital.database, SERVER, hospital.server) as row:
        held.release()
        row.wait_for(1)
        yield run


# A run and people

def test_a_merge_while_a_run_reads(hospital):
    "Nothing is locked between the blocks: this is the same on SQLite."
    ana = Ana(hospital)
    twin, known, uid = ana.twin(), ana.store(), ana.send(1)
    with run_between_blocks(hospital):
        ana.merge_into(twin)
    for study in [known, ana.find(uid)]:
        assert hospital.read(STUDY, study, 'patient') == [twin.patient]


@pytest.mark.postgresql
def test_a_merge_while_a_run_stores(hospital):
    ana = Ana(hospital)
    twin, known, uid = ana.twin(), ana.store(), ana.send(1)
    with run_in_a_block(hospital) as run:
        merging = in_background(ana.merge_into, twin)
        # It may wait for what the run holds.
        merging.join(3)
    merging.join()
    run.join()
    for study in [known, ana.find(uid)]:
        assert hospital.read(STUDY, study, 'patient') == [twin.patient]


@pytest.mark.postgresql
def test_a_birth_date_while_a_run_stores(hospital):
    ana = Ana(hospital)
    known, uid = ana.store(), ana.send(1)
    with run_in_a_block(hospital) as run:
        ana.correct(dt.date(1960, 5, 5))
        assert hospital.read(STUDY, known, 'link_state') == ['review']
    run.join()
    assert hospital.read(STUDY, ana.find(uid), 'link_state') == ['review']


@pytest.mark.postgresql
def test_a_run_and_an_event_decide_the_same(hospital):
    "The run stores more images of a study while the person changes."
    ana = Ana(hospital)
    study = ana.store()
    uid, = hospital.read(STUDY, study, 'study_instance_UID')
    ana.send(uid=uid, first=2)
    with run_in_a_block(hospital) as run:
        correcting = in_background(ana.correct, dt.date(1960, 5, 5))
        wait_for_locks(hospital.database, 2)
    correcting.join()
    run.join()
    assert hospital.read(STUDY, study, 'link_state') == ['review']


@pytest.mark.postgresql
def test_a_run_is_killed_that_decided_by_what_was_before(hospital):
    """What it stored was not there yet when the change was decided, and it
    cannot decide again itself."""
    ana = Ana(hospital)
    ana.store()
    uid = ana.send(1)
    held = Held(hospital, '/statistics')
    with run_in_a_block(hospital) as run:
        ana.correct(dt.date(1960, 5, 5))
    held.wait()
    hospital.trytond.kill()
    held.release()
    run.join()
    hospital.trytond.start()
    hospital.sync()
    assert hospital.read(STUDY, ana.find(uid), 'link_state') == ['review']


# People at once

def take(rpc, candidate):
    "Link a study to a candidate, as a person."
    rpc.run_wizard(
        'gnuhealth.imaging_orthanc.choose_candidate', [('choose', {})],
        **context_of(CANDIDATE, candidate))


@pytest.mark.postgresql
def test_a_person_chooses_while_a_rule_decides(hospital):
    ana, eva = Ana(hospital), Ana(hospital, "Eva")
    study = ana.store()
    refused = at_once(hospital.database, STUDY, study,
        lambda: hospital.rpc('radiologist')(
            f'model.{STUDY}.write', [study], {'patient': eva.patient}),
        lambda: ana.correct(dt.date(1960, 5, 5)))
    assert refused == [None, None]
    assert hospital.read(STUDY, study, 'patient', 'link_rule') == [
        eva.patient, 'person']


@pytest.mark.postgresql
def test_two_people_choose_two_candidates(hospital):
    ana = Ana(hospital)
    study = ana.store(
        birth_date='19600505', accession_number='', modality='CT')
    candidates = hospital.ids(
        CANDIDATE, [('study', '=', study), ('request', '!=', None)])
    offered = [
        hospital.read(CANDIDATE, candidate, 'request')[0]
        for candidate in candidates]
    assert sorted(offered) == sorted(ana.requests)

    rpcs = [hospital.rpc(login) for login in ['radiologist', 'admin']]
    one, two = at_once(hospital.database, STUDY, study,
        lambda: take(rpcs[0], candidates[0]),
        lambda: take(rpcs[1], candidates[1]))
    request, = hospital.read(STUDY, study, 'request')
    assert [one, two].count(None) == 1
    assert request == offered[0 if one is None else 1]
    assert (one or two).kind == 'UserError', one or two


@pytest.mark.postgresql
def test_two_people_undo(hospital):
    ana, eva, ida = [Ana(hospital, name) for name in ["Ana", "Eva", "Ida"]]
    study = ana.store()
    for other in [eva, ida]:
        hospital.rpc('radiologist')(
            f'model.{STUDY}.write', [study], {'patient': other.patient})
    refused = at_once(hospital.database, STUDY, study, *[
            lambda rpc=hospital.rpc(login): rpc(
                f'model.{STUDY}.undo_link', [study])
            for login in ['radiologist', 'admin']])
    assert refused == [None, None]
    # Each took back one step.
    assert hospital.read(STUDY, study, 'patient') == [ana.patient]


@pytest.mark.postgresql
def test_a_person_chooses_whom_another_merges(hospital):
    ana = Ana(hospital)
    twin, study = ana.twin(), ana.store(
        patient_id='X', patient_name='X', birth_date='', accession_number='')
    with ThreadPoolExecutor(1) as pool:
        with Row(hospital.database, STUDY, study) as row:
            choosing = pool.submit(attempt, lambda: hospital.rpc(
                    'radiologist')(f'model.{STUDY}.write', [study], {
                        'patient': ana.patient}))
            row.wait_for(1)
            merging = in_background(ana.merge_into, twin)
            merging.join(5)
        choosing.result()
        merging.join()
    assert hospital.read(STUDY, study, 'patient') == [twin.patient]


@pytest.mark.postgresql
def test_who_decides_by_what_was_before_does_not_have_the_last_word(hospital):
    """A birth date is corrected, and corrected again before the first was
    decided; the decision of the second overtakes that of the first, and
    finds nothing to change."""
    ana = Ana(hospital)
    first, second = ana.store(), ana.store(1)
    with Row(hospital.database, STUDY, first) as row:
        correcting = in_background(ana.correct, dt.date(1960, 5, 5))
        row.wait_for(1)
        with opened(hospital.database) as transaction:
            Party = Pool().get(PARTY)
            Party.write([Party(ana.party)], {'dob': ana.born})
            transaction.tasks.clear()
        later = max(hospital.waiting())
        with opened(hospital.database):
            events.decide([second], 'people')
    correcting.join()
    assert hospital.read(STUDY, second, 'link_state') == ['linked']
    settle(hospital, later)


def settle(hospital, event):
    with opened(hospital.database):
        Event = Pool().get(EVENT)
        Event.settle([Event(event)])


# Requests and results

@pytest.mark.postgresql
def test_one_study_comes_while_the_other_goes(hospital):
    "The request is off the worklist as long as it has one of them."
    ana, eva = Ana(hospital), Ana(hospital, "Eva")
    gone, come = ana.store(), ana.store(birth_date='19600505')
    candidate, = hospital.ids(CANDIDATE, [
            ('study', '=', come), ('request', '=', ana.requests[0])])
    rpcs = [hospital.rpc(login) for login in ['radiologist', 'admin']]
    refused = at_once(hospital.database, STUDY, [gone, come],
        lambda: rpcs[0](
            f'model.{STUDY}.write', [gone], {'patient': eva.patient}),
        lambda: take(rpcs[1], candidate))
    assert refused == [None, None]
    assert hospital.read(REQUEST, ana.requests[0], 'worklist_status') == [
        'done']


@pytest.mark.postgresql
@pytest.mark.parametrize('first', ['signed', 'linked'])
@pytest.mark.parametrize('what', ['picture', 'study', 'new study'])
def test_signed_while_a_study_goes_or_comes(hospital, first, what):
    """Who signs has seen what was there; of what changes afterwards he is
    told."""
    ana, eva = Ana(hospital), Ana(hospital, "Eva")
    study = ana.store(1 if what == 'new study' else 0)
    result = ana.report(picture_of=study if what == 'picture' else None)
    values = {'patient': eva.patient}
    if what == 'new study':
        values = {'imaging_test': result}
    rpcs = [hospital.rpc(login) for login in ['radiologist', 'admin']]
    actions = {
        'signed': lambda: rpcs[0](f'model.{RESULT}.finalize', [result]),
        'linked': lambda: rpcs[1](f'model.{STUDY}.write', [study], values)}
    assert at_once(hospital.database, RESULT, result,
        actions.pop(first), *actions.values()) == [None, None]
    state, told, images = hospital.read(
        RESULT, result, 'state', 'studies_changed_at', 'images')
    assert state == 'final'
    # Who came first may have to begin again.
    assert told or first == 'linked'
    assert bool(images) == (bool(told) and what == 'picture')


@pytest.mark.postgresql
def test_a_picture_comes_while_its_study_goes(hospital):
    ana, eva = Ana(hospital), Ana(hospital, "Eva")
    study = ana.store()
    result = ana.report()
    instance, = hospital.ids(
        'gnuhealth.imaging_orthanc.series_instances',
        [('series.study', '=', study)])
    rpcs = [hospital.rpc(login) for login in ['radiologist', 'admin']]
    held = Held(hospital, '/instances/')
    with ThreadPoolExecutor(1) as pool:
        attaching = pool.submit(attempt, lambda: rpcs[0](
                'model.gnuhealth.imaging_orthanc.series_instances'
                '.attach_image_to_imaging_test_report', [instance]))
        held.wait()
        rpcs[1](f'model.{STUDY}.write', [study], {'patient': eva.patient})
        held.release()
        error = attaching.result()
    assert error.kind == 'UserError', error
    assert hospital.read(RESULT, result, 'images') == [()]


@pytest.mark.postgresql
def test_result_deleted_while_a_study_is_linked(hospital):
    ana = Ana(hospital)
    result, study = ana.report(), ana.store(1)
    hospital.rpc('radiologist')(
        f'model.{RESULT}.write', [result], {'comment': ""})
    deleted, linked = at_once(hospital.database, RESULT, result,
        lambda: hospital.rpc('radiologist')(
            f'model.{RESULT}.delete', [result]),
        lambda: hospital.rpc('admin')(
            f'model.{STUDY}.write', [study], {'imaging_test': result}))
    left = hospital.ids(RESULT, [('id', '=', result)])
    assert (deleted is None) == (not left)
    if linked:
        assert linked.kind == 'UserError', linked


# Killed

@pytest.mark.postgresql
def test_killed_between_the_change_and_its_decision(hospital):
    ana = Ana(hospital)
    study = ana.store()
    with Row(hospital.database, STUDY, study) as row:
        changing = in_background(ana.correct, dt.date(1960, 5, 5))
        row.wait_for(1)
        hospital.trytond.kill()
    changing.join()
    hospital.trytond.start()
    assert hospital.read(PARTY, ana.party, 'dob') == [dt.date(1960, 5, 5)]
    assert len(hospital.waiting()) == 1
    assert hospital.read(STUDY, study, 'link_state') == ['linked']
    hospital.sync()
    assert hospital.read(STUDY, study, 'link_state') == ['review']


# Workers

@pytest.fixture(scope='module')
def whole_with_workers(templates, copies, pacs, tmp_path_factory):
    templates.need_seeded()
    database = copies.make(SEEDED, tmp_path_factory.mktemp('database'))
    trytond = Trytond(
        tmp_path_factory.mktemp('workers'), workers=2, **database.options)
    trytond.start()
    yield Hospital(database, trytond, *pacs)
    trytond.kill()
    copies.drop(database)


@pytest.fixture
def workers(whole_with_workers):
    yield whole_with_workers
    idle(whole_with_workers)
    assert not faults(whole_with_workers.database)


def idle(hospital):
    "Wait until the queue is empty."
    end = time.monotonic() + 60
    while hospital.ids('ir.queue', [('finished_at', '=', None)]):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.postgresql
def test_workers_settle_the_same_event(workers):
    """An order is written after the images: it is a candidate, once, however
    many decide."""
    ana = Ana(workers)
    idle(workers)
    uid = ana.send(accession_number='')
    workers.sync()
    idle(workers)
    study = ana.find(uid)
    with Row(workers.database, STUDY, study) as row:
        workers.rpc('radiologist')(f'model.{REQUEST}.create', [{
                    'patient': ana.patient, 'requested_test': workers.exam,
                    'doctor': workers.read(
                        REQUEST, ana.requests[0], 'doctor')[0]}])
        event, = workers.waiting()
        with opened(workers.database) as transaction:
            Event = Pool().get(EVENT)
            Event.__queue__.settle([Event(event)])
            # The workers have them.
            transaction.commit()
            transaction.tasks.clear()
        row.wait_for(2)
    idle(workers)
    assert len(workers.ids(CANDIDATE, [('study', '=', study)])) == 3


@pytest.mark.postgresql
def test_worker_killed_between_the_change_and_its_decision(workers):
    ana = Ana(workers)
    uid = ana.send()
    workers.sync()
    idle(workers)
    study = ana.find(uid)
    with Row(workers.database, STUDY, study) as row:
        ana.correct(dt.date(1960, 5, 5))
        row.wait_for(1)
        workers.trytond.kill()
    workers.trytond.start()
    assert len(workers.waiting()) == 1
    assert workers.read(STUDY, study, 'link_state') == ['linked']
    with opened(workers.database):
        Queue = Pool().get('ir.queue')
        Queue.delete(Queue.search([('finished_at', '=', None)]))
    workers.sync()
    idle(workers)
    assert workers.read(STUDY, study, 'link_state') == ['review']
