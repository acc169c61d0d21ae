# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patients and requests among which a person chooses for a study."""
from collections import defaultdict

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.health_imaging.direction import plain
from trytond.modules.health_imaging.doors import (
    CheckedWizard, selected_records)
from trytond.modules.health_imaging.rights import check_read
from trytond.pool import Pool
from trytond.pyson import Eval, If, In
from trytond.tools import grouped_slice
from trytond.wizard import StateTransition, Wizard

from .. import tables
from ..archive import records
from ..exceptions import SeveralCandidatesError
from ..kept import Kept

# The columns side by side, named as in matching.Difference.
ATTRIBUTES = [
    ('name', "Name"),
    ('birth_date', "Date of Birth"),
    ('sex', "Sex"),
    ('patient_id', "Patient ID"),
    ('study_date', "Date"),
    ('modality', "Modality"),
    ('accession_number', "Accession Number"),
    ]
# Verdicts of matching that a person has to look at.
DOUBTFUL = {'unsure', 'unreadable', 'differs', 'similar', 'short'}


class LinkCandidate(Kept, ModelSQL, ModelView):
    "Candidate for a Study"
    __name__ = 'gnuhealth.imaging_orthanc.link_candidate'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='CASCADE')
    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", required=True, readonly=True,
        ondelete='CASCADE')
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request", readonly=True,
        ondelete='CASCADE')
    name = fields.Char("Name", readonly=True)
    birth_date = fields.Char("Date of Birth", readonly=True)
    sex = fields.Char("Sex", readonly=True)
    patient_id = fields.Char("Patient ID", readonly=True)
    study_date = fields.Char("Date", readonly=True)
    modality = fields.Char("Modality", readonly=True)
    accession_number = fields.Char("Accession Number", readonly=True)
    differing = fields.MultiSelection(
        ATTRIBUTES, "Differs in", readonly=True, sort=False)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(table, (table.patient, Index.Equality())))
        cls._buttons.update({'choose': {}})

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            (f'/tree/field[@name="{name}"]', 'visual',
                If(In(name, Eval('differing', [])), 'danger', ''))
            for name, _ in ATTRIBUTES]

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_choose_candidate')
    def choose(cls, candidates):
        # The candidates end with the review.  Clients read the records of a
        # button again, but after a wizard they read the study.
        pass

    @classmethod
    def link(cls, candidates):
        """Link the studies to what a person chose.

        :raises SeveralCandidatesError: two of them are of one study
        """
        studies = [c.study for c in candidates]
        if len(set(studies)) < len(studies):
            raise SeveralCandidatesError(gettext(
                    'health_orthanc.msg_several_candidates'))
        for candidate in candidates:
            candidate.study.take(candidate)


class ChooseCandidate(CheckedWizard, Wizard):
    "Link a Study to a Candidate"
    __name__ = 'gnuhealth.imaging_orthanc.choose_candidate'
    _rights = {
        'gnuhealth.imaging_orthanc.link_candidate': ['read'],
        'gnuhealth.imaging_orthanc.study': ['write'],
        }
    _models = {'gnuhealth.imaging_orthanc.link_candidate'}

    start_state = 'choose'
    choose = StateTransition()

    def transition_choose(self):
        Candidate = Pool().get('gnuhealth.imaging_orthanc.link_candidate')
        candidates = selected_records(self, Candidate)
        check_read(candidates)
        Candidate.link(candidates)
        return 'end'


def replace(candidates):
    """Keep the candidates of studies instead of those before; those that are
    the same stay, as somebody may be looking at them.

    :param candidates: lists of matching.Candidate by id of the study
    """
    Candidate = Pool().get('gnuhealth.imaging_orthanc.link_candidate')
    rows = {
        study: [row(study, choice) for choice in choices]
        for study, choices in candidates.items()}
    stored = defaultdict(list)
    for some in grouped_slice(list(candidates)):
        for record in Candidate.search([('study', 'in', list(some))]):
            stored[record.study.id].append(record)
    changed = [
        study for study, wanted in rows.items()
        if [_values(r) for r in stored[study]] != list(map(_key, wanted))]
    Candidate.delete([r for study in changed for r in stored[study]])
    tables.insert(
        Candidate, [values for study in changed for values in rows[study]])


_COMPARED = ['patient', 'request', *(name for name, _ in ATTRIBUTES)]


def _key(values):
    "Return what tells the values of a candidate from those of another."
    return tuple(values.get(name) or None for name in _COMPARED)


def _values(record):
    "Return what tells a stored candidate from another."
    return tuple(
        getattr(value, 'id', value) or None
        for value in (getattr(record, name) for name in _COMPARED))


def row(study, candidate):
    """Return the values of a LinkCandidate.

    :param int study: id of the study
    :param candidate: matching.Candidate
    """
    values = {
        'study': study,
        'patient': candidate.patient,
        'request': candidate.id if candidate.kind == 'request' else None,
        'differing': [
            d.attribute for d in candidate.differences
            if d.verdict in DOUBTFUL],
        **dict.fromkeys(name for name, _ in ATTRIBUTES),
        }
    for difference in candidate.differences:
        values[difference.attribute] = _side_by_side(difference)
    return values


def _side_by_side(difference):
    """Return the value here, with that of the study beside it where a person
    has to look."""
    own, study = difference.own, difference.study
    own = plain(own)
    if difference.verdict not in DOUBTFUL:
        return own
    if difference.attribute == 'name':
        study = records.readable_name(study)
    study = plain(study)
    return f'{own or "?"} \u2260 {study or "?"}'
