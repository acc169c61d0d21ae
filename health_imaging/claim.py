# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims: who writes the report of a request, so that no two people do."""
from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.transaction import Transaction

from .exceptions import ClaimedWarning
from .institution import local_text
from .minute import Minute, now
from .told import tell
from .workflow import hold

#: What a request that nobody claims holds.
UNCLAIMED = {'claimed_by': None, 'claimed_at': None}


class ClaimMixin:
    """Mixin of requests: who writes their report, since when."""
    __slots__ = ()

    claimed_by = fields.Many2One(
        'res.user', "Claimed by", readonly=True,
        states={'invisible': ~Eval('claimed_by')},
        help="Who writes the report.")
    claimed_at = Minute("Claimed at", readonly=True,
        states={'invisible': ~Eval('claimed_at')})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._stamped |= UNCLAIMED.keys()

    @classmethod
    def claim(cls, requests):
        """Claim requests for the user, who is asked before he takes them over
        from others; what he took over is noted with them.

        :raises ClaimedWarning: another user has one, the user may go on
        """
        Warning = Pool().get('res.user.warning')
        # Whoever comes second at the same moment sees the claim.
        hold(requests)
        user = Transaction().user
        taken = [
            r for r in requests if r.claimed_by and r.claimed_by.id != user]
        for request in taken:
            key = Warning.format('imaging_claim', [
                    request, request.claimed_by, request.claimed_at])
            if Warning.check(key):
                raise ClaimedWarning(key, gettext(
                        'health_imaging.msg_request_claimed',
                        request=request.rec_name,
                        user=request.claimed_by.rec_name,
                        since=local_text(request.claimed_at)))
        if taken:
            cls._note_takeover(taken)
        mine = [r for r in requests if r in taken or not r.claimed_by]
        if mine:
            cls.write(mine, {
                    'claimed_by': user or None, 'claimed_at': now()})

    @classmethod
    def _note_takeover(cls, requests):
        """Leave a note with requests of others that the user takes over."""
        pool = Pool()
        Note = pool.get('ir.note')
        User = pool.get('res.user')
        user = User(Transaction().user)
        Note.create([{
                    'resource': str(request),
                    'message': tell(
                        'health_imaging.msg_note_claim_taken',
                        user=user.rec_name,
                        former=request.claimed_by.rec_name,
                        since=request.claimed_at),
                    } for request in requests])

    @classmethod
    def let_go(cls, requests):
        """Take the claims from requests."""
        claimed = [r for r in requests if r.claimed_by]
        if claimed:
            cls.write(claimed, UNCLAIMED)
