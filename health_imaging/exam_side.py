# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The side of an exam that each order is asked for."""
from trytond.i18n import gettext
from trytond.model import fields
from trytond.pyson import Eval
from trytond.transaction import without_check_access

from .exam_safety import SIDES
from .exceptions import OrderIncompleteError
from .safety.facts import ASK


def side_field(**options):
    """Return a field for the side of an exam that is ordered.

    :param options: of fields.Selection
    """
    return fields.Selection([
            (None, ""),
            *SIDES,
            ], "Side", sort=False, **options)


def check_side(exam, side):
    """Raise OrderIncompleteError when a side is to be chosen, and is not.

    :param exam: gnuhealth.imaging.test record
    :param str side: that of the request, or None
    :raises OrderIncompleteError: there is none
    """
    if exam.chosen_side(side) == ASK:
        raise OrderIncompleteError(gettext(
                'health_imaging.msg_side_missing', exam=exam.rec_name))


class SideMixin:
    """Mixin of requests: the side, which is part of the exam's name."""
    __slots__ = ()

    side = side_field(
        states={
            'readonly': Eval('state', 'draft') != 'draft',
            'invisible': ~Eval('asks_side'),
            },
        help="On which side the exam is done.")
    asks_side = fields.Function(
        fields.Boolean("With a Side"), 'on_change_with_asks_side')

    @fields.depends('requested_test')
    def on_change_with_asks_side(self, name=None):
        return bool(self.requested_test) and self.requested_test.side == ASK

    @without_check_access
    def exam_title(self):
        """Return the name of the exam with its side.

        :rtype: str
        """
        return self.requested_test.title(self.side)
