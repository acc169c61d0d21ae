# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job in the desktop client, by the people whose job it is: each
test is a step that goes on where the former ended."""
import subprocess

from support.hospital import CONFIGURATION, IMAGING, fill_server


def lines(person):
    "Return the lines of the lists in front, each as one text."
    return [' '.join(row) for row in person.rows()]


def seen(person, *parts):
    "Whether a line in front has all texts."
    return any(
        all(part in line for part in parts) for line in lines(person))


def test_the_imaging_administrator_adds_an_exam(person):
    admin = person('imaging_admin')
    admin.menu(*CONFIGURATION, "Exams")
    admin.shoot('exams')
    admin.tool('new')
    admin.fill("Name", "CT chest")
    admin.fill("Code", "CTCHEST")
    admin.pick("Type", "Computed tomography (CT)")
    admin.choose("Service", "CT scan")
    admin.shoot('exam')
    admin.tool('save')
    admin.tool('switch')
    assert seen(admin, "CTCHEST", "CT chest")


def test_the_imaging_administrator_prepares_a_text(person):
    admin = person('imaging_admin')
    admin.menu(*CONFIGURATION, "Report Texts")
    admin.tool('new')
    admin.fill("Name", "Normal head")
    admin.fill("Findings", "No fracture seen.")
    admin.add('exams', "CT head")
    admin.shoot('text')
    admin.tool('save')
    admin.tool('switch')
    assert seen(admin, "Normal head", "1")


def test_the_radiographer_is_told_that_there_is_no_server(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    radiographer.choose_tool('action', "Orthanc: Get New Studies")
    _, told = radiographer.attempt('press', "Get New Studies")
    assert "Add Orthanc Server" in '\n'.join(told)
    radiographer.press("Cancel")
    radiographer.close()


def test_it_adds_the_server(person, world):
    it = person('it')
    it.menu(*CONFIGURATION, "Orthanc", "Add Orthanc Server")
    it.shoot('server-start')
    fill_server(it, world, "wrong")
    it.press("Begin")
    it.shoot('server-refused')
    assert "refuses the user or the password" in ' '.join(it.texts())
    it.press("Back")
    fill_server(it, world, world.orthanc.password)
    it.press("Begin")
    it.shoot('server-added')
    assert "The server was added." in ' '.join(it.texts())
    it.press("Close")


def test_the_doctor_orders(person):
    doctor = person('doctor')
    doctor.menu(*IMAGING, "New Order")
    doctor.choose("Patient", "Müller")
    doctor.fill("Clinical Question", "Bleeding after the fall?")
    doctor.add('tests', "CT head")
    doctor.add('tests', "Chest X-ray")
    doctor.check("Urgent")
    doctor.shoot('order')
    doctor.press("Order")
    doctor.shoot('ordered')
    assert seen(doctor, "Chest X-ray", "Requested")
    doctor.open_row("CT head")
    doctor.shoot('request')
    doctor.menu(*IMAGING, "Dashboard")
    doctor.page_of("Waiting")
    doctor.shoot('dashboard')
    assert seen(doctor, "Chest X-ray", "Waiting")
    doctor.menu("Health", "Patients")
    doctor.open_row("Müller")
    doctor.choose_tool('relate', "Imaging Requests")
    assert seen(doctor, "Chest X-ray", "Requested")


def test_the_radiographer_sees_whom_to_examine(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Dashboard")
    radiographer.shoot('dashboard')
    assert seen(radiographer, "CT", "CT head")
    radiographer.menu(*IMAGING, "Requests")
    radiographer.page_of("To Do")
    radiographer.shoot('requests')
    radiographer.open_row("CT head")
    radiographer.page_of("Worklist")
    radiographer.check("Show Worklist Entry")
    radiographer.shoot('worklist')
    assert any("JMN840229" in text for text in radiographer.texts())


def test_the_machines_send_images(world):
    world.examine()
    assert world.orthanc.rest('GET', '/statistics')['CountStudies'] == 2


def test_it_synchronizes(person):
    it = person('it')
    it.menu(*CONFIGURATION, "Orthanc", "Servers")
    it.shoot('servers')
    it.open_row("PACS")
    it.press("Sync")
    it.shoot('server')
    it.page_of("Runs")
    it.shoot('runs')
    it.menu(*IMAGING, "Orthanc", "Studies")
    it.shoot('studies')
    assert seen(it, "CT head", "Linked")
    it.menu(*IMAGING, "Dashboard")
    it.shoot('dashboard')


def test_the_radiographer_reviews_the_doubtful_study(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Orthanc", "Studies")
    radiographer.page_of("To Review")
    radiographer.shoot('to-review')
    radiographer.open_row("CR")
    radiographer.shoot('review')
    assert radiographer.value("Link") == "To Review"
    radiographer.press_in_row("Link", "JMN840229")
    assert any("1970-01-01" in text for text in radiographer.questions())
    radiographer.shoot('reviewed')
    assert radiographer.value("Link") == "Linked"


def test_the_radiologist_reports(person, world):
    radiologist = person('radiologist')
    radiologist.menu(*IMAGING, "Requests")
    radiologist.page_of("To Report")
    radiologist.select_all()
    radiologist.choose_tool('action', "Write Report")
    radiologist.shoot('results')
    radiologist.open_row("CT head")
    radiologist.shoot('result')
    radiologist.page_of("Studies")
    radiologist.shoot('result-studies')
    radiologist.open_row("CT")
    radiologist.shoot('study')
    radiologist.press("Open in Viewer")
    address, = radiologist.opened()
    assert address.startswith(world.orthanc.url)
    radiologist.press("Apply changes")
    radiologist.press_in_row("Preview", "CT")
    radiologist.shoot('preview')
    assert radiologist.bright() > 0.2
    radiologist.press("Add to Report")
    radiologist.press("Close")
    radiologist.choose("Insert Text", "Normal")
    radiologist.shoot('interpretation')
    # The picture is there without a click on reload.
    radiologist.page_of("Images")
    radiologist.shoot('images')
    line, = lines(radiologist)
    assert "CT head, image 1" in line
    assert "1.2.826" not in line
    radiologist.tool('save')


def test_the_radiologist_signs_and_prints(person):
    radiologist = person('radiologist')
    radiologist.press("Sign")
    assert radiologist.questions()
    radiologist.shoot('signed')
    assert radiologist.value("State") == "Final"
    radiologist.choose_tool('print', "Imaging Report")
    path, = radiologist.opened()
    text = subprocess.run(['pdftotext', '-layout', path, '-'], check=True,
        capture_output=True, text=True).stdout
    assert "No fracture seen." in text
    assert "Ñúñez" in text
    pictures = subprocess.run(['pdfimages', '-list', path], check=True,
        capture_output=True, text=True).stdout
    assert len(pictures.splitlines()) > 2


def test_the_doctor_prints_the_result(person):
    doctor = person('doctor')
    doctor.menu(*IMAGING, "Results")
    doctor.page_of("Final")
    doctor.open_row("CT head")
    doctor.shoot('result')
    doctor.choose_tool('print', "Imaging Report")
    path, = doctor.opened()
    assert path.endswith('.pdf')


def test_the_radiologist_amends(person):
    radiologist = person('radiologist')
    radiologist.press("Amend")
    radiologist.write("The other side.")
    radiologist.shoot('amend')
    radiologist.press("Amend")
    assert radiologist.value("State") == "Preliminary"
    radiologist.page_of("Signature")
    radiologist.shoot('amended')
    assert radiologist.value("Reason for Amendment") == "The other side."
    assert seen(radiologist, ".pdf", "Tomás")


def test_the_radiographer_cancels(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "New Order")
    radiographer.choose("Patient", "Соколова")
    radiographer.fill("Clinical Question", "Gallstones?")
    radiographer.add('tests', "Ultrasound")
    radiographer.press("Order")
    radiographer.open_row("Ultrasound")
    radiographer.press("Cancel")
    radiographer.pick("Reason", "Patient did not come")
    radiographer.write("The patient does not come.")
    radiographer.shoot('cancel')
    radiographer.press("Cancel Requests")
    assert radiographer.value("State") == "Canceled"


def test_the_doctor_is_stopped(person):
    doctor = person('doctor')
    doctor.menu(*IMAGING, "New Order")
    doctor.choose("Patient", "Garcia")
    doctor.fill("Clinical Question", "Abscess?")
    doctor.add('tests', "CT abdomen")
    doctor.shoot('safety-order')
    assert "Allergy to iodinated" in doctor.value("Alerts")
    doctor.press("Order")
    doctor.shoot('safety-stop')
    doctor.attempt('press', "Order in Spite of It")
    # The client wants the reason first.
    assert any(text.startswith("Stop: ") for text in doctor.texts())
    doctor.press("Back")
    assert doctor.value("Clinical Question") == "Abscess?"
    doctor.press("Order")
    doctor.write("Sepsis.")
    doctor.press("Order in Spite of It")
    assert seen(doctor, "CT abdomen", "Requested")
    doctor.open_row("CT abdomen")
    doctor.shoot('safety-request')
    doctor.page_of("History")
    assert seen(doctor, "Stop", "Sepsis.")
    doctor.shoot('safety-history')
