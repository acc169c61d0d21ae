# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of a report in the web client, in languages of both directions."""
import re

import polib
import pytest
from playwright.sync_api import expect
from proteus import Model
from sao import PATIENCE, SIZE
from support.hospital import IMAGING, ROOT, speak_arabic

OPEN = "[none|small|large]"
SECTIONS = ["Technique", "Comparison", "Findings", "Impression"]
LARGE = {'width': 1920, 'height': 1080}


@pytest.fixture(scope='module')
def world(busy_world):
    return busy_world


@pytest.fixture(scope='module', params=['en', 'ar'])
def say(request, world):
    "A function that says texts in the language of the radiologist."
    if request.param == 'en':
        return lambda text: text
    speak_arabic(world, 'radiologist')
    catalog = polib.pofile(ROOT / 'health_imaging' / 'locale' / 'ar.po')
    return {entry.msgid: entry.msgstr for entry in catalog}.get


@pytest.fixture(scope='module')
def report(say, world):
    """A report of the radiologist with a pick list and a former exam: its id
    and the login of who ordered it."""
    with world.session() as config:
        for result in Model.get('gnuhealth.imaging.test.result', config).find([
                    ('state', '=', 'draft'),
                    ('doctor.party.internal_user.login', '=', 'radiologist'),
                    ('request.doctor', '!=', None),
                    ('critical_findings', '=', None)]):
            if result.before:
                break
        login = result.request.doctor.party.internal_user.login
    with world.session('radiologist') as config:
        result = Model.get('gnuhealth.imaging.test.result', config)(result.id)
        result.comment = f"Pleural effusion: {OPEN}."
        result.impression = "Tension pneumothorax, right."
        result.save()
    return result.id, login


@pytest.fixture
def radiologist(person, report):
    "The radiologist with the form."
    radiologist = person('radiologist')
    radiologist.open(f'model/gnuhealth.imaging.test.result/{report[0]}')
    return radiologist


def test_the_sections_are_seen_at_once(radiologist, say):
    direction = radiologist.page.locator('html').get_attribute('dir')
    boxes = [radiologist.field(say(s)).bounding_box() for s in SECTIONS]
    tops = [box['y'] for box in boxes]
    assert tops == sorted(tops)
    assert boxes[-1]['y'] + boxes[-1]['height'] < SIZE['height']
    label = radiologist.place.get_by_text(
        say("Impression") + ":", exact=True).first.bounding_box()
    assert (label['x'] > boxes[-1]['x']) == (direction == 'rtl')
    buttons = radiologist.place.get_by_role(
        'button', name=say("Sign"), exact=True).first.bounding_box()
    assert buttons['y'] < tops[0]
    radiologist.shoot(f'report-{direction or "ltr"}')
    radiologist.page.set_viewport_size(LARGE)
    radiologist.settle()
    radiologist.page.screenshot(
        path=radiologist.shots / f'radiologist-report-{direction}-large.png')


def test_a_former_exam_is_quoted(radiologist, say):
    row = radiologist.place.locator('tbody > tr:visible').filter(
        has=radiologist.page.get_by_role(
            'button', name=say("Quote"), exact=True)).first
    row.locator('td:visible').first.click()
    radiologist.settle()
    row.get_by_role('button', name=say("Quote"), exact=True).click()
    radiologist.settle()
    expect(radiologist.field(say("Comparison"))).to_have_value(
        re.compile(r"^Compared with .*\d{4}-\d{2}-\d{2}"))
    radiologist.tool('save')


def test_what_is_left_to_pick_stops_the_signature(radiologist, say):
    radiologist.press(say("Sign"))
    radiologist.see(f"Pleural effusion: {OPEN}")
    radiologist.press("OK")
    radiologist.press(say("Pick"))
    radiologist.shoot(f'pick-{say("Pick")}')


def test_a_critical_finding_is_acknowledged(radiologist, say, person, report):
    radiologist.press(say("Critical"))
    radiologist.write("Tension pneumothorax.")
    radiologist.shoot(f'critical-{say("Critical")}')
    radiologist.press(say("Tell"))
    radiologist.page_of(say("Critical Findings"))
    radiologist.shoot('critical-told')
    doctor = person(report[1])
    doctor.menu(*IMAGING, "Dashboard")
    doctor.shoot('critical-dashboard')
    doctor.open_row("Tension pneumothorax.")
    expect(doctor.page.locator('.modal.in')).to_be_visible(timeout=PATIENCE)
    doctor.press("Acknowledge")
    expect(doctor.field("State")).to_have_value('"acknowledged"')
    doctor.shoot('critical-acknowledged')


def test_the_report_is_signed(radiologist, say):
    radiologist.fill(say("Findings"), "Pleural effusion: small.")
    with radiologist.confirming():
        radiologist.place.get_by_role(
            'button', name=say("Sign"), exact=True).click()
    expect(radiologist.field(say("State"))).to_have_value(
        '"final"', timeout=PATIENCE)
