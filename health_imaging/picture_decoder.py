# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decodes a picture and scales it into PNG files.

It runs as a separate program with limits of memory and time.
"""
import importlib
import io
import json
import resource
import sys
from typing import NamedTuple

from PIL import Image

#: Largest number of pixels. The largest detectors (mammography) have 28
#: megapixels.
MAX_PIXELS = 32 * 1000 ** 2
#: Decoders of other formats start programs, or take gigabytes for a few bytes.
FORMATS = ['BMP', 'GIF', 'JPEG', 'PNG', 'TIFF', 'WEBP']
# Largest number of scans of a JPEG. A progressive one has about ten, and each
# is decoded for the whole picture.
MAX_SCANS = 100
# Limits of the program.
SECONDS = 8
MEMORY = 700 * 2 ** 20
# Orientation (EXIF 2.3, 4.6.4) and the operations that correct it.
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90}

for _name in ['Bmp', 'Gif', 'Jpeg', 'Png', 'Tiff', 'WebP']:
    importlib.import_module(f'PIL.{_name}ImagePlugin')


class NoPicture(Exception):
    """The file cannot be shown.

    :ivar str code: `none` not a picture, `kind` unsupported format, `pixels`
        too many pixels, `effort` too expensive to unpack, `damaged`
    """

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Rendered(NamedTuple):
    """A picture before and after scaling.

    :ivar str kind: JPEG, PNG and so on
    :ivar size: width and height in pixels, before it was turned upright
    :ivar files: a PNG (bytes) for each box, or None
    """
    kind: str
    size: tuple
    files: list


def render(data, boxes, formats=FORMATS, as_is=False, limit=MAX_PIXELS):
    """Return a picture in sizes that fit boxes.

    The result is upright, on white, in greys or RGB, and never enlarged.

    :param boxes: pairs of width and height in pixels
    :param formats: among FORMATS
    :param bool as_is: return None where the picture fits the box already
    :param int limit: largest number of pixels
    :rtype: Rendered
    :raises NoPicture: it cannot be shown
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
        # JPEG only: decode at a reduced size.
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
    """Return how many scans a JPEG has, 0 for other files.

    Counts the marker SOS (ITU-T T.81, B.1.1.3).
    """
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
    """Return an image in L or RGB, deep greys scaled, on white."""
    if image.mode == 'F':
        low, high = image.getextrema()
        scale = 255 / (high - low) if high > low else 0
        return image.point(
            lambda value: value * scale - low * scale).convert('L')
    if image.mode == 'RGBA':
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return image if image.mode == 'L' else image.convert('RGB')


def _to_png(image, box):
    image = image.copy()
    image.thumbnail(box)
    content = io.BytesIO()
    image.save(content, 'PNG')
    return content.getvalue()


def main(options):
    """Read a picture from standard input, and write scaled ones.

    The first line of the output is JSON, the PNG files follow.

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
