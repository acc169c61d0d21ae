# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who linked which study to what, and when: lines that nobody edits."""
import datetime as dt

from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.transaction import Transaction

# What a line keeps of a study, before and after.
KEPT = [
    'link_rule', 'link_state', 'patient', 'request', 'imaging_test',
    'review_code', 'review_parameters', 'merge_id']
_SHOWN = ['link_rule', 'link_state', 'patient', 'request', 'imaging_test']


class LinkLog(ModelSQL, ModelView):
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
            ('merge_id', "Study UID of the request"),
            ('accession', "Accession number"),
            ('patient_id', "Patient ID"),
            ('person', "A person"),
            ], "Rule", readonly=True, sort=False)
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
    def note(cls, changes, action=None):
        """Keep lines for changed studies.

        :param changes: list of study, dict of its former values and dict of
            its new ones, both by the names in KEPT
        :param str action: what was done, told from the values by default
        """
        now = dt.datetime.now().replace(microsecond=0)
        user = Transaction().user or None
        if changes:
            cls.create([
                cls._line(study, before, after, action, now, user)
                for study, before, after in changes])

    @classmethod
    def _line(cls, study, before, after, action, now, user):
        return {
            'study': study.id,
            'study_instance_UID': study.study_instance_UID,
            'at': now,
            'user': user,
            'action': action or {
                'linked': 'link', 'unlinked': 'unlink', 'review': 'review',
                }[after['link_state']],
            'rule': after['link_rule'],
            'rule_before': before['link_rule'],
            'state_before': before['link_state'],
            'patient_before': before['patient'],
            'patient': after['patient'],
            'request_before': before['request'],
            'request': after['request'],
            'result_before': before['imaging_test'],
            'result': after['imaging_test'],
            'review_code_before': before['review_code'],
            'review_parameters_before': before['review_parameters'],
            }

    def former(self):
        """Return the values that the study had before this line.

        What a rule linked it would link again, so there the person who takes
        it back has the last word.
        """
        values = {
            'link_rule': self.rule_before,
            'link_state': self.state_before or 'unlinked',
            'patient': _id(self.patient_before),
            'request': _id(self.request_before),
            'imaging_test': _id(self.result_before),
            'review_code': self.review_code_before,
            'review_parameters': self.review_parameters_before,
            }
        if self.rule not in {None, 'person'}:
            values.update(link_rule='person',
                link_state='linked' if self.patient_before else 'unlinked',
                review_code=None, review_parameters=None)
        return values


def last_not_undone(lines):
    """Return the newest line that was not taken back, None without one.

    :param lines: of one study, newest first
    """
    undone = 0
    for line in lines:
        if line.action == 'undo':
            undone += 1
        elif undone:
            undone -= 1
        else:
            return line


def values_of(study):
    """Return what a line keeps of a study, by the names in KEPT."""
    return {name: _id(getattr(study, name)) for name in KEPT}


def shown_differ(before, after):
    """Return whether two sets of values link a study differently.

    A study that was not looked at before counts as unlinked.
    """
    before = {**before, 'link_state': before['link_state'] or 'unlinked'}
    return any(before[name] != after[name] for name in _SHOWN)


def _id(value):
    return getattr(value, 'id', value)
