# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of any kind and what is none, and the size they are printed in."""
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.records import make_picture

from trytond.modules.health_imaging import picture_decoder, pictures

BOX = (1000, 1000)
NOT_SHOWN = ['JPEG2000', 'PPM']


def read(data):
    "Return the picture in a file, None when it is none that is shown."
    try:
        file, = pictures.render(data, [BOX]).files
    except pictures.NoPicture:
        return None
    return Image.open(io.BytesIO(file))


def unpacked(data, boxes=(BOX,), **options):
    "Return what the program for large pictures makes, in this process."
    return picture_decoder.render(data, boxes, **options)


@pytest.mark.parametrize('kind', pictures.FORMATS)
def test_kinds(kind):
    picture = read(make_picture(kind=kind))
    assert picture.mode == 'RGB'
    assert picture.size == (120, 90)
    assert unpacked(make_picture(kind=kind)).size == (120, 90)


@pytest.mark.parametrize('kind', NOT_SHOWN)
def test_kinds_that_are_not_shown(kind):
    with pytest.raises(pictures.NoPicture) as error:
        pictures.render(make_picture(kind=kind), [BOX])
    assert error.value.code == 'kind'
    with pytest.raises(pictures.NoPicture):
        unpacked(make_picture(kind=kind))


@pytest.mark.parametrize('data', [
        None, b'', b'%PDF-1.4', b'\0' * 500, b'DICM', b'<svg/>', b'\x89PNG',
        make_picture()[:60], make_picture(kind='TIFF')[:40],
        b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n'])
def test_what_is_no_picture(data):
    assert read(data) is None


def test_damaged_half_is_no_picture():
    data = make_picture("x", (800, 800), kind='JPEG')
    assert read(data)
    assert read(data[:len(data) // 3]) is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(pictures.FORMATS), st.data())
def test_damaged_files_raise_nothing(kind, data):
    content = bytearray(make_picture(size=(30, 20), kind=kind))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        file, = unpacked(bytes(content)).files
    except pictures.NoPicture:
        return
    assert file.startswith(b'\x89PNG')


def test_too_many_pixels(monkeypatch):
    with pytest.raises(pictures.NoPicture) as error:
        unpacked(make_picture(size=(11, 10)), limit=100)
    assert error.value.code == 'pixels'
    assert unpacked(make_picture(size=(10, 10)), limit=100)


def test_transparency_is_white():
    picture = read(make_picture(mode='RGBA', color=(9, 9, 9, 0)))
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new('P', (4, 4), 0)
    content = io.BytesIO()
    palette.save(content, 'GIF', transparency=0)
    assert read(content.getvalue()).getpixel((0, 0)) == (
        255, 255, 255)


@pytest.mark.parametrize('mode, kind, low, high', [
        ('I;16', 'PNG', 100, 3000), ('I;16', 'TIFF', 0, 65535),
        ('F', 'TIFF', -1000, 1000)])
def test_deep_greys_are_scaled(mode, kind, low, high):
    image = Image.new(mode, (3, 1), low)
    image.putpixel((1, 0), (low + high) // 2)
    image.putpixel((2, 0), high)
    content = io.BytesIO()
    image.save(content, kind)
    picture = read(content.getvalue())
    greys = [picture.getpixel((x, 0)) for x in range(3)]
    assert greys[0] == 0 and greys[2] == 255
    assert abs(greys[1] - 127) <= 1


def test_deep_grey_of_one_shade():
    picture = read(make_picture(mode='I;16', color=700))
    assert picture.mode == 'L'


@pytest.mark.parametrize('orientation, place', [
        (1, 'top left'), (2, 'top right'), (3, 'bottom right'),
        (4, 'bottom left'), (5, 'top left'), (6, 'top right'),
        (7, 'bottom right'), (8, 'bottom left'), (99, 'top left')])
def test_pictures_of_cameras_stand_upright(orientation, place):
    """The first pixel stands where EXIF 2.3, 4.6.4, says."""
    image = Image.new('L', (40, 20))
    image.paste(255, (0, 0, 10, 10))
    exif = image.getexif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    image.save(content, 'PNG', exif=exif)
    found = read(content.getvalue())
    assert found.size == ((20, 40) if 5 <= orientation <= 8 else (40, 20))
    left, top, right, bottom = found.getbbox()
    assert place == ' '.join([
        'top' if top == 0 else 'bottom', 'left' if left == 0 else 'right'])


def test_films_show_their_first_picture():
    first, second = [Image.new('RGB', (9, 9), c) for c in ['red', 'blue']]
    content = io.BytesIO()
    first.save(content, 'GIF', save_all=True, append_images=[second])
    red, _, blue = read(content.getvalue()).getpixel((0, 0))
    assert red > 200 and blue < 50


@pytest.mark.parametrize('size, expected', [
        ((100, 100), (8, 8)), ((200, 100), (8, 4)), ((100, 200), (4.5, 9)),
        ((8, 9), (8, 9)), ((1, 1000), (.009, 9))])
def test_fit(size, expected):
    assert pictures.fit(size, 8, 9) == pytest.approx(expected)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'TIFF'])
def test_pictures_are_made_no_larger_than_they_are(kind):
    made = pictures.render(
        make_picture(size=(3000, 1000), kind=kind), [(300, 300), (9000, 9000)])
    assert made.size == (3000, 1000)
    assert made.kind == kind
    small, same = made.files
    assert pictures.png_size(small) == (300, 100)
    assert pictures.png_size(same) == (3000, 1000)


def test_pictures_that_fit_are_not_made_again_unless_asked_for():
    data = make_picture(size=(300, 100))
    assert pictures.render(data, [(300, 300)], as_is=True).files == [None]
    assert pictures.render(data, [], as_is=True).size == (300, 100)
    file, = pictures.render(data, [(299, 300)], as_is=True).files
    assert pictures.png_size(file) == (299, 100)


@pytest.mark.parametrize('data, code', [
        (b'BMI and other values', 'none'), (b'P1 was better.', 'none'),
        (b'P5\n# by hand\n9 9\n255\n', 'kind'), (b'<svg x="1"/>', 'kind'),
        (b'\0\0\0\x20ftypheic\0\0', 'kind'),
        (b'\0\0\0\x20ftypisom\0\0', 'none'),
        (b'\xff\xd8\xff', 'damaged'), (b'II*\0', 'damaged')])
def test_why_there_is_no_picture(data, code):
    with pytest.raises(pictures.NoPicture) as error:
        pictures.render(data, [BOX])
    assert error.value.code == code
