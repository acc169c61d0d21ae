# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions of ir: inherited dashboards, a scheduled task for pictures, the
tabs of the reading list."""
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval

from .reading import modality_tabs


class View(metaclass=PoolMeta):
    __name__ = 'ir.ui.view'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # A view that extends a dashboard has no model, as the dashboard, and
        # no type.
        required = cls.model.states.get('required', True)
        cls.model.states['required'] = required & ~Bool(Eval('inherit'))
        cls.model.depends.add('inherit')


class Cron(metaclass=PoolMeta):
    __name__ = 'ir.cron'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.method.selection.append((
                'ir.attachment|keep_imaging_pictures',
                "Keep pictures of imaging results"))


class ActWindow(metaclass=PoolMeta):
    __name__ = 'ir.action.act_window'

    def get_domains(self, name):
        """Return the tabs; those of the reading list have the modalities."""
        ModelData = Pool().get('ir.model.data')
        domains = super().get_domains(name)
        if (self.res_model == 'gnuhealth.imaging.test.request'
                and self.id == ModelData.get_id(
                    'health_imaging', 'act_reading_list')):
            domains += modality_tabs()
        return domains
