# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The printed report of an imaging result, and what all reports that
LibreOffice makes (PDF) have in common."""
import re
import time
from contextvars import ContextVar

from trytond.config import config
from trytond.pool import Pool
from trytond.report import Report
from trytond.report.report import FORMAT2EXT
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from . import direction, office, pictures
from .attachment_picture import picture_later
from .doors import CheckedReport, check_selected
from .exceptions import OfficeError
from .institution import institution, local_datetime, local_text
from .programs import Busy, Slots
from .sections import SECTIONS, is_written
from .told import tell

# Time limits of printing, in seconds: while a user waits, and in the
# background.
_SECONDS = config.getint('health_imaging', 'report_seconds', default=60)
_TASK_SECONDS = config.getint(
    'health_imaging', 'task_seconds', default=300)
# When the time of the present call ends (time.monotonic).
_end = ContextVar('end', default=None)
_office_slots = Slots('office', config.getint(
        'health_imaging', 'report_at_once', default=2))

# Two pictures stand side by side on the page: 8 cm wide each, and at most
# 9 cm high so that two rows and their captions fit.
_IMAGE_WIDTH, _IMAGE_HEIGHT = 8.0, 9.0
_LOGO_WIDTH, _LOGO_HEIGHT = 4.0, 2.0
_PIXELS_PER_CM = 160


class OfficeReport(CheckedReport, Report):
    """A report with the letterhead of the institution, made by LibreOffice in
    a bounded time."""

    @classmethod
    def execute(cls, ids, data):
        """Print records, within the time that is left for the call.

        :param dict data: what the client adds
        :raises OfficeError: LibreOffice failed or took too long
        """
        check_selected(ids)
        token = _end.set(time.monotonic() + _seconds())
        try:
            return super().execute(ids, data)
        finally:
            _end.reset(token)

    @classmethod
    def get_context(cls, records, header, data):
        """Return the variables of the report template."""
        context = super().get_context(records, header, data)
        context['institution'] = institution()
        context['header_lines'] = cls._header_lines(context['institution'])
        context['logo'] = cls._logo(context['institution'])
        context['local'] = cls._local
        context['day'] = cls._day
        context['right_to_left'] = cls._is_right_to_left()
        context['own'] = cls._own_direction
        context['paragraphs'] = cls._paragraphs
        return context

    @classmethod
    def _header_lines(cls, institution):
        """Return the lines of the letterhead."""
        if not institution:
            return []
        party = institution.party
        address = party.address_get()
        lines = [party.name] if party.name else []
        if address:
            lines.extend(address.full_address.splitlines())
        for kind in ['phone', 'email', 'website']:
            mechanism = party.contact_mechanism_get(kind)
            if mechanism:
                lines.append(mechanism.value)
        return lines

    @classmethod
    def _logo(cls, institution):
        box = [round(cm * _PIXELS_PER_CM)
            for cm in [_LOGO_WIDTH, _LOGO_HEIGHT]]
        try:
            file, = pictures.render(
                institution and institution.picture, [box]).files
        except pictures.NoPicture:
            return None
        except (pictures.Busy, pictures.Unable):
            raise picture_later(institution.rec_name) from None
        return cls._sized(file, _LOGO_WIDTH, _LOGO_HEIGHT)

    @classmethod
    def _local(cls, value):
        """Return a stored date and time in local time with its zone."""
        if not value:
            return ''
        offset = local_datetime(value).strftime('%z')
        return f'{local_text(value)} (UTC{offset[:3]}:{offset[3:5]})'

    @classmethod
    def _day(cls, value):
        return cls.format_date(value) if value else ''

    @classmethod
    def _is_right_to_left(cls):
        """Return whether the language of the report runs from the right."""
        return Pool().get('ir.lang').get().direction == 'rtl'

    @classmethod
    def _own_direction(cls, value):
        """Return a value between direction isolates where it needs them."""
        if cls._is_right_to_left():
            return direction.keep_direction(value)
        return direction.isolated(value)

    @classmethod
    def _paragraphs(cls, text):
        """Return the lines of a text with their direction.

        A line without letters has the direction of the language.

        :param str text: a text or None
        :return: list of pairs: whether the line is written from the right, str
        """
        lines = (text or '').strip('\r\n').splitlines()
        default = cls._is_right_to_left()
        return [
            (direction.runs_from_right(line, default), _keep_blanks(line))
            for line in lines]

    @staticmethod
    def _sized(picture, width, height):
        """Return a PNG scaled into a box in cm, as relatorio takes it."""
        width, height = pictures.fit(
            pictures.png_size(picture), width, height)
        return picture, 'image/png', f'{width:.2f}cm', f'{height:.2f}cm'

    @classmethod
    def convert(cls, report, data, timeout=None, retry=0):
        """Convert the report with LibreOffice.

        :param bytes data: the document
        :param float timeout: seconds, by default what is left for the call
        :param int retry: not used, LibreOffice is started once
        :return: pair of extension and bytes
        :raises OfficeError: LibreOffice is missing, busy, too slow, or fails
        """
        source = report.template_extension
        target = report.extension or source
        if source == target:
            return super().convert(report, data)
        extension = FORMAT2EXT.get(target, target)
        seconds = timeout or cls._seconds_left()
        try:
            return extension, office.convert(
                data, source, extension, seconds, _office_slots)
        except office.Missing:
            message = 'msg_office_missing'
        except office.Failed:
            message = 'msg_office_failed'
        except Busy:
            message = 'msg_office_busy'
        except office.TooSlow:
            raise _too_slow(timeout) from None
        raise OfficeError(tell(f'health_imaging.{message}'))

    @classmethod
    def _seconds_left(cls):
        """Return how many seconds are left, or raise OfficeError."""
        end = _end.get()
        if end is None:
            return _seconds()
        left = end - time.monotonic()
        if left <= 0:
            raise _too_slow()
        return left


class ImagingReport(OfficeReport):
    """The printed report of imaging results."""
    __name__ = 'patient.imaging_report_results'

    @classmethod
    def execute(cls, ids, data):
        """Print results, and note that they were opened.

        :param dict data: what the client adds
        :raises OfficeError: LibreOffice failed or took too long
        """
        printed = super().execute(ids, data)
        Pool().get('gnuhealth.imaging.test.result').note_opened(ids)
        return printed

    @classmethod
    def get_context(cls, records, header, data):
        """Return the variables of the report template."""
        context = super().get_context(records, header, data)
        context['written'] = cls._written(context['record'])
        requests = context['record'].requests
        context['numbers'] = ', '.join(r.request_line for r in requests)
        context['orders'] = ', '.join(dict.fromkeys(filter(None, [
                        context['record'].order,
                        *(r.request for r in requests)])))
        context['image_rows'] = cls._image_rows(context['record'])
        context['critical'] = '\n'.join(
            line for finding in context['record'].critical_findings
            for line in [finding.finding, *finding.printed()])
        return context

    @staticmethod
    def _written(result):
        """Return the sections that are printed, pairs of name and text.

        A report without any but the findings is printed as the former
        releases did.
        """
        if not is_written(result, set(SECTIONS) - {'comment'}):
            return [('interpretation', result.comment)]
        return [
            (name, getattr(result, name)) for name in ['asked', *SECTIONS]
            if is_written(result, [name])]

    @classmethod
    def _image_rows(cls, result):
        """Return the pictures of a result in rows of two.

        Files that are no pictures (a PDF, a film) are left out.

        :return: lists of dict with `image`, as relatorio takes it (bytes,
            type, width, height), and `caption`
        """
        if result.report_style == 'no_images':
            return []
        captions = result.report_style != 'no_image_comments'
        shown = []
        for attachment in sorted(result.images, key=lambda a: a.id):
            picture = attachment.picture_to_print()
            cls._seconds_left()
            if picture:
                caption = attachment.description or attachment.name
                shown.append({
                        'image': cls._sized(
                            picture, _IMAGE_WIDTH, _IMAGE_HEIGHT),
                        'caption': (
                            direction.plain(caption) if captions else ''),
                        })
        return [list(row) for row in grouped_slice(shown, 2)]


def _seconds():
    """Return how many seconds a call may take to print."""
    context = Transaction().context or {}
    # A queued task inherits _request and adds _skip_warnings.
    is_task = context.get('_skip_warnings') or '_request' not in context
    return _TASK_SECONDS if is_task else _SECONDS


def _too_slow(seconds=None):
    return OfficeError(tell(
            'health_imaging.msg_office_slow', seconds=seconds or _seconds()))


def _keep_blanks(line):
    """Return a line in which tabs and repeated blanks stay visible."""
    line = line.rstrip().expandtabs(4)
    return re.sub(' (?= )|^ ', '\u00a0', line)
