# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: exam types, one per modality, and the exams on offer."""
from pydicom.sr.codedict import codes
from sql.operators import Equal

from trytond.i18n import gettext
from trytond.model import (
    DeactivableMixin, Exclude, ModelSQL, ModelView, fields)
from trytond.pool import Pool

from .exceptions import InvalidModalityWarning

_MODALITIES = codes.cid29


def modality_codes():
    """Return the valid values of Modality (0008,0060), sorted.

    DICOM PS3.16, context group 29 "Acquisition Modality".
    """
    return sorted(getattr(_MODALITIES, name).value
        for name in _MODALITIES.dir())


class TestType(ModelSQL, ModelView):
    "Imaging Exam Type"
    __name__ = 'gnuhealth.imaging.test.type'

    code = fields.Char("Code", required=True,
        help="The DICOM modality code, such as CT, MR, US, CR, DX or MG.")
    name = fields.Char("Name", required=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order.insert(0, ('name', 'ASC'))

    def get_rec_name(self, name):
        return f'{self.name} ({self.code})'

    @classmethod
    def search_rec_name(cls, name, clause):
        operator = 'AND' if clause[1].startswith(('!', 'not ')) else 'OR'
        return [operator,
            ('code', *clause[1:]),
            ('name', *clause[1:]),
            ]

    @classmethod
    def validate_fields(cls, types, field_names):
        super().validate_fields(types, field_names)
        cls.check_modality(types, field_names)

    @classmethod
    def check_modality(cls, types, field_names=None):
        Warning = Pool().get('res.user.warning')
        if field_names and 'code' not in field_names:
            return
        valid = modality_codes()
        for type_ in types:
            if type_.code in valid:
                continue
            key = Warning.format('imaging_modality', [type_])
            if Warning.check(key):
                raise InvalidModalityWarning(key, gettext(
                        'health_imaging.msg_modality_invalid',
                        code=type_.code, codes=', '.join(valid)))


class Test(DeactivableMixin, ModelSQL, ModelView):
    "Imaging Exam"
    __name__ = 'gnuhealth.imaging.test'

    name = fields.Char("Name", required=True)
    code = fields.Char("Code", required=True)
    test_type = fields.Many2One(
        'gnuhealth.imaging.test.type', "Type", required=True,
        help="The kind of exam, it gives the modality.")
    product = fields.Many2One(
        'product.product', "Service", required=True,
        help="The service to invoice.")

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

    def get_rec_name(self, name):
        return self.name

    @classmethod
    def search_rec_name(cls, name, clause):
        operator = 'AND' if clause[1].startswith(('!', 'not ')) else 'OR'
        return [operator,
            ('code', *clause[1:]),
            ('name', *clause[1:]),
            ]
