# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""History of the links of studies, read-only for users."""
import datetime as dt

from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.transaction import Transaction

from .. import blocks, tables
from ..kept import Ledger
from .link import CAUSES, PERSON, Link


class LinkLog(Ledger, ModelSQL, ModelView):
    "Link of a Study"
    __name__ = 'gnuhealth.orthanc.link_log'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", readonly=True,
        ondelete='SET NULL')
    study_instance_UID = fields.Char("Study Instance UID", readonly=True)
    at = fields.DateTime("Date", readonly=True)
    user = fields.Many2One('res.user', "User", readonly=True)
    action = fields.Selection([
            ('link', "Link"),
            ('unlink', "Unlink"),
            ('review', "Review"),
            ('undo', "Undo"),
            ], "Action", readonly=True, sort=False)
    rule = fields.Selection([
            (None, ""),
            ('merge_id', "Study Instance UID of the request"),
            ('accession', "Accession number"),
            ('patient_id', "Patient ID"),
            ('person', "A person"),
            ], "Rule", readonly=True, sort=False)
    cause = fields.Selection(CAUSES, "Cause", readonly=True, sort=False,
        help="Why the link changed.")
    patient_before = fields.Many2One(
        'gnuhealth.patient', "Former Patient", readonly=True)
    patient = fields.Many2One('gnuhealth.patient', "Patient", readonly=True)
    request_before = fields.Many2One(
        'gnuhealth.imaging.test.request', "Former Request", readonly=True,
        ondelete='SET NULL')
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request", readonly=True,
        ondelete='SET NULL')
    result_before = fields.Many2One(
        'gnuhealth.imaging.test.result', "Former Result", readonly=True,
        ondelete='SET NULL')
    result = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", readonly=True,
        ondelete='SET NULL')
    rule_before = fields.Char("Former Rule", readonly=True)
    state_before = fields.Char("Former State", readonly=True)
    review_code_before = fields.Char("Former Reason", readonly=True)
    review_parameters_before = fields.Text(
        "Details of the Former Reason", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('at', 'DESC'), ('id', 'DESC')]
        cls._sql_indexes.add(Index(table, (table.study, Index.Equality())))

    @classmethod
    def note(cls, changes, cause, action=None):
        """Add lines for changed links.

        :param changes: list of link.Change
        :param str cause: one of link.CAUSES
        :param str action: what was done, derived from the link by default
        """
        if not changes:
            return
        now = dt.datetime.now().replace(microsecond=0)
        user = Transaction().user or None
        study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
        uids = dict(blocks.rows(
                study, [study.id, study.study_instance_UID],
                study.id, [c.study for c in changes]))
        tables.insert(cls, [{
                    **_line(change, action),
                    'study_instance_UID': uids[change.study],
                    'at': now, 'user': user, 'cause': cause,
                    } for change in changes])

    def former(self):
        """Return the Link before this line, to undo the change.

        A link made by a rule becomes one of the person who undoes: the rule
        would repeat its change.

        :rtype: Link
        """
        link = Link(
            link_rule=self.rule_before,
            link_state=self.state_before or 'unlinked',
            patient=_id(self.patient_before),
            request=_id(self.request_before),
            imaging_test=_id(self.result_before),
            review_code=self.review_code_before,
            review_parameters=self.review_parameters_before)
        if (link.link_state == 'linked'
                and not link.patient and not link.imaging_test):
            # The linked record was deleted since.
            return Link()
        if self.rule != PERSON and (self.rule or link.patient):
            link = link._replace(
                link_rule=PERSON, review_code=None, review_parameters=None,
                link_state='linked' if link.patient else 'unlinked')
        return link


def _line(change, action):
    """Return the values of a line for a change."""
    before, after = change.before, change.after
    return {
        'study': change.study,
        'action': action or {
            'linked': 'link', 'unlinked': 'unlink', 'review': 'review',
            }[after.link_state],
        'rule': after.link_rule,
        'rule_before': before.link_rule,
        'state_before': before.link_state,
        'patient_before': before.patient,
        'patient': after.patient,
        'request_before': before.request,
        'request': after.request,
        'result_before': before.imaging_test,
        'result': after.imaging_test,
        'review_code_before': before.review_code,
        'review_parameters_before': before.review_parameters,
        }


def last_not_undone(lines):
    """Return the newest line that was not undone, or None.

    :param lines: records of one study, newest first
    """
    undone = 0
    for line in lines:
        if line.action == 'undo':
            undone += 1
        elif undone:
            undone -= 1
        else:
            return line


def _id(value):
    return getattr(value, 'id', value)
