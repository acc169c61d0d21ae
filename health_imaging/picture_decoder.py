# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks a picture and makes PNG of it that fit boxes.

It runs as a program of its own, with little memory and time, for all that
could need more of them than the server has.
"""
import importlib
import io
import json
import resource
import sys
from typing import NamedTuple

from PIL import Image

#: What a picture may have.  The largest detectors, those for breasts, have 28
#: megapixels.
MAX_PIXELS = 32 * 1000 ** 2
#: Some of the others start programs, or need gigabytes for a few bytes.
FORMATS = ['BMP', 'GIF', 'JPEG', 'PNG', 'TIFF', 'WEBP']
# Of a JPEG. A progressive one has about ten, each of which is read for the
# whole picture.
MAX_SCANS = 100
# What the program may take.
SECONDS = 8
MEMORY = 700 * 2 ** 20
# How EXIF 2.3, 4.6.4, says that a camera was held, and what makes up for it.
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90}

for _name in ['Bmp', 'Gif', 'Jpeg', 'Png', 'Tiff', 'WebP']:
    importlib.import_module(f'PIL.{_name}ImagePlugin')


class NoPicture(Exception):
    """There is nothing to show.

    :ivar code: `none` for what is no picture, `kind` for pictures of a kind
        that is not shown, `pixels` for too many of them, `effort` for what
        takes too much to unpack, or `damaged`
    """

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Rendered(NamedTuple):
    """A picture as it was, and what was made of it.

    :ivar kind: JPEG, PNG and so on
    :ivar size: width and height in pixels, before it was turned upright
    :ivar files: a PNG (bytes) for each box, or None
    """
    kind: str
    size: tuple
    files: list


def render(data, boxes, formats=FORMATS, as_is=False, limit=MAX_PIXELS):
    """Unpack a picture and return it in sizes that fit boxes, Rendered.

    It is upright, on white, in greys or in RGB, and never enlarged.

    :param bytes data: the file
    :param boxes: width and height in pixels, each
    :param formats: among FORMATS
    :param bool as_is: whether None is enough where it fits the box already
    :param int limit: how many pixels it may have
    :raises NoPicture: it is none that can be shown
    """
    try:
        return _render(data, boxes, formats, as_is, limit)
    except NoPicture:
        raise
    except Image.DecompressionBombError:
        raise NoPicture('pixels') from None
    except MemoryError:
        raise NoPicture('effort') from None
    except Exception:
        # Decoders raise nearly anything on damaged files.
        raise NoPicture('damaged') from None


def _render(data, boxes, formats, as_is, limit):
    if scans(data) > MAX_SCANS:
        raise NoPicture('effort')
    side = max((max(box) for box in boxes), default=1)
    with Image.open(io.BytesIO(data), formats=formats) as image:
        kind, size = image.format, image.size
        if image.width * image.height > limit:
            raise NoPicture('pixels')
        # JPEG only: it is not unpacked larger than needed.
        image.draft(None, (side, side))
        image.load()
        wanted = [
            box for box in boxes
            if not (as_is and size[0] <= box[0] and size[1] <= box[1])]
        if not wanted:
            return Rendered(kind, size, [None] * len(boxes))
        image = _shrink(image, side)
    return Rendered(kind, size, [
            _to_png(image, box) if box in wanted else None for box in boxes])


def scans(data):
    """Return how many scans a JPEG has (the marker SOS of ITU-T T.81,
    B.1.1.3), 0 for what is none."""
    return data.count(b'\xff\xda') if data.startswith(b'\xff\xd8') else 0


def _shrink(image, side):
    """Return an image that fits a square, upright, flat and in 8 bits."""
    turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    if image.mode.startswith(('I', 'F')):
        image = image.convert('F')
    elif (image.mode in {'LA', 'PA', 'La', 'RGBa'}
            or 'transparency' in image.info):
        image = image.convert('RGBA')
    elif image.mode == '1':
        image = image.convert('L')
    elif image.mode == 'P':
        image = image.convert('RGB')
    image.thumbnail((side, side))
    image = _flatten(image)
    return image if turn is None else image.transpose(turn)


def _flatten(image):
    """Return an image in L or RGB: deep greys scaled, transparency on white.
    """
    if image.mode == 'F':
        return _scale_greys(image)
    if image.mode == 'RGBA':
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return image if image.mode == 'L' else image.convert('RGB')


def _scale_greys(image):
    """Return greys of more than 8 bits in 8 bits, darkest to brightest."""
    low, high = image.getextrema()
    scale = 255 / (high - low) if high > low else 0
    return image.point(lambda value: value * scale - low * scale).convert('L')


def _to_png(image, box):
    image = image.copy()
    image.thumbnail(box)
    content = io.BytesIO()
    image.save(content, 'PNG')
    return content.getvalue()


def main(options):
    """Read a picture from the standard input, and write what was made of it.

    The first line is JSON, the files follow.

    :param str options: the other parameters of render, as JSON
    """
    for name, value in [
            ('AS', MEMORY), ('CPU', SECONDS), ('CORE', 0), ('FSIZE', 0)]:
        limit = getattr(resource, f'RLIMIT_{name}')
        _, most = resource.getrlimit(limit)
        if most == resource.RLIM_INFINITY or most > value:
            resource.setrlimit(limit, (value, value))
    try:
        rendered = render(sys.stdin.buffer.read(), **json.loads(options))
    except NoPicture as error:
        answer, files = {'code': error.code}, []
    else:
        files = rendered.files
        answer = rendered._replace(
            files=[None if file is None else len(file) for file in files]
            )._asdict()
    sys.stdout.buffer.write(json.dumps(answer).encode() + b'\n')
    for file in files:
        sys.stdout.buffer.write(file or b'')


if __name__ == '__main__':
    main(sys.argv[1])
