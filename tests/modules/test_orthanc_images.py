# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people do with images, through the web application and with a real
PACS that is hindered in every way."""
import datetime as dt
import io
import time

import pytest
from PIL import Image
from support import catalogs
from support.fault_server import (
    answer, delay, drip, drop, endless, garbage, hang, html, redirect, status,
    truncate)
from support.hospitals import with_pacs
from support.images import (
    INSTANCE, PREVIEW, SERIES, STUDY, Preview, context_of, ct_series, variant)
from support.records import RpcError, make_patient, make_picture

from trytond.modules.health_orthanc import gallery, password, preview, tables
from trytond.modules.health_orthanc.links.access_log import note
from trytond.pool import Pool

hospital = with_pacs


@pytest.fixture(autouse=True)
def calm(hospital):
    "No faults, and nothing remembered."
    hospital.faults.clear()
    gallery.cache.clear()


def picture(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def attachments(hospital, study):
    "Return name, caption and content of the pictures in the report."
    with hospital.transaction():
        pool = Pool()
        result = pool.get(STUDY)(study).imaging_test
        Attachment = pool.get('ir.attachment')
        found = Attachment.search(
            [('resource', '=', str(result))], order=[('id', 'ASC')])
        return [(a.name, a.description, bytes(a.data)) for a in found]


def show(hospital, login, model, id_, *steps):
    "Return the values that the preview shows last."
    person = Preview(hospital, login, model, id_)
    for button, changes in steps:
        person.click(button, **changes)
    return person.values


def test_preview_of_a_ct_without_window_is_not_black(hospital):
    study = hospital.store(*ct_series(3))
    values = show(hospital, 'radiologist', STUDY, study)
    assert (values['window_center'], values['window_width']) == (40, 400)
    low, high = picture(values['picture']).convert('L').getextrema()
    assert high - low > 100
    assert values['position'] == "Image 1 of 3"


def test_preview_takes_the_window_of_the_file(hospital):
    study = hospital.store(variant('MR_small.dcm'))
    values = show(hospital, 'radiologist', STUDY, study)
    assert (values['window_center'], values['window_width']) == (600, 1600)


def test_preview_with_a_chosen_window(hospital):
    study = hospital.store(*ct_series(2))
    series, = hospital.series(study)
    wide = {'window_center': 0, 'window_width': 4000}
    first = show(hospital, 'radiologist', SERIES, series)
    values = show(hospital, 'radiologist', SERIES, series, ('again', wide))
    assert values['picture'] != first['picture']
    assert values['window_width'] == 4000
    # It stays while one goes on in the series.
    values = show(hospital, 'radiologist', SERIES, series,
        ('again', wide), ('next_', {}))
    assert values['position'] == "Image 2 of 2"
    assert values['window_width'] == 4000
    values = show(hospital, 'radiologist', SERIES, series,
        ('again', wide), ('again', {'window_center': None}))
    assert values['window_width'] == 400


def test_the_window_of_a_file_is_not_that_of_the_next(hospital):
    study = hospital.store(
        variant('MR_small.dcm', '1.2.3.11', '1.2.3.11.1', PatientID='W',
            InstanceNumber=1),
        variant('MR_small.dcm', '1.2.3.11', '1.2.3.11.1', PatientID='W',
            InstanceNumber=2, WindowCenter=300))
    values = show(hospital, 'radiologist', STUDY, study, ('next_', {}))
    assert values['window_center'] == 300


def test_preview_goes_through_images_and_series(hospital):
    study = hospital.store(
        *ct_series(2, '1.2.3.12', PatientID='G', SeriesNumber=2),
        *ct_series(1, '1.2.3.12', PatientID='G', SeriesNumber=10))
    one, ten = hospital.series(study)
    seen = []
    for steps in range(5):
        values = show(hospital, 'radiologist', STUDY, study,
            *[('next_', {})] * steps)
        seen.append((values['series'], values['position']))
    assert seen == [
        (one, "Image 1 of 2"), (one, "Image 2 of 2"), (ten, "Image 1 of 1"),
        (ten, "Image 1 of 1"), (ten, "Image 1 of 1")]
    assert "no more images" in values['message']
    assert values['picture']
    back = show(hospital, 'radiologist', STUDY, study,
        ('next_', {}), ('next_', {}), ('previous', {}), ('previous', {}))
    assert (back['series'], back['position']) == seen[0]
    assert not back['message']


def test_preview_offers_the_next_image_and_the_viewer(hospital, monkeypatch):
    """The ids of a series are listed once for all steps, and the viewer opens
    while the preview stays."""
    study = hospital.store(*ct_series(3, SeriesDescription="CT Thorax"))
    series, = hospital.series(study)
    listed = []
    assert hospital.read(SERIES, series, 'rec_name')['rec_name'] == (
        "1 CT Thorax")
    hospital.write_server(viewers=[])
    monkeypatch.setattr(preview.SeriesPreview, 'instances_in_order',
        lambda self, limit=None, list_=(
            preview.SeriesPreview.instances_in_order):
            listed.append(limit) or list_(self, limit))
    person = Preview(hospital, 'radiologist', STUDY, study)
    assert not person.values['has_viewer']
    listed.clear()
    person.click('next_')
    assert not listed
    assert person.values['position'] == "Image 2 of 3"
    with pytest.raises(RpcError, match="No viewer"):
        person.execute('viewer')
    hospital.write_server(viewers=['stone'])
    person.click('again')
    assert person.values['has_viewer']
    (action, _), = person.execute('viewer')['actions']
    assert '/stone-webviewer/' in action['url']
    assert person.values['position'] == "Image 2 of 3"
    assert hospital.log(study=study, action='viewer')
    hospital.write_server(viewers=['explorer'])


def test_preview_of_frames(hospital):
    study = hospital.store(variant('SC_rgb_rle_2frame.dcm'))
    instance, = hospital.instances(study)
    first = show(hospital, 'radiologist', INSTANCE, instance)
    assert (first['frame'], first['number_of_frames']) == (1, 2)
    second = show(hospital, 'radiologist', INSTANCE, instance, ('next_', {}))
    assert second['frame'] == 2
    assert second['picture'] != first['picture']
    chosen = show(
        hospital, 'radiologist', INSTANCE, instance, ('again', {'frame': 2}))
    assert chosen['picture'] == second['picture']
    for wrong, right in [(0, 1), (-5, 1), (99, 2)]:
        values = show(hospital, 'radiologist', INSTANCE, instance,
            ('again', {'frame': wrong}))
        assert values['frame'] == right
    end = show(hospital, 'radiologist', INSTANCE, instance,
        ('next_', {}), ('next_', {}))
    assert end['frame'] == 2
    assert "no more images" in end['message']


@pytest.mark.parametrize('name, words', [
        ('test-SR.dcm', "structured report"),
        ('rtplan.dcm', "plan"),
        ('rtstruct.dcm', "plan"),
        ('waveform_ecg.dcm', "signals"),
        ('JPEG2000.dcm', "cannot decode"),
        ('693_J2KI.dcm', "cannot decode"),
        # Its palette has 16 bits.
        ('OT-PAL-8-face.dcm', "cannot decode"),
        ])
def test_there_is_a_sentence_where_there_is_no_picture(
        hospital, name, words):
    study = hospital.store(variant(name))
    values = show(hospital, 'radiologist', STUDY, study)
    if words == "cannot decode" and (
            'gdcm' in hospital.orthanc.rest('GET', '/plugins')):
        assert values['has_picture'] and not values['message']
        return
    assert words in values['message']
    assert not values['has_picture']
    assert not values.get('picture')
    instance, = hospital.instances(study)
    row, = hospital.rpc('radiologist')(
        f'model.{INSTANCE}.read', [instance], ['image', 'no_image'])
    assert row['image'] is None
    assert words in row['no_image']


def test_preview_of_a_document_stored_as_pdf(hospital):
    study = hospital.store(variant('CT_small.dcm'))
    with hospital.client() as client:
        uid = hospital.read(STUDY, study, 'orthanc_UID')['orthanc_UID']
        client.store_pdf(
            uid, b'%PDF-1.4\n', {'Modality': 'DOC', 'SeriesNumber': '1'})
    hospital.sync()
    # The picture comes first, whatever the numbers say.
    values = show(hospital, 'radiologist', STUDY, study)
    assert values['has_picture']
    document, = hospital.ids(
        SERIES, [('study', '=', study), ('modality', '=', 'DOC')])
    values = show(hospital, 'radiologist', SERIES, document)
    assert "document" in values['message']


@pytest.mark.parametrize('name', [
        'examples_rgb_color.dcm', 'examples_palette.dcm', 'JPEG-LL.dcm',
        'JPEG-lossy.dcm', 'MR_small_RLE.dcm', 'RG1_UNCR.dcm', 'RG3_UNCI.dcm',
        'US1_UNCI.dcm', 'emri_small.dcm', 'liver_1frame.dcm',
        'color3d_jpeg_baseline.dcm', 'mlut_18.dcm', 'vlut_04.dcm',
        'eCT_Supplemental.dcm', 'SC_rgb_small_odd.dcm',
        'MR-SIEMENS-DICOM-WithOverlays.dcm',
        ])
def test_preview_of_real_files(hospital, name):
    study = hospital.store(variant(name))
    values = show(hospital, 'radiologist', STUDY, study)
    assert not values['message']
    image = picture(values['picture'])
    assert max(image.size) <= 1024
    low, high = image.convert('L').getextrema()
    assert high - low > 20


def test_a_person_without_rights_sees_nothing(hospital):
    study = hospital.store(variant('CT_small.dcm'))
    instance, = hospital.instances(study)
    desk = hospital.rpc('desk')
    for model, id_ in [(STUDY, study), (INSTANCE, instance)]:
        with pytest.raises(RpcError):
            show(hospital, 'desk', model, id_)
    with pytest.raises(RpcError):
        show(hospital, 'desk', 'res.user', hospital.users['desk'])
    with pytest.raises(RpcError):
        desk(f'model.{INSTANCE}.read', [instance], ['image'])
    # A session of a person who may is no way around, nor are the buttons.
    rpc = hospital.rpc('radiologist')
    session, *_ = rpc(f'wizard.{PREVIEW}.create',
        **context_of(STUDY, study))
    with pytest.raises(RpcError):
        desk(f'wizard.{PREVIEW}.execute', session,
            {'show': {'instance': instance}}, 'viewer')
    for button in ['again', 'next_', 'previous', 'attach']:
        with pytest.raises(RpcError, match="members of"):
            desk(f'model.{PREVIEW}.show.{button}',
                {'session': session, 'instance': instance})
    assert not hospital.faults.count('preview|rendered')


def test_preview_needs_something_to_show(hospital):
    rpc = hospital.rpc('radiologist')
    for context in [{}, context_of('gnuhealth.patient', 1)]:
        with pytest.raises(RpcError):
            rpc.run_wizard(PREVIEW, [('open_', {})], **context)
    with pytest.raises(RpcError) as error:
        rpc.run_wizard(PREVIEW, [('show', {})])
    assert "Select" in error.value.message


# The server does harm

def silent():
    return [hang(), drop(), status(503), html(), drip(0.5), endless(),
        redirect('http://127.0.0.1:9/'), truncate(0.5), garbage()]


@pytest.mark.parametrize('fault', silent(), ids=lambda f: f.__qualname__)
def test_preview_from_a_server_that_does_harm(hospital, fault):
    study = hospital.store(*ct_series(1))
    hospital.faults.on('/instances/', fault)
    start = time.monotonic()
    values = show(hospital, 'radiologist', STUDY, study)
    assert time.monotonic() - start < 12
    assert "PACS" in values['message']
    assert not values['has_picture']
    assert not hospital.log(study=study)
    hospital.faults.clear()
    assert show(hospital, 'radiologist', STUDY, study)['has_picture']


def test_preview_from_a_server_that_is_down(hospital):
    study = hospital.store(*ct_series(1))
    with hospital.faults.refusing():
        values = show(hospital, 'radiologist', STUDY, study)
    assert "Nothing answers" in values['message']


def test_preview_of_what_the_server_lost(hospital):
    study = hospital.store(*ct_series(1))
    with hospital.client() as client:
        client.delete(
            'studies', hospital.read(STUDY, study, 'orthanc_UID')[
                'orthanc_UID'])
    values = show(hospital, 'radiologist', STUDY, study)
    assert "does not have this any more" in values['message']
    assert '\n' not in values['message']


def test_preview_of_what_a_wiped_server_lost(hospital):
    study = hospital.store(*ct_series(1))
    with hospital.client() as client:
        for id_ in list(client.ids('studies')):
            client.delete('studies', id_)
    assert hospital.sync(full=True) == 'done'
    values = show(hospital, 'radiologist', STUDY, study)
    lost, why = values['message'].split('\n')
    assert "does not have this any more" in lost
    assert "Check the storage of the server." in why


@pytest.mark.parametrize('body', [
        b'', b'<html>Login</html>', b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR',
        b'GIF89a' + bytes(100), b'%PDF-1.4',
        make_picture(kind='PNG')[:-20] + bytes(8) + b'IEND\xaeB`\x82',
        make_picture(kind='BMP'),
        ])
def test_only_a_real_picture_is_shown_or_stored(hospital, body):
    study = hospital.store(*ct_series(1))
    hospital.link(study)
    instance, = hospital.instances(study)
    hospital.faults.on(
        '/frames/', answer(body, headers={'Content-Type': 'image/png'}))
    values = show(hospital, 'radiologist', STUDY, study)
    assert not values['has_picture']
    assert values['message']
    with pytest.raises(RpcError):
        hospital.rpc('radiologist')(
            f'model.{INSTANCE}.attach_image_to_imaging_test_report',
            [instance])
    assert not attachments(hospital, study)


def test_a_picture_of_more_than_20_mib_is_refused(hospital):
    study = hospital.store(*ct_series(1))
    hospital.faults.on('/frames/', endless(
            b'\x89PNG\r\n\x1a\n', bytes(2 ** 16)))
    values = show(hospital, 'radiologist', STUDY, study)
    assert "too large" in values['message']


def test_preview_of_what_has_no_id_of_orthanc(hospital):
    study = hospital.store(*ct_series(1))
    instances = hospital.instances(study)
    with hospital.transaction():
        tables.set_values(Pool().get(INSTANCE), instances, orthanc_UID='../x')
    values = show(hospital, 'radiologist', STUDY, study)
    assert "does not have this any more" in values['message']
    assert not any(thumbnails(hospital, instances).values())


def test_no_attributes_are_no_hindrance(hospital):
    study = hospital.store(*ct_series(1))
    hospital.faults.on('/simplified-tags', status(500))
    values = show(hospital, 'radiologist', STUDY, study)
    assert values['has_picture']
    assert values['window_width'] == 400


def test_the_same_picture_is_fetched_once(hospital):
    study = hospital.store(*ct_series(1))
    show(hospital, 'radiologist', STUDY, study)
    calls = len(hospital.faults.calls)
    assert show(hospital, 'radiologist', STUDY, study)['has_picture']
    assert len(hospital.faults.calls) == calls


# Thumbnails

def thumbnails(hospital, instances):
    rows = hospital.rpc('radiologist')(
        f'model.{INSTANCE}.read', instances, ['thumbnail'])
    return {row['id']: row['thumbnail'] for row in rows}


def test_thumbnails_are_small(hospital):
    study = hospital.store(
        *ct_series(3), variant('JPEG-lossy.dcm', PatientID='B'))
    found = thumbnails(hospital, hospital.instances(study))
    assert len(found) == 3
    for data in found.values():
        assert max(picture(data).size) <= 96
    large = hospital.store(variant('RG1_UNCR.dcm'))
    data, = thumbnails(hospital, hospital.instances(large)).values()
    assert max(picture(data).size) <= 96
    assert len(data) < 30000


def test_thumbnails_are_bounded_in_number(hospital, monkeypatch):
    monkeypatch.setattr(preview, 'MAX_THUMBNAILS', 2)
    study = hospital.store(*ct_series(4))
    found = thumbnails(hospital, hospital.instances(study))
    assert [bool(data) for data in found.values()] == [
        True, True, False, False]


def test_a_hanging_server_is_asked_for_one_thumbnail(hospital):
    study = hospital.store(*ct_series(4))
    hospital.faults.on('/instances/', hang())
    start = time.monotonic()
    found = thumbnails(hospital, hospital.instances(study))
    assert not any(found.values())
    assert hospital.faults.count('/instances/') == 1
    # The client asks again for the next rows.
    thumbnails(hospital, hospital.instances(study))
    assert hospital.faults.count('/instances/') == 1
    assert time.monotonic() - start < 5
    # Who wants to see one picture is not told of the past.
    hospital.faults.clear()
    assert show(hospital, 'radiologist', STUDY, study)['has_picture']


def test_thumbnails_are_bounded_in_time(hospital, monkeypatch):
    monkeypatch.setattr(preview, 'THUMBNAIL_SECONDS', 1)
    study = hospital.store(*ct_series(8))
    hospital.faults.on('/frames/', delay(0.3))
    start = time.monotonic()
    found = thumbnails(hospital, hospital.instances(study))
    assert time.monotonic() - start < 2.5
    assert 1 <= sum(map(bool, found.values())) < 8


def test_what_has_no_picture_has_no_thumbnail(hospital):
    study = hospital.store(variant('test-SR.dcm'))
    assert not any(thumbnails(hospital, hospital.instances(study)).values())
    assert not hospital.faults.count('/instances/')
    assert not hospital.log(study=study)


# The access log

def test_views_leave_a_line(hospital):
    study = hospital.store(*ct_series(2))
    result = hospital.link(study)
    show(hospital, 'radiologist', STUDY, study, ('next_', {}))
    # One line for the study, not one for each image.
    first, = hospital.log(study=study, action='view')
    assert first['user'] == hospital.users['radiologist']
    assert first['details'].endswith("image 1")
    assert first['patient'] == hospital.read(
        'gnuhealth.imaging.test.result', result, 'patient')['patient']
    assert 'Betz' in first['patient_text']


def test_reading_a_picture_leaves_a_line(hospital):
    study = hospital.store(*ct_series(2))
    instances = hospital.instances(study)
    rpc = hospital.rpc('radiologist')
    rpc(f'model.{INSTANCE}.read', instances[:1], ['image'])
    assert len(hospital.log(study=study, action='view')) == 1


@pytest.mark.parametrize('way, details', [
        (lambda rpc, ids: rpc(f'model.{INSTANCE}.read', ids[:1], ['image']),
            "image 1"),
        (lambda rpc, ids: rpc(f'model.{INSTANCE}.read', ids, ['thumbnail']),
            "2 images"),
        (lambda rpc, ids: rpc(
                f'model.{INSTANCE}.export_data', ids[:1], ['image']),
            "image 1"),
        (lambda rpc, ids: rpc(
                f'model.{INSTANCE}.read', ids[:1], ['rec_name', 'no_image']),
            None),
        ])
def test_each_way_to_a_picture_leaves_a_line(hospital, way, details):
    study = hospital.store(*ct_series(2))
    way(hospital.rpc('radiologist'), hospital.instances(study))
    lines = hospital.log(study=study, action='view')
    assert len(lines) == bool(details)
    assert not lines or lines[0]['details'].endswith(details)


@pytest.mark.parametrize('login', ['keeper', 'health_admin', 'radiologist'])
def test_nobody_edits_the_log(hospital, login):
    study = hospital.store(*ct_series(1))
    show(hospital, 'radiologist', STUDY, study)
    line, = hospital.log(study=study)
    rpc = hospital.rpc(login)
    name = 'model.gnuhealth.orthanc.access_log'
    if login == 'radiologist':
        with pytest.raises(RpcError):
            rpc(f'{name}.read', [line['id']], ['action'])
    else:
        assert rpc(f'{name}.read', [line['id']], ['action'])
    for method, arguments in [
            ('create', [[{'action': 'view', 'user': 1}]]),
            ('write', [[line['id']], {'details': "x"}]),
            ('delete', [[line['id']]]),
            ('copy', [[line['id']]]),
            ('import_data', [['details'], [["x"]]]),
            ]:
        with pytest.raises(RpcError):
            rpc(f'{name}.{method}', *arguments)
    assert hospital.log(study=study) == [line]


# Into the report

def add(hospital, instance, login='radiologist'):
    hospital.rpc(login)(
        f'model.{INSTANCE}.attach_image_to_imaging_test_report', [instance])


def test_a_picture_is_added_once_with_its_caption(hospital):
    study = hospital.store(
        *ct_series(2, SeriesDescription="Thorax 5 mm"))
    hospital.link(study)
    _, instance = hospital.instances(study)
    add(hospital, instance)
    add(hospital, instance)
    (name, caption, data), = attachments(hospital, study)
    assert caption == "Thorax 5 mm, image 2"
    assert picture(data).size == (128, 128)
    uid = hospital.read(INSTANCE, instance, 'sop_instance_UID')[
        'sop_instance_UID']
    assert name == f'{uid}.png'
    rows = hospital.rpc('radiologist')(
        f'model.{INSTANCE}.read', hospital.instances(study), ['in_report'])
    assert {row['id']: row['in_report'] for row in rows} == {
        instance: True, hospital.instances(study)[0]: False}


@pytest.mark.parametrize('number, language, caption', [
        (7, 'en', "Series 7, image 3"), (None, 'en', "CT, image 3"),
        (7, 'de', "Serie 7, Bild 3")])
def test_a_series_without_description_is_called_by_its_number(
        hospital, number, language, caption):
    study = hospital.store(variant(
            'CT_small.dcm', SeriesDescription=None, SeriesNumber=number,
            InstanceNumber=3))
    hospital.link(study)
    if language != 'en':
        with hospital.transaction():
            catalogs.install(language)
    hospital.rpc('radiologist')(
        f'model.{INSTANCE}.attach_image_to_imaging_test_report',
        hospital.instances(study), language=language)
    assert attachments(hospital, study)[0][1] == caption


def test_the_caption_of_a_person_stays(hospital):
    """Also when the study is read again, or the report is amended; only what
    has none gets one."""
    study = hospital.store(*ct_series(2, SeriesDescription="Thorax"))
    result = hospital.link(study)
    first, second = hospital.instances(study)
    rpc = hospital.rpc('radiologist')

    def captions():
        "Of the pictures, before the report that was kept when amended."
        found = attachments(hospital, study)[:2]
        return [caption for _, caption, _ in found]

    add(hospital, first)
    add(hospital, second)
    with hospital.transaction():
        Attachment = Pool().get('ir.attachment')
        picture, other = [a.id for a in Attachment.search([
                    ('resource', '=', f'gnuhealth.imaging.test.result,{result}'
                        )], order=[('id', 'ASC')])]
    rpc('model.ir.attachment.write', [picture], {'description': "Fracture"})
    rpc('model.ir.attachment.write', [other], {'description': None})
    assert hospital.sync(full=True) == 'done'
    for instance in [first, second]:
        add(hospital, instance)
    assert captions() == ["Fracture", "Thorax, image 2"]
    hospital.sign(result)
    with hospital.transaction('radiologist'):
        Result = Pool().get('gnuhealth.imaging.test.result')
        Result.reopen([Result(result)], "Wrong side")
    show(hospital, 'radiologist', INSTANCE, first, ('attach', {}))
    assert captions() == ["Fracture", "Thorax, image 2"]


def test_the_shown_frame_and_window_are_added(hospital):
    study = hospital.store(variant('emri_small.dcm'))
    hospital.link(study)
    instance, = hospital.instances(study)
    window = {'window_center': 300, 'window_width': 100}
    steps = [('next_', {}), ('next_', {}), ('again', window)]
    shown = show(hospital, 'radiologist', INSTANCE, instance, *steps)
    added = show(
        hospital, 'radiologist', INSTANCE, instance, *steps, ('attach', {}))
    assert "was added" in added['message']
    assert added['picture'] == shown['picture']
    (name, caption, data), = attachments(hospital, study)
    assert name.endswith('-3.png')
    assert 'frame 3' in caption
    assert picture(data).tobytes() == picture(shown['picture']).tobytes()
    # The same frame with another window takes its place, another one not.
    show(hospital, 'radiologist', INSTANCE, instance,
        ('next_', {}), ('next_', {}), ('attach', {}))
    (_, _, other), = attachments(hospital, study)
    assert other != data
    show(hospital, 'radiologist', INSTANCE, instance, ('attach', {}))
    assert len(attachments(hospital, study)) == 2


def test_without_a_result_it_says_so(hospital):
    study = hospital.store(*ct_series(1))
    instance, = hospital.instances(study)
    with pytest.raises(RpcError) as error:
        add(hospital, instance)
    assert "is not linked to a result" in error.value.message
    with pytest.raises(RpcError) as error:
        show(hospital, 'radiologist', INSTANCE, instance, ('attach', {}))
    assert "is not linked to a result" in error.value.message
    assert hospital.faults.count('/frames/') == 1


def test_a_final_result_takes_no_picture(hospital):
    study = hospital.store(*ct_series(1))
    hospital.link(study, final=True)
    instance, = hospital.instances(study)
    with pytest.raises(RpcError) as error:
        add(hospital, instance)
    assert "amend it first" in error.value.message
    assert not attachments(hospital, study)


@pytest.mark.parametrize('fault', [
        hang(), drop(), status(404), status(500), html(), truncate(0.5),
        drip(0.5)], ids=lambda f: f.__qualname__)
def test_a_server_that_does_harm_adds_nothing(hospital, fault):
    study = hospital.store(*ct_series(1))
    hospital.link(study)
    instance, = hospital.instances(study)
    hospital.faults.on('/frames/', fault)
    start = time.monotonic()
    with pytest.raises(RpcError) as error:
        add(hospital, instance)
    assert time.monotonic() - start < 12
    assert error.value.kind == 'UserError'
    assert not attachments(hospital, study)


@pytest.mark.parametrize('final', [False, True])
def test_pictures_leave_the_draft_of_the_wrong_patient(hospital, final):
    study = hospital.store(*ct_series(2))
    result = hospital.link(study)
    for instance in hospital.instances(study):
        add(hospital, instance)
    if final:
        hospital.sign(result)
    with hospital.transaction():
        pool = Pool()
        Study, Attachment = pool.get(STUDY), pool.get('ir.attachment')
        resource = f'gnuhealth.imaging.test.result,{result}'
        Attachment.create([{
                    'name': "1.2.3.png", 'data': b'x', 'resource': resource,
                    }] if not final else [])
        Study.write([Study(study)], {'patient': make_patient("Eva").id})
        left = Attachment.search([('resource', '=', resource)])
        assert len(left) == (2 if final else 1)
        assert not Study(study).imaging_test


def test_what_has_no_picture_is_not_added(hospital):
    study = hospital.store(variant('test-SR.dcm'))
    hospital.link(study)
    with pytest.raises(RpcError) as error:
        add(hospital, *hospital.instances(study))
    assert "structured report" in error.value.message
    assert not attachments(hospital, study)


def test_who_may_not_write_results_adds_nothing(hospital):
    study = hospital.store(*ct_series(1))
    hospital.link(study)
    instance, = hospital.instances(study)
    for login in ['desk', 'keeper']:
        with pytest.raises(RpcError):
            add(hospital, instance, login)
    assert not attachments(hospital, study)


# Viewers

def test_links_lead_to_the_viewers_that_the_server_has(hospital):
    study = hospital.store(*ct_series(1))
    series, = hospital.series(study)
    names = ['orthanc_explorer_link', 'orthanc_explorer2_link',
        'ohif_viewer_link', 'stone_viewer_link']
    rpc = hospital.rpc('radiologist')
    found, = rpc(f'model.{STUDY}.read', [study], names)
    uid = hospital.read(STUDY, study, 'orthanc_UID')['orthanc_UID']
    assert found['orthanc_explorer_link'] == (
        f'{hospital.faults.url}/app/explorer.html#study?uuid={uid}')
    assert not any(found[name] for name in names[1:])
    with hospital.transaction():
        Server = Pool().get('gnuhealth.orthanc.config')
        server = Server(hospital.server)
        Server.write([server], {
                'viewers': ['explorer2', 'ohif', 'stone'],
                'proxy_domain': 'https://pacs.example/orthanc'})
    found, = rpc(f'model.{SERIES}.read', [series], names)
    assert not found['orthanc_explorer_link']
    for name in names[1:]:
        assert found[name].startswith('https://pacs.example/orthanc/')
    # The web server before Orthanc has another one.
    hospital.write_server(viewers=['explorer'], other_viewers=['ohif'])
    found, = rpc(f'model.{STUDY}.read', [study], names)
    assert [name for name in names if found[name]] == [
        'orthanc_explorer_link', 'ohif_viewer_link']
    action = rpc(f'model.{STUDY}.open_viewer', [study])
    assert action['type'] == 'ir.action.url'
    assert action['url'] == found['ohif_viewer_link']
    hospital.write_server(viewers=['ohif', 'stone'], other_viewers=[])
    other = hospital.store(variant(
            'CT_small.dcm', hospital.read(
                STUDY, study, 'study_instance_UID')['study_instance_UID']))
    for model, id_ in [(STUDY, study), (STUDY, other), (SERIES, series)]:
        found, = rpc(f'model.{model}.read', [id_], names)
        assert not any(found[name] for name in names)
    with hospital.transaction():
        Study = Pool().get(STUDY)
        Study.write([Study(study)], {'missing_since': dt.datetime.now()})
    for model, id_ in [(STUDY, study), (SERIES, series)]:
        found, = rpc(f'model.{model}.read', [id_], names)
        assert not any(found[name] for name in names)
        with pytest.raises(RpcError, match="No viewer"):
            rpc(f'model.{model}.open_viewer', [id_])


def test_a_line_of_nobody(hospital):
    study = hospital.store(*ct_series(1))
    with hospital.transaction() as transaction, transaction.set_user(0):
        note('report', [Pool().get(STUDY)(study)], "By the schedule")
    line, = hospital.log(study=study)
    assert (line['user'], line['details']) == (0, "By the schedule")
    with hospital.transaction():
        Log = Pool().get('gnuhealth.orthanc.access_log')
        assert Log(line['id']).rec_name
    rows = hospital.rpc('keeper')(
        'model.gnuhealth.orthanc.access_log.read', [line['id']],
        ['user.rec_name', 'rec_name'])
    assert rows


def test_a_preview_whose_password_cannot_be_read(hospital, monkeypatch):
    study = hospital.store(*ct_series(1))
    monkeypatch.setattr(
        'trytond.modules.health_orthanc.password.unseal', unreadable)
    instances = hospital.instances(study)
    row, = hospital.rpc('radiologist')(
        f'model.{INSTANCE}.read', instances,
        ['image', 'no_image', 'thumbnail'])
    assert "fernet_key" in row['no_image']
    assert row['image'] is row['thumbnail'] is None


def unreadable(stored):
    raise password.SecretError('no_key')
