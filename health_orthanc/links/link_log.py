# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""History of the links of studies, read-only for users."""
import json

from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.health_imaging.kept import Ledger
from trytond.modules.health_imaging.minute import Minute, now
from trytond.modules.health_imaging.retention import Forgotten
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.transaction import Transaction, without_check_access

from .. import blocks, tables
from . import questions
from .link import CAUSES, PERSON, Link

# Names of a Link by those of a line, before and after the change
_BEFORE = {
    'rule_before': 'link_rule',
    'state_before': 'link_state',
    'patient_before': 'patient',
    'request_before': 'request',
    'result_before': 'imaging_test',
    'review_code_before': 'review_code',
    'review_parameters_before': 'review_parameters',
    'further_before': 'further',
    }
_AFTER = {
    'rule': 'link_rule',
    'patient': 'patient',
    'request': 'request',
    'result': 'imaging_test',
    'further': 'further',
    }
_ACTIONS = {'linked': 'link', 'unlinked': 'unlink', 'review': 'review'}


class LinkLog(Forgotten, Ledger, ModelSQL, ModelView):
    "Link of a Study"
    __name__ = 'gnuhealth.orthanc.link_log'
    _years = 'health_orthanc', 'link_log_years', 0

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", readonly=True,
        ondelete='SET NULL')
    study_instance_UID = fields.Char("Study Instance UID", readonly=True)
    at = Minute("Date", readonly=True)
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
    differing = fields.Text("Details of the Differences", readonly=True)
    in_spite_of = fields.Function(
        fields.Text("In Spite of", states={'invisible': ~Eval('differing')},
            help="What differed when a person linked the study nevertheless: "
            "here ≠ in the study."),
        'get_in_spite_of')
    rule_before = fields.Char("Former Rule", readonly=True)
    state_before = fields.Char("Former State", readonly=True)
    further_before = fields.Char("Former Further Requests", readonly=True)
    further = fields.Char("Further Requests in JSON", readonly=True)
    further_requests = fields.Function(
        fields.Char("Further Requests",
            help="The other requests for which the exam was done, before and "
            "after the change."),
        'get_further_requests')
    review_code_before = fields.Char("Former Reason", readonly=True)
    review_parameters_before = fields.Text(
        "Details of the Former Reason", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('at', 'DESC'), ('id', 'DESC')]
        cls._sql_indexes.add(Index(table, (table.study, Index.Equality())))

    def get_in_spite_of(self, name):
        return questions.text_of(json.loads(self.differing or '[]'))

    @classmethod
    @without_check_access
    def get_further_requests(cls, lines, name):
        """Return the numbers of further requests, as people call them."""
        Request = Pool().get('gnuhealth.imaging.test.request')
        ids = {
            line.id: [
                json.loads(of or '[]')
                for of in [line.further_before, line.further]]
            for line in lines}
        numbers = {r.id: r.request_line for r in Request.search([
                    ('id', 'in', list({
                                id_ for some in ids.values() for each in some
                                for id_ in each}))])}
        texts = {}
        for id_, some in ids.items():
            before, after = [
                ', '.join(numbers.get(r) or '?' for r in each)
                for each in some]
            texts[id_] = after if before == after \
                else f'{before or "-"} \u2192 {after or "-"}'
        return texts

    @classmethod
    def note(cls, changes, cause, action=None, doubts=None):
        """Add lines for changed links.

        :param changes: list of link.Change
        :param str cause: one of link.CAUSES
        :param str action: what was done, derived from the link by default
        :param dict doubts: tuples of matching.Difference by id of the study
        """
        if not changes:
            return
        study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
        uids = dict(blocks.rows(
                study, [study.id, study.study_instance_UID],
                study.id, [c.study for c in changes]))
        own = {
            'at': now(), 'user': Transaction().user or None, 'cause': cause}
        tables.insert(cls, [{
                    **own,
                    'study': change.study,
                    'study_instance_UID': uids[change.study],
                    'action': action or _ACTIONS[change.after.link_state],
                    'differing': _kept((doubts or {}).get(change.study)),
                    **_values(change.before, _BEFORE),
                    **_values(change.after, _AFTER),
                    } for change in changes])

    def former(self):
        """Return the Link before this line, to undo the change.

        A link made by a rule becomes one of the person who undoes: the rule
        would repeat its change."""
        values = {
            name: getattr(self, own) for own, name in _BEFORE.items()}
        link = Link(**{
                name: getattr(value, 'id', value)
                for name, value in values.items()})
        link = link._replace(further=tuple(json.loads(link.further or '[]')))
        link = link._replace(link_state=link.link_state or 'unlinked')
        if (link.link_state == 'linked'
                and not link.patient and not link.imaging_test):
            # The linked record was deleted since.
            return Link()
        if self.rule != PERSON and (self.rule or link.patient):
            link = link._replace(
                link_rule=PERSON, review_code=None, review_parameters=None,
                link_state='linked' if link.patient else 'unlinked')
        return link


def _kept(doubts):
    """Return Differences as they are stored."""
    return json.dumps([d[:3] for d in doubts]) if doubts else None


def _values(link, names):
    values = {own: getattr(link, name) for own, name in names.items()}
    return {
        own: (json.dumps(value) if value else None)
        if isinstance(value, tuple) else value
        for own, value in values.items()}


def last_not_undone(lines):
    "Return the newest of lines, newest first, not undone; or None."
    undone = 0
    for line in lines:
        if line.action == 'undo':
            undone += 1
        elif undone:
            undone -= 1
        else:
            return line
