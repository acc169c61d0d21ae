# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Macros: short codes that become texts of reports."""
from trytond.i18n import gettext
from trytond.model import DeactivableMixin, ModelSQL, ModelView, fields
from trytond.transaction import Transaction, without_check_access

from . import macros
from .calls import CheckedCalls
from .exceptions import MacroCodeError, MacroExistsError
from .report_template import check_picks


class Macro(CheckedCalls, DeactivableMixin, ModelSQL, ModelView):
    "Imaging Macro"
    __name__ = 'gnuhealth.imaging.macro'

    code = fields.Char("Code", required=True,
        help="A dot and a word, such as .nsf, which is replaced in reports.")
    text = fields.Text("Text", required=True)
    user = fields.Many2One('res.user', "User", ondelete='CASCADE',
        help="Whose macro it is; empty: of all who report.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('code', 'ASC'), ('user', 'ASC')]

    @staticmethod
    def default_user():
        return Transaction().user or None

    def get_rec_name(self, name):
        return self.code

    @fields.depends('code')
    def on_change_code(self):
        if self.code:
            self.code = '.' + self.code.strip().lstrip('.').lower()

    @classmethod
    def validate_fields(cls, records, field_names):
        super().validate_fields(records, field_names)
        for macro in records:
            if macros.codes(macro.code) != {macro.code}:
                raise MacroCodeError(gettext(
                        'health_imaging.msg_macro_code', code=macro.code))
            check_picks(macro, 'text')
            macro._check_unique()

    @without_check_access
    def _check_unique(self):
        """Raise MacroExistsError when the user has another with the code."""
        if self.active and self.search([
                    ('code', '=', self.code), ('user', '=', self.user),
                    ('id', '!=', self.id)], limit=1):
            raise MacroExistsError(gettext(
                    'health_imaging.msg_macro_exists', code=self.code))

    @classmethod
    @without_check_access
    def expand(cls, texts):
        """Return texts with the macros of the user and those of all.

        :param texts: list of str or None
        :rtype: list of str or None
        """
        codes = set().union(*map(macros.codes, texts))
        if not codes:
            return texts
        found = cls.search([
                ('code', 'in', sorted(codes)),
                ['OR',
                    ('user', '=', None), ('user', '=', Transaction().user)]])
        # The user's own ones last, they win.
        known = {
            m.code: m.text for m in sorted(found, key=lambda m: bool(m.user))}
        return [macros.expand(text, known) for text in texts]
