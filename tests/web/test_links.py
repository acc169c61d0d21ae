# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people of each role see in the web client when the link of a study
changes: each test is a step that goes on where the former ended."""
import datetime as dt
import re

import pytest
import seed
from playwright.sync_api import expect
from proteus import Model
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from story import Story, sign
from support.hospital import CONFIGURATION, IMAGING

#: Who has a result that is not signed, and who has a signed one.
DRAFT = (seed.CHINESE, seed.CT_HEAD)
SIGNED = (seed.LATIN, seed.CT_HEAD)


class Before(Story):
    "What happened before: studies that are linked, a draft, a signed result."

    def _steps(self):
        return [
            self._pacs, self._machines, self._order, self._worklist,
            self._acquisition, self._synchronization, self._results]

    def _pacs(self):
        "The PACS is made known, and gets the reports"
        super()._pacs()
        Server = Model.get('gnuhealth.orthanc.config', self.users['admin'])
        server, = Server.find([])
        server.store_reports = True
        server.save()

    def _results(self):
        "Two results with a picture, one of them is signed"
        login = 'radiologist'
        for person, exam in [DRAFT, SIGNED]:
            request = self._request(login, person, exam)
            request.click('generate_results')
            result = self._one(login, 'gnuhealth.imaging.test.result',
                ('request', '=', request.id))
            self._study(login, person, exam).series[0].instances[0].click(
                'attach_image_to_imaging_test_report')
            result.reload()
            result.comment = "No fracture seen."
            result.impression = "Normal."
            result.save()
        sign(result)


@pytest.fixture(scope='module', autouse=True)
def before(world):
    "The hospital with what happened, and somebody at the front desk."
    story = Before(
        world.server, world.orthanc, world.folder, lambda line: None)
    assert story.run(), story.wrong
    with world.session() as config:
        company, = Model.get('company.company', config).find([])
        clerk = seed.Person("Clara", "Desk", None, 'f', 'DESK', 'pgfs')
        seed.make_user(config, seed.Login(
                'desk', clerk, ['health.group_health_frontdesk']), company)


def send_images_of_a_walk_in(world):
    "An ultrasound of the patient is made without an entry of the worklist."
    person, exam = seed.LATIN, seed.ULTRASOUND
    step = Dataset()
    step.Modality = exam.modality
    step.ScheduledProcedureStepStartDate = f'{dt.date.today():%Y%m%d}'
    step.ScheduledProcedureStepStartTime = '010000'
    entry = Dataset()
    entry.SpecificCharacterSet = 'ISO_IR 192'
    entry.PatientName = f'{person.family}^{person.given}'
    entry.PatientID = person.puid
    entry.PatientBirthDate = f'{person.birth:%Y%m%d}'
    entry.PatientSex = person.gender.upper()
    entry.AccessionNumber = ''
    entry.StudyInstanceUID = generate_uid()
    entry.RequestedProcedureDescription = "Ultrasound, walk-in"
    entry.ScheduledProcedureStepSequence = [step]
    modality = world.modality(exam)
    modality.send(modality.acquire(entry))


def synchronize(world):
    with world.session('it') as config:
        server, = Model.get('gnuhealth.orthanc.config', config).find([])
        server.click('do_sync')


def open_result(person, tab, *texts):
    person.menu(*IMAGING, "Results")
    person.tab(tab)
    person.open_row(*texts)


# A birth date that is corrected

def test_the_draft_has_a_picture(person):
    radiologist = person('radiologist')
    open_result(radiologist, "Preliminary", "CT head")
    radiologist.page_of("Images")
    expect(radiologist.row("CT head, image 1")).to_be_visible()


def test_the_front_desk_corrects_a_birth_date(person, world):
    with world.session() as config:
        party, = Model.get('party.party', config).find([
                ('ref', '=', seed.CHINESE.puid)])
    desk = person('desk')
    desk.open(f'model/party.party/{party.id}')
    desk.fill("DoB", "01/10/1991")
    desk.tool('save')
    desk.shoot('corrected')
    expect(desk.field("DoB")).to_have_value("01/10/1991")


def test_the_study_goes_to_review(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    radiographer.tab("To Review")
    radiographer.shoot('link-to-review')
    radiographer.open_row("CT head")
    radiographer.shoot('link-review')
    expect(radiographer.field("Reason for Review")).to_have_value(
        'The date of birth differs: "1990-10-01" in the study, "1991-01-10" '
        'here.')
    radiographer.page_of("History")
    expect(radiographer.row("Desk", "Patient Data Changed")).to_be_visible()
    radiographer.shoot('link-history')


def test_the_picture_left_the_draft(person):
    radiologist = person('radiologist')
    open_result(radiologist, "Preliminary", "CT head")
    radiologist.page_of("Images")
    expect(radiologist.row("CT head")).to_be_hidden()
    radiologist.page_of("Studies")
    expect(radiologist.row("CT head")).to_be_hidden()
    radiologist.shoot('link-draft')
    radiologist.tool('note')
    radiologist.see("were taken out of the report")
    radiologist.shoot('link-note')


def test_the_radiographer_links_it_again(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    radiographer.tab("To Review")
    radiographer.open_row("CT head")
    with radiographer.confirming():
        radiographer.press("Link to Candidate")
    expect(radiographer.field("Link")).to_have_value('"linked"')
    radiographer.page_of("History")
    expect(radiographer.row("Bina", "Chosen by a Person")
        ).to_be_visible()
    radiographer.shoot('link-again')


# A study that is linked wrongly

def test_the_radiographer_links_a_study_wrongly(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    radiographer.open_row("CT head", seed.LATIN.family, "Linked")
    radiographer.field("Patient").fill('')
    radiographer.choose("Patient", "Соколова")
    with radiographer.confirming():
        radiographer.tool('save')
    expect(radiographer.field("Linked by")).to_have_value('"person"')
    radiographer.shoot('link-wrong')


def test_the_dashboard_shows_the_signed_result(person):
    radiologist = person('radiologist')
    radiologist.menu(*IMAGING, "Dashboard")
    radiologist.tab("Studies Changed")
    expect(radiologist.row("CT head", seed.LATIN.family)).to_be_visible()
    radiologist.row("CT head", seed.LATIN.family).scroll_into_view_if_needed()
    radiologist.shoot('link-dashboard')
    open_result(radiologist, "Studies Changed", seed.LATIN.family)
    radiologist.page_of("Studies")
    radiologist.see("Studies Changed after Signing")
    radiologist.shoot('link-changed')
    radiologist.page_of("Images")
    expect(radiologist.row("CT head, image 1")).to_be_visible()
    radiologist.page_of("Signature")
    expect(radiologist.row("In the Wrong Study")).to_be_visible()
    radiologist.shoot('link-misplaced')


def test_the_radiographer_takes_it_back(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    radiographer.open_row("CT head", "Соколова", "Linked")
    radiographer.page_of("History")
    with radiographer.confirming():
        radiographer.press("Undo Link")
    radiographer.page_of("Study")
    expect(radiographer.field("Linked by")).to_have_value('"merge_id"')
    radiographer.shoot('link-undone')


def test_the_radiologist_confirms_the_result(person):
    radiologist = person('radiologist')
    open_result(radiologist, "Studies Changed", seed.LATIN.family)
    radiologist.page_of("Studies")
    expect(radiologist.row("CT head")).to_be_visible()
    with radiologist.confirming():
        radiologist.place.get_by_role(
            'button', name="Seen, No Change", exact=True).click()
    assert not radiologist.has("Seen, No Change")
    radiologist.shoot('link-confirmed')
    radiologist.menu(*IMAGING, "Dashboard")
    radiologist.tab("Studies Changed")
    expect(radiologist.row("CT head", seed.LATIN.family)).to_be_hidden()


# Images that came before their request

def test_the_images_come_first(person, world):
    send_images_of_a_walk_in(world)
    synchronize(world)
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    expect(radiographer.row("walk-in", "Linked")).to_be_visible()


def test_the_request_offers_the_study(person):
    doctor = person('doctor')
    doctor.menu(*IMAGING, "New Order")
    doctor.choose("Patient", "Müller")
    doctor.take(doctor.place.locator('input[name=tests]'), "Ultrasound")
    doctor.place.locator('textarea[name=clinical_question]').fill(
        "Gallstones?")
    doctor.press("Order")
    doctor.open_row("Ultrasound", "Requested")
    expect(doctor.row("walk-in")).to_be_visible()
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Requests")
    radiographer.open_row("Ultrasound", "Müller")
    expect(radiographer.field("Studies without Request")).to_have_value(
        re.compile("^1 study of this patient, .*, US: is it this one"))
    radiographer.shoot('link-choose')
    radiographer.press_in_row("Link", "walk-in")
    radiographer.tool('reload')
    assert not radiographer.has("Link")
    expect(radiographer.row("walk-in", "Linked")).to_be_visible()
    radiographer.shoot('link-chosen')
    radiographer.page_of("Worklist")
    expect(radiographer.field("Worklist")).to_have_value('"done"')


def test_it_finds_nothing_that_waits(person):
    it = person('it')
    it.menu(*CONFIGURATION, "Orthanc", "Waiting Decisions")
    expect(it.row("People")).to_be_hidden()
    it.shoot('waiting-decisions')
    it.menu(*IMAGING, "Orthanc", "Studies")
    it.tab("Not Decided")
    it.shoot('not-decided')
