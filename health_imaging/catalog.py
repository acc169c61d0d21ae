# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: exam types, one per modality, and the exams on offer."""
import itertools

from pydicom.sr.codedict import codes
from sql.operators import Equal

from trytond.i18n import gettext
from trytond.model import (
    DeactivableMixin, Exclude, ModelSQL, ModelView, fields)
from trytond.pool import Pool

from .calls import CheckedCalls, search_words
from .exam_safety import ExamSafetyMixin
from .exceptions import InvalidModalityWarning
from .migration import number_exam_codes
from .modality_tabs import TabsMixin
from .shipped import SHIPPED, free_shipped_records
from .workflow import check_unique

_MODALITIES = codes.cid29


def modality_codes():
    """Return the valid values of Modality (0008,0060, VR CS), sorted.

    Source: DICOM PS3.16, context group 29 "Acquisition Modality".

    :rtype: list of str
    """
    return sorted(getattr(_MODALITIES, name).value
        for name in _MODALITIES.dir())


class TestType(TabsMixin, CheckedCalls, ModelSQL, ModelView):
    "Imaging Exam Type"
    __name__ = 'gnuhealth.imaging.test.type'

    code = fields.Char("Code", required=True,
        help="The DICOM modality code, such as CT, MR, US, CR, DX or MG.")
    name = fields.Char("Name", required=True, translate=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order.insert(0, ('name', 'ASC'))

    @classmethod
    def __register__(cls, module):
        super().__register__(module)
        free_shipped_records('health_imaging', SHIPPED)

    def get_rec_name(self, name):
        return f'{self.name} ({self.code})'

    @classmethod
    def search_rec_name(cls, name, clause):
        return search_words(['code', 'name'], clause)

    @classmethod
    def validate_fields(cls, types, field_names):
        super().validate_fields(types, field_names)
        cls.check_modality(types, field_names)

    @classmethod
    def check_modality(cls, types, field_names=None):
        """Warn of exam types whose code is not a DICOM modality.

        :param field_names: names of the written fields, None for all
        :raises InvalidModalityWarning: a code is unknown; the user may go on
        """
        Warning = Pool().get('res.user.warning')
        if field_names and 'code' not in field_names:
            return
        valid = modality_codes()
        for type_ in types:
            if type_.code in valid:
                continue
            key = Warning.format('imaging_modality', [type_.code])
            if Warning.check(key):
                raise InvalidModalityWarning(key, gettext(
                        'health_imaging.msg_modality_invalid',
                        code=type_.code, codes=', '.join(valid)))


class Test(
        TabsMixin, ExamSafetyMixin, CheckedCalls, DeactivableMixin, ModelSQL,
        ModelView):
    "Imaging Exam"
    __name__ = 'gnuhealth.imaging.test'

    name = fields.Char("Name", required=True, translate=True)
    code = fields.Char("Code", required=True,
        help="A short name, one for each active exam.")
    test_type = fields.Many2One(
        'gnuhealth.imaging.test.type', "Type", required=True,
        help="The kind of exam, it gives the modality.")
    product = fields.Many2One(
        'product.product', "Service", required=True,
        help="The service to invoice.")
    second_reader = fields.Boolean("Second Reader",
        help="Two people sign its reports: the first leaves them "
        "preliminary, another makes them final.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('code_exclude', Exclude(table, (table.code, Equal),
                    where=table.active == True),  # noqa: E712
                'health_imaging.msg_exam_code_unique'),
            ]
        cls._order.insert(0, ('name', 'ASC'))

    @classmethod
    def __register__(cls, module):
        if cls.__table_handler__(module).column_exist('code'):
            number_exam_codes(cls)
        super().__register__(module)

    def get_rec_name(self, name):
        return self.name

    @classmethod
    def search_rec_name(cls, name, clause):
        return search_words(['code', 'name'], clause)

    @classmethod
    def copy(cls, exams, default=None):
        default = {} if default is None else default.copy()
        default.setdefault('code', lambda data: cls._free_code(data['code']))
        return super().copy(exams, default=default)

    @classmethod
    def _free_code(cls, code):
        """Return a code derived from another that no active exam has."""
        taken = {e.code for e in cls.search([('code', 'like', f'{code}-%')])}
        return next(free
            for free in (f'{code}-{n}' for n in itertools.count(2))
            if free not in taken)

    @classmethod
    def validate_fields(cls, exams, field_names):
        super().validate_fields(exams, field_names)
        if field_names and not field_names & {'code', 'active'}:
            return
        check_unique([e for e in exams if e.active], 'code',
            'health_imaging.msg_exam_code_unique', [('active', '=', True)])
