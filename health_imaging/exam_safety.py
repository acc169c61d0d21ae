# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an exam is, as far as it may harm a patient."""
from trytond.i18n import gettext
from trytond.model import fields
from trytond.pyson import Eval
from trytond.rpc import RPC

from . import sides
from .calls import checked
from .direction import plain
from .safety import facts
from .safety.rules import Rule

#: Sides of an exam that is done.
SIDES = [
    (facts.LEFT, "Left"),
    (facts.RIGHT, "Right"),
    (facts.BOTH, "Both"),
    ]


class ExamSafetyMixin:
    """Mixin of exams: radiation, contrast medium, and what is checked."""
    __slots__ = ()

    ionizing = fields.Selection([
            (None, "As usual for the modality"),
            ('yes', "Yes"),
            ('no', "No"),
            ], "Ionizing Radiation", sort=False)
    contrast = fields.Selection([
            (None, "None"),
            (facts.IODINATED, "Iodinated"),
            (facts.GADOLINIUM, "Gadolinium"),
            (facts.BARIUM, "Barium"),
            (facts.MICROBUBBLES, "Microbubbles"),
            ], "Contrast Medium", sort=False)
    body_part = fields.Char("Body Part",
        help="The DICOM term, such as HEAD, CHEST or HAND.")
    preparation = fields.Text("Preparation", translate=True,
        help="What the patient is to do before, printed on the order sheet.")
    creatinine_days = fields.Integer("Days a Creatinine is Valid",
        states={
            'invisible': ~Eval('contrast').in_(
                [facts.IODINATED, facts.GADOLINIUM]),
            })
    side = fields.Selection([
            (None, "None"),
            *SIDES,
            (facts.ASK, "To Be Asked"),
            ], "Side", sort=False,
        help="The side of the body; it can be asked for in each order, and is "
        "then part of the exam's name.")
    question_optional = fields.Boolean("Clinical Question is Optional",
        help="The exam can be ordered without a clinical question.")
    unchecked_rules = fields.MultiSelection(
        'get_rules', "Without the Checks", sort=False,
        help="Checks of safety that are not made for this exam.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__rpc__['get_rules'] = RPC(
            cache=dict(days=1), decorator=checked())

    @staticmethod
    def default_creatinine_days():
        return facts.Exam.creatinine_days

    @classmethod
    def get_rules(cls):
        """Return the rules that can be switched off, code and name.

        Other modules add the names of their rules as messages.

        :rtype: list of pairs of str
        """
        return [
            (rule.code, gettext(f'{rule.module}.msg_rule_{rule.code}'))
            for rule in Rule.known]

    def chosen_side(self, side=None):
        """Return the side on which the exam is done.

        :param str side: that of the request, or None
        :rtype: str as of safety.facts, ASK where one is to be chosen, or ''
        """
        if self.side == facts.ASK:
            return side or facts.ASK
        return self.side or ''

    def title(self, side=None):
        """Return the name of the exam with its side, unless it names it.

        :param str side: that of the request, or None
        :rtype: str
        """
        name, side = plain(self.rec_name), self.chosen_side(side)
        if side in {'', facts.ASK} or side in sides.named(name):
            return name
        return f'{name} ({gettext(f"health_imaging.msg_side_{side}")})'

    def greatest_weight(self, request=None):
        """Return the weight in kg that the machine of the exam bears, None
        when it is not known.  Modules that know of machines extend this.

        :param request: record of the request, None while it is ordered
        :rtype: float
        """
        return None

    def safety_facts(self, side=None, request=None):
        """Return what the rules of safety ask of the exam.

        :param str side: that of the request, or None
        :param request: see greatest_weight
        :rtype: safety.facts.Exam
        """
        days = self.creatinine_days
        return facts.Exam(
            self.code, self.test_type.code,
            {'yes': True, 'no': False}.get(self.ionizing),
            self.contrast or '', (self.body_part or '').strip().upper(),
            self.chosen_side(side),
            facts.Exam.creatinine_days if days is None else days,
            self.greatest_weight(request),
            frozenset(self.unchecked_rules or ()))
