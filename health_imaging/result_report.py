# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The printed report of an imaging result (PDF, made by LibreOffice)."""
import io
import shutil

from PIL import Image

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.report import Report
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from .common import institution, institution_timezone, local_datetime
from .exceptions import MissingOfficeError

# Two pictures stand side by side on the page: 8 cm wide each, and at most
# 9 cm high so that two rows and their captions fit.
_IMAGE_WIDTH, _IMAGE_HEIGHT = 8.0, 9.0
_LOGO_WIDTH, _LOGO_HEIGHT = 4.0, 2.0


class ImagingReport(Report):
    __name__ = 'patient.imaging_report_results'

    @classmethod
    def get_context(cls, records, header, data):
        context = super().get_context(records, header, data)
        context['institution'] = institution()
        context['header_lines'] = cls._header_lines(context['institution'])
        context['logo'] = cls._logo(context['institution'])
        context['local'] = cls._local
        context['day'] = cls._day
        context['paragraphs'] = cls._paragraphs
        context['image_rows'] = cls._image_rows(context['record'])
        return context

    @classmethod
    def _header_lines(cls, institution):
        """Return the lines that say where the report was written."""
        if not institution:
            return []
        party = institution.party
        address = party.address_get()
        lines = [party.name]
        if address:
            lines.extend(address.full_address.splitlines())
        for kind in ['phone', 'email', 'website']:
            mechanism = party.contact_mechanism_get(kind)
            if mechanism:
                lines.append(mechanism.value)
        return lines

    @classmethod
    def _logo(cls, institution):
        if institution and institution.picture:
            return cls._picture(
                institution.picture, _LOGO_WIDTH, _LOGO_HEIGHT)
        return None

    @classmethod
    def _local(cls, value):
        """Return a stored date and time in local time with its zone."""
        if not value:
            return ''
        Lang = Pool().get('ir.lang')
        zone = institution_timezone()
        local = local_datetime(value, zone)
        lang = Lang.get()
        text = lang.strftime(local, f'{lang.date} %H:%M')
        offset = local.strftime('%z')
        return f'{text} (UTC{offset[:3]}:{offset[3:]})'

    @classmethod
    def _day(cls, value):
        return cls.format_date(value) if value else ''

    @staticmethod
    def _paragraphs(text):
        return (text or '').strip().splitlines()

    @classmethod
    def _image_rows(cls, result):
        """Return the pictures of a result in rows of two.

        Each picture is a dictionary with `image`, what relatorio wants of a
        picture (bytes, type, width, height), and `caption`. What is no
        picture (a PDF, a film) is left out.
        """
        if result.report_style == 'no_images':
            return []
        captions = result.report_style != 'no_image_comments'
        pictures = []
        for attachment in sorted(result.images, key=lambda a: a.id):
            if attachment.type != 'data' or not attachment.data:
                continue
            image = cls._picture(
                attachment.data, _IMAGE_WIDTH, _IMAGE_HEIGHT)
            if image:
                caption = attachment.description or attachment.name
                pictures.append({
                        'image': image,
                        'caption': caption if captions else '',
                        })
        return [list(row) for row in grouped_slice(pictures, 2)]

    @staticmethod
    def _picture(data, width, height):
        """Return a picture as PNG that fits a box given in centimetres.

        :param bytes data: the picture in any format that Pillow reads
        :return: bytes, type, width, height, or None when it is no picture
        """
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.seek(0)
                picture = image.convert('RGB')
        except (OSError, ValueError, SyntaxError,
                Image.DecompressionBombError):
            return None
        scale = min(width / picture.width, height / picture.height)
        content = io.BytesIO()
        picture.save(content, 'PNG')
        return (content.getvalue(), 'image/png',
            f'{picture.width * scale:.2f}cm',
            f'{picture.height * scale:.2f}cm')

    @classmethod
    def convert(cls, report, data, *args, **kwargs):
        if report.extension == 'pdf' and not shutil.which('soffice'):
            raise MissingOfficeError(gettext(
                    'health_imaging.msg_office_missing'))
        extension, content = super().convert(report, data, *args, **kwargs)
        if report.extension == 'pdf' and extension != 'pdf':
            raise MissingOfficeError(gettext(
                    'health_imaging.msg_office_failed'))
        return extension, content

    @classmethod
    def execute(cls, ids, data):
        # Pictures are read as bytes, whatever the client asked for.
        with Transaction().set_context({'ir.attachment.data': None}):
            return super().execute(ids, data)
