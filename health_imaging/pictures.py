# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scales pictures from untrusted files.

Small plain pictures are decoded here, all others by a separate program with
limits of time, memory and number.
"""
import json
import logging
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

from . import picture_decoder
from .picture_decoder import FORMATS, NoPicture, Rendered
from .programs import Busy, Slots, python

logger = logging.getLogger(__name__)

#: How many pictures are decoded at once.
AT_ONCE = 2
# Time to wait for other pictures, and for the program, in seconds.
WAIT = 10
PATIENCE = 20
# Limits of pictures that are decoded in this process.
PLAIN_BYTES = 2 ** 20
PLAIN_PIXELS = 4 * 1000 ** 2
PLAIN_SCANS = 12

# First bytes of the formats.
_SHOWN = re.compile(
    rb'\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|BM.{4}\0{4}|RIFF.{4}WEBP'
    rb'|II[*+]\0|MM\0[*+]', re.DOTALL)
_NOT_SHOWN = re.compile(
    rb'\0\0\0\x0cjP  |\xff\x4f\xff\x51|8BPS\0\x01'
    rb'|(?:<\?xml[^>]*>\s*)?<svg[\s>]'
    rb'|P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s'
    rb'|.{4}ftyp(?:avif|avis|heic|heix|mif1|msf1)', re.DOTALL)
_PLAIN = (b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff')
# Text chunks of a PNG: compressed, and without a limit of length.
_TEXTS = (b'tEXt', b'zTXt', b'iTXt')
# Runs one file with the paths of this Python.
_START = (
    'import json, runpy, sys; sys.path[:] = json.loads(sys.argv.pop()); '
    'program = sys.argv.pop(1); runpy.run_path(program, None, "__main__")')
# Environment variables needed to find libraries.
_ENVIRONMENT = ['LD_LIBRARY_PATH', 'PATH', 'SYSTEMROOT']

_plain_slots = threading.BoundedSemaphore(AT_ONCE)
_slots = Slots('pictures', AT_ONCE)


class Unable(Exception):
    """No picture can be unpacked on this computer now."""


def render_plain(data, boxes, **options):
    """Return a small plain picture without starting a program.

    :param bytes data: the file, or None
    :param boxes: pairs of width and height in pixels
    :rtype: Rendered
    :raises NoPicture: with the code `effort` when render may succeed
    """
    data = bytes(data or b'')
    if (len(data) > PLAIN_BYTES or not data.startswith(_PLAIN)
            or any(text in data for text in _TEXTS)
            or picture_decoder.scans(data) > PLAIN_SCANS):
        raise NoPicture('effort')
    with _plain_slots:
        try:
            return picture_decoder.render(
                data, boxes, limit=PLAIN_PIXELS, **options)
        except NoPicture as error:
            raise NoPicture(
                'effort' if error.code == 'pixels' else error.code) from None


def render(data, boxes, formats=FORMATS, as_is=False, wait=WAIT):
    """Return a picture in sizes that fit boxes, unpacked apart.

    :param bytes data: the file, or None
    :param boxes: pairs of width and height in pixels
    :param formats: among FORMATS
    :param bool as_is: return None where the picture fits the box already
    :param float wait: seconds to wait while other pictures are unpacked
    :rtype: Rendered
    :raises NoPicture: it cannot be shown
    :raises Busy: too many pictures are being unpacked, try again
    :raises Unable: the program that unpacks pictures fails here
    """
    data = bytes(data or b'')
    if not _SHOWN.match(data):
        raise NoPicture('kind' if _NOT_SHOWN.match(data) else 'none')
    options = {'boxes': boxes, 'formats': formats, 'as_is': as_is}
    try:
        return render_plain(data, **options)
    except NoPicture as error:
        if error.code != 'effort':
            raise
    return _render_apart(data, options, wait)


def _render_apart(data, options, wait):
    try:
        with _slots.hold(wait):
            done = subprocess.run(
                [python(), '-I', '-c', _START, picture_decoder.__file__,
                    json.dumps(options), json.dumps(sys.path)],
                input=data, capture_output=True, timeout=PATIENCE,
                cwd=Path(picture_decoder.__file__).parent,
                env={name: os.environ[name] for name in _ENVIRONMENT
                    if name in os.environ})
    except subprocess.TimeoutExpired:
        # Wall time is over, CPU time is not: the computer is busy.
        raise Busy from None
    except OSError as error:
        logger.error("pictures cannot be unpacked: %s", error)
        raise Unable from None
    _check_end(done)
    return _parsed(done.stdout)


def _check_end(done):
    """Raise an error unless the program ended well."""
    if -done.returncode in {signal.SIGXCPU, signal.SIGKILL}:
        raise NoPicture('effort')
    if -done.returncode in {
            signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE,
            signal.SIGILL}:
        raise NoPicture('damaged')
    if done.returncode:
        logger.error("pictures cannot be unpacked: %s %s", done.returncode,
            done.stderr[-500:].decode(errors='replace'))
        raise Unable


def _parsed(answer):
    head, _, rest = answer.partition(b'\n')
    head = json.loads(head)
    if 'code' in head:
        raise NoPicture(head['code'])
    files = []
    for length in head['files']:
        files.append(None if length is None else rest[:length])
        rest = rest[length or 0:]
    return Rendered(head['kind'], tuple(head['size']), files)


def png_size(content):
    """Return width and height in pixels of a PNG that was made here."""
    return struct.unpack('>II', content[16:24])


def fit(size, width, height):
    """Return the size of a picture scaled to fill a box.

    :param size: width and height of the picture
    :param float width: width of the box, in any unit
    :param float height: height of the box, in the same unit
    :return: pair of float, in that unit
    """
    scale = min(width / size[0], height / size[1])
    return size[0] * scale, size[1] * scale
