# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tabs of lists by modality, one for each that has active exams."""
from trytond.pool import Pool, PoolMeta
from trytond.pyson import PYSONEncoder
from trytond.transaction import without_check_access

#: XML ids of the actions of this module that get these tabs. The model has a
#: field "modality" that can be searched.
TABBED = ['act_worklist', 'act_reading_list']


@without_check_access
def modality_tabs():
    """Return the tabs of the modalities in use.

    :return: list of name, domain (PYSON) and whether it has a count, as the
        domains of an ir.action.act_window
    """
    Exam = Pool().get('gnuhealth.imaging.test')
    exams = Exam.search([('active', '=', True)], order=[])
    codes = sorted({e.test_type.code for e in exams if e.test_type.code})
    encoder = PYSONEncoder()
    return [(code, encoder.encode([('modality', '=', code)]), True)
        for code in codes]


class ActWindow(metaclass=PoolMeta):
    __name__ = 'ir.action.act_window'

    def get_domains(self, name):
        """Return the tabs of a list; some have one for each modality."""
        ModelData = Pool().get('ir.model.data')
        domains = super().get_domains(name)
        if self.id in {
                ModelData.get_id('health_imaging', tabbed)
                for tabbed in TABBED}:
            return domains + modality_tabs()
        return domains


class TabsMixin:
    """Mixin of the catalogue: its changes change the tabs."""
    __slots__ = ()

    @classmethod
    def create(cls, vlist):
        forget_tabs()
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        forget_tabs()
        super().write(*args)

    @classmethod
    def delete(cls, records):
        forget_tabs()
        super().delete(records)


def forget_tabs():
    """Let trytond ask for the tabs again, it keeps what menus open."""
    Pool().get('ir.action.keyword')._get_keyword_cache.clear()
