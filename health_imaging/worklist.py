# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The radiographer's worklist: who is next, who is here, what to know."""
import datetime as dt

from trytond.model import ModelView, fields
from trytond.pyson import Bool, Eval

from .identity import IdentityMixin
from .minute import Minute, now, whole


class WorklistMixin(IdentityMixin):
    """Mixin of requests: identity, alerts and arrival of the patient."""
    __slots__ = ()

    arrived_at = Minute("Arrived", readonly=True,
        states={'invisible': ~Eval('arrived_at')},
        help="Since when the patient is here.")
    waiting = fields.Function(fields.TimeDelta("Waiting",
            help="Since the patient is here, or else since the exam was to "
            "be done."), 'get_waiting')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        sent = Eval('state') == 'requested'
        cls._buttons.update({
                'arrive': {'invisible': ~sent | Bool(Eval('arrived_at'))},
                'undo_arrive': {'invisible': ~sent | ~Eval('arrived_at')},
                })

    @classmethod
    def get_waiting(cls, requests, name):
        at = now()
        return {r.id: r._waiting(at) for r in requests}

    def _waiting(self, now):
        """Return how long the patient waits, None when nobody waits."""
        since = self.arrived_at or self.date
        if self.state != 'requested' or since > now:
            return None
        minutes = (now - since).total_seconds() // 60
        return dt.timedelta(minutes=minutes)

    @classmethod
    @ModelView.button
    def arrive(cls, requests):
        """Note that the patients are here."""
        cls.write([
                r for r in requests
                if r.state == 'requested' and not r.arrived_at],
            {'arrived_at': whole(now())})

    @classmethod
    @ModelView.button
    def undo_arrive(cls, requests):
        """Take back that the patients are here."""
        cls.write([r for r in requests if r.state == 'requested'],
            {'arrived_at': None})
