# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patients and requests that a person may choose for a study."""
from collections import defaultdict

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.health_imaging.direction import plain
from trytond.modules.health_imaging.doors import (
    CheckedWizard, selected_records)
from trytond.modules.health_imaging.kept import Kept
from trytond.modules.health_imaging.rights import check_read
from trytond.pool import Pool
from trytond.pyson import Eval, If, In
from trytond.wizard import StateTransition, Wizard

from .. import blocks, tables
from ..archive import texts
from ..exceptions import SeveralCandidatesError

# Attributes shown side by side, named as in matching.Difference.
ATTRIBUTES = [
    ('name', "Name"),
    ('birth_date', "Date of Birth"),
    ('sex', "Sex"),
    ('patient_id', "Patient ID"),
    ('study_date', "Date"),
    ('modality', "Modality"),
    ('accession_number', "Accession Number"),
    ]
# Verdicts to highlight.
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
        """Open the wizard that links the study to a candidate.

        The candidates are deleted with the review. Clients read the records of
        a button again, but after a wizard they read the study.
        """

    @classmethod
    def link(cls, candidates):
        """Link studies to the chosen candidates.

        :raises SeveralCandidatesError: two are of one study
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


_COMPARED = ['patient', 'request', *(name for name, _ in ATTRIBUTES)]


def replace(candidates):
    """Store the candidates of studies in place of the former ones.

    Unchanged candidates keep their rows: a user may have them open.

    :param dict candidates: lists of matching.Candidate by id of the study
    """
    Candidate = Pool().get('gnuhealth.imaging_orthanc.link_candidate')
    table, stored = Candidate.__table__(), defaultdict(list)
    for study, *row in blocks.rows(
            table, [table.study, table.id, *(
                getattr(table, name) for name in _COMPARED)],
            table.study, candidates, order_by=table.id):
        stored[study].append(row)
    gone, new = [], []
    for study, choices in candidates.items():
        rows = [_row(study, choice) for choice in choices]
        wanted = [[row[name] for name in _COMPARED] for row in rows]
        if wanted != [values for _, *values in stored[study]]:
            gone += [id_ for id_, *_ in stored[study]]
            new += rows
    Candidate.delete(Candidate.browse(gone))
    tables.insert(Candidate, new)


def _row(study, candidate):
    """Return the values of a LinkCandidate, each attribute as it is here, and
    that of the study beside it where they differ."""
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
        own = plain(difference.own)
        if difference.verdict in DOUBTFUL:
            own = beside(*difference[:3])
        values[difference.attribute] = own or None
    return values


def beside(attribute, theirs, own):
    """Return a value of here and the differing one of a study beside it.

    :param str attribute: as in matching.Difference
    :param str theirs, own: value of the study, and here
    """
    if attribute == 'name':
        theirs = texts.readable_name(theirs)
    return f'{plain(own) or "?"} \u2260 {plain(theirs) or "?"}'
