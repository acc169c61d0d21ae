# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper of a request: the order sheet, and a label with its bar code."""
import re

from barcode.errors import BarcodeError

from trytond.pool import Pool
from trytond.tools import barcode
from trytond.transaction import without_check_access

from .result_report import OfficeReport

# Of the narrowest bar, in millimetres: what scanners read well, and what is
# the least that they and a printer of 203 dots per inch can do.
_BAR, _LEAST_BAR = 0.33, 0.125
# Bars beside which nothing is printed (ISO/IEC 15417).
_QUIET = 10


class OrderSheet(OfficeReport):
    """The order sheet of requests, which says nothing of their results."""
    __name__ = 'gnuhealth.imaging.order_sheet'

    # Of the bar code, in millimetres.
    _width, _height = 85, 14

    @classmethod
    def get_context(cls, records, header, data):
        """Return the variables of the report template."""
        context = super().get_context(records, header, data)
        Request = Pool().get('gnuhealth.imaging.test.request')
        # The user may read the requests. Who works at the desk may not read
        # all that they name.
        with without_check_access():
            context['sheets'] = [
                cls._sheet(r) for r in Request.browse([r.id for r in records])]
        # Templates have what is printed, and no way to a result.
        del context['record'], context['records']
        return context

    @classmethod
    def _sheet(cls, request):
        """Return what the paper says of a request, by name."""
        patient, number = request.patient, request.accession()
        return {
            'state': request.state,
            'patient': patient.rec_name,
            'puid': patient.puid or '',
            'birth': cls._day(patient.dob),
            'age': request.computed_age,
            'sex': patient.gender_str or '',
            'exam': request.exam_title(),
            'modality': request.modality,
            'machine': request.station(),
            'date': cls._local(request.date),
            'urgent': request.urgent,
            'doctor': request.doctor.rec_name,
            'context': request.context and request.context.rec_name,
            'texts': [(name, cls._paragraphs(text)) for name, text in [
                    ('question', request.clinical_question),
                    ('safety', request.safety_lines()),
                    ('preparation', request.requested_test.preparation),
                    ('comment', request.comment)] if (text or '').strip()],
            'request': request.request_line or '',
            'number': number or '',
            'bars': bars(number, cls._width, cls._height),
            }


class OrderLabel(OrderSheet):
    """The label of requests, for a tube, a cassette or a folder."""
    __name__ = 'gnuhealth.imaging.order_label'

    _width, _height = 66, 8


class SheetMixin:
    """Mixin of requests: what their paper says that other modules know
    better."""
    __slots__ = ()

    def accession(self):
        """Return the accession number that modalities are given."""
        return self.request

    def station(self):
        """Return the AE title of the machine, empty where none is known."""
        return ''


def bars(number, width, height):
    """Return the Code 128 of a number as relatorio takes it.

    :param str number: the number or None
    :param float width: at most, in millimetres
    :param float height: in millimetres
    :return: bytes, type, width, height; None when the number has letters that
        the code has not, or is too long for a scanner
    """
    if not number:
        return None
    try:
        svg = barcode.generate_svg('code128', number, width=_BAR,
            height=height, border=_QUIET * _BAR).getvalue()
    except BarcodeError:
        return None
    # The number is printed below, in the fonts of the report.
    svg = re.sub(rb'<text.*?</text>', b'', svg, flags=re.DOTALL)
    full = float(re.search(rb'width="([\d.]+)mm"', svg)[1])
    scale = min(1, width / full)
    if _BAR * scale < _LEAST_BAR:
        return None
    return svg, 'image/svg+xml', f'{full * scale:.2f}mm', f'{height}mm'
