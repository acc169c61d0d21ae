# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast worklist entries are made, published and answered, as ratios to
floors of the same run: entries of values at hand, the least call to the same
server, and entries that are made, sent and written with nothing checked."""
import base64
import datetime as dt
import json
import os
import statistics
import sys
import threading
import time
from collections import namedtuple
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import cycle, islice
from pathlib import Path

import pytest
import seed
from proteus import config as proteus_config
from services import HOST, Process
from support import imaging_lists, polls, releases
from support.benchmarks import measure, processor, show, tell
from support.records import (
    make_exam, make_institution, make_patient, make_professional)
from support.statements import counted

from trytond import backend
from trytond.modules.health_imaging_worklist import (
    changes, dataset, rendering, variables, versions)
from trytond.pool import Pool
from trytond.transaction import Transaction

#: The most that new entries may cost, times the floor.
PUBLISH = 1.5
#: The most that entries, or their texts, may cost in the server, times those
#: that are made of values at hand.
ENTRIES = 2.5
#: How many times new entries are published.
TURNS = 3
SCRIPTS = Path(__file__).parents[2] / 'his-utils/scripts/imaging'
sys.path.insert(0, str(SCRIPTS))

import command_line  # noqa: E402
import connection  # noqa: E402
import worklist_entries  # noqa: E402
import worklist_folder  # noqa: E402
import worklist_publisher  # noqa: E402
import worklist_query  # noqa: E402

REQUEST = 'gnuhealth.imaging.test.request'
# What happens in one process is measured in seconds of the processor, as
# others may use it at the same time.
CLOCK = time.process_time


Numbers = namedtuple('Numbers', 'new old waiting orders')
SMALL, FULL = Numbers(100, 1000, 10, 2), Numbers(1000, 10_000, 50, 5)


@pytest.fixture
def numbers(full):
    "How many requests there are of each kind."
    return FULL if full else SMALL


# In the server

@pytest.fixture
def requests_(transaction, numbers):
    "The ids of new requests."
    Request = Pool().get(REQUEST)
    exam, doctor = make_exam(aetitle='CT1'), make_professional()
    requests = Request.create([{
                'patient': make_patient(f"Given {i}", f"Family {i}").id,
                'requested_test': exam.id,
                'doctor': doctor.id,
                } for i in range(numbers.new)])
    Request.requested(requests)
    return [r.id for r in requests]


def test_texts_and_entries(requests_, numbers, full):
    Request = Pool().get(REQUEST)
    template = Request(requests_[0]).worklist_template
    variables = Request(requests_[0]).get_worklist_template_data()
    compiled = template.compiled()

    def fresh(action):
        for cache in Transaction().cache.values():
            cache.clear()
        with counted() as statements:
            seconds, result = measure(action, 1, CLOCK)
        return seconds, f'{len(statements)} SQL', result

    def best(action):
        return min((fresh(action) for _ in range(3)), key=lambda r: r[0])

    def make():
        dataset.to_bytes(dataset.complete(
                rendering.render(compiled, variables), 'dump2dcm'))

    floor = min(
        measure(lambda: [make() for _ in requests_], clock=CLOCK)[0]
        for _ in range(3))
    size = len(requests_)
    show("floor: entries of values at hand", size, floor)
    seconds, calls, _ = best(
        lambda: Request.read(requests_, ['worklist_text']))
    show("worklist_text", size, seconds, calls, floor)
    assert not full or seconds <= ENTRIES * floor
    seconds, calls, answer = best(
        lambda: Request.get_worklist_entries(None, {'text': False}))
    show("get_worklist_entries, all", size, seconds, calls, floor)
    assert not full or seconds <= ENTRIES * floor
    assert len(answer['entries']) == size
    make_old(requests_, numbers.old)
    seconds, calls, answer = best(
        lambda: Request.get_worklist_entries(answer['cursor']))
    show(f"the same, nothing new, {numbers.old} done", 1, seconds, calls)
    assert not answer['entries'] and not answer['full']


def make_old(ids, count):
    "Make what is there old, and add requests that are done."
    cursor = Transaction().connection.cursor()
    past = dt.datetime(2026, 1, 1)
    for table, _, _ in changes.sources():
        cursor.execute(*table.update(
                [table.create_date, table.write_date], [past, None]))
    if not count:
        return
    table = Pool().get(REQUEST).__table__()
    sample = Pool().get(REQUEST)(ids[0])
    columns = [
        table.create_date, table.patient, table.requested_test, table.doctor,
        table.date, table.state, table.worklist_status, table.request,
        table.request_line, table.merge_id]
    for start in range(0, count, 500):
        cursor.execute(*table.insert(columns, [[
                        past, sample.patient.id, sample.requested_test.id,
                        sample.doctor.id, past, 'done', 'done', f'OLD-{i}',
                        f'OLD-{i}-01-01', f'2.25.77{i}']
                    for i in range(start, start + 500)]))


# A poll

OPEN_REQUESTS = 5000
#: The longest that a poll with nothing new may take, in seconds.
POLL = .02
#: The most seconds of the processor that comparing all may take.
COMPARE = 1


@pytest.fixture
def open_requests(transaction, full):
    "Requests of five exams with three templates, recorded long ago."
    count = OPEN_REQUESTS if full else 100
    make_institution()
    Template = Pool().get(changes.TEMPLATE)
    templates = Template.search([], limit=2)
    templates += Template.copy(templates[:1])
    exams = [make_exam(f"Exam {n}", aetitle=f'CT{n}') for n in range(5)]
    for n, exam in enumerate(exams):
        exam.imaging_worklist_template = templates[n % 3]
        exam.save()
    patients = [make_patient(f"Given {n}", f"Family {n}")
        for n in range(count // 20)]
    doctors = [make_professional(name=f"Doctor {n}") for n in range(5)]
    imaging_lists.insert(REQUEST, [
            'id', 'request', 'request_line', 'accession_number', 'step_id',
            'merge_id', 'date', 'patient', 'requested_test', 'doctor',
            'state', 'worklist_status', 'urgent'],
        [[
            n + 1, f'R{n}', f'R{n}-01', f'R{n}', f'R{n}-01', f'2.25.{n + 1}',
            dt.datetime(2026, 3, 2, 9), patients[n % len(patients)].id,
            exams[n % 5].id, doctors[n % 5].id, 'requested', 'todo', False]
            for n in range(count)])
    make_old([], 0)
    if backend.name == 'postgresql':
        # As it does by itself where a table has grown.
        Transaction().connection.cursor().execute('ANALYZE')
    return count


def stamped(model, id_, seconds, **values):
    "Change a record as another transaction did some seconds ago."
    table, cursor = Pool().get(model).__table__(), \
        Transaction().connection.cursor()
    cursor.execute(*table.update(
            [*(getattr(table, name) for name in values), table.write_date],
            [*values.values(),
                changes.database_time() - dt.timedelta(seconds=seconds)],
            where=table.id == id_))


def raw_look():
    "Read the requests that changed in the last minutes, as SQL alone can."
    table, cursor = Pool().get(REQUEST).__table__(), \
        Transaction().connection.cursor()
    cursor.execute(*table.select(table.id,
            where=changes.modified(table) >= dt.datetime.now()))
    return cursor.fetchall()


def test_poll(open_requests, full):
    """What is sent of many open requests after something changed, and what
    looking for it takes."""
    caller = polls.Caller()

    def show_poll(what, sent=None):
        with counted() as statements:
            seconds, answer = measure(caller, 1, CLOCK)
        entries = answer['entries']
        show(f"poll, {what}", len(entries), seconds,
            f'{len(statements)} SQL', floor)
        assert sent is None or len(entries) == sent
        return seconds

    floor, _ = measure(raw_look, 10, CLOCK)
    show("floor: one statement", 1, floor, '1 SQL')
    show_poll(f"all of {open_requests} open", open_requests)
    one, = Pool().get(REQUEST).search([], limit=1)
    exam, template = one.requested_test, one.worklist_template
    of_exam, of_doctor = open_requests // 5, open_requests // 5
    for seconds, (what, sent, model, id_, values) in enumerate([
            ("nothing new", 0, None, None, {}),
            ("a request", 1, REQUEST, one.id, {'urgent': True}),
            ("a patient's name", 20, 'gnuhealth.person_name',
                one.patient.party.person_names[0].id, {'family': "New"}),
            ("a template, nothing differs", 0, changes.TEMPLATE, template.id,
                {'comment': "New"}),
            ("a template, those of an exam differ", of_exam, changes.TEMPLATE,
                template.id, {'template': for_one_exam(template, exam)}),
            ("an exam's AE title", of_exam, changes.EXAM, exam.id,
                {'aetitle': 'CT9'}),
            ("an exam type's name, nothing differs", 0, changes.TYPE,
                exam.test_type.id, {'name': "New"}),
            ("a doctor's name", of_doctor, 'gnuhealth.person_name',
                one.doctor.party.person_names[0].id, {'family': "New"}),
            ]):
        if model:
            stamped(model, id_, 60 - seconds, **values)
            show_poll(what, sent)
        # It is looked at once.
        seconds = min(show_poll(f"after {what}", 0) for _ in range(3))
        assert not full or seconds < POLL
    compare_all(caller, open_requests, full)


def compare_all(caller, count, full):
    "Compare all when nothing is kept, as each time before, and when it is."
    times = []
    for what in ["all are made and compared", "all are compared"]:
        caller.cursor, begin = None, database_seconds()
        with counted() as statements:
            wall = time.perf_counter()
            if not times:
                versions._digests._database_cache.clear()
            seconds, answer = measure(caller, 1, CLOCK)
            wall = time.perf_counter() - wall
        times.append(seconds + database_seconds() - begin)
        assert len(answer['same']) == count and not answer['entries']
        show(f"{what}, processor of both servers", count, times[-1],
            f'{len(statements)} SQL')
        tell(f"    {wall:.3f} s went by")
    made, compared = times
    # It was as much as to make all.
    assert not full or compared < min(COMPARE, made / 10)


def database_seconds():
    "Return the seconds of the processor of the connection, 0 on SQLite."
    if backend.name != 'postgresql':
        return 0
    cursor = Transaction().connection.cursor()
    cursor.execute('SELECT pg_backend_pid()')
    return processor(*cursor.fetchone())


def for_one_exam(template, exam):
    "Return the text of a template that differs for one exam."
    old, number = '[${AccessionNumber}]', 'AccessionNumber'
    assert old in template.template
    return template.template.replace(old, '[{% if '
        f'RequestedProcedureDescription == "{exam.name}" %}}N{{% end %}}'
        f'${{{number}}}]')


# The script

@pytest.fixture
def hospital(trytond_server):
    "A trytond, and a proteus configuration."
    return trytond_server, proteus_config.set_xmlrpc(
        trytond_server.rpc_url('admin', seed.PASSWORD))


def order(config, count):
    "Request exams for the patients there are; return the ids."
    def proxy(name):
        return config.get_proxy(name)
    context = config.context
    Exam = proxy('gnuhealth.imaging.test')
    exam, = Exam.search([('aetitle', '=', 'CT1')], 0, 1, None, context)
    # What the rules of safety find is not measured here.
    Exam.write([exam], {
            'question_optional': True, 'unchecked_rules': [
                code for code, _ in Exam.get_rules(context)]}, context)
    doctor, = proxy('gnuhealth.healthprofessional').search(
        [], 0, 1, None, context)
    patients = proxy('gnuhealth.patient').search([], 0, None, None, context)
    Request = proxy(REQUEST)
    requests = Request.create([{
                'patient': patient, 'requested_test': exam, 'doctor': doctor,
                } for patient in islice(cycle(patients), count)], context)
    Request.requested(requests, context)
    return requests


class Calls:
    "Counts the connections that the script opens."

    def __init__(self, monkeypatch):
        self.count = 0
        send = connection._Http.send

        def counted(*arguments, **options):
            self.count += 1
            return send(*arguments, **options)
        monkeypatch.setattr(connection._Http, 'send', counted)

    def of(self, action):
        "Return seconds, calls and the result of an action."
        self.count = 0
        seconds, result = measure(action, 1)
        return seconds, self.count, result


def test_script(
        hospital, database, tmp_path, monkeypatch, numbers, full):
    server, config = hospital
    order(config, numbers.new)
    trytond = connection.Trytond(
        command_line.Server(f'http://{HOST}:{server.port}', server.database,
            'admin', seed.PASSWORD), worklist_entries.MODULE)
    trytond.connect()
    calls = Calls(monkeypatch)
    # What files take of the kernel differs by a factor of three from one time
    # to the next, so each is done several times in turn, and the least counts.
    floors, news = [], []
    for turn in range(TURNS):
        path = tmp_path / str(turn)
        path.mkdir()
        with spent(server, database) as used:
            written = publish_barely(database, path)
        floors.append(used)
        folder = worklist_folder.Folder(path, server.database)
        folder.open()
        update = make_update(trytond, folder, server.database)
        with spent(server, database) as used:
            _, count, _ = calls.of(update)
        news.append(used)
        rows = update.report['new']
        assert rows == written >= numbers.new and count == 1
        if turn < TURNS - 1:
            folder.close()
    floor = min(floors, key=lambda used: used.seconds)
    show("floor: SQL, entries of templates, HTTP, files, processor of all",
        rows, floor.seconds)
    tell(f"    {floor.wall:.3f} s went by; all: {_all(floors)}")
    used = min(news, key=lambda used: used.seconds)
    show("new entries published", rows, used.seconds, f'{count} call',
        floor.seconds)
    tell(f"    {used.own:.3f} s of it the script, {used.wall:.3f} s went by; "
        f"all: {_all(news)}")
    new = used.seconds

    update.regenerate, update._full_at = False, None
    with spent(server, database) as used:
        _, count, _ = calls.of(update)
    show("full comparison, nothing new, processor of all", rows,
        used.seconds, f'{count} call', floor.seconds)
    tell(f"    {used.wall:.3f} s went by")
    assert update.report['unchanged'] == rows
    assert not full or used.seconds < floor.seconds / 2

    make_past(database)
    update()
    least, _ = measure(lambda: trytond.call(
            'res.user', 'get_preferences', True), 10)
    show("floor: the least call", 1, least, '1 call')
    results = [calls.of(update) for _ in range(10)]
    seconds = min(result[0] for result in results)
    show("poll, nothing new", 1, seconds, f'{results[0][1]} call', least)
    assert all(count == 1 for _, count, _ in results)
    assert not any(update.report.values())
    assert not full or seconds < max(POLL, 2 * least)
    folder.close()
    trytond.close()
    assert not full or new <= PUBLISH * floor.seconds


def make_update(trytond, folder, database):
    messages = command_line.Messages(-1)
    return worklist_publisher.Update(
        lambda cursor, known: trytond.call(
            REQUEST, 'get_worklist_entries', cursor,
            {'known': known, 'text': False}),
        worklist_publisher.Publisher(
            folder, database, worklist_entries.make_maker(False), messages),
        messages)


def _all(spent):
    return ', '.join(f'{used.seconds:.3f}' for used in spent)


class Spent:
    """What something took.

    :ivar float seconds: of the processor, of script, server and database
    :ivar float own: of them those of the script
    :ivar float wall: that went by
    """


@contextmanager
def spent(server, database):
    "Give a Spent of what is done in the context."
    with closing(database.connect()) as connection_:
        cursor = connection_.cursor()

        def processors():
            pids = [server.processes[0].pid]
            if backend.name == 'postgresql':
                cursor.execute('SELECT pid FROM pg_stat_activity '
                    'WHERE datname = current_database() '
                    'AND pid <> pg_backend_pid()')
                pids += [pid for pid, in cursor.fetchall()]
                connection_.commit()
            return {pid: processor(pid) for pid in pids}
        found, before = Spent(), processors()
        own, begin = time.process_time(), time.perf_counter()
        yield found
        found.wall = time.perf_counter() - begin
        found.own = time.process_time() - own
        found.seconds = found.own + sum(
            seconds - before.get(pid, 0)
            for pid, seconds in processors().items())


ROWS = """
    SELECT r.id, r.request_line, r.accession_number, r.merge_id, r.date,
        p.ref, p.name, p.lastname, p.dob, p.gender, d.lastname, e.name,
        e.aetitle, t.template
    FROM gnuhealth_imaging_test_request r
    JOIN gnuhealth_patient q ON q.id = r.patient
    JOIN party_party p ON p.id = q.party
    JOIN gnuhealth_healthprofessional h ON h.id = r.doctor
    JOIN party_party d ON d.id = h.party
    JOIN gnuhealth_imaging_test e ON e.id = r.requested_test
    JOIN gnuhealth_imaging_worklist_worklist_template t
        ON t.id = e.imaging_worklist_template
    WHERE r.state = 'requested' AND r.worklist_status = 'todo'"""


def publish_barely(database, path):
    """Make entries of the template and of values that a statement gives, send
    them over HTTP, and write them into files; return how many."""
    with closing(database.connect()) as connection_:
        cursor = connection_.cursor()
        cursor.execute(ROWS)
        made = [
            [id_, base64.b64encode(make_barely(*values)).decode()]
            for id_, *values in cursor.fetchall()]
    received = send_barely(json.dumps(made).encode())
    files = [path / f'{id_}' for id_, _ in received]
    for file, (_, data) in zip(files, received):
        with open(file, 'wb') as target:
            target.write(base64.b64decode(data))
            target.flush()
            os.fsync(target.fileno())
    for file in files:
        file.unlink()
    return len(files)


SAMPLE = variables.sample_variables()
_compiled = {}


def make_barely(
        line, accession, uid, date, ref, name, lastname, dob, gender, doctor,
        exam, aetitle, template):
    "Return the file of an entry, bytes."
    if template not in _compiled:
        _compiled[template] = rendering.compile(template)
    date = str(date)
    text = rendering.render(_compiled[template], {
            **SAMPLE, 'AccessionNumber': accession,
            'RequestedProcedureID': line, 'ScheduledProcedureStepID': line,
            'StudyInstanceUID': uid, 'PatientID': ref or '',
            'PatientName': f'{lastname}^{name}',
            'PatientBirthDate': str(dob or '').replace('-', ''),
            'PatientSex': 'F' if gender == 'f' else 'M',
            'ScheduledProcedureStepStartDate': date[:10].replace('-', ''),
            'ScheduledProcedureStepStartTime': date[11:19].replace(':', ''),
            'RequestedProcedureDescription': exam,
            'RequestingPhysician': doctor,
            'ScheduledStationAETitle': aetitle,
            })
    return dataset.to_bytes(dataset.complete(text, 'dump2dcm'), 'ISO_IR 192')


def send_barely(body):
    "Return what a bare server sends, parsed JSON."
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers['Content-Length']))
            self.send_response(200)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass
    with HTTPServer((HOST, 0), Handler) as bare, closing(HTTPConnection(
            HOST, bare.server_address[1])) as client:
        thread = threading.Thread(target=bare.handle_request)
        thread.start()
        client.request('POST', '/', b'{}')
        answer = json.loads(client.getresponse().read())
        thread.join()
    return answer


def make_past(database):
    "Let all be recorded long ago."
    with closing(database.connect()) as connection_:
        cursor = connection_.cursor()
        for table in releases.tables(cursor, database):
            cursor.execute(f'SELECT * FROM "{table}" LIMIT 0')
            if {'create_date', 'write_date'} <= {
                    column[0] for column in cursor.description}:
                cursor.execute(f'UPDATE "{table}" SET create_date = '
                    "'2026-01-01 00:00:00', write_date = NULL")
        connection_.commit()


def test_order_to_answer(hospital, make_orthanc, tmp_path, numbers, full):
    server, config = hospital
    order(config, numbers.waiting)
    folder, secret = tmp_path / 'worklists', tmp_path / 'secret'
    folder.mkdir()
    secret.touch(mode=0o600)
    secret.write_text(seed.PASSWORD)
    orthanc = make_orthanc(worklists=folder)
    service = Process([
            sys.executable, SCRIPTS / 'update_worklists_database.py', '-H',
            HOST, '-p', str(server.port), '-d', server.database,
            '--password-file', secret, '-w', folder, '-s', '1'],
        tmp_path / 'service.log')

    def answered():
        return {str(answer.AccessionNumber) for answer in worklist_query.ask(
                HOST, orthanc.dicom_port, 'CT1', orthanc.aet, 'CT1', 30)}
    service.start()
    try:
        wait_for(lambda: len(answered()) >= numbers.waiting)
        ask, _ = measure(answered)
        show("C-FIND of all", numbers.waiting, ask, '1 call')
        seconds = []
        for _ in range(numbers.orders):
            request, = order(config, 1)
            number, = config.get_proxy(REQUEST).read(
                [request], ['request'], config.context)
            begin = time.perf_counter()
            wait_for(lambda: number['request'] in answered())
            seconds.append(time.perf_counter() - begin)
    finally:
        service.stop()
    show("order to answerable C-FIND, with -s 1", len(seconds),
        statistics.median(seconds), floor=ask)
    assert not full or statistics.median(seconds) < 2


def wait_for(action, seconds=120):
    "Wait until an action gives true."
    end = time.monotonic() + seconds
    while not action():
        assert time.monotonic() < end
        time.sleep(.05)
