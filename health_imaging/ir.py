# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the system itself learns: other modules may put parts into a dashboard,
and pictures that are not kept yet are made by a scheduled task."""
from trytond.pool import PoolMeta
from trytond.pyson import Bool, Eval


class View(metaclass=PoolMeta):
    __name__ = 'ir.ui.view'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # A dashboard has no model, so what extends it has none either, but
        # its type is empty.
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
