# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be shown of a DICOM instance and how."""
import math
import threading
from typing import NamedTuple

from cachetools import LRUCache, TTLCache

from trytond.modules.health_imaging import pictures

from .archive.errors import BadAnswer, NoPicture

#: For files without a window: soft tissue, in Hounsfield units.
WINDOWS = {'CT': (40.0, 400.0)}
#: Modalities of documents, plans and signals, which have no pixels.
WITHOUT_PICTURES = frozenset({
    'AU', 'DOC', 'ECG', 'EPS', 'FID', 'HD', 'KO', 'PLAN', 'PR', 'REG',
    'RESP', 'RTPLAN', 'RTRECORD', 'RTSTRUCT', 'SR'})
#: What Orthanc sends.
FORMATS = ['JPEG', 'PNG']
_GREY = {'MONOCHROME1', 'MONOCHROME2', ''}

# SOP classes (0008,0016) below DICOM PS3.4, B.5, the first that fits wins.
_ROOT = '1.2.840.10008.5.1.4.1.1.'
_KINDS = [
    ('document', ['104']),
    ('report', ['88']),
    ('plan', ['481.3', '481.4', '481.5', '481.6', '481.7', '481.8', '481.9']),
    ('video', ['77.1.1.1', '77.1.2.1', '77.1.4.1']),
    ('signal', ['9']),
    ]


class NothingToShow(NoPicture):
    """There is no picture, and it is known why.

    :ivar kind: what the instance is: document, report, plan, video or signal;
        no_pixels; codec, which the server cannot decode; or later, when too
        many pictures are opened at the same time
    """
    reason = NoPicture.reason

    def __init__(self, kind, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind


class About(NamedTuple):
    """What an instance says about its pictures.

    :ivar kind: of NothingToShow, None when it may have a picture
    :ivar window: center and width, None when none is needed
    :ivar rows: of a picture, as its columns 0 when it is not known
    """
    kind: str = None
    window: tuple = None
    rows: int = 0
    columns: int = 0


def about(tags, modality=None, frame=0):
    """Return what is known of an instance, About.

    :param tags: its attributes by keyword
    :param modality: Modality (0008,0060), for the default window
    :param frame: the frame whose window is wanted, from 0
    """
    window = None
    if _text(tags.get('PhotometricInterpretation')) in _GREY:
        window = _window(tags, frame)
        if not window and _integer(tags.get('BitsStored')) != 8:
            window = WINDOWS.get(modality)
    return About(
        kind_of(tags), window,
        _integer(tags.get('Rows')) or 0, _integer(tags.get('Columns')) or 0)


def kind_of(tags):
    "Return why an instance with tags by keyword has no picture, or None."
    sop_class = _text(tags.get('SOPClassUID'))
    if sop_class.startswith(_ROOT):
        for kind, classes in _KINDS:
            if f'{sop_class}.'.startswith(
                    tuple(f'{_ROOT}{c}.' for c in classes)):
                return kind
    if tags and 'Rows' not in tags:
        return 'no_pixels'
    return None


def _window(tags, frame):
    """Return center and width that the file gives for a frame, or None; with
    enhanced instances in functional groups (PS3.3, C.7.6.16.2.10)."""
    for group in [
            tags,
            _item(tags.get('PerFrameFunctionalGroupsSequence'), frame),
            _item(tags.get('SharedFunctionalGroupsSequence'), 0)]:
        for item in [group, _item(group.get('FrameVOILUTSequence'), 0)]:
            center = _number(item.get('WindowCenter'))
            width = _number(item.get('WindowWidth'))
            if center is not None and width is not None and width >= 1:
                return center, width
    return None


def _item(sequence, index):
    if not isinstance(sequence, list) or index >= len(sequence):
        return {}
    return sequence[index] if isinstance(sequence[index], dict) else {}


def _text(value):
    return value.strip() if isinstance(value, str) else ''


def _number(value):
    "Return the first number of a value (VR DS), None when there is none."
    try:
        number = float(_text(value).split('\\')[0])
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _integer(value):
    number = _number(value)
    return None if number is None else int(number)


def check(content, side=None, wait=pictures.WAIT):
    """Return a picture that a server sent: bytes and its media type.

    :param bytes content: what it sent
    :param side: what width and height must not exceed
    :param wait: how many seconds to wait while others are opened
    :raises BadAnswer: it is no picture that can be shown
    :raises pictures.Busy: too many are opened at the same time
    :raises pictures.Unable: none can be opened on this computer
    """
    boxes = [(side, side)] if side else []
    try:
        rendered = pictures.render(
            content, boxes, FORMATS, as_is=True, wait=wait)
    except pictures.NoPicture as error:
        raise BadAnswer(
            f"The answer is no picture that can be shown: {error.code}."
            ) from None
    if any(rendered.files):
        return rendered.files[0], 'image/png'
    is_png = content.startswith(b'\x89PNG')
    return content, 'image/png' if is_png else 'image/jpeg'


class Cache:
    """Keeps pictures, for all threads of the process.

    :param size: how many bytes of pictures are kept
    :param seconds: how long they are kept
    :param silence: how long a server that did not answer is left alone
    """

    def __init__(self, size, seconds=600, silence=20):
        self._lock = threading.Lock()
        self._pictures = TTLCache(
            size, seconds, getsizeof=lambda picture: len(picture[0]))
        self._facts = LRUCache(2000)
        self._listed = LRUCache(100)
        self._silent = TTLCache(100, silence)

    def picture(self, key, picture=None):
        "Keep the picture of a key, or return it, None when it is not kept."
        return self._kept(self._pictures, key, picture)

    def facts(self, key, about=None):
        "Keep the About of a key, or return it, None when it is not kept."
        return self._kept(self._facts, key, about)

    def listed(self, key, ids=None):
        "Keep the ids of what a key lists, or return them, None for nothing."
        return self._kept(self._listed, key, ids)

    def silent(self, server, error=None):
        "Keep the error of a silent server, or return it."
        return self._kept(self._silent, server, error)

    def _kept(self, cache, key, value):
        with self._lock:
            if value is None:
                return cache.get(key)
            if cache.getsizeof(value) <= cache.maxsize:
                cache[key] = value
            return value

    def clear(self):
        "Forget everything."
        with self._lock:
            for cache in [
                    self._pictures, self._facts, self._listed, self._silent]:
                cache.clear()
