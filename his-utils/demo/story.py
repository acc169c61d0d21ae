# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow from end to end: order, modality worklist, images, PACS, linked
study, result, report. Each step prints what it saw, and each claim is checked.
"""
import datetime as dt
import re
import subprocess
import sys
import time
import traceback
import urllib.parse
import zoneinfo
from contextlib import ExitStack
from pathlib import Path
from xmlrpc.client import Fault

import pydicom
import seed
from modality import Modality
from proteus import Model, Report, Wizard
from proteus.config import set_xmlrpc_session
from scanner import NodeMixin
from services import HOST

SCRIPT = (Path(__file__).parents[1]
    / 'scripts' / 'imaging' / 'update_worklists_database.py')
# What is ordered; the last exam is never done: its patient does not come.
ORDERS = {
    seed.LATIN: [seed.CT_HEAD, seed.CHEST],
    seed.CHINESE: [seed.CT_HEAD, seed.ULTRASOUND],
    seed.CYRILLIC: [seed.ULTRASOUND, seed.CHEST],
    seed.ALLERGIC: [seed.CT_CONTRAST],
    }
# Who may be harmed, what is said before the order goes on, and why it does.
STOPPED = (seed.ALLERGIC, seed.CT_CONTRAST)
ASKED = {
    seed.CHINESE: ("Question: ", "She is not pregnant."),
    seed.ALLERGIC: ("Stop: ", "Sepsis. Prednisolone is given before."),
    }
MISSED = (seed.CYRILLIC, seed.CHEST)
REPORTED = (seed.LATIN, seed.CT_HEAD)
DONE = [
    (person, exam) for person, exams in ORDERS.items() for exam in exams
    if (person, exam) != MISSED]
IMAGES_PER_STUDY = 2
SYNCHRONIZATION_SECONDS = 60
REPORT = {
    'technique': "Without contrast agent.",
    'comment': "Crescent of blood on the left, 12 mm. No fracture.",
    'impression': "Acute subdural haematoma on the left."}
CRITICAL = "Subdural haematoma, midline shift."


class StoryError(Exception):
    """The story cannot continue."""


def sign(result):
    """Sign a result; the question that comes first is answered before.

    :param result: proteus record
    """
    config = result._config
    Model.get('res.user.warning', config)._proxy.skip(
        f'{result.id}-{result.revision or 0}.imaging_sign', False,
        config.context)
    result.click('finalize')


class Story(NodeMixin):
    """The steps, and how many of their claims were right.

    :param server: a running services.Trytond on a seeded database
    :param orthanc: a running services.Orthanc
    :param folder: for what is written on the way
    :param say: where the lines go
    :param bool viewer: whether the Orthanc serves OHIF
    :param password: of the users
    :param servers: an ExitStack for what is started on the way; without one
        it ends with the story
    """

    def __init__(self, server, orthanc, folder, say=print, viewer=False,
            password=seed.PASSWORD, servers=None):
        self.server = server
        self.orthanc = orthanc
        self.node = None
        self.servers = servers
        self.folder = Path(folder)
        self.say = say
        self.viewer = viewer
        self.password = password
        self.right = 0
        self.wrong = []
        self.users = {}
        self.entries = {}
        # Early enough in the local day to be another day in UTC.
        self.local_date = dt.datetime.now(
            zoneinfo.ZoneInfo(seed.TIMEZONE)).replace(
            hour=1, minute=30, second=0, microsecond=0)
        self.modalities = {
            exam: Modality(
                exam.aetitle, HOST, orthanc.dicom_port, orthanc.aet,
                self.folder / exam.aetitle)
            for exam in seed.EXAMS}

    def _steps(self):
        return [
            self._hospital, self._pacs, self._machines, self._order,
            self._worklist, self._acquisition, self._synchronization,
            self._images, self._result, self._critical, self._report,
            self._end]

    def run(self):
        """Run all steps, and return whether all claims were right."""
        with ExitStack() as sessions:
            self.servers = self.servers or sessions
            for number, step in enumerate(self._steps(), 1):
                self.say(f"\n{number}. {step.__doc__}")
                try:
                    if not self.users:
                        self._log_in(sessions)
                    step()
                except Exception as error:
                    self._stop(number, error)
                    break
        return not self.wrong

    def check(self, claim, right, saw=''):
        """Print a claim with what was seen, and count it.

        :param bool right: whether the claim is true
        """
        detail = f": {saw}" if saw != '' else ''
        if right:
            self.right += 1
        else:
            self.wrong.append(claim)
        self.say(f"   {'ok   ' if right else 'WRONG'}  {claim}{detail}")

    def _stop(self, number, error):
        trace = self.folder / 'traceback.txt'
        trace.write_text(traceback.format_exc(), encoding='utf-8')
        self.wrong.append(f"step {number}")
        message = ' '.join(str(error).split()) or type(error).__name__
        self.say(f"   WRONG  step {number} ended early: {message}")
        self.say(f"          ({trace} has the details)")

    def summarize(self):
        """Say how it went."""
        self.say("\nSummary")
        self.say(f"   {self.right} claims right, {len(self.wrong)} wrong")
        for claim in self.wrong:
            self.say(f"   WRONG  {claim}")

    def _log_in(self, sessions):
        self._sessions = sessions
        self._let_in('admin', *(user.login for user in seed.LOGINS))

    def _let_in(self, *logins):
        for login in logins:
            self.users[login] = self._sessions.enter_context(
                set_xmlrpc_session(
                    f'{self.server.url}/{self.server.database}/', login,
                    self.password))

    # What the steps look up

    def _find(self, login, model, *domain, order=None):
        return Model.get(model, self.users[login]).find(
            list(domain), order=order)

    def _one(self, *arguments):
        found, = self._find(*arguments)
        return found

    def _patient(self, login, person):
        return self._one(
            login, 'gnuhealth.patient', ('party.ref', '=', person.puid))

    def _exam(self, login, exam):
        return self._one(
            login, 'gnuhealth.imaging.test', ('code', '=', exam.code))

    def _requests(self, login, person):
        return self._find(
            login, 'gnuhealth.imaging.test.request',
            ('patient.party.ref', '=', person.puid),
            order=[('request_line', 'ASC')])

    def _request(self, login, person, exam):
        request, = [
            r for r in self._requests(login, person)
            if r.requested_test.code == exam.code]
        return request

    def _study(self, login, person, exam):
        uid = self._request(login, person, exam).merge_id
        return self._one(login, 'gnuhealth.imaging_orthanc.study',
            ('study_instance_UID', '=', uid))

    def _written(self):
        request = self._request('radiologist', *REPORTED)
        return self._one('radiologist', 'gnuhealth.imaging.test.result',
            ('request', '=', request.id))

    # The steps

    def _hospital(self):
        """A hospital with patients, exams and their modalities"""
        institution = self._one('admin', 'gnuhealth.institution')
        company = self._one('admin', 'company.company')
        self.check(
            "institution with a timezone",
            institution.party == company.party
            and company.timezone == seed.TIMEZONE,
            f"{institution.rec_name}, {company.timezone}")
        names = [p.rec_name for p in self._find(
                'admin', 'gnuhealth.healthprofessional')]
        self.check(
            "health professionals", len(names) == len(seed.LOGINS),
            '; '.join(names))
        for person in seed.PATIENTS:
            patient = self._patient('admin', person)
            self.check("patient", patient,
                f"{patient.rec_name}, {person.puid}")
        for exam in seed.EXAMS:
            test = self._exam('admin', exam)
            template = test.imaging_worklist_template
            self.check(
                f"exam {exam.name}",
                test.test_type.code == exam.modality
                and test.aetitle == exam.aetitle
                and template.template_type == exam.template_type,
                f"modality {test.test_type.code}, AE title {test.aetitle}, "
                f'template "{template.name}" ({template.template_type})')
        admin = self.users['admin']
        seed.open_at_login(admin)
        for login in seed.FIRST_SCREENS:
            first = seed.xml_record(admin, seed.FIRST_SCREENS[login]).action
            User = Model.get('res.user', self.users[login])
            self.check(
                f"the {login} begins with",
                User.get_preferences(False, {})['actions'] == [first.id],
                first.rec_name)

    def _pacs(self):
        """The PACS is made known to GNU Health"""
        wizard = Wizard(
            'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect',
            config=self.users['admin'])
        wizard.form.label = "Demonstration PACS"
        wizard.form.domain = self.orthanc.url
        wizard.form.user = self.orthanc.user
        wizard.form.password = self.orthanc.password
        wizard.execute('connect')
        version = getattr(wizard.form, 'version', None)
        self.check("it answers", version,
            f"Orthanc {version} at {self.orthanc.url}"
            if version else wizard.form.reason)
        wizard.execute('end')

    def _order(self):
        """The doctor orders exams, and says why when they may do harm"""
        for person, exams in ORDERS.items():
            self._order_exams(person, exams)
            requests = self._requests('doctor', person)
            self.check(
                f"{len(exams)} requests of {person.family}",
                [r.requested_test.code for r in requests]
                == [exam.code for exam in exams]
                and all(r.state == 'requested' for r in requests),
                ', '.join(r.request_line for r in requests))
            self.check(
                "one order number, a StudyInstanceUID for each request",
                len({r.request for r in requests}) == 1
                and len({r.merge_id for r in requests}) == len(exams),
                f"order {requests[0].request}")

    def _order_exams(self, person, exams):
        config = self.users['doctor']
        Test = Model.get('gnuhealth.imaging.test', config)
        wizard = Wizard(
            'gnuhealth.patient.imaging.test.request', config=config)
        wizard.form.patient = self._patient('doctor', person)
        wizard.form.date = self.local_date.astimezone(
            dt.timezone.utc).replace(tzinfo=None)
        wizard.form.clinical_question = _question(exams)
        for exam in exams:
            wizard.form.tests.append(Test(self._exam('doctor', exam).id))
        alerts = wizard.form.alerts or ''
        wizard.execute('order_and_request')
        if wizard.form_state == 'safety' or person in ASKED:
            self._go_on(wizard, person, alerts)

    def _go_on(self, wizard, person, alerts):
        """Order in spite of what may harm the patient."""
        expected, reason = ASKED.get(person, ("nothing", None))
        findings = ' '.join((getattr(wizard.form, 'findings', '')).split())
        self.check(f"the order of {person.family} is asked about",
            expected in findings, findings)
        if person is seed.ALLERGIC:
            self.check("its window had shown it, and wants a reason",
                seed.ALLERGY in alerts and self._is_refused(wizard),
                ' '.join(alerts.split()))
        wizard.form.reason = reason
        wizard.execute('order_anyway')
        kept = [
            finding for request in self._requests('doctor', person)
            for finding in request.safety_findings]
        self.check("it goes on, and the reason is kept",
            kept and all(f.reason == reason for f in kept), reason)

    def _is_refused(self, wizard):
        try:
            wizard.execute('order_anyway')
        except Fault:
            return True
        return False

    def _worklist(self):
        """The worklist script writes the entries, the modalities read them"""
        self.run_script()
        files = self._files()
        self.check(
            "a worklist file for each request",
            len(files) == sum(map(len, ORDERS.values())),
            f"{len(files)} files in {self.orthanc.worklists}")
        for exam in seed.EXAMS:
            persons = {
                person.puid: person for person, exams in ORDERS.items()
                if exam in exams}
            entries = self._entries_of(exam, len(persons))
            self.check(
                f"{exam.aetitle} gets its own entries only",
                sorted(e.PatientID for e in entries) == sorted(persons),
                f"{len(entries)}")
            for entry in entries:
                person = persons[entry.PatientID]
                self.entries[person, exam] = entry
                self._check_entry(person, exam, entry)

    def run_script(self):
        """Run the worklist script; StoryError when it fails."""
        password = self.folder / 'password'
        password.touch(mode=0o600)
        password.write_text(self.password)
        result = subprocess.run([
                sys.executable, str(SCRIPT), '-H', HOST,
                '-p', str(self.server.port), '-d', self.server.database,
                '-u', seed.RADIOLOGIST.login,
                '--password-file', str(password),
                '-w', str(self.orthanc.worklists)],
            capture_output=True, text=True, timeout=120)
        if result.returncode:
            raise StoryError(
                f"{SCRIPT.name} ended with {result.returncode}: "
                f"{result.stderr}")

    def _files(self):
        return [
            pydicom.dcmread(path)
            for path in self.orthanc.worklists.glob('*.wl')]

    def _check_entry(self, person, exam, entry):
        step, = entry.ScheduledProcedureStepSequence
        request = self._request('doctor', person, exam)
        self.check(
            "- name, sex, birth date and identifiers intact",
            _same_name(entry.PatientName, person)
            and entry.PatientSex == person.gender.upper()
            and entry.PatientBirthDate == f'{person.birth:%Y%m%d}'
            and entry.AccessionNumber == request.request
            and entry.RequestedProcedureID == request.request_line
            and entry.StudyInstanceUID == request.merge_id,
            f"{entry.PatientName}, {entry.PatientSex}, "
            f"{entry.PatientBirthDate}, {entry.RequestedProcedureID}")
        self.check(
            "- local date and time",
            step.ScheduledProcedureStepStartDate
            == f'{self.local_date:%Y%m%d}'
            and step.ScheduledProcedureStepStartTime[:4] == '0130'
            and step.Modality == exam.modality,
            f"{step.ScheduledProcedureStepStartDate} "
            f"{step.ScheduledProcedureStepStartTime}, {step.Modality}")
        question = _question(ORDERS[person])
        self.check(
            "- the clinical question",
            entry.get('ReasonForTheRequestedProcedure') == question, question)
        self._check_safety(person, entry)

    def _check_safety(self, person, entry):
        """Check what a machine is told of what may harm a patient."""
        admin = self.users['admin']
        is_risky = person is seed.ALLERGIC
        # 1 is "not pregnant", 4 "unknown" (DICOM PS3.3 section C.7.2.3).
        status = None if person.gender == 'm' else 1 if is_risky \
            and seed.has_module(admin, 'health_gyneco') else 4
        allergies = seed.ALLERGY if is_risky else ''
        alerts = ["Contrast allergy"] if is_risky else []
        if is_risky and seed.has_module(admin, 'health_lab'):
            alerts.append("Kidneys: eGFR")
        told = entry.get('MedicalAlerts') or []
        told = [told] if isinstance(told, str) else list(told)
        self.check(
            "- alerts, allergies and pregnancy",
            [alert.rstrip(' 0123456789') for alert in told] == alerts
            and (entry.get('Allergies') or '') == allergies
            and entry.get('PregnancyStatus') == status,
            f"{'; '.join(told) or 'no alerts'}, {allergies or 'no allergies'}"
            f", PregnancyStatus {entry.get('PregnancyStatus')}")

    def _acquisition(self):
        """The modalities send images, and one tells what it does"""
        for person, exam in DONE:
            self._acquire(person, exam, IMAGES_PER_STUDY)
            self.say(f"          {exam.aetitle} sent {IMAGES_PER_STUDY} "
                f"images of {self.entries[person, exam].PatientName}")
        statistics = self.orthanc.rest('GET', '/statistics')
        self.check(
            "Orthanc has them",
            statistics['CountStudies'] == len(DONE)
            and statistics['CountInstances'] == len(DONE) * IMAGES_PER_STUDY,
            f"{statistics['CountStudies']} studies, "
            f"{statistics['CountInstances']} instances")

    def _synchronization(self):
        """GNU Health finds the new studies and knows whose they are"""
        self._one('admin', 'gnuhealth.orthanc.config').click('do_sync')
        run = self._wait_for_run()
        self.check(
            "the button brings them",
            run.state == 'done' and run.studies_new == len(DONE)
            and run.instances_new == len(DONE) * IMAGES_PER_STUDY
            and run.studies_linked == len(DONE),
            f"{run.studies_new} studies, {run.series_new} series, "
            f"{run.instances_new} instances, {run.studies_linked} linked, "
            f"{run.calls} HTTP calls")
        for person, exam in DONE:
            study = self._study('admin', person, exam)
            instances = sum(len(series.instances) for series in study.series)
            self.check(
                f"{exam.name} of {person.family} is linked to the patient",
                study.patient == self._patient('admin', person)
                and len(study.series) == 1 and instances == IMAGES_PER_STUDY,
                f"{len(study.series)} series, {instances} instances")
            request = self._request('admin', person, exam)
            self.check(
                "- and to the request",
                study.request == request,
                study.request and study.request.rec_name)
            if request.step_state:
                self.check("- all that the machine made are here",
                    (request.images_arrived or '').startswith(
                        f'{IMAGES_PER_STUDY} of {IMAGES_PER_STUDY} '),
                    request.images_arrived)

    def _wait_for_run(self):
        end = time.monotonic() + SYNCHRONIZATION_SECONDS
        while time.monotonic() < end:
            for run in self._find('admin', 'gnuhealth.orthanc.sync_run',
                    ('started_by', '=', 'button'), ('state', '!=', 'running')):
                return run
            time.sleep(0.2)
        raise StoryError("The synchronization does not end.")

    def _images(self):
        """The radiologist looks at the images"""
        study = self._study('radiologist', *REPORTED)
        wizard = study.click('preview')
        self.check("the preview has a picture", wizard.form.has_picture,
            wizard.form.message or wizard.form.position)
        wizard.execute('end')
        self._check_link("Orthanc Explorer", study.orthanc_explorer_link)
        if not self.viewer:
            self.check("no link to OHIF, which is not here",
                not study.ohif_viewer_link)
            return
        self._check_link("OHIF", study.ohif_viewer_link)
        self.check("OHIF finds the images",
            len(self.orthanc.rest('GET',
                    f'/dicom-web/studies/{study.study_instance_UID}/metadata'))
            == IMAGES_PER_STUDY, f"{IMAGES_PER_STUDY} over DICOMweb")

    def _check_link(self, viewer, link):
        """Open a link to a viewer, and the program that its page loads."""
        if not (link or '').startswith(self.orthanc.url):
            return self.check(f"the link to {viewer}", False, link)
        page = self._fetch(link)
        scripts = re.findall(rb'<script[^>]* src="([^":]+)"', page)
        found = [
            self._fetch(urllib.parse.urljoin(link, script.decode()))
            for script in scripts]
        self.check(f"{viewer} is behind its link", found and all(found), link)

    def _fetch(self, url):
        path = urllib.parse.urldefrag(url).url[len(self.orthanc.url):]
        return bytes(self.orthanc.rest('GET', path))

    def _result(self):
        """The radiologist writes the result with an image"""
        request = self._request('radiologist', *REPORTED)
        request.click('generate_results')
        request.reload()
        self.check("the request is done", request.state == 'done',
            request.rec_name)
        study = self._study('radiologist', *REPORTED)
        result = self._written()
        self.check("the study is linked to the result",
            study.imaging_test == result, result.rec_name)
        study.series[0].instances[0].click(
            'attach_image_to_imaging_test_report')
        result.reload()
        for name, text in REPORT.items():
            setattr(result, name, text)
        result.save()
        sign(result)
        result.reload()
        self.check("the result is final, with its sections and an image",
            result.state == 'final' and len(result.images) == 1
            and all(getattr(result, name) == text
                for name, text in REPORT.items()),
            f"{result.state}, {len(result.images)} image")

    def _critical(self):
        """The doctor hears of a finding that cannot wait"""
        wizard = self._written().click('critical')
        wizard.form.finding = CRITICAL
        told = wizard.form.tell.rec_name
        wizard.execute('report')
        finding = self._one(
            'doctor', 'gnuhealth.imaging.critical_finding',
            ('state', '=', 'open'), ('for_me', '=', True))
        finding.click('acknowledge')
        finding.reload()
        self.check("the critical finding is told, and acknowledged",
            finding.finding == CRITICAL and finding.state == 'acknowledged'
            and [c.event for c in finding.calls]
            == ['reported', 'acknowledged'],
            f"{told}, {finding.acknowledged_at}")

    def _report(self):
        """The report is printed"""
        person, exam = REPORTED
        type_, data, _, name = Report(
            'patient.imaging_report_results',
            config=self.users['radiologist']).execute([self._written()])
        path = self.folder / 'report.pdf'
        path.write_bytes(bytes(data))
        self.check("it is a PDF", type_ == 'pdf', f"{name}, {path}")
        text = _run('pdftotext', '-layout', str(path), '-')
        for what in [
                person.family, person.puid, exam.name, seed.INSTITUTION,
                exam.question, *REPORT.values(), CRITICAL, "Acknowledged by"]:
            self.check("it shows", what in text, what)
        images = _run('pdfimages', '-list', str(path)).splitlines()[2:]
        self.check("it shows the image", len(images) >= 1, len(images))
        self._sheet()

    def _sheet(self):
        """Print the order sheet of whom the exam may harm."""
        person, exam = STOPPED
        _, data, _, name = Report('gnuhealth.imaging.order_sheet',
            config=self.users['doctor']).execute(
                [self._request('doctor', person, exam)])
        path = self.folder / 'order_sheet.pdf'
        path.write_bytes(bytes(data))
        text = ' '.join(_run('pdftotext', '-layout', str(path), '-').split())
        for what in [exam.question, exam.preparation, *ASKED[person]]:
            self.check("the order sheet shows", what.strip() in text, what)

    def _end(self):
        """What is done leaves the worklist, what is not stays"""
        self.run_script()
        files = {entry.StudyInstanceUID for entry in self._files()}
        done = self._request('doctor', *REPORTED)
        missed = self._request('doctor', *MISSED)
        self.check(f"{done.request_line} is gone", done.merge_id not in files)
        self.check(
            f"{missed.request_line} still waits", missed.merge_id in files)
        offered = {
            entry.RequestedProcedureID
            for entry in self.modalities[seed.CHEST].worklist()}
        self.check(
            f"{seed.CHEST.aetitle} gets it", missed.request_line in offered)


def _question(exams):
    return ' '.join(exam.question for exam in exams)


def _same_name(value, person):
    """Return whether a DICOM name (VR PN) has all words of a person's.

    Family name first, in one of its component groups.
    """
    expected = f'{person.family} {person.given}'.split()
    return any(
        re.split(r'[\^ ]+', group.strip('^ ')) == expected
        for group in str(value).split('='))


def _run(*command):
    try:
        return subprocess.run(
            command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise StoryError(f"There is no {command[0]}.")
