# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches pictures of instances from their servers, in a bounded time and
while no transaction is open."""
import logging
import time
from typing import NamedTuple

from trytond.config import config
from trytond.exceptions import UserError
from trytond.i18n import gettext
from trytond.modules.health_imaging.picture_decoder import MAX_PIXELS
from trytond.modules.health_imaging.pictures import Busy, Unable
from trytond.transaction import Transaction

from . import pictures
from .archive import orthanc
from .connection import connect
from .exceptions import error_text

logger = logging.getLogger(__name__)

# Seconds and bytes for all pictures that are fetched at once.
SECONDS = 10
MAX_BYTES = 20 * 2 ** 20
# Who needs longer for one picture is taken for silent, and how long a server
# may say nothing to who did not ask for just this picture, in seconds.
PATIENCE = 1
SILENCE = 2

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


def fetch(wanted, seconds=SECONDS, hurried=False):
    """Return the pictures of instances, and in place of each that there is
    not the OrthancError or UserError that tells why.

    It ends the transaction before it asks a server, and keeps what was written
    in it. All pictures together take a bounded time and number of bytes, and
    a server that does not answer is asked once.

    :param wanted: list of Wanted
    :param seconds: for all pictures
    :param bool hurried: whether to leave servers alone that were silent
    :return: list of Picture and errors, in the order of what is wanted
    """
    asked = [_Asked(*one) for one in wanted]
    gallery = _Gallery(seconds, hurried)
    try:
        if not all(one.is_kept() for one in asked):
            for one in asked:
                gallery.reach(one)
            Transaction().commit()
        return [gallery.look(one) for one in asked]
    finally:
        gallery.close()


class Wanted(NamedTuple):
    """A picture that is wanted.

    :ivar instance: record
    :ivar frame: from 0
    :ivar window: center and width, None: that of the file or modality
    :ivar side: what width and height must not exceed, in pixels
    """
    instance: object
    frame: int = 0
    window: tuple = None
    side: int = None


class _Asked:
    """A picture that is wanted, as it is asked for without a database."""

    def __init__(self, instance, frame, window, side):
        self.server = instance.of_study.orthanc_server
        self.place = (
            Transaction().database.name, self.server.id, self.server.domain)
        self.uid, self.modality = (
            instance.orthanc_UID, instance.series.modality)
        self.frame, self.window, self.side = frame, window, side
        self.key = (*self.place, self.uid, frame)
        # What is kept of it: another thread may drive it out meanwhile.
        self.about = cache.facts(self.key)
        self.found = self.about and cache.picture(self.seen(self.about)[1])

    def seen(self, about):
        """Return the window in which it is seen, and the key of that."""
        window = self.window or about.window
        return window, (*self.key, window, self.side)

    def is_kept(self):
        """Return whether nobody has to be asked."""
        return bool(self.found or self.about and self.about.kind)


class _Gallery:
    """Fetches pictures, without a database once their servers are reached."""

    def __init__(self, seconds, hurried):
        self._end = time.monotonic() + seconds
        self._bytes = MAX_BYTES
        self._hurried = hurried
        self._clients = {}
        self._silent = {}

    def reach(self, asked):
        """Read from the database how to reach the server."""
        if asked.place not in self._clients:
            try:
                self._clients[asked.place] = connect(asked.server)
            except (orthanc.OrthancError, UserError) as error:
                self._silent[asked.place] = error

    def close(self):
        for client in self._clients.values():
            client.release()

    def look(self, asked):
        """Return the Picture, or the error."""
        place = asked.place
        error = self._silent.get(place) or (
            self._hurried and cache.silent(place))
        if error and not asked.is_kept():
            return error
        started = time.monotonic()
        try:
            return self._picture(asked)
        except ValueError:
            # Its Orthanc id is none.
            return orthanc.NotFound()
        except _OF_THE_INSTANCE as exception:
            return exception
        except orthanc.OrthancError as exception:
            error = self._silent[place] = type(exception)()
            # Others need not hear that there was no time left here.
            if (not isinstance(exception, orthanc.Timeout)
                    or time.monotonic() - started >= PATIENCE):
                cache.silent(place, error)
            return exception

    def _picture(self, asked):
        about = asked.about or cache.facts(asked.key) or cache.facts(
            asked.key, self._about(asked))
        if about.kind:
            raise pictures.NothingToShow(about.kind)
        window, key = asked.seen(about)
        found = asked.found or cache.picture(key) or cache.picture(
            key, self._fetch(asked, window, about))
        return Picture(*found, window)

    def _about(self, asked):
        tags = {}
        try:
            tags = self._client(asked.place).tags(asked.uid)
        except (orthanc.AnswerTooLarge, orthanc.ServerError) as error:
            logger.info("no attributes: %s", error.reason)
        return pictures.about(tags, asked.modality, asked.frame)

    def _fetch(self, asked, window, about):
        side = asked.side
        size, most = None, side or orthanc.MAX_PREVIEW_SIDE
        # Too large ones are seen smaller rather than not at all.
        is_too_large = about.rows * about.columns > MAX_PIXELS
        if (is_too_large or window and side) and (
                max(about.rows, about.columns) > most):
            size = most, most
        try:
            content, _ = self._client(asked.place).preview(
                asked.uid, asked.frame, window, size)
        except orthanc.NoFrame:
            raise
        except orthanc.NoPicture as error:
            raise pictures.NothingToShow('codec', status=error.status)
        self._bytes -= len(content)
        try:
            return pictures.check(
                content, side, max(self._end - time.monotonic(), 0))
        except (Busy, Unable):
            raise pictures.NothingToShow('later') from None

    def _client(self, place):
        "Return the client for a server, with the time that is left."
        client = self._clients[place]
        left = self._end - time.monotonic()
        if left <= 0 or self._bytes <= 0:
            raise orthanc.TooSlow
        silence = min(left, SILENCE) if self._hurried else left
        client.max_bytes = MAX_BYTES
        client.total_timeout = left
        client.read_timeout = min(client.read_timeout, silence)
        client.connect_timeout = min(client.connect_timeout, silence)
        return client


def sentence(error, instance):
    """Return the translated sentence that says why there is no picture.

    :param error: what fetch returned in its place
    :param instance: record
    """
    if isinstance(error, UserError):
        return error.message
    server = instance.of_study.orthanc_server
    kind = getattr(error, 'kind', None)
    if kind == 'later':
        return gettext(
            'health_imaging.msg_picture_later', name=instance.rec_name)
    if kind:
        return gettext(
            f'health_orthanc.msg_no_picture_{kind}', server=server.label)
    text = error_text(error, server.label)
    # It was synchronized, which did not help: that tells why.
    if isinstance(error, orthanc.NotFound) and server.last_error:
        return f'{text}\n{server.last_error}'
    return text
