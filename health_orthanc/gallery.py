# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches pictures of instances from their servers, in a bounded time."""
import logging
import time
from typing import NamedTuple

from trytond.config import config
from trytond.i18n import gettext
from trytond.modules.health_imaging.picture_decoder import MAX_PIXELS
from trytond.modules.health_imaging.pictures import Busy, Unable
from trytond.transaction import Transaction

from . import pictures
from .archive import orthanc
from .connection import connect
from .exceptions import NoPictureError, error_text

logger = logging.getLogger(__name__)

# Seconds and bytes for all pictures that are fetched at once.
SECONDS = 10
MAX_BYTES = 20 * 2 ** 20
# Who needs longer for one picture is taken for silent, in seconds.
PATIENCE = 1

cache = pictures.Cache(
    config.getint('health_orthanc', 'preview_cache', default=64) * 2 ** 20)

# What is wrong with one instance says nothing about the next one.
_OF_THE_INSTANCE = (
    orthanc.AnswerTooLarge, orthanc.BadAnswer, orthanc.BadRequest,
    orthanc.DangerousFile, orthanc.NotFound, orthanc.ServerError,
    orthanc.UnsupportedMedia)


class Picture(NamedTuple):
    """A picture of an instance.

    :ivar content: bytes
    :ivar media_type: image/png or image/jpeg
    :ivar window: center and width, or None
    """
    content: bytes
    media_type: str
    window: tuple


class Gallery:
    """Fetches pictures of some instances, used in a with statement.

    All of them together take a bounded time and number of bytes, and a server
    that does not answer is asked once.

    :param seconds: for all pictures
    :param bool hurried: whether to leave servers alone that were silent
    """

    def __init__(self, seconds=SECONDS, hurried=False):
        self._end = time.monotonic() + seconds
        self._bytes = MAX_BYTES
        self._hurried = hurried
        self._clients = {}
        self._silent = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for client in self._clients.values():
            client.close()

    def picture(self, instance, frame=0, window=None, side=None):
        """Return the Picture of an instance.

        :param int frame: from 0
        :param window: center and width, None: that of the file or modality
        :param side: what width and height must not exceed, in pixels
        :raises OrthancError: the server has no picture or does not answer
        """
        server = instance.of_study.orthanc_server
        key = (Transaction().database.name, server.id, server.domain)
        error = self._silent.get(key)
        if not error and self._hurried:
            error = cache.silent(key)
        if error:
            raise error()
        started = time.monotonic()
        try:
            return self._picture(
                instance, frame, window, side,
                (*key, instance.orthanc_UID, frame))
        except ValueError:
            # Its Orthanc id is none.
            raise orthanc.NotFound from None
        except _OF_THE_INSTANCE:
            raise
        except orthanc.OrthancError as exception:
            self._silent[key] = type(exception)
            # Others need not hear that there was no time left here.
            if (not isinstance(exception, orthanc.Timeout)
                    or time.monotonic() - started >= PATIENCE):
                cache.silent(key, type(exception))
            raise

    def _picture(self, instance, frame, window, side, key):
        about = cache.facts(key) or cache.facts(
            key, self._about(instance, frame))
        if about.kind:
            raise pictures.NothingToShow(about.kind)
        window = window or about.window
        key += (window, side)
        found = cache.picture(key) or cache.picture(
            key, self._fetch(instance, frame, window, side, about))
        return Picture(*found, window)

    def _about(self, instance, frame):
        tags = {}
        try:
            tags = self._client(instance).tags(instance.orthanc_UID)
        except (orthanc.AnswerTooLarge, orthanc.ServerError) as error:
            logger.info("no attributes: %s", error.reason)
        return pictures.about(tags, instance.series.modality, frame)

    def _fetch(self, instance, frame, window, side, about):
        size, most = None, side or orthanc.MAX_PREVIEW_SIDE
        # Too large ones are seen smaller rather than not at all.
        is_too_large = about.rows * about.columns > MAX_PIXELS
        if (is_too_large or window and side) and (
                max(about.rows, about.columns) > most):
            size = most, most
        try:
            content, _ = self._client(instance).preview(
                instance.orthanc_UID, frame, window, size)
        except orthanc.NoFrame:
            raise
        except orthanc.NoPicture as error:
            raise pictures.NothingToShow('codec', status=error.status)
        self._bytes -= len(content)
        try:
            return pictures.check(
                content, side, max(self._end - time.monotonic(), 0))
        except (Busy, Unable):
            raise NoPictureError(gettext(
                    'health_imaging.msg_picture_later',
                    name=instance.rec_name)) from None

    def _client(self, instance):
        "Return the client for an instance, with the time that is left."
        server = instance.of_study.orthanc_server
        if server.id not in self._clients:
            self._clients[server.id] = connect(server)
        client = self._clients[server.id]
        left = self._end - time.monotonic()
        if left <= 0 or self._bytes <= 0:
            raise orthanc.TooSlow
        client.max_bytes = MAX_BYTES
        client.total_timeout = left
        client.read_timeout = min(server.read_timeout, left)
        client.connect_timeout = min(server.connect_timeout, left)
        return client


def sentence(error, server):
    """Return the translated sentence that says why there is no picture.

    :param error: OrthancError of the server, a record
    """
    if isinstance(error, pictures.NothingToShow):
        return gettext(f'health_orthanc.msg_no_picture_{error.kind}',
            server=server.label)
    return error_text(error, server.label)
