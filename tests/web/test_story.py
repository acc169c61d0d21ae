# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job in the web client, by the people whose job it is: each test is
a step that goes on where the former ended."""
import re
import subprocess

import pytest
from playwright.sync_api import expect
from sao import PATIENCE, SIZE
from support.hospital import CONFIGURATION, IMAGING, fill_server
from support.pictures import PICTURES

PHONE = {'width': 390, 'height': 844}
#: The share of pixels of a picture that are not black.
BRIGHT = '''image => {
    const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth || image.width;
    canvas.height = image.naturalHeight || image.height;
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let bright = 0;
    for (let i = 0; i < data.length; i += 4)
        bright += data[i] > 30;
    return bright * 4 / data.length;
    }'''


def test_the_imaging_administrator_adds_an_exam(person):
    admin = person('imaging_admin')
    admin.menu(*CONFIGURATION, "Exams")
    admin.tool('new_')
    admin.fill("Name", "CT chest")
    admin.fill("Code", "CTCHEST")
    admin.pick("Type", "Computed tomography (CT)")
    admin.choose("Service", "CT scan")
    admin.fill("AE Title", "CT2")
    admin.tool('save')
    admin.shoot('exam')
    admin.tool('switch_')
    expect(admin.row("CTCHEST", "CT chest")).to_be_visible()
    admin.menu(*CONFIGURATION, "Worklist Templates")
    admin.open_row("CT (dump)")
    admin.shoot('template')


def test_it_adds_the_server(person, world):
    it = person('it')
    it.menu(*CONFIGURATION, "Orthanc", "Add Orthanc Server")
    fill_server(it, world, "wrong")
    it.press("Begin")
    expect(it.place.locator('textarea')).to_have_value(
        re.compile("refuses the user or the password"))
    it.shoot('server-refused')
    it.press("Back")
    fill_server(it, world, world.orthanc.password)
    it.press("Begin")
    it.see("The server was added.")
    it.shoot('server-added')
    it.press("Close")


def test_the_doctor_orders(person):
    doctor = person('doctor')
    doctor.menu(*IMAGING, "New Order")
    doctor.choose("Patient", "Müller")
    doctor.fill("Clinical Question", "Bleeding after the fall?")
    doctor.take(doctor.place.locator('input[name=tests]'), "CT head")
    doctor.take(doctor.place.locator('input[name=tests]'), "Chest X-ray")
    doctor.field("Urgent").check()
    doctor.shoot('order')
    doctor.press("Order")
    expect(doctor.row("Chest X-ray", "Requested")).to_be_visible()
    doctor.shoot('ordered')
    doctor.open_row("CT head")
    doctor.shoot('request')
    doctor.menu(*IMAGING, "Dashboard")
    doctor.tab("Waiting")
    expect(doctor.row("Chest X-ray", "Waiting")).to_be_visible()
    doctor.shoot('dashboard')


def test_the_doctor_orders_from_the_patient(person):
    doctor = person('doctor')
    doctor.menu("Health", "Patients")
    doctor.open_row("Соколова")
    doctor.relate("Medical Imaging - New order")
    expect(doctor.field("Patient")).to_have_value(re.compile("Соколова"))
    doctor.fill("Clinical Question", "Gallstones?")
    doctor.take(doctor.place.locator('input[name=tests]'), "Ultrasound")
    doctor.press("Save as Draft")
    doctor.open_row("Ultrasound", "Draft")
    doctor.press("Request")
    expect(doctor.field("State")).to_have_value('"requested"')


def test_the_radiographer_cancels_with_a_reason(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Requests")
    radiographer.open_row("Соколова")
    radiographer.press("Cancel")
    radiographer.pick("Reason", "Patient did not come")
    radiographer.write("He is ill.")
    radiographer.shoot('cancel')
    radiographer.press("Cancel Requests")
    expect(radiographer.field("State")).to_have_value('"canceled"')
    radiographer.page_of("History")
    expect(radiographer.field("Reason for Cancellation")).to_have_value(
        "Patient did not come")
    expect(radiographer.field("Details of the Cancellation")).to_have_value(
        "He is ill.")
    radiographer.shoot('canceled')


def test_the_radiographer_sees_whom_to_examine(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Dashboard")
    expect(radiographer.row("CT", "CT head")).to_be_visible()
    radiographer.shoot('dashboard')
    radiographer.menu(*IMAGING, "Requests")
    radiographer.tab("To Do")
    radiographer.shoot('requests')
    radiographer.open_row("CT head")
    radiographer.page_of("Worklist")
    radiographer.field("Show Worklist Entry").check()
    radiographer.settle()
    expect(radiographer.place.locator('textarea:visible')).to_have_value(
        re.compile("JMN840229"))
    radiographer.shoot('worklist')


def test_the_radiographer_takes_the_next_patient(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Worklist")
    expect(radiographer.row("CT head", "JMN840229")).to_be_visible()
    before = radiographer.clicks
    radiographer.press_in_row("Arrived", "CT head")
    assert radiographer.clicks - before <= 2
    expect(radiographer.row("CT head").get_by_role(
            'button', name="Undo Arrival", exact=True)).to_be_visible()
    radiographer.tab("CT")
    radiographer.shoot('whom')
    radiographer.open_row("CT head")
    radiographer.shoot('whom-form')
    question = radiographer.field("Clinical Question").bounding_box()
    # It is on the left, also without an alert beside it.
    assert question['x'] < radiographer.field("PUID").bounding_box()['x']


def test_the_machines_send_images(world):
    world.examine()
    assert world.orthanc.rest('GET', '/statistics')['CountStudies'] == 2


def test_it_synchronizes(person):
    it = person('it')
    it.menu(*CONFIGURATION, "Orthanc", "Servers")
    it.open_row("PACS")
    it.shoot('server')
    it.press("Sync")
    it.menu(*IMAGING, "Orthanc", "Studies")
    expect(it.row("CT head", "Linked")).to_be_visible()
    it.shoot('studies')
    it.open_row("CT head")
    assert it.has("Delete on the Server")
    it.menu(*IMAGING, "Dashboard")
    it.shoot('dashboard')


def test_the_radiologist_looks_at_the_images_in_ohif(
        person, world, browser, shots):
    radiologist = person('radiologist')
    radiologist.menu(*IMAGING, "Orthanc", "Studies")
    radiologist.open_row("CT head")
    with radiologist.page.context.expect_event(
            'request', lambda request: '/ohif/viewer' in request.url) as tab:
        radiologist.press("Open in Viewer")
    address = tab.value.url
    assert address.startswith(world.orthanc.url)
    assert not radiologist.has("Delete on the Server")
    # Orthanc asks for its own password.
    context = browser.new_context(viewport=SIZE, http_credentials={
            'username': world.orthanc.user,
            'password': world.orthanc.password})
    page = context.new_page()
    page.goto(address)
    image = page.locator('canvas.cornerstone-canvas').first
    expect(image).to_be_visible(timeout=2 * PATIENCE)
    page.wait_for_function(
        f'image => ({BRIGHT})(image) > 0.05', arg=image.element_handle(),
        timeout=2 * PATIENCE)
    page.screenshot(path=shots / 'radiologist-ohif.png')
    context.close()


def test_the_radiographer_reviews_the_doubtful_study(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    radiographer.tab("To Review")
    radiographer.open_row("CR")
    radiographer.shoot('review')
    expect(radiographer.field("Link")).to_have_value('"review"')
    with radiographer.confirming():
        radiographer.press_in_row("Link", "JMN840229")
    radiographer.tool('reload')
    radiographer.shoot('reviewed')
    expect(radiographer.field("Link")).to_have_value('"linked"')


def test_the_radiologist_reports(person, shots, tmp_path):
    radiologist = person('radiologist')
    radiologist.menu(*IMAGING, "Requests")
    radiologist.tab("To Report")
    radiologist.open_row("CT head")
    radiologist.press("Write Report")
    radiologist.shoot('result')
    # All sections are seen at once, twenty lines together.
    boxes = [
        radiologist.field(label).bounding_box() for label in [
            "Technique", "Comparison", "Findings", "Impression"]]
    assert max(b['y'] + b['height'] for b in boxes) < SIZE['height']
    assert sum(b['height'] for b in boxes) > 20 * 18.7
    radiologist.page_of("Studies")
    radiologist.open_row("CT")
    radiologist.shoot('study')
    radiologist.press("Preview")
    picture = radiologist.place.locator('.form-document img')
    expect(picture).to_be_visible()
    radiologist.settle()
    assert picture.evaluate(BRIGHT) > 0.2
    radiologist.shoot('preview')
    position = radiologist.place.locator('input[name=position]')
    expect(position).to_have_value("Image 1 of 2")
    radiologist.press("Next")
    expect(position).to_have_value("Image 2 of 2")
    radiologist.press("Previous")
    expect(position).to_have_value("Image 1 of 2")
    radiologist.press("Previous")
    expect(radiologist.place.locator('textarea:visible')).to_have_value(
        re.compile("no more images"))
    radiologist.page.set_viewport_size(PHONE)
    box = picture.bounding_box()
    assert 0 <= box['x'] and box['x'] + box['width'] <= PHONE['width']
    radiologist.shoot('preview-phone')
    radiologist.page.set_viewport_size(SIZE)
    radiologist.press("Add to Report")
    radiologist.press("Close")
    radiologist.press("Apply changes")
    radiologist.fill("Findings", "No fracture seen.")
    radiologist.tool('save')
    radiologist.shoot('interpretation')
    radiologist.sign()
    radiologist.shoot('signed')
    with radiologist.page.expect_download() as download:
        radiologist.tool('print')
        radiologist.place.get_by_text("Imaging Report").click()
    path = tmp_path / 'report.pdf'
    download.value.save_as(path)
    subprocess.run(['pdftoppm', '-png', '-singlefile', '-r', '96', path,
            shots / 'radiologist-report'], check=True)
    text = subprocess.run(['pdftotext', '-layout', path, '-'], check=True,
        capture_output=True, text=True).stdout
    assert "No fracture seen." in text
    assert "Ñúñez" in text
    pictures = subprocess.run(['pdfimages', '-list', path], check=True,
        capture_output=True, text=True).stdout
    assert len(pictures.splitlines()) > 2


def test_the_radiologist_reads_what_is_next(person):
    radiologist = person('radiologist')
    radiologist.menu(*IMAGING, "Reading List")
    expect(radiologist.row("CT head")).to_have_count(0)
    radiologist.shoot('reading-list')
    before = radiologist.clicks
    radiologist.press_in_row("Report", "Chest X-ray")
    radiologist.fill("Findings", "The heart is of normal size.")
    radiologist.shoot('reading-report')
    radiologist.sign()
    radiologist.go_back("Reading List")
    # 7 by mouse alone, with a click on the text.
    assert radiologist.clicks - before <= 6
    radiologist.check()


def test_the_doctor_reads_the_report(person, tmp_path):
    doctor = person('doctor')
    doctor.menu(*IMAGING, "My Orders")
    expect(doctor.row("Chest X-ray", "Final")).to_be_visible()
    doctor.shoot('my-orders')
    doctor.menu("Health", "Patients")
    doctor.open_row("Müller")
    before = doctor.clicks
    doctor.page_of("Imaging")
    expect(doctor.row("CT head", "Final", "No fracture seen.")).to_be_visible()
    assert doctor.clicks - before == 1
    doctor.shoot('patient-imaging')
    with doctor.page.expect_download() as download:
        doctor.press_in_row("Report", "CT head")
    download.value.save_as(tmp_path / 'report.pdf')
    assert (tmp_path / 'report.pdf').read_bytes()[:4] == b'%PDF'
    doctor.check()


OF_ALL = [
    ["Dashboard"],
    ["Orthanc", "Patients with Studies"],
    ["Orthanc", "Studies"],
    ]
OF_IMAGING = [
    ["Requests"],
    ["Results"],
    ["Statistics", "Requests per Month"],
    ["Statistics", "Graph of Requests per Month"],
    ["Statistics", "Turnaround"],
    ["Statistics", "Graph of Turnaround"],
    ]


@pytest.mark.parametrize('login, entries', [
        ('doctor', OF_ALL + OF_IMAGING),
        ('radiographer', OF_ALL + OF_IMAGING),
        ('imaging_admin', OF_ALL + OF_IMAGING),
        ('it', OF_ALL),
        ('pacs_user', OF_ALL),
        ])
def test_each_role_opens_its_menu(person, login, entries):
    someone = person(login)
    someone.menu(*IMAGING, "Orthanc", "Get New Studies")
    someone.press("Get New Studies")
    for entry in entries:
        someone.menu(*IMAGING, *entry)
        someone.check()
        if entry[-1].startswith("Graph"):
            expect(someone.place.locator('svg .c3-chart')).to_be_visible()
            someone.shoot(entry[-1].lower().replace(' ', '-'))


def test_the_radiologist_amends(person):
    radiologist = person('radiologist')
    radiologist.menu(*IMAGING, "Results")
    radiologist.tab("Final")
    radiologist.open_row("CT head")
    radiologist.press("Amend")
    radiologist.write("The side was wrong.")
    radiologist.press("Amend")
    expect(radiologist.field("State")).to_have_value('"draft"')
    radiologist.page_of("Signature")
    expect(radiologist.row(".pdf")).to_be_visible()
    radiologist.shoot('amended')


def test_it_reads_what_is_wrong_with_a_server(person, world):
    it = person('it')
    world.orthanc.stop()
    it.menu(*CONFIGURATION, "Orthanc", "Servers")
    it.open_row("PACS")
    it.press("Test Connection")
    it.see("Check its port, and that Orthanc is running.")
    it.press("OK")
    it.tool('reload')
    error = it.place.get_by_label("Last Error", exact=True)
    expect(error).to_have_value(re.compile("Nothing answers"))
    it.shoot('server-trouble')
    it.menu(*IMAGING, "Dashboard")
    expect(it.row("PACS", "Nothing answers")).to_be_visible()
    it.shoot('dashboard-trouble')
    world.orthanc.start()
    it.menu(*CONFIGURATION, "Orthanc", "Servers")
    it.press("Sync")
    expect(it.field("Validated")).to_be_checked()
    expect(it.place.get_by_label("Last Error", exact=True)).to_be_hidden()


def test_the_pictures_of_the_documentation_can_be_made(shots):
    assert not [
        shot for shot in PICTURES.values()
        if not (shots / f'{shot}.png').is_file()]
