# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of what people do with images that need no database: windows,
kinds, pictures, containers and links."""
import io
import random
import struct
import threading
import zipfile

import pytest
from PIL import Image
from support.records import make_picture

from trytond.modules.health_orthanc import pictures, viewers
from trytond.modules.health_orthanc.archive import container
from trytond.modules.health_orthanc.archive.orthanc import BadAnswer

GREY = {
    'SamplesPerPixel': '1', 'PhotometricInterpretation': 'MONOCHROME2',
    'Rows': '512', 'Columns': '256', 'BitsStored': '12'}


@pytest.mark.parametrize('tags, modality, window', [
        ({'WindowCenter': '50', 'WindowWidth': '350'}, 'CT', (50, 350)),
        ({'WindowCenter': ' 50.5\\300', 'WindowWidth': '350\\2000 '}, 'CT',
            (50.5, 350)),
        ({}, 'CT', (40, 400)),
        ({}, 'MR', None),
        ({}, None, None),
        ({'WindowCenter': '50'}, 'CT', (40, 400)),
        ({'WindowCenter': '50', 'WindowWidth': '0'}, 'CT', (40, 400)),
        ({'WindowCenter': '50', 'WindowWidth': '-3'}, 'MR', None),
        ({'WindowCenter': 'x', 'WindowWidth': '1'}, 'MR', None),
        ({'WindowCenter': 'nan', 'WindowWidth': 'inf'}, 'MR', None),
        ({'WindowCenter': None, 'WindowWidth': ['1', '2']}, 'CT', (40, 400)),
        ({'BitsStored': '8'}, 'CT', None),
        ({'PhotometricInterpretation': 'RGB'}, 'CT', None),
        ({'PhotometricInterpretation': 'PALETTE COLOR',
            'WindowCenter': '50', 'WindowWidth': '350'}, 'CT', None),
        ({'SharedFunctionalGroupsSequence': [{'FrameVOILUTSequence': [
            {'WindowCenter': '1', 'WindowWidth': '2'}]}]}, 'MR', (1, 2)),
        ({'SharedFunctionalGroupsSequence': ['x'],
            'PerFrameFunctionalGroupsSequence': 'y'}, 'CT', (40, 400)),
        ])
def test_windows(tags, modality, window):
    assert pictures.about({**GREY, **tags}, modality).window == window


def test_the_window_of_a_frame():
    tags = {**GREY, 'PerFrameFunctionalGroupsSequence': [
            {'FrameVOILUTSequence': [
                {'WindowCenter': str(n), 'WindowWidth': '10'}]}
            for n in range(3)]}
    assert [pictures.about(tags, 'MR', n).window for n in range(4)] == [
        (0, 10), (1, 10), (2, 10), None]


@pytest.mark.parametrize('uid, kind', [
        ('1.2.840.10008.5.1.4.1.1.2', None),
        ('1.2.840.10008.5.1.4.1.1.77.1.1', None),
        ('1.2.840.10008.5.1.4.1.1.77.1.1.1', 'video'),
        ('1.2.840.10008.5.1.4.1.1.77.1.4.1', 'video'),
        ('1.2.840.10008.5.1.4.1.1.104.1', 'document'),
        ('1.2.840.10008.5.1.4.1.1.88.11', 'report'),
        ('1.2.840.10008.5.1.4.1.1.481.2', None),
        ('1.2.840.10008.5.1.4.1.1.481.5', 'plan'),
        ('1.2.840.10008.5.1.4.1.1.9.1.1', 'signal'),
        ('1.2.840.10008.5.1.4.1.1.90', None),
        ('1.2.840.10008.5.1.4.1.1.881', None),
        ('1.2.3', None), ('', None), (None, None), (['x'], None),
        ])
def test_kinds(uid, kind):
    assert pictures.kind_of({**GREY, 'SOPClassUID': uid}) == kind


def test_what_has_no_rows_has_no_pixels():
    assert pictures.kind_of({'SOPClassUID': '1.2.3'}) == 'no_pixels'
    # Nothing is known, so the server is asked.
    assert pictures.kind_of({}) is None
    assert pictures.about({}, 'CT') == pictures.About(window=(40, 400))


def test_a_picture_is_given_as_it_is():
    for kind in ['PNG', 'JPEG']:
        data = make_picture(kind=kind)
        assert pictures.check(data) == (data, f'image/{kind.lower()}')
        assert pictures.check(data, 120)[0] is data


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'P', '1', 'I;16'])
def test_a_large_picture_becomes_smaller(mode):
    content = io.BytesIO()
    Image.new(mode, (400, 100)).save(content, 'PNG')
    data, media_type = pictures.check(content.getvalue(), 96)
    assert media_type == 'image/png'
    assert Image.open(io.BytesIO(data)).size == (96, 24)


@pytest.mark.parametrize('data', [
        b'', b'x', make_picture(kind='BMP'), make_picture(kind='GIF'),
        make_picture()[:-30],
        make_picture()[:60] + bytes(40) + make_picture()[100:],
        make_picture(kind='JPEG')[:300],
        ])
def test_what_is_no_picture(data):
    with pytest.raises(BadAnswer):
        pictures.check(data)


def test_a_picture_of_too_many_pixels_is_not_unpacked():
    content = io.BytesIO()
    Image.new('1', (10000, 7000)).save(content, 'PNG')
    with pytest.raises(BadAnswer):
        pictures.check(content.getvalue())


def test_the_cache_keeps_no_more_than_its_bytes():
    cache = pictures.Cache(1000)
    for number in range(50):
        cache.picture(number, (bytes(100), 'image/png'))
    kept = [number for number in range(50) if cache.picture(number)]
    assert kept == list(range(40, 50))
    # What is larger than all is given and not kept.
    assert cache.picture('large', (bytes(2000), 'image/png'))
    assert not cache.picture('large')
    assert cache.picture(49)
    cache.clear()
    assert not cache.picture(49)


def test_the_cache_forgets_with_time():
    cache = pictures.Cache(1000, seconds=0, silence=0)
    cache.picture(1, (b'x', 'image/png'))
    cache.silent('server', BadAnswer)
    assert not cache.picture(1)
    assert not cache.silent('server')


def test_the_cache_serves_threads():
    cache, errors = pictures.Cache(5000), []

    def work():
        try:
            for _ in range(2000):
                key = random.randrange(100)
                cache.picture(key, (bytes(key * 10), 'image/png'))
                cache.picture(random.randrange(100))
        except Exception as error:
            errors.append(error)
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


# Containers

DICOM = bytes(128) + b'DICM' + bytes(400)


def parts(data, name='x'):
    return [
        (part.name, part.reason, part.file.read() if part.file else None)
        for part in container.parts(io.BytesIO(data), name)]


def packed(files, **options):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w', **options) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return content.getvalue()


@pytest.mark.parametrize('data, reason', [
        (DICOM, None),
        (b'MULT' + DICOM[4:], None),
        (b'\x08\0\x05\0' + bytes(200), None),
        (b'\0\x08\0\x05' + bytes(200), None),
        (b'\x02\0\x10\0UI\0\0' + bytes(200), None),
        (b'hello', 'not_dicom'),
        (b'\x1f\x8b' + bytes(200), 'archive'),
        (b'7z\xbc\xaf\x27\x1c' + bytes(200), 'archive'),
        (b'BZh9' + bytes(200), 'archive'),
        ])
def test_one_file(data, reason):
    assert parts(data) == [('x', reason, None if reason else data)]


def test_what_begins_as_a_zip_is_never_sent_as_a_file():
    data = b'PK\3\4' + DICOM[4:]
    with pytest.raises(container.ContainerError):
        parts(data)
    assert parts(packed([('a', data)])) == [('a', 'archive', None)]


def test_large_members_are_unpacked_on_the_disk():
    size = 2 * container.SPOOLED_BYTES
    data = DICOM + struct.pack('<HHI', 0x7fe0, 0x10, size) + (
        random.randbytes(size))
    (name, reason, found), = parts(packed([('a', data)]))
    assert (name, reason) == ('a', None)
    assert found == data


def test_members_that_lie_about_their_size():
    data = bytearray(packed([('a', DICOM)]))
    # The length that the directory tells.
    where = data.rindex(b'PK\1\2') + 24
    for size in [10, 2 ** 31]:
        data[where:where + 4] = struct.pack('<I', size)
        try:
            found = parts(bytes(data))
        except container.ContainerError as error:
            assert error.reason == 'bomb'
        else:
            assert found == [('a', 'damaged', None)]


def test_files_that_overlap_are_a_bomb():
    # Each entry of the directory leads to the same packed bytes.
    once = packed(
        [('a', bytes(2 ** 20))], compression=zipfile.ZIP_DEFLATED)
    directory = once.rindex(b'PK\1\2')
    end = once.rindex(b'PK\5\6')
    entries = once[directory:end] * 1000
    data = once[:directory] + entries + struct.pack(
        '<4s4H2LH', b'PK\5\6', 0, 0, 1000, 1000, len(entries), directory, 0)
    with pytest.raises(container.ContainerError) as error:
        parts(data)
    assert error.value.reason == 'bomb'


def test_a_directory_without_end_is_not_read(monkeypatch):
    monkeypatch.setattr(container, 'MAX_DIRECTORY', 2000)
    with pytest.raises(container.ContainerError) as error:
        parts(packed([(f'{n}', b'') for n in range(100)]))
    assert error.value.reason == 'too_many'


def test_all_parts_together_are_bounded(monkeypatch):
    def joined(*files):
        return b'MULT' + b''.join(
            struct.pack('<Q', len(file)) + file for file in files)
    monkeypatch.setattr(container, 'MAX_FILES', 3)
    two = packed([('1', DICOM), ('2', DICOM)])
    assert len(parts(joined(two, DICOM))) == 3
    for files in [(two, two), (DICOM,) * 4]:
        with pytest.raises(container.ContainerError) as error:
            parts(joined(*files))
        assert error.value.reason == 'too_many'
    monkeypatch.setattr(container, 'MAX_BYTES', 1000)
    with pytest.raises(container.ContainerError) as error:
        parts(joined(two))
    assert error.value.reason == 'too_large'


def test_random_damage_is_always_told():
    random.seed(6)
    whole = packed([('a', DICOM), ('b', DICOM * 9)],
        compression=zipfile.ZIP_DEFLATED)
    joined = b'MULT' + struct.pack('<Q', len(whole)) + whole
    for data in [whole, joined]:
        for _ in range(1500):
            broken = bytearray(data)
            for _ in range(random.randrange(1, 4)):
                broken[random.randrange(len(broken))] = random.randrange(256)
            broken = bytes(broken[:random.randrange(len(broken) + 1)]) \
                if random.random() < 0.3 else bytes(broken)
            try:
                for _, reason, found in parts(broken):
                    assert reason or found is not None
            except container.ContainerError as error:
                assert error.reason


# Links

def test_links_of_a_study_and_a_series():
    codes = viewers.known(['explorer', 'explorer2', 'ohif', 'stone'])
    study = viewers.links(
        'https://h/p/', codes, 'abc', '1.2.3')
    assert study == {
        'explorer': 'https://h/p/app/explorer.html#study?uuid=abc',
        'explorer2': (
            'https://h/p/ui/app/#/filtered-studies?'
            'StudyInstanceUID=1.2.3&expand=study'),
        'ohif': 'https://h/p/ohif/viewer?StudyInstanceUIDs=1.2.3',
        'stone': 'https://h/p/stone-webviewer/index.html?study=1.2.3',
        }
    series = viewers.links('https://h/p', codes, 'abc', '1.2.3', 'def', '4')
    assert series['explorer'].endswith('#series?uuid=def')
    assert series['ohif'].endswith('=1.2.3&SeriesInstanceUIDs=4')
    assert series['stone'].endswith('?study=1.2.3&series=4')
    assert 'StudyInstanceUID=1.2.3&' in series['explorer2']


def test_only_viewers_that_are_there():
    for codes, found in [
            (['stone'], ['stone']), (None, []), (['unknown'], [])]:
        assert list(viewers.links(
                'http://h', viewers.known(codes), 'a', '1')) == found


def test_a_shared_uid_opens_nothing_of_another():
    codes = viewers.known(['explorer', 'explorer2', 'ohif', 'stone'])
    assert viewers.links(
        'http://h', codes, 'a', '1', shared=True).keys() == {'explorer'}


@pytest.mark.parametrize(
    'base', [None, '', 'javascript:alert(1)', 'ftp://h', '//h'])
def test_a_link_is_never_a_program(base):
    assert not viewers.links(base, viewers.known(['explorer']), 'a', '1')


def test_wrong_characters_are_escaped():
    bad = '1.2&x=<"\' #/?%é{0}'
    found = viewers.links(
        'http://h', viewers.known(['ohif', 'explorer', 'stone']), bad, bad,
        bad, bad)
    assert len(found) == 3
    for link in found.values():
        rest = link.split('?', 1)[1]
        assert not set(rest) & set('<"\' #/?é{}')
        assert rest.count('&') <= 1
