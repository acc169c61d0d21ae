# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of any kind and what is none, and the size they are printed in."""
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.records import make_picture

from trytond.modules.health_imaging import pictures


@pytest.mark.parametrize('kind', pictures.FORMATS)
def test_kinds(kind):
    picture = pictures.read(make_picture(kind=kind))
    assert picture.mode == 'RGB'
    assert picture.size == (120, 90)


@pytest.mark.parametrize('data', [
        None, b'', b'%PDF-1.4', b'\0' * 500, b'DICM', b'<svg/>', b'\x89PNG',
        make_picture()[:60], make_picture(kind='TIFF')[:40],
        b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n'])
def test_what_is_no_picture(data):
    assert pictures.read(data) is None


def test_damaged_half_is_no_picture():
    data = make_picture("x", (800, 800), kind='JPEG')
    assert pictures.read(data)
    assert pictures.read(data[:len(data) // 3]) is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(pictures.FORMATS), st.data())
def test_damaged_files_raise_nothing(kind, data):
    content = bytearray(make_picture(size=(30, 20), kind=kind))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    picture = pictures.read(bytes(content))
    assert picture is None or picture.mode == 'RGB'


def test_too_many_pixels(monkeypatch):
    monkeypatch.setattr(pictures, 'MAX_PIXELS', 100)
    assert pictures.read(make_picture(size=(11, 10))) is None
    assert pictures.read(make_picture(size=(10, 10)))


def test_transparency_is_white():
    picture = pictures.read(make_picture(mode='RGBA', color=(9, 9, 9, 0)))
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new('P', (4, 4), 0)
    content = io.BytesIO()
    palette.save(content, 'GIF', transparency=0)
    assert pictures.read(content.getvalue()).getpixel((0, 0)) == (
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
    picture = pictures.read(content.getvalue())
    greys = [picture.getpixel((x, 0))[0] for x in range(3)]
    assert greys[0] == 0 and greys[2] == 255
    assert abs(greys[1] - 127) <= 1


def test_deep_grey_of_one_shade():
    picture = pictures.read(make_picture(mode='I;16', color=700))
    assert picture.mode == 'RGB'


def test_pictures_of_cameras_stand_upright():
    image = Image.new('RGB', (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6
    content = io.BytesIO()
    image.save(content, 'JPEG', exif=exif)
    assert pictures.read(content.getvalue()).size == (20, 40)


def test_films_show_their_first_picture():
    first, second = [Image.new('RGB', (9, 9), c) for c in ['red', 'blue']]
    content = io.BytesIO()
    first.save(content, 'GIF', save_all=True, append_images=[second])
    red, _, blue = pictures.read(content.getvalue()).getpixel((0, 0))
    assert red > 200 and blue < 50


@pytest.mark.parametrize('size, expected', [
        ((100, 100), (8, 8)), ((200, 100), (8, 4)), ((100, 200), (4.5, 9)),
        ((8, 9), (8, 9)), ((1, 1000), (.009, 9))])
def test_fit(size, expected):
    image = Image.new('RGB', size)
    assert pictures.fit(image, 8, 9) == pytest.approx(expected)


def test_pictures_are_printed_with_no_more_pixels_than_seen():
    image = Image.new('RGB', (3000, 1000))
    small = Image.open(io.BytesIO(pictures.to_png(image, 300, 300)))
    assert small.size == (300, 100)
    assert image.size == (3000, 1000)
    same = Image.open(io.BytesIO(pictures.to_png(image, 9000, 9000)))
    assert same.size == (3000, 1000)
