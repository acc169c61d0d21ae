# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OHIF behind Debian's nginx: a doctor without an account of Orthanc sees the
pixels of what was opened, and of nothing else."""
import io

import pytest
import seed
from PIL import Image
from run import cache_folder
from sao import PATIENCE
from support.gateway import GuardedHospital
from support.images import STUDY, context_of


@pytest.fixture(scope='module')
def hospital(world, viewer, tmp_path_factory):
    hospital = GuardedHospital(
        tmp_path_factory.mktemp('nginx'), world.server, world.orthanc,
        cache_folder())
    hospital.open()
    yield hospital
    hospital.gateway.kill()


class Ohif:
    """A browser with OHIF.

    :ivar refused: what was asked and not given, by status
    """

    def __init__(self, browser, shots):
        self.shots = shots
        self.refused = []
        self.context = browser.new_context(
            viewport={'width': 1366, 'height': 768})
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.page.on('response', self._note)

    def _note(self, response):
        if response.status >= 400:
            self.refused.append((response.status, response.url))

    def shows(self, url, name, count=1):
        "Open an address, and wait until so many images have pixels."
        self.page.goto(url)
        images = self.page.locator('canvas.cornerstone-canvas')
        for number in range(count):
            images.nth(number).wait_for(timeout=PATIENCE)
            self._wait_for_pixels(images.nth(number))
        self.page.screenshot(path=self.shots / f'viewer-{name}.png')

    def _wait_for_pixels(self, image):
        for _ in range(120):
            picture = Image.open(io.BytesIO(image.screenshot())).convert('L')
            shades = len(picture.getcolors(256) or range(256))
            if shades > 50:
                return
            self.page.wait_for_timeout(500)
        raise AssertionError(f"{shades} shades of grey")

    def fetch(self, path):
        "Return the status of what the page asks for itself."
        return self.page.evaluate(
            'path => fetch(path).then(answer => answer.status)', path)


@pytest.fixture
def ohif(browser, shots):
    ohif = Ohif(browser, shots)
    yield ohif
    ohif.context.close()


def test_pixels_of_what_was_opened(hospital, ohif):
    mine, former, other = hospital.uids
    doctor = hospital.user('radiologist')
    ohif.shows(hospital.ticket(doctor), 'one')
    assert hospital.gateway.url in ohif.page.url and mine in ohif.page.url
    for uid, status in [(mine, 200), (former, 403), (other, 403)]:
        assert ohif.fetch(f'/dicom-web/studies/{uid}/metadata') == status
    ohif.refused.clear()
    # Another one is opened beside it, and both can be seen.
    ohif.shows(hospital.ticket(doctor, 2), 'two')
    assert ohif.fetch(f'/dicom-web/studies/{mine}/metadata') == 200
    assert not ohif.refused
    # It is not the address that opens it.
    page = f'{hospital.gateway.url}/ohif/viewer?StudyInstanceUIDs='
    ohif.page.goto(page + former)
    for _ in range(240):
        if len(ohif.refused) > 1:
            break
        ohif.page.wait_for_timeout(500)
    assert {status for status, _ in ohif.refused} == {403}
    assert not ohif.page.locator('canvas.cornerstone-canvas').count()
    doctor._call('common.db.logout', [])
    answer = ohif.page.goto(page + mine)
    assert answer.status == 401
    assert "Open the images in GNU Health again" in ohif.page.content()


def compared(hospital, rpc):
    "Return the address that Compare opens in the form of a result."
    request, result, exam = [
        f'model.gnuhealth.imaging.{name}' for name in [
            'test.request', 'test.result', 'patient_exam']]
    study, former = [hospital.study(rpc, number) for number in [0, 1]]
    row, = rpc(f'model.{STUDY}.read', [study], ['patient'])
    values = {'patient': row['patient'], 'clinical_question': "Gallstones?"}
    for name, model, domain in [
            ('requested_test', 'gnuhealth.imaging.test',
                [('code', '=', seed.ULTRASOUND.code)]),
            ('doctor', 'gnuhealth.healthprofessional', [])]:
        values[name], *_ = rpc(f'model.{model}.search', domain, 0, 1, None)
    ids = rpc(f'{request}.create', [values])
    for button in ['requested', 'generate_results']:
        rpc(f'{request}.{button}', ids)
    ids = rpc(f'{result}.search', [('request', 'in', ids)], 0, None, None)
    rpc(f'model.{STUDY}.write', [study], {'imaging_test': ids[0]})
    exams = rpc(f'{exam}.search', [('study', '=', former)], 0, None, None)
    return rpc(f'{exam}.compare', exams, imaging_result=ids[0])['url']


def test_compare_shows_two(hospital, ohif):
    radiologist = hospital.user('admin')
    ohif.shows(compared(hospital, radiologist), 'compare', 2)
    for uid, status in zip(hospital.uids, [200, 200, 403]):
        assert ohif.fetch(f'/dicom-web/studies/{uid}/metadata') == status
    assert not [url for status, url in ohif.refused if status != 403]


def test_former_studies_in_the_list_of_ohif(hospital, ohif):
    radiologist = hospital.user('radiologist')
    (action, _), = radiologist.run_wizard(
        'gnuhealth.imaging_orthanc.open_viewer',
        [('open_', {'start': {'viewer': 'ohif', 'former': True}})],
        **context_of(STUDY, hospital.study(radiologist, 0)))['actions']
    ohif.shows(action['url'], 'former')
    assert ohif.fetch(
        f'/dicom-web/studies/{hospital.uids[1]}/metadata') == 200
    assert not ohif.refused
