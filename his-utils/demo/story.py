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

import pydicom
import seed
from modality import Modality
from proteus import Model, Report, Wizard
from proteus.config import set_xmlrpc_session
from services import HOST

SCRIPT = (Path(__file__).parents[1]
    / 'scripts' / 'imaging' / 'update_worklists_database.py')
# What is ordered; the last exam is never done: its patient does not come.
ORDERS = [
    (seed.LATIN, [seed.CT_HEAD, seed.CHEST]),
    (seed.CHINESE, [seed.CT_HEAD, seed.ULTRASOUND]),
    (seed.CYRILLIC, [seed.ULTRASOUND, seed.CHEST]),
    ]
MISSED = (seed.CYRILLIC, seed.CHEST)
REPORTED = (seed.LATIN, seed.CT_HEAD)
IMAGES_PER_STUDY = 2
SYNCHRONIZATION_SECONDS = 60
INTERPRETATION = (
    "No haemorrhage, no fracture.\n\nImpression: normal CT of the head.")


class StoryError(Exception):
    """The story cannot continue."""


def sign(result):
    """Sign a result; the question that comes first is answered before.

    :param result: proteus record
    """
    config = result._config
    Model.get('res.user.warning', config)._proxy.skip(
        f'{result.id}-{result.revision or 0}.imaging_sign', False, config.context)
    result.click('finalize')


class Story:
    """The steps, and how many of their claims were right.

    :param server: a running services.Trytond on a seeded database
    :param orthanc: a running services.Orthanc
    :param folder: for what is written on the way
    :param say: where the lines go
    :param bool viewer: whether the Orthanc serves OHIF
    :param password: of the users
    """

    def __init__(self, server, orthanc, folder, say=print, viewer=False,
            password=seed.PASSWORD):
        self.server = server
        self.orthanc = orthanc
        self.folder = Path(folder)
        self.say = say
        self.viewer = viewer
        self.password = password
        self.right = 0
        self.wrong = []
        self.users = {}
        self.entries = {}
        # Early enough in the local day to be another day in UTC.
        zone = zoneinfo.ZoneInfo(seed.TIMEZONE)
        self.local_date = dt.datetime.now(zone).replace(
            hour=1, minute=30, second=0, microsecond=0)
        self.modalities = {
            exam: Modality(
                exam.aetitle, HOST, orthanc.dicom_port, orthanc.aet,
                self.folder / exam.aetitle)
            for exam in seed.EXAMS}

    # The steps

    def run(self):
        """Run all steps, and return whether all claims were right."""
        with ExitStack() as sessions:
            for number, step in enumerate(self.steps(), 1):
                self.say(f"\n{number}. {step.__doc__}")
                try:
                    if not self.users:
                        self._log_in(sessions)
                    step()
                except Exception as error:
                    self._stop(number, error)
                    break
        return not self.wrong

    def steps(self):
        """Return the steps in their order."""
        return [
            self.hospital, self.pacs, self.order, self.worklist,
            self.acquisition, self.synchronization, self.images, self.result,
            self.report, self.end]

    def check(self, claim, right, saw=''):
        """Print a claim with what was seen, and count it.

        :param str claim: the claim
        :param bool right: whether it is true
        :param saw: what was seen
        """
        detail = f": {saw}" if saw != '' else ''
        if right:
            self.right += 1
            self.say(f"   ok     {claim}{detail}")
        else:
            self.wrong.append(claim)
            self.say(f"   WRONG  {claim}{detail}")

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
        for login in ['admin', *(user.login for user in seed.LOGINS)]:
            self.users[login] = sessions.enter_context(set_xmlrpc_session(
                    f'{self.server.url}/{self.server.database}/', login,
                    self.password))

    def hospital(self):
        """A hospital with patients, exams and their modalities"""
        admin = self.users['admin']
        self._check_institution(admin)
        Professional = Model.get('gnuhealth.healthprofessional', admin)
        names = [p.rec_name for p in Professional.find([])]
        self.check(
            "health professionals", len(names) == len(seed.LOGINS),
            '; '.join(names))
        for person in seed.PATIENTS:
            patient = self._patient(admin, person)
            self.check("patient", patient is not None,
                patient and f"{patient.rec_name}, {person.puid}")
        for exam in seed.EXAMS:
            self._check_exam(admin, exam)

    def _check_institution(self, config):
        institution, = Model.get('gnuhealth.institution', config).find([])
        company, = Model.get('company.company', config).find([])
        self.check(
            "institution with a timezone",
            institution.party == company.party
            and company.timezone == seed.TIMEZONE,
            f"{institution.rec_name}, {company.timezone}")

    def _check_exam(self, config, exam):
        test = self._exam(config, exam)
        template = test.imaging_worklist_template
        self.check(
            f"exam {exam.name}",
            test.test_type.code == exam.modality
            and test.aetitle == exam.aetitle
            and template.template_type == exam.template_type,
            f"modality {test.test_type.code}, AE title {test.aetitle}, "
            f'template "{template.name}" ({template.template_type})')

    def pacs(self):
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

    def order(self):
        """The doctor orders exams and requests them"""
        doctor = self.users['doctor']
        for person, exams in ORDERS:
            self._order(doctor, person, exams)

    def _order(self, config, person, exams):
        Test = Model.get('gnuhealth.imaging.test', config)
        wizard = Wizard(
            'gnuhealth.patient.imaging.test.request', config=config)
        wizard.form.patient = self._patient(config, person)
        wizard.form.date = self.local_date.astimezone(
            dt.timezone.utc).replace(tzinfo=None)
        for exam in exams:
            wizard.form.tests.append(Test(self._exam(config, exam).id))
        wizard.execute('request')
        requests = self._requests(config, person)
        for request in requests:
            request.click('requested')
        self._check_order(person, exams, requests)

    def _check_order(self, person, exams, requests):
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

    def worklist(self):
        """The worklist script writes the entries, the modalities read them"""
        self.run_script()
        files = self._files()
        self.check(
            "a worklist file for each request",
            len(files) == sum(len(exams) for _, exams in ORDERS),
            f"{len(files)} files in {self.orthanc.worklists}")
        for exam in seed.EXAMS:
            self._check_worklist(exam)

    def run_script(self):
        """Run the worklist script.

        :raises StoryError: it fails
        """
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

    def _check_worklist(self, exam):
        entries = self.modalities[exam].worklist()
        persons = [person for person, exams in ORDERS if exam in exams]
        self.check(
            f"{exam.aetitle} gets its own entries only",
            sorted(e.PatientID for e in entries)
            == sorted(p.puid for p in persons),
            f"{len(entries)}")
        for entry in entries:
            person, = [p for p in persons if p.puid == entry.PatientID]
            self.entries[person, exam] = entry
            self._check_entry(person, exam, entry)

    def _check_entry(self, person, exam, entry):
        step, = entry.ScheduledProcedureStepSequence
        request = self._request(self.users['doctor'], person, exam)
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

    def acquisition(self):
        """The modalities send images to the PACS"""
        done = {
            key: entry for key, entry in self.entries.items()
            if key != MISSED}
        for (person, exam), entry in done.items():
            modality = self.modalities[exam]
            paths = modality.acquire(entry, IMAGES_PER_STUDY)
            modality.send(paths)
            self.say(f"          {exam.aetitle} sent {len(paths)} images of "
                f"{entry.PatientName}")
        statistics = self.orthanc.rest('GET', '/statistics')
        self.check(
            "Orthanc has them",
            statistics['CountStudies'] == len(done)
            and statistics['CountInstances'] == len(done) * IMAGES_PER_STUDY,
            f"{statistics['CountStudies']} studies, "
            f"{statistics['CountInstances']} instances")

    def synchronization(self):
        """GNU Health finds the new studies and knows whose they are"""
        admin = self.users['admin']
        run = self._synchronize(admin)
        done = [key for key in self.entries if key != MISSED]
        self.check(
            "the button brings them",
            run.state == 'done' and run.studies_new == len(done)
            and run.instances_new == len(done) * IMAGES_PER_STUDY
            and run.studies_linked == len(done),
            f"{run.studies_new} studies, {run.series_new} series, "
            f"{run.instances_new} instances, {run.studies_linked} linked, "
            f"{run.calls} HTTP calls")
        for person, exam in done:
            self._check_study(admin, person, exam)

    def _synchronize(self, config):
        """Press the button, and return what its run did."""
        Server = Model.get('gnuhealth.orthanc.config', config)
        Run = Model.get('gnuhealth.orthanc.sync_run', config)
        server, = Server.find([])
        server.click('do_sync')
        end = time.monotonic() + SYNCHRONIZATION_SECONDS
        while time.monotonic() < end:
            runs = Run.find([
                    ('started_by', '=', 'button'),
                    ('state', '!=', 'running'),
                    ])
            if runs:
                return runs[0]
            time.sleep(0.2)
        raise StoryError("The synchronization does not end.")

    def _check_study(self, config, person, exam):
        study = self._study(config, person, exam)
        instances = sum(len(series.instances) for series in study.series)
        self.check(
            f"{exam.name} of {person.family} is linked to the patient",
            study.patient == self._patient(config, person)
            and len(study.series) == 1 and instances == IMAGES_PER_STUDY,
            f"{len(study.series)} series, {instances} instances")
        self.check(
            "- and to the request",
            study.request == self._request(config, person, exam),
            study.request and study.request.rec_name)

    def images(self):
        """The radiologist looks at the images"""
        study = self._study(self.users['radiologist'], *REPORTED)
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

    def result(self):
        """The radiologist writes the result with an image"""
        config = self.users['radiologist']
        person, exam = REPORTED
        request = self._request(config, person, exam)
        request.click('generate_results')
        request.reload()
        self.check("the request is done", request.state == 'done',
            request.rec_name)
        study = self._study(config, person, exam)
        result = self._result(config, request)
        self.check("the study is linked to the result",
            study.imaging_test == result, result.rec_name)
        study.series[0].instances[0].click(
            'attach_image_to_imaging_test_report')
        result.reload()
        result.comment = INTERPRETATION
        result.save()
        sign(result)
        result.reload()
        self.check("the result is final, with an interpretation and an image",
            result.state == 'final' and result.comment == INTERPRETATION
            and len(result.images) == 1,
            f"{result.state}, {len(result.images)} image")

    def report(self):
        """The report is printed"""
        config = self.users['radiologist']
        person, exam = REPORTED
        result = self._result(config, self._request(config, person, exam))
        type_, data, _, name = Report(
            'patient.imaging_report_results', config=config).execute([result])
        path = self.folder / 'report.pdf'
        path.write_bytes(bytes(data))
        self.check("it is a PDF", type_ == 'pdf', f"{name}, {path}")
        text = _run('pdftotext', '-layout', str(path), '-')
        for what in [
                person.family, person.puid, exam.name, seed.INSTITUTION,
                *INTERPRETATION.split('\n\n')]:
            self.check("it shows", what in text, what)
        images = _run('pdfimages', '-list', str(path)).splitlines()[2:]
        self.check("it shows the image", len(images) >= 1, len(images))

    def end(self):
        """What is done leaves the worklist, what is not stays"""
        self.run_script()
        config = self.users['doctor']
        files = {entry.StudyInstanceUID for entry in self._files()}
        done = self._request(config, *REPORTED)
        missed = self._request(config, *MISSED)
        self.check(f"{done.request_line} is gone", done.merge_id not in files)
        self.check(
            f"{missed.request_line} still waits", missed.merge_id in files)
        offered = {
            entry.RequestedProcedureID
            for entry in self.modalities[seed.CHEST].worklist()}
        self.check(
            f"{seed.CHEST.aetitle} gets it", missed.request_line in offered)

    # What the steps look up

    def _patient(self, config, person):
        Patient = Model.get('gnuhealth.patient', config)
        patients = Patient.find([('party.ref', '=', person.puid)])
        return patients[0] if len(patients) == 1 else None

    def _exam(self, config, exam):
        Test = Model.get('gnuhealth.imaging.test', config)
        test, = Test.find([('code', '=', exam.code)])
        return test

    def _requests(self, config, person):
        Request = Model.get('gnuhealth.imaging.test.request', config)
        return Request.find(
            [('patient.party.ref', '=', person.puid)],
            order=[('request_line', 'ASC')])

    def _request(self, config, person, exam):
        request, = [
            r for r in self._requests(config, person)
            if r.requested_test.code == exam.code]
        return request

    def _study(self, config, person, exam):
        Study = Model.get('gnuhealth.imaging_orthanc.study', config)
        request = self._request(config, person, exam)
        study, = Study.find([('study_instance_UID', '=', request.merge_id)])
        return study

    def _result(self, config, request):
        Result = Model.get('gnuhealth.imaging.test.result', config)
        result, = Result.find([('request', '=', request.id)])
        return result


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
