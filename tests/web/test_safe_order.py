# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An order that may harm the patient, in the web client, by those who meet
it: each test is a step that goes on where the former ended."""
import datetime as dt
import re

import pytest
import seed
from playwright.sync_api import expect
from proteus import Model
from sao import PATIENCE
from story import Story
from support.hospital import IMAGING, speak_arabic

EXAM = seed.CT_CONTRAST.name
REASON = "Sepsis, prednisolone is given before."
NAMESAKE = seed.ALLERGIC._replace(
    birth=dt.date(1990, 2, 1), puid='GAM900201')


@pytest.fixture(scope='module', autouse=True)
def namesake(world):
    "Somebody of the same name as who is allergic."
    with world.session() as config:
        seed.make_patient(config, NAMESAKE)


@pytest.fixture
def order(person):
    "A doctor with the window of an order for whom the medium harms."
    doctor = person('doctor')
    doctor.menu(*IMAGING, "New Order")
    doctor.field("Patient").press_sequentially("Garcia")
    offers = doctor.page.locator('li.completion:visible')
    for someone in [seed.ALLERGIC, NAMESAKE]:
        offer = offers.filter(has_text=someone.puid)
        expect(offer).to_contain_text(
            f'{someone.birth:%Y}', timeout=PATIENCE)
    doctor.shoot('safety-namesakes')
    offers.filter(has_text=seed.ALLERGIC.puid).click()
    doctor.settle()
    doctor.fill("Clinical Question", "Abscess?")
    doctor.take(doctor.place.locator('input[name=tests]'), EXAM)
    return doctor


def test_the_window_warns_before_anything_is_ordered(order):
    expect(order.field("Identity")).to_have_value(
        re.compile(f'{seed.ALLERGIC.puid}, .*1958.*, Female'))
    alerts = order.field("Alerts")
    expect(alerts).to_have_value(re.compile(seed.ALLERGY))
    red, green, blue, *_ = map(int, re.findall(r'\d+', alerts.evaluate(
                'area => getComputedStyle(area).color')))
    assert red > 150 > max(green, blue)
    order.shoot('safety-order')


def test_the_doctor_is_stopped_and_goes_on(order):
    order.press("Order")
    findings = order.place.locator('textarea[name=findings]')
    expect(findings).to_have_value(re.compile(f'^Stop: .*{seed.ALLERGY}'))
    order.shoot('safety-stop')
    order.press("Order in Spite of It")
    # The client wants the reason first.
    expect(findings).to_be_visible()
    order.press("Back")
    expect(order.field("Clinical Question")).to_have_value("Abscess?")
    expect(order.field("Identity")).to_have_value(
        re.compile(seed.ALLERGIC.puid))
    expect(order.row(EXAM)).to_be_visible()
    order.shoot('safety-back')
    order.press("Order")
    order.place.locator('textarea[name=reason]').fill(REASON)
    order.press("Order in Spite of It")
    expect(order.row(EXAM, "Requested")).to_be_visible()
    order.see("Exams sent: 1 (CTABDO)")
    order.shoot('safety-sent')
    order.open_row(EXAM)
    order.shoot('safety-request')
    order.page_of("History")
    expect(order.row("Stop", seed.ALLERGY, REASON)).to_be_visible()
    order.shoot('safety-history')


def test_the_radiographer_sees_why(person):
    radiographer = person('radiographer')
    radiographer.menu(*IMAGING, "Worklist")
    radiographer.shoot('safety-worklist')
    expect(radiographer.row(EXAM, "Allergy", REASON)).to_be_visible()
    assert radiographer.row(EXAM).get_by_role(
        'button', name="Arrived", exact=True).bounding_box()['x'] < 1240
    radiographer.open_row(EXAM)
    expect(radiographer.row("Stop", seed.ALLERGY, REASON)).to_be_visible()
    radiographer.shoot('safety-patient')


def test_the_machine_is_told_and_sends_images(world):
    story = Story(world.server, world.orthanc, world.folder)
    story.run_script()
    modality = world.modality(seed.CT_CONTRAST)
    entry, = modality.worklist()
    assert entry.MedicalAlerts == "Contrast allergy"
    assert entry.Allergies == seed.ALLERGY
    modality.send(modality.acquire(entry))
    with world.session() as config:
        Server = Model.get('gnuhealth.orthanc.config', config)
        server = Server(
            label="PACS", domain=world.orthanc.url, user='gnuhealth',
            password=seed.PASSWORD)
        server.save()
        server.click('do_sync')


def test_the_radiologist_sees_why(person):
    radiologist = person('radiologist')
    radiologist.menu(*IMAGING, "Reading List")
    expect(radiologist.row(EXAM, "Abscess?", REASON)).to_be_visible()
    radiologist.shoot('safety-reading')
    radiologist.open_row(EXAM)
    expect(radiologist.field("Safety")).to_have_value(re.compile(REASON))


def test_the_windows_run_from_the_right(person, world):
    speak_arabic(world, 'doctor')
    doctor = person('doctor')
    doctor.open('wizard/gnuhealth.patient.imaging.test.request')
    patient, exam, *_ = doctor.place.locator(
        'input[name=patient], input[name=tests]').all()
    doctor.take(patient, seed.ALLERGIC.puid)
    question = doctor.place.locator('textarea[name=clinical_question]')
    question.fill("خراج؟")
    doctor.take(exam, EXAM)
    doctor.shoot('safety-order-from-the-right')
    doctor.place.locator('.modal-footer .btn-primary').click()
    doctor.settle()
    expect(doctor.place.locator('textarea[name=findings]')).to_be_visible()
    doctor.shoot('safety-stop-from-the-right')
