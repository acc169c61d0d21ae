# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of a day in a busy hospital, in the web client, and how many
clicks each of them takes."""
import re
from contextlib import contextmanager

import busy_plan as plan
import pytest
from playwright.sync_api import expect
from proteus import Model
from sao import SIZE
from support.hospital import CONFIGURATION, IMAGING

#: Tasks, and how many clicks each may take.
LIMITS = {
    "From the reading list to the signed report and back": 7,
    "See how far a patient's exams are": 1,
    "From a patient's exams to the images of one": 2,
    "From a patient's exams to the PDF of a report": 2,
    "Order an exam and send it": 5,
    "Find whom to examine now, and note who came": 2,
    "Cancel a request with a reason": 5,
    "Reschedule a request": 5,
    "Give a study that is in doubt to its patient": 6,
    "Give a study without request to its request": 5,
    "Test a server and get its new studies": 9,
    }


@pytest.fixture(scope='module')
def world(busy_world):
    return busy_world


@pytest.fixture(scope='module')
def table():
    "The clicks of the tasks."
    return {}


@pytest.fixture
def task(table):
    "Return a context manager that counts the clicks of a task."
    @contextmanager
    def counting(someone, name):
        before = someone.clicks
        yield
        table[name] = someone.clicks - before
        someone.check()
        assert table[name] <= LIMITS[name]
    return counting


def press_first(someone, words):
    "Choose the first row that has a button, and press it."
    button = someone.page.get_by_role('button', name=words, exact=True)
    row = someone.place.locator('tbody > tr:visible').filter(has=button).first
    open_cell(row).click()
    someone.settle()
    row.get_by_role('button', name=words, exact=True).click()
    someone.settle()


def open_cell(row):
    "Return a cell of a row that is neither a link nor a button."
    return row.locator('td:visible:not(:has(a, input, button))').filter(
        has_text=re.compile(r'\w')).first


def right(element):
    "Return where an element ends."
    box = element.bounding_box()
    return box['x'] + box['width']


def bottom(element):
    "Return where an element ends at its foot."
    box = element.bounding_box()
    return box['y'] + box['height']


def open_nth(someone, number):
    "Open the record of a row by its place."
    open_cell(someone.place.locator('tbody > tr:visible').nth(
            number)).dblclick()
    someone.settle()


def test_report_what_waits_longest(person, task):
    radiologist = person('radiologist')
    radiologist.tab("CR")
    with task(radiologist, list(LIMITS)[0]):
        press_first(radiologist, "Report")
        radiologist.field("Impression").click()
        radiologist.fill("Impression", "No fracture.")
        radiologist.sign()
        radiologist.go_back("Reading List")


@pytest.fixture
def patient(person, world):
    "A doctor with the form of a patient who has a report with images."
    case = next(c for c in plan.cases() if c.fate == 'final')
    with world.session() as config:
        patient, = Model.get('gnuhealth.patient', config).find([
                ('party.ref', '=', case.patient.puid)])
    doctor = person('doctor')
    doctor.open(f'model/gnuhealth.patient/{patient.id}')
    return doctor


def test_see_the_exams_of_a_patient(patient, task):
    with task(patient, list(LIMITS)[1]):
        patient.page_of("Imaging")
        expect(patient.row("Final")).to_be_visible()


def test_see_the_images_of_a_patient(patient, task, world):
    patient.page_of("Imaging")
    with task(patient, list(LIMITS)[2]):
        with patient.page.context.expect_event(
                'request', lambda r: r.url.startswith(world.orthanc.url)):
            press_first(patient, "Images")


def test_read_the_report_of_a_patient(patient, task, tmp_path):
    patient.page_of("Imaging")
    with task(patient, list(LIMITS)[3]):
        with patient.page.expect_download() as download:
            press_first(patient, "Report")
    download.value.save_as(tmp_path / 'report.pdf')
    assert (tmp_path / 'report.pdf').read_bytes()[:4] == b'%PDF'


def test_order_an_exam(person, task):
    doctor = person('doctor')
    # The menu is open there where the doctor works.
    doctor.menu(*IMAGING, "My Orders")
    with task(doctor, list(LIMITS)[4]):
        doctor.menu(*IMAGING, "New Order")
        doctor.choose("Patient", "Shrestha")
        doctor.fill("Clinical Question", "Metastases?")
        doctor.take(doctor.place.locator('input[name=tests]'), "CT chest")
        doctor.press("Order")
    expect(doctor.row("CT chest", "Requested")).to_be_visible()


def test_note_who_came(person, task):
    radiographer = person('radiographer')
    with task(radiographer, list(LIMITS)[5]):
        press_first(radiographer, "Arrived")
    expect(radiographer.place.get_by_role(
            'button', name="Undo Arrival", exact=True).first).to_be_visible()


def test_the_worklist_fits_on_a_laptop(person):
    radiographer = person('radiographer')
    place = radiographer.place
    images = place.get_by_role('button', name="Images", exact=True).first
    assert right(images) <= right(place.locator('.treeview').first)


def test_the_dashboard_fits_on_a_laptop(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Dashboard")
    radiographer.shoot('busy-dashboard')
    critical, worklist = [
        radiographer.place.locator('.board-action').filter(has_text=name).first
        for name in ["Critical Findings", "Today's Worklist"]]
    # What is empty leaves the room to what has rows.
    heights = [part.bounding_box()['height'] for part in [critical, worklist]]
    assert heights[0] < heights[1]
    rows = worklist.locator('tbody > tr:visible')
    assert bottom(rows.nth(5)) < SIZE['height']


def test_cancel_a_request(person, task):
    radiographer = person('radiographer')
    with task(radiographer, list(LIMITS)[6]):
        open_nth(radiographer, 2)
        radiographer.press("Cancel")
        radiographer.pick("Reason", "Patient did not come")
        radiographer.press("Cancel Requests")
    expect(radiographer.field("State")).to_have_value('"canceled"')


def test_reschedule_a_request(person, task):
    clerk = person('frontdesk')
    clerk.menu(*IMAGING, "Requests")
    with task(clerk, list(LIMITS)[7]):
        open_nth(clerk, 1)
        clerk.press("Reschedule")
        clerk.place.get_by_label("Reason:", exact=True).first.fill(
            "The patient asked for it.")
        clerk.press("Reschedule")
    clerk.page_of("History")
    expect(clerk.row("The patient asked for it.")).to_be_visible()


def test_decide_on_a_study(person, task):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    with task(radiographer, list(LIMITS)[8]):
        radiographer.tab("To Review")
        open_nth(radiographer, 0)
        with radiographer.confirming():
            press_first(radiographer, "Link")
    radiographer.tool('reload')
    expect(radiographer.field("Link")).to_have_value('"linked"')


def test_give_a_study_to_its_request(person, task):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    extra = next(e for e in plan.extras() if e.kind == 'beside')
    with task(radiographer, list(LIMITS)[9]):
        radiographer.tab("Without Request")
        radiographer.open_row(extra.patient.family, extra.exam.name)
        radiographer.shoot('busy-without-request')
        press_first(radiographer, "Link")
    radiographer.tool('reload')
    expect(radiographer.field("Request")).not_to_have_value('')


def test_test_a_server(person, task):
    it = person('it')
    with task(it, list(LIMITS)[10]):
        it.menu(*CONFIGURATION, "Orthanc", "Servers")
        it.open_row("Demonstration PACS")
        it.press("Test Connection")
        it.shoot('busy-server')
        if it.page.locator('.modal.in:visible').count():
            it.press("OK")
        it.press("Sync")
    expect(it.field("Validated")).to_be_checked()


def test_no_task_takes_more_clicks_than_it_may(table, capsys):
    with capsys.disabled():
        print(f'\n{"Task":<54}{"Clicks":>7}{"Limit":>7}')
        for name, limit in LIMITS.items():
            print(f'{name:<54}{table.get(name, "-"):>7}{limit:>7}')
    assert table.keys() == LIMITS.keys()
