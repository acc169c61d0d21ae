# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions of ir: inherited dashboards, scheduled tasks, rules that name the
user."""
from trytond.pool import PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction

_OF_USERS = {'gnuhealth.imaging.macro'}


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
        cls.method.selection += [
            ('ir.attachment|keep_imaging_pictures',
                "Keep pictures of imaging results"),
            ('gnuhealth.imaging.critical_finding|escalate',
                "Escalate critical findings"),
            ]


class Rule(metaclass=PoolMeta):
    __name__ = 'ir.rule'

    @classmethod
    def _get_context(cls, model_name):
        context = super()._get_context(model_name)
        if model_name in _OF_USERS:
            context['user_id'] = Transaction().user
        return context

    @classmethod
    def _get_cache_key(cls, model_name):
        key = super()._get_cache_key(model_name)
        return (*key, Transaction().user) if model_name in _OF_USERS else key
