# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web client in a language that runs from the right."""
import pytest
from playwright.sync_api import expect
from proteus import Model
from seed import xml_record


@pytest.fixture(scope='module')
def arabic(world):
    "Arabic, taken into use as the documentation says, by a radiologist."
    with world.session() as config:
        Language = Model.get('ir.lang', config)
        User = Model.get('res.user', config)
        language = Language(
            code='ar', name="العربية", direction='rtl', date='%d/%m/%Y')
        language.save()
        language.click('load_translations')
        user, = User.find([('login', '=', 'radiologist')])
        user.language = language
        user.save()
        return xml_record(
            config, 'health_imaging_worklist.worklist_template_ct_dump2dcm')


def begins_on_the_left(person, top):
    "Return whether a line of a template begins at the left edge of its text."
    text = person.place.locator('textarea[name=template]')
    text.click(position={'x': 8, 'y': top})
    before = text.evaluate(
        'area => area.value.slice(0, area.selectionStart)')
    return len(before.rpartition('\n')[2]) < 3


def test_windows_and_templates_from_the_right(person, arabic):
    radiologist = person('radiologist')
    radiologist.open('wizard/gnuhealth.patient.imaging.test.request')
    expect(radiologist.page.locator('html')).to_have_attribute('dir', 'rtl')
    expect(radiologist.place.get_by_role(
        'button', name="إرسال الأمر")).to_be_visible()
    radiologist.shoot('order-from-the-right')
    radiologist.open(
        f'model/gnuhealth.imaging_worklist.worklist_template/{arabic.id}')
    assert begins_on_the_left(radiologist, 12)
    radiologist.shoot('template-from-the-right')
