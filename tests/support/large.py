# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a database on PostgreSQL with the years of a large hospital: rows are
made once, as the modules make them, and repeated inside the database."""
import datetime as dt

from psycopg2 import sql
from support.archive_rows import make_rows
from support.records import (
    make_exam, make_finding, make_patient, make_professional, make_radiologist,
    make_request, make_user, settle)
from support.synchronizing import new_server

from trytond.modules.health_imaging.minute import now
from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.sync import storage
from trytond.pool import Pool
from trytond.transaction import Transaction

REQUEST = 'gnuhealth.imaging.test.request'
_FURTHER = 'gnuhealth.imaging_orthanc.study-request'
#: How many images a study has, all of one series.
IMAGES = 4
_YEARS = 10
_AHEAD = 15
#: One of so many orders is canceled, has a critical finding, has a study that
#: is not linked, is done and reported with the order after it.  With the
#: numbers of doctors, exams and machines they have no divisor in common: each
#: doctor has orders of each kind.
_CANCELED, _CRITICAL, _LOOSE, _TOGETHER = 47, 97, 101, 89
_TYPES = ['ctscan', 'mri', 'ultrasound', 'cr', 'mg']


def repeat(model, id_, times, only='true', **columns):
    """Insert copies of a row, inside the database; the ids of the first and
    the last one are id_ + 1 and id_ + times.

    :param str model: name of the model
    :param int id_: of the row
    :param int times: how many copies
    :param str only: SQL condition of n; there are no others
    :param columns: SQL expressions of what differs, of n (from 1) and of the
        alias c of the row
    """
    transaction = Transaction()
    table = Pool().get(model)._table
    cursor = transaction.connection.cursor()
    # What is repeated needs no look at its foreign keys.
    cursor.execute('SET LOCAL session_replication_role = replica')
    cursor.execute(sql.SQL('SELECT * FROM {} LIMIT 0').format(
            sql.Identifier(table)))
    names = [column.name for column in cursor.description]
    columns = {'id': f'{id_} + n', **columns}
    assert columns.keys() <= set(names), columns.keys() - set(names)
    cursor.execute(sql.SQL(
            'INSERT INTO {table} ({names}) SELECT {values} FROM {table} AS c, '
            'generate_series(1, {times}) AS n WHERE c.id = {id} AND {only}'
            ).format(
            table=sql.Identifier(table), only=sql.SQL(only),
            times=sql.Literal(times), id=sql.Literal(id_),
            names=sql.SQL(', ').join(map(sql.Identifier, names)),
            values=sql.SQL(', ').join(
                sql.SQL(columns[name]) if name in columns
                else sql.SQL('c.') + sql.Identifier(name)
                for name in names)))
    transaction.database.setnextid(
        transaction.connection, table, id_ + times)


def one_of(records):
    "Return the SQL expression of the id of one of some records, by n."
    ids = ', '.join(str(record.id) for record in records)
    return f'(ARRAY[{ids}])[1 + n % {len(records)}]'


class Large:
    """A hospital of ten years, whose newest request is that of n = 1.

    There are 6 drafts and 100 requested ones for each 10 000 requests, as
    many done ones have a preliminary report as there are drafts; some of the
    others are canceled, the rest has a final report, which was opened but for
    the latest 25th.  All exams that were to be done until today have a study;
    some studies are not linked, a fifth of these is to be reviewed.

    :param int patients: how many
    :param int requests: how many
    :ivar user: the user who sent and signed, of all roles
    :ivar people: users by what they are, the user last
    """

    def __init__(self, patients, requests):
        self.patients, self.requests = patients, requests
        self.drafts = max(3, requests * 6 // 10_000)
        self.open = self.drafts + max(10, requests // 100)
        self.date = (
            f"(c.date + interval '{_AHEAD} days' - interval '1 minute' "
            f"* (n * {_YEARS * 365 * 24 * 60 // requests}))")
        #: Of the first request whose exam is over.
        self.past = _AHEAD * requests // (_YEARS * 365) + 1
        self.unread = requests // 25
        self.final = f'n > {self.open + self.drafts}'
        # What has no report and no images of its own, n - 1 has them; nothing
        # in a former state that knows of no such exams.
        self.together = (
            f'(n > {self.open + self.drafts + 1} AND n % {_TOGETHER} = 4 '
            f'AND n % {_CANCELED} > 1 AND n % {_LOOSE} <> 2)'
            if _FURTHER in dict(Pool().iterobject()) else '(false)')
        self.done = f'n > {self.open} AND n % {_CANCELED} <> 0'
        self.reported = f'{self.done} AND NOT {self.together}'
        self.of = f'(n - ({self.together})::integer) % {patients}'
        self.server = new_server('http://large.invalid')
        self.user = make_user('large', 'health.group_health_doctor',
            'health_imaging.group_health_imaging_admin',
            'health_imaging.group_health_imaging_reporting',
            'health_orthanc.group_imaging_orthanc_admin')
        self.people = {
            'doctor': make_user('doctor', 'health.group_health_doctor'),
            'radiographer': make_user(
                'radiographer', 'health_imaging.group_health_imaging'),
            'radiologist': make_radiologist(),
            'head': make_user(
                'head', 'health_imaging.group_health_imaging_admin'),
            'user of all roles': self.user}
        self.exams = [make_exam(f"Exam {n}", type_=_TYPES[n % 5])
            for n in range(20)]
        self.doctors = [
            make_professional(user, f"Doctor{n}") for n, user in enumerate(
                [self.user, self.people['doctor'], *[None] * 98])]
        self._make_patients()
        self._make_machines()
        self._make_requests()
        self._make_results()
        self._make_studies()
        self._make_images()
        self._make_steps()
        self._make_logs()
        self._make_together()
        self._make_notes()
        Transaction().commit()
        analyze()

    def _make_patients(self):
        pool, number = Pool(), self.patients
        self.patient = make_patient("Given0", "Family0", 'f', ref='PUID0',
            dob=dt.date(1925, 1, 1))
        party = self.patient.party.id
        repeat('party.party', party, number,
            ref="'PUID' || n", name="'Given' || n % 2000",
            lastname="'Family' || n / 7",
            dob="date '1925-01-01' + n % 36500",
            code="'L' || n", federation_account="'F' || n")
        repeat('gnuhealth.patient', self.patient.id, number,
            party=f'{party} + n')
        Other = pool.get('gnuhealth.person_alternative_identification')
        other, = Other.create([{
                    'party': party, 'code': 'ALT0',
                    'alternative_id_type': 'other'}])
        repeat(Other.__name__, other.id, number, 'n % 3 = 0',
            party=f'{party} + n', code="'ALT' || n")

    def _make_requests(self):
        self.request = make_request(
            self.patient, self.exams[0], self.doctors[0])
        state = (
            f"CASE WHEN n <= {self.drafts} THEN 'draft' "
            f"WHEN n <= {self.open} THEN 'requested' "
            f"WHEN n % {_CANCELED} = 0 THEN 'canceled' ELSE 'done' END")
        sent = f"CASE WHEN n > {self.drafts} THEN {{}} END"
        repeat(REQUEST, self.request.id, self.requests,
            patient=f'{self.patient.id} + {self.of}',
            request="'R' || n", request_line="'R' || n || '-01-01'",
            accession_number="'R' || n", merge_id="'2.25.' || n",
            step_id="'S' || n", urgent='n % 40 = 0', state=state,
            requested_test=one_of(self.exams), doctor=one_of(self.doctors),
            machine=one_of(self.machines), date=self.date,
            requested_by=sent.format(self.user.id),
            requested_at=sent.format(f"{self.date} - interval '3 days'"),
            done_at=f"CASE WHEN {self.done} "
            f"THEN {self.date} + interval '2 hours' END",
            worklist_status=f"CASE WHEN n <= {self.open} THEN 'todo' "
            f"WHEN n % {_CANCELED} = 0 THEN 'canceled' ELSE 'done' END")

    def _make_results(self):
        Result = Pool().get('gnuhealth.imaging.test.result')
        first = make_request(self.patient, self.exams[0], self.doctors[0])
        type(first).requested([first])
        self.result, = type(first).make_results([first])
        make_finding(self.result, self.doctors[0])
        settle()
        final = self.final
        signed = f'CASE WHEN {final} THEN {{}} END'
        at = signed.format(f"{self.date} + interval '1 day'")
        repeat(Result.__name__, self.result.id, self.requests, self.reported,
            patient=f'{self.patient.id} + {self.of}',
            request=f'{self.request.id} + n', number="'T' || n",
            order="'R' || n", date=self.date, request_date=self.date,
            requested_test=one_of(self.exams), doctor=one_of(self.doctors),
            comment="'No fracture.'",
            state=f"CASE WHEN {final} THEN 'final' ELSE 'draft' END",
            signed_at=at, signed_by=signed.format(self.doctors[0].id),
            opened_at=f"CASE WHEN {final} AND n > {self.unread} THEN {at} END")
        Finding = Pool().get('gnuhealth.imaging.critical_finding')
        finding, = Finding.search([])
        repeat(Finding.__name__, finding.id, self.requests,
            f'n % {_CRITICAL} = 1 AND {final} AND {self.reported}',
            result=f'{self.result.id} + n',
            at="c.at - interval '10 minutes' * n",
            state="CASE WHEN n > 20000 THEN 'acknowledged' ELSE 'open' END",
            acknowledged_at="CASE WHEN n > 20000 THEN c.at END")

    def _make_studies(self):
        tree = storage.Tree(self.server, now())
        tree.store([make_rows(0, [1])])
        (id_,) = tree.touched
        self.study = Pool().get('gnuhealth.imaging_orthanc.study')(id_)
        whose = self.study.orthanc_patient.id
        repeat('gnuhealth.orthanc.patient', whose, self.patients,
            uuid="'p' || n", ident="'PUID' || n",
            name="'Family' || n / 7 || '^Given' || n % 2000",
            bd="date '1925-01-01' + n % 36500")
        linked = f'CASE WHEN n % {_LOOSE} <> 1 THEN {{}} END'
        self.stored = (
            f'n >= {self.past} AND NOT {self.together} '
            f'AND n % {_CANCELED} <> 0')
        repeat(self.study.__name__, id_, self.requests, self.stored,
            orthanc_patient=f'{whose} + 1 + (n - 1) % {self.patients}',
            orthanc_UID="'s' || n", study_instance_UID="'2.25.' || n",
            merge_id="'2.25.' || n", accession_number="'R' || n",
            patient=linked.format(f'{self.patient.id} + {self.of}'),
            request=linked.format(f'{self.request.id} + n'),
            imaging_test=linked.format(
                f'CASE WHEN {self.reported} THEN {self.result.id} + n END'),
            patient_id=f"'PUID' || {self.of}",
            patient_name=f"'Family' || {self.of} / 7 || '^Given' || "
            f"{self.of} % 2000",
            patient_birth_date=f"date '1925-01-01' + {self.of} % 36500",
            link_rule=linked.format("'merge_id'"),
            link_state=f"CASE WHEN n % {_LOOSE} <> 1 THEN 'linked' "
            f"WHEN n % {5 * _LOOSE} = 1 THEN 'review' ELSE 'unlinked' END",
            study_date=self.date.replace(
                'c.date', str(sql.Literal(self.request.date).as_string(
                    Transaction().connection))) + '::date')

    def _make_images(self):
        series, = self.study.series
        instance, = series.instances
        repeat(series.__name__, series.id, self.requests, self.stored,
            study=f'{self.study.id} + n', orthanc_UID="'r' || n",
            series_UID="'2.999.2.' || n")
        repeat(instance.__name__, instance.id, self.requests * IMAGES,
            f'(n - 1) / {IMAGES} + 1 >= {self.past}',
            series=f'{series.id} + 1 + (n - 1) / {IMAGES}',
            orthanc_UID="'i' || n", sop_instance_UID="'2.999.3.' || n")

    def _make_machines(self):
        Machine = Pool().get('gnuhealth.imaging_worklist.machine')
        self.machines = Machine.create([{
                    'name': f"Machine {n}", 'aetitle': f'MACHINE{n}',
                    'exams': [('add', [e.id for e in self.exams[n::10]])]}
                for n in range(10)])

    def _make_steps(self):
        pool = Pool()
        Step = pool.get('gnuhealth.imaging_worklist.performed_step')
        Link = pool.get('gnuhealth.imaging_worklist.performed_step-request')
        at = self.request.date
        tables.insert(Step, [{
                    'uid': '2.999.4', 'node': 'node', 'number': 0,
                    'machine': self.machines[0].id, 'aetitle': 'MACHINE0',
                    'state': 'completed', 'received': at, 'start': at,
                    'end': at, 'images': IMAGES}])
        step, = Step.search([])
        tables.insert(Link, [
                {'step': step.id, 'request': self.request.id}])
        link, = Link.search([])
        begin = self.date.replace('c.date', 'c.start')
        repeat(Step.__name__, step.id, self.requests, self.stored,
            uid="'2.999.4.' || n", number='n', start=begin, received=begin,
            machine=one_of(self.machines),
            end=f"{begin} + interval '20 minutes'",
            problem="CASE WHEN n % 5000 = 0 THEN 'unscheduled' END")
        repeat(Link.__name__, link.id, self.requests,
            f'{self.stored} AND n % 5000 <> 0', step=f'{step.id} + n',
            request=f'{self.request.id} + n')

    def _make_logs(self):
        pool = Pool()
        Access = pool.get('gnuhealth.orthanc.access_log')
        Log = pool.get('gnuhealth.orthanc.link_log')
        Run = pool.get('gnuhealth.orthanc.sync_run')
        at = dt.datetime.now().replace(microsecond=0)
        tables.insert(Access, [{
                    'at': at, 'user': self.user.id, 'action': 'view',
                    'study': self.study.id, 'patient': self.patient.id}])
        tables.insert(Log, [{
                    'at': at, 'study': self.study.id, 'action': 'link',
                    'rule': 'merge_id', 'cause': 'sync',
                    'patient': self.patient.id}])
        tables.insert(Run, [{
                    'server': self.server, 'full': False, 'start': at,
                    'end': at, 'state': 'done', 'started_by': 'cron',
                    'done': 1, 'total': 1}])
        moved = {name: self.date.replace('date', name)
            for name in ['at', 'start', 'end']}
        access, = Access.search([])
        repeat(Access.__name__, access.id, self.requests, self.stored,
            at=moved['at'], study=f'{self.study.id} + n',
            patient=f'{self.patient.id} + {self.of}')
        log, = Log.search([])
        repeat(Log.__name__, log.id, self.requests,
            f'{self.stored} AND n % {_LOOSE} <> 1', at=moved['at'],
            study=f'{self.study.id} + n',
            patient=f'{self.patient.id} + {self.of}',
            request=f'{self.request.id} + n')
        run, = Run.search([])
        # Runs are kept for a year.
        repeat(Run.__name__, run.id, self.requests // 50,
            start="c.start - interval '50 minutes' * n",
            end="c.end - interval '50 minutes' * n")

    def _make_together(self):
        if self.together == '(false)':
            return
        Further = Pool().get(_FURTHER)
        tables.insert(Further, [
                {'study': self.study.id, 'request': self.request.id}])
        further, = Further.search([])
        repeat(Further.__name__, further.id, self.requests, self.together,
            study=f'{self.study.id} + n - 1', request=f'{self.request.id} + n')
        for record, before, column, value in [
                (self.request, 0, 'reported_in', f'{self.result.id} + n - 1'),
                (self.study, 1, 'requested_ids',
                    "'R' || n - 1 || chr(92) || 'R' || n")]:
            Transaction().connection.cursor().execute(
                f'UPDATE "{type(record)._table}" SET {column} = {value} '
                f'FROM generate_series(1, {self.requests}) AS n '
                f'WHERE id = {record.id} + n - {before} AND {self.together}')

    def _make_notes(self):
        at, request = self.request.date, self.request.id
        result, study = self.result.id, self.study.id
        of_request = {'request': f'{request} + n'}
        of_result = {'result': f'{result} + n'}

        def note(model, only, columns, **values):
            Model = Pool().get(model)
            tables.insert(Model, [values])
            record, = Model.search([])
            repeat(model, record.id, self.requests, only, **columns)
        note('gnuhealth.imaging.safety.finding', 'n % 5 = 1', of_request,
            request=request, kind='warning', rule='allergy', found_at=at,
            finding='allergy', user=self.user.id, reason="It is safe.")
        note('gnuhealth.imaging.test.request.reschedule.log', 'n % 20 = 1',
            of_request, request=request, at=at, to_date=at,
            reason="The patient is late.")
        note('gnuhealth.imaging.test.result.sign_check',
            f'n % 10 = 1 AND {self.reported}', of_result,
            result=result, at=at, code='side', detail="left")
        note('gnuhealth.orthanc.report',
            f'{self.reported} AND {self.final} AND {self.stored} '
            f'AND n % {_LOOSE} <> 1', {**of_result, 'study': f'{study} + n'},
            result=result, study=study, revision=0, state='stored',
            attempts=1)
        note('ir.attachment', f'n % 5 = 2 AND {self.reported}', {
                'resource': "'gnuhealth.imaging.test.result,' || "
                f'{result} + n'},
            resource=str(self.result), name="Key image", type='link')


def analyze():
    "Tell the database what its tables hold."
    database = Transaction().database
    connection = database.get_connection(autocommit=True)
    try:
        connection.cursor().execute('VACUUM ANALYZE')
    finally:
        database.put_connection(connection)
