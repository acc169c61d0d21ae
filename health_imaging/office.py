# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Converts documents with LibreOffice, with limits of time and number."""
import logging
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import office_guard
from .programs import python

logger = logging.getLogger(__name__)

# Time for the guard to end all processes, in seconds.
GRACE = 5


class Missing(Exception):
    """LibreOffice is not installed."""


class Failed(Exception):
    """LibreOffice made no document."""


class TooSlow(Exception):
    """LibreOffice needed more time than it had."""


def convert(data, source, target, seconds, slots):
    """Return a document in another format.

    LibreOffice runs with a profile of its own: it needs no home folder and
    does not know of others.

    :param bytes data: the document
    :param str source: its extension
    :param str target: the wanted extension
    :param seconds: how long it may take, waiting for others too
    :param Slots slots: how many are converted at once
    :rtype: bytes
    :raises Busy: others took all the time
    :raises Missing: there is no LibreOffice
    :raises Failed: it did not work
    :raises TooSlow: it took too long
    """
    if not shutil.which('soffice'):
        raise Missing
    try:
        return _convert(data, source, target, seconds, slots)
    except OSError as error:
        logger.error("LibreOffice failed: %s", error)
        raise Failed from None


def _convert(data, source, target, seconds, slots):
    """Convert in a temporary folder, once a slot is free."""
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix='trytond_') as folder, \
            slots.hold(seconds) as slot:
        path = Path(folder, f'report.{source}')
        path.write_bytes(data)
        status = _run(path, target, end - time.monotonic(), slot)
        made = path.with_suffix(f'.{target}')
        if status == office_guard.TOO_SLOW:
            raise TooSlow
        if status or not made.exists():
            logger.error("LibreOffice failed: %s %s", status,
                (path.parent / 'errors').read_text(errors='replace')[-2000:])
            raise Failed
        return made.read_bytes()


def _run(path, target, seconds, slot):
    """Return the status of LibreOffice, or of its guard, for a document."""
    profile = (path.parent / 'profile').as_uri()
    with open(path.parent / 'errors', 'wb') as errors, subprocess.Popen(
            [python(), '-I', '-S', office_guard.__file__, str(seconds),
                'soffice', f'-env:UserInstallation={profile}', '--headless',
                '--norestore', '--nolockcheck', '--nodefault',
                '--convert-to', target, '--outdir', str(path.parent),
                str(path)],
            stdin=subprocess.PIPE, stdout=errors, stderr=errors,
            start_new_session=True, pass_fds=[slot]) as guard:
        try:
            return guard.wait(max(seconds, 0) + GRACE)
        except subprocess.TimeoutExpired:
            guard.kill()
            return office_guard.TOO_SLOW
