# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at when a result is signed, and what was signed anyway."""
import datetime as dt
from collections import namedtuple

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.transaction import without_check_access

from . import sides
from .calls import CheckedCalls
from .exceptions import SideWordError, SignWarning
from .kept import Ledger
from .minute import Minute

#: What was found: the result, a code of CHECKS, and what it is about.
Finding = namedtuple('Finding', 'result code detail')
#: The message of each check by its code.  Other modules add theirs.
CHECKS = {
    'impression': 'health_imaging.msg_check_impression',
    'side_missing': 'health_imaging.msg_check_side_missing',
    'side_other': 'health_imaging.msg_check_side_other',
    }


def finding_text(code, detail):
    """Return what a check says, in the user's language.

    :param str code: of CHECKS
    :param str detail: what it is about
    :rtype: str
    """
    message = CHECKS.get(code)
    return gettext(message, detail=detail or '') if message else code


class SignCheckMixin:
    """Mixin of results: the checks when they are signed."""
    __slots__ = ()

    signed_anyway = fields.One2Many(
        'gnuhealth.imaging.test.result.sign_check', 'result',
        "Signed Anyway", readonly=True)

    @classmethod
    def sign_findings(cls, results):
        """Return what a person should know before results are signed.

        Other modules extend this.

        :param results: records
        :rtype: list of Finding
        """
        Word = Pool().get('gnuhealth.imaging.side_word')
        own, found = Word.pairs(), []
        for result in results:
            if not (result.impression or '').strip():
                found.append(Finding(result, 'impression', None))
            wrong = sides.contradiction(
                result.exam_title(), [
                    result.technique, result.comment, result.impression], own)
            if wrong:
                found.append(Finding(result, *wrong))
        return found

    @classmethod
    def _ask_to_sign(cls, results, findings):
        """Ask the user whether these are the results to sign.

        It is one question, whose name tells whether something was found.

        :param results: records
        :param findings: list of Finding
        :raises SignWarning: the user is asked, and may go on
        """
        Warning = Pool().get('res.user.warning')
        lines = []
        for result in results:
            lines.append(result._question())
            lines.extend(
                f'– {finding_text(f.code, f.detail)}' for f in findings
                if f.result == result)
        # XML-RPC does not say the name of a warning: programs make it.
        key = '|'.join(f'{r.id}-{r.revision or 0}' for r in results)
        # Who agrees to the plain question has not agreed to findings.
        key += '.imaging_sign_checks' if findings else '.imaging_sign'
        if results and Warning.check(key):
            raise SignWarning(key, '\n'.join(lines))

    def _question(self):
        """Return the question whether to sign the result."""
        return gettext('health_imaging.msg_sign',
            exam=self.exam_title(), patient=self.patient.rec_name,
            puid=self.patient.puid or '', author=self.doctor.rec_name)

    @classmethod
    def copy(cls, results, default=None):
        return super().copy(
            results, default={'signed_anyway': None, **(default or {})})


class SignCheck(Ledger, ModelSQL, ModelView):
    "Signed Anyway"
    __name__ = 'gnuhealth.imaging.test.result.sign_check'

    result = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", required=True,
        ondelete='CASCADE')
    revision = fields.Integer("Revision")
    signer = fields.Many2One(
        'gnuhealth.healthprofessional', "Signed by", ondelete='RESTRICT')
    at = Minute("At", required=True)
    code = fields.Char("Code", required=True)
    detail = fields.Char("Detail")
    finding = fields.Function(fields.Char("Finding"), 'get_finding')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('at', 'DESC'), ('id', 'ASC')]
        cls._sql_indexes.add(Index(table, (table.result, Index.Equality())))

    def get_finding(self, name):
        return finding_text(self.code, self.detail)

    @classmethod
    @without_check_access
    def keep(cls, findings, signer):
        """Keep what was signed anyway.

        :param findings: list of Finding
        :param signer: id of the health professional
        """
        at = dt.datetime.now().replace(microsecond=0)
        cls.create([{
                    'result': f.result.id, 'revision': f.result.revision or 0,
                    'signer': signer, 'at': at, 'code': f.code,
                    'detail': f.detail} for f in findings])


class SideWord(CheckedCalls, ModelSQL, ModelView):
    "Word for a Side"
    __name__ = 'gnuhealth.imaging.side_word'

    word = fields.Char("Word", required=True,
        help="A word of the hospital's exams or reports, * stands for any "
        "letters.")
    side = fields.Selection([
            ('left', "Left"),
            ('right', "Right"),
            ('both', "Both"),
            ('none', "No Side"),
            ], "Side", required=True, sort=False,
        help="What the word means in reports: \"No Side\" takes a word out "
        "that comes with the module.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('word', 'ASC')]

    def get_rec_name(self, name):
        return self.word

    @classmethod
    def validate_fields(cls, words, field_names):
        super().validate_fields(words, field_names)
        for word in words:
            if not sides.is_pattern(word.word):
                raise SideWordError(gettext(
                        'health_imaging.msg_side_word', word=word.word))

    @classmethod
    @without_check_access
    def pairs(cls):
        """Return pairs of word and side, as health_imaging.sides takes them.

        :rtype: list
        """
        return [(w.word, w.side) for w in cls.search([])]
