# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions of ir: inherited dashboards, scheduled tasks, rules that name the
user."""
from trytond.pool import PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction

from .told import Told

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
            ('gnuhealth.imaging.configuration|forget_reasons',
                "Forget old reasons of imaging requests"),
            ]


class Note(metaclass=PoolMeta):
    __name__ = 'ir.note'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # The software leaves notes, too.
        message = cls.message
        cls.message = Told(message.string, states=message.states)


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
