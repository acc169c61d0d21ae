# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a hospital with the work of two months, as busy_plan.py has it: each
step is done by whose job it is, over the API, and the images are in Orthanc.
"""
import datetime as dt
import hashlib
import json
import time
import zoneinfo
from collections import Counter, defaultdict
from contextlib import closing

import busy_plan as plan
import seed
from busy_images import study_files, upload
from proteus import Model, Wizard
from pydicom.uid import generate_uid
from story import Story, StoryError

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'
ZONE = zoneinfo.ZoneInfo(seed.TIMEZONE)
# Those who report: the second has every third exam.
_REPORTERS = [seed.RADIOLOGIST, seed.RADIOLOGIST, plan.COLLEAGUE]


def moment(day, hour, minute):
    """Return a local time of a day, counted from today, in UTC and naive."""
    date = dt.datetime.now(ZONE).date() + dt.timedelta(day)
    local = dt.datetime.combine(date, dt.time(hour, minute), ZONE)
    return local.astimezone(dt.timezone.utc).replace(tzinfo=None)


def _exam_time(case, now):
    """Return when an exam is to be done; of images that came it is past."""
    when = moment(case.day, case.hour, case.minute)
    if case.fate in plan.EXAMINED and when > now:
        when = now - dt.timedelta(minutes=30 + case.order % 5 * 25)
    return when


class Busy(Story):
    """The story of two months; see Story.

    :param connect: function that returns a DB-API connection to the database
    """

    def __init__(self, *args, connect, **options):
        super().__init__(*args, **options)
        self._connect = connect
        self._cases = plan.cases()
        self._extras = plan.extras()
        now = dt.datetime.now().replace(second=0, microsecond=0)
        self._times = {c: _exam_time(c, now) for c in self._cases}
        # Ids of requests and of results by case.
        self._ids = {}
        self._results = {}
        self._asked = 0

    def _steps(self):
        return [
            self._people, self._orders, self._planning, self._images,
            self._decisions, self._reports, self._walk_ins, self._past,
            self._state]

    def _do(self, login, model, method, ids, *args):
        """Call a method of records at once, as the buttons of a list do."""
        proxy = Model.get(model, self.users[login])._proxy
        return getattr(proxy, method)(
            ids, *args, self.users[login].context) if ids else None

    def _run(self, login, name, model, ids, state, **values):
        """Run a wizard with one window on records."""
        Record = Model.get(model, self.users[login])
        wizard = Wizard(
            name, [Record(i) for i in ids], config=self.users[login])
        for field, value in values.items():
            setattr(wizard.form, field, value)
        wizard.execute(state)

    def _of(self, *fates, login=None):
        """Return the ids of the requests of some fates."""
        return [
            self._ids[c] for c in self._cases if c.fate in fates
            and login in {None, self._reporter(c)}]

    def _reporter(self, case):
        return _REPORTERS[case.order % len(_REPORTERS)].login

    # The steps

    def _people(self):
        """More people, patients and exams, and what opens after login"""
        admin = self.users['admin']
        company, = Model.get('company.company', admin).find([])
        institution, = Model.get('gnuhealth.institution', admin).find([])
        for login in plan.LOGINS:
            user = seed.make_user(admin, login, company, self.password)
            seed.make_professional(admin, login.person, institution, user)
        seed.open_at_login(admin)
        self._let_in(*(user.login for user in plan.LOGINS))
        seed.make_exams(admin, plan.NEW_EXAMS)
        for person in plan.PATIENTS:
            # GNU Health takes one at a time: it gives two the same code.
            party, = self._do('admin', 'party.party', 'create', [
                    seed.party_values(
                        person, is_patient=True, fed_country='XXX')])
            self._do('admin', 'gnuhealth.patient', 'create', [{
                        'party': party,
                        'critical_info': plan.CRITICAL.get(person),
                        'crit_allergic': person in plan.ALLERGIC,
                        }])
        if not self._find('admin', 'gnuhealth.orthanc.config'):
            self._pacs()
        self._patients = {
            p.party.ref: p.id for p in self._find('admin', 'gnuhealth.patient')
            }
        self._exams = {
            e.code: e.id for e in self._find('admin', 'gnuhealth.imaging.test')
            }
        self._doctors = {
            p.party.internal_user.login: p.id for p in self._find(
                'admin', 'gnuhealth.healthprofessional',
                ('party.internal_user', '!=', None))}
        self.check("patients", len(self._patients) >= len(plan.PATIENTS),
            len(self._patients))
        self.check("exams", len(self._exams) >= 20, len(self._exams))

    def _orders(self):
        """The doctors order exams and send most of them"""
        orders = defaultdict(list)
        for case in self._cases:
            orders[case.order].append(case)
        for cases in orders.values():
            self._order_cases(cases)
        self.check("requests", len(set(self._ids.values())) >= 200,
            len(self._ids))
        self.check("orders that were asked about", self._asked, self._asked)

    def _order_cases(self, cases):
        first = cases[0]
        made = self._answer(first.doctor,
            'gnuhealth.patient.imaging.test.request',
            'request' if first.fate == 'draft' else 'order_and_request', {
                'patient': self._patients[first.patient.puid],
                'date': self._times[first],
                'urgent': first.urgent,
                'doctor': self._doctors[first.doctor],
                'clinical_question': ' '.join(dict.fromkeys(
                        case.exam.question for case in cases)),
                'tests': [self._exams[case.exam.code] for case in cases],
                })
        self._ids.update(zip(cases, sorted(made)))

    def _answer(self, login, name, state, values):
        """Run a wizard with one window and return what it opens, in fewer
        calls than proteus needs: there are many orders."""
        config = self.users[login]
        proxy = config.get_proxy(name, 'wizard')
        session, _, _ = proxy.create(config.context)
        answer = proxy.execute(
            session, {'start': values}, state, config.context)
        if 'view' in answer:
            # It may harm the patient.
            self._asked += 1
            answer = proxy.execute(
                session, {'safety': {'reason': plan.REASON}}, 'order_anyway',
                config.context)
        (action, _), = answer['actions']
        proxy.delete(session, config.context)
        (_, _, ids), = json.loads(action['pyson_domain'])
        return ids

    def _planning(self):
        """The front desk reschedules, patients do not come, others do"""
        for number, id_ in enumerate(self._of('future')[::5]):
            self._agree(plan.FRONT_DESK.login, id_)
            self._run(plan.FRONT_DESK.login, f'{REQUEST}.reschedule', REQUEST,
                [id_], 'reschedule', date=moment(number + 2, 9, 30),
                reason="The patient asked for another day.")
        canceled = self._of('canceled')
        login = seed.RADIOGRAPHER.login
        for number, (name, details) in enumerate(plan.REASONS):
            reason = seed.xml_record(
                self.users['admin'],
                f'health_imaging.imaging_cancel_reason_{name}')
            Reason = Model.get(
                'gnuhealth.imaging.cancel.reason', self.users[login])
            self._run(login, f'{REQUEST}.cancel', REQUEST,
                canceled[number::len(plan.REASONS)], 'cancel',
                choice=Reason(reason.id), reason=details)
        self._do(login, REQUEST, 'arrive',
            self._of('today')[::3] + self._of(*plan.EXAMINED))

    def _agree(self, login, id_):
        """Answer before what is asked when a request may harm the patient at
        another time."""
        key = hashlib.md5(f'{REQUEST},{id_}'.encode()).hexdigest()
        config = self.users[login]
        Model.get('res.user.warning', config)._proxy.skip(
            f'{key}.imaging_safety', False, config.context)

    def _images(self):
        """The images come, and GNU Health finds them"""
        requests = {
            r['id']: r for r in self._do(
                'admin', REQUEST, 'read', list(self._ids.values()),
                ['merge_id', 'request'])}
        files = [
            file for case in self._cases if case.fate in plan.EXAMINED
            for file in self._files_of(
                case, requests[self._ids[case]])]
        upload(self.orthanc, files)
        upload(self.orthanc, [
                file for number, extra in enumerate(self._extras)
                for file in self._files_of_extra(number, extra)])
        before = max((r.id for r in self._find(
                    'admin', 'gnuhealth.orthanc.sync_run')), default=0)
        self._one('admin', 'gnuhealth.orthanc.config').click('do_sync')
        end = time.monotonic() + 120
        while time.monotonic() < end:
            for run in self._find('admin', 'gnuhealth.orthanc.sync_run',
                    ('id', '>', before), ('state', '!=', 'running')):
                return self.check("studies", run.state == 'done',
                    f"{run.studies_new} new, {run.studies_linked} linked, "
                    f"{run.instances_new} images")
            time.sleep(0.5)
        raise StoryError("The synchronization does not end.")

    def _files_of(self, case, request):
        return study_files({
                **self._identity(
                    case.patient, case.exam, self._times[case]),
                'StudyInstanceUID': request['merge_id'],
                'AccessionNumber': request['request'],
                }, *self._series(case.order, case.exam))

    def _files_of_extra(self, number, extra):
        values = {
            **self._identity(
                extra.patient, extra.exam, moment(extra.day, 11, number)),
            'StudyInstanceUID': generate_uid(),
            'InstitutionName': "Annapurna Clinic",
            }
        if extra.kind in {'birth', 'rejected'}:
            values['PatientBirthDate'] = '19610203'
        elif extra.kind == 'no_id':
            values['PatientID'] = ''
        elif extra.kind == 'stranger':
            values['PatientID'] = f'ANN{number:05}'
        return study_files(values, *self._series(number, extra.exam))

    def _identity(self, person, exam, when):
        """Return what the images of an exam of a person say."""
        local = when.replace(tzinfo=dt.timezone.utc).astimezone(ZONE)
        return {
            'PatientName': f'{person.family}^{person.given}',
            'PatientID': person.puid,
            'PatientBirthDate': f'{person.birth:%Y%m%d}',
            'PatientSex': person.gender.upper(),
            'StudyDate': f'{local:%Y%m%d}', 'StudyTime': f'{local:%H%M%S}',
            'SeriesDate': f'{local:%Y%m%d}', 'SeriesTime': f'{local:%H%M%S}',
            'Modality': exam.modality, 'StudyDescription': exam.name,
            }

    def _series(self, number, exam):
        """Return the descriptions of series, and how many images they have."""
        if exam.modality in {'CT', 'MR'}:
            return ["Localizer", exam.name][number % 2:], 3
        return [exam.name], 1 + number % 2

    def _decisions(self):
        """A person decides on some of the doubtful studies"""
        found = {}
        for kind in ['birth', 'rejected']:
            for extra in self._extras:
                if extra.kind == kind:
                    study, = self._find(
                        seed.RADIOGRAPHER.login, STUDY,
                        ('patient_id', '=', extra.patient.puid),
                        ('patient_birth_date_text', '=', None),
                        ('patient_birth_date', '=', dt.date(1961, 2, 3)))
                    found.setdefault(kind, []).append(study.id)
        self._do(seed.RADIOGRAPHER.login, STUDY, 'reject', found['rejected'])
        left = self._find('admin', STUDY, ('link_state', '=', 'review'))
        self.check("studies to review", len(left) == len(found['birth']),
            len(left))

    def _reports(self):
        """The radiologists report, sign, amend and release"""
        for login in sorted({user.login for user in _REPORTERS}):
            self._report_as(login)

    def _report_as(self, login):
        fates = ['claimed', 'preliminary', 'released', 'final', 'amended']
        self._do(login, REQUEST, 'report', self._of(*fates, login=login))
        mine = {id_: case for case, id_ in self._ids.items()}
        by_fate = defaultdict(list)
        texts = []
        for result in self._find(login, RESULT,
                ('request', 'in', self._of(*fates, login=login))):
            case = mine[result.request.id]
            self._results[case] = result.id
            by_fate[case.fate].append(result.id)
            if case.fate != 'claimed':
                texts += [[result.id], self._text(result.id)]
        self._do(login, RESULT, 'write', *texts)
        self._sign(login, by_fate['final'] + by_fate['amended'], 0)
        if by_fate['amended']:
            self._run(login, f'{RESULT}.amend', RESULT, by_fate['amended'],
                'amend', reason="The comparison with the last exam was added.")
            self._sign(login, by_fate['amended'], 1)
        if by_fate['released']:
            self._run(login, f'{RESULT}.release', RESULT, by_fate['released'],
                'release', reason="A colleague knows more of this.")

    def _text(self, number):
        return plan.TEXTS[number % len(plan.TEXTS)]

    def _sign(self, login, ids, revision):
        """Sign results at once; the question is answered before, also that
        of the checks: texts name no side, images came this minute."""
        key = '|'.join(f'{id_}-{revision}' for id_ in ids)
        config = self.users[login]
        Warning = Model.get('res.user.warning', config)
        for question in ['imaging_sign', 'imaging_sign_checks']:
            Warning._proxy.skip(f'{key}.{question}', False, config.context)
        self._do(login, RESULT, 'finalize', ids)

    def _walk_ins(self):
        """Some came without a request"""
        login = seed.RADIOLOGIST.login
        config = self.users[login]
        walked = [e for e in self._extras if e.kind == 'walk_in']
        ids = []
        for extra in walked:
            study, = self._find(login, STUDY,
                ('patient', '=', self._patients[extra.patient.puid]),
                ('description', '=', extra.exam.name), ('request', '=', None))
            result = Model.get(RESULT, config)(
                patient=study.patient, date=moment(extra.day, 11, 0),
                **self._text(study.id))
            result.requested_test = Model.get(
                'gnuhealth.imaging.test', config)(
                    self._exams[extra.exam.code])
            result.save()
            study.imaging_test = result
            study.save()
            ids.append(result.id)
        self._sign(login, ids[1:], 0)
        self.check("results without a request", len(ids) == len(walked),
            len(ids))

    def _past(self):
        """What happened then is given its time"""
        # The program stamps all that people do with the present. Waiting and
        # turnaround of two months can be made in the database only.
        with closing(self._connect()) as connection:
            cursor = connection.cursor()
            for statement in self._statements():
                cursor.execute(statement)
            connection.commit()

    def _statements(self):
        request, result = REQUEST.replace('.', '_'), RESULT.replace('.', '_')
        study, series = [STUDY.replace('.', '_') + s for s in ['', '_series']]
        now = dt.datetime.now().replace(microsecond=0)
        for case, id_ in self._ids.items():
            date = self._times[case]
            sent = min(date, now) - dt.timedelta(
                hours=2 if case.urgent else 20 + case.order % 60)
            done = min(date + dt.timedelta(
                    hours=1 + case.order % (3 if case.urgent else 40)), now)
            came = date - dt.timedelta(minutes=case.order % 50)
            seen = min(date + dt.timedelta(minutes=25), now)
            yield (f"UPDATE {request} SET create_date = '{sent}' "
                f"WHERE id = {id_}")
            for column, time_ in [
                    ('requested_at', sent), ('done_at', done),
                    ('canceled_at', done), ('claimed_at', done),
                    ('arrived_at', min(came, now))]:
                yield (f"UPDATE {request} SET {column} = '{time_}' "
                    f"WHERE id = {id_} AND {column} IS NOT NULL")
            yield (f"UPDATE {result} SET signed_at = '{done}', opened_at = "
                + (f"'{done}'" if case.day < -3 else 'NULL')
                + f" WHERE request = {id_} AND state = 'final'")
            for table, where in [
                    (study, f'request = {id_}'),
                    (series, f'study IN (SELECT id FROM {study} '
                        f'WHERE request = {id_})')]:
                yield (f"UPDATE {table} SET create_date = '{seen}' "
                    f"WHERE {where}")

    def _state(self):
        """What is there now"""
        found = Counter(
            r['state'] for r in self._do(
                'admin', REQUEST, 'read', list(self._ids.values()),
                ['state']))
        self.check("the states of the requests", found == Counter(
                plan.STATES.get(case.fate, 'requested')
                for case in self._cases), dict(found))
        rules = Counter(
            r['link_rule'] for r in Model.get(
                STUDY, self.users['admin'])._proxy.search_read(
                    [('request', 'in', list(self._ids.values()))], 0, None,
                    None, ['link_rule'], self.users['admin'].context))
        self.check("studies are linked to their requests",
            rules == {'merge_id': sum(
                    case.fate in plan.EXAMINED for case in self._cases)},
            dict(rules))
