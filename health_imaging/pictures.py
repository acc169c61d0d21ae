# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads pictures of any kind and makes PNG of them that fit a box."""
import io

from PIL import Image, ImageOps

# Some of the others start programs on the server.
FORMATS = ['BMP', 'GIF', 'JPEG', 'JPEG2000', 'PNG', 'PPM', 'TIFF', 'WEBP']
# More is no picture for a page: it takes gigabytes to unpack.
MAX_PIXELS = 64 * 1000 ** 2

Image.init()


def read(data):
    """Return the picture that a file holds, upright and on white.

    :param bytes data: the file, or None
    :return: PIL.Image.Image in mode RGB, or None when it is no picture
    """
    try:
        with Image.open(
                io.BytesIO(data or b''), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            image.load()
            return _flatten(ImageOps.exif_transpose(image))
    except Exception:
        # Decoders raise nearly anything on damaged files.
        return None


def _flatten(image):
    """Return an image in RGB: deep greys scaled, transparency on white."""
    if image.mode.startswith(('I', 'F')):
        image = _scale_greys(image)
    if image.mode in {'LA', 'PA', 'La', 'RGBA', 'RGBa'} \
            or 'transparency' in image.info:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return image.convert('RGB')


def _scale_greys(image):
    """Return greys of more than 8 bits in 8 bits, darkest to brightest."""
    image = image.convert('F')
    low, high = image.getextrema()
    scale = 255 / (high - low) if high > low else 0
    return image.point(lambda value: value * scale - low * scale).convert('L')


def fit(image, width, height):
    """Return the size that an image has when it fills a box.

    :param float width: width of the box, in any unit
    :param float height: height of the box, in the same unit
    :return: width and height in that unit
    """
    scale = min(width / image.width, height / image.height)
    return image.width * scale, image.height * scale


def to_png(image, width, height):
    """Return an image as PNG, of no more pixels than a box.

    :rtype: bytes
    """
    image = image.copy()
    image.thumbnail((width, height))
    content = io.BytesIO()
    image.save(content, 'PNG')
    return content.getvalue()
