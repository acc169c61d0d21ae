# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets matching decide to which patients and requests studies belong, and
gives what it decided to the ledger."""
import json
from collections import defaultdict
from dataclasses import replace

from sql import Null

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import without_check_access

from .. import matching, records, storage
from . import effects, facts, ledger
from .link import PERSON, Link

_BLOCK = 500


@without_check_access
def link_studies(ids, cause='sync'):
    """Decide to which patients and requests studies belong, and keep it.

    What a person linked or unlinked is left alone.

    :param ids: ids of study rows
    :param str cause: of link.CAUSES
    :return: how many studies are linked now that were not before
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    linked, ids = 0, sorted(ids)
    for sub in grouped_slice(ids, _BLOCK):
        studies = [s for s in Study.browse(list(sub))
            if s.link_rule != PERSON]
        # The study that took the place of a missing one has its link.
        replaced = storage.replaced_studies(
            [s.id for s in studies if s.missing_since])
        studies = [s for s in studies if s.id not in replaced]
        linked += _link(studies, cause)
    effects.count_images_of(ids)
    return linked


def wanting_details(server, limit):
    """Return studies whose decision may be another one with what only their
    images tell: the issuer of the PatientID, and what was requested.

    :param int server: id of the server
    :param int limit: how many at most
    :return: ids of studies of which no image was read yet
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    candidate = pool.get(
        'gnuhealth.imaging_orthanc.link_candidate').__table__()
    doubtful = (
        (table.link_rule == matching.PATIENT_ID)
        | (table.link_state == matching.REVIEW)
        | table.id.in_(candidate.select(candidate.study)))
    return [id_ for id_, in storage.execute(table.select(
                table.id,
                where=(table.orthanc_server == server)
                & (table.details_at == Null) & (table.missing_since == Null)
                & ((table.link_rule == Null) | (table.link_rule != PERSON))
                & doubtful,
                order_by=table.id.desc, limit=limit))]


def _link(studies, cause):
    of_studies = {s: facts.study_facts(s) for s in studies}
    decisions = _decisions(of_studies)
    former = _former_links(of_studies)
    links, candidates = {}, {}
    for study, (decision, index) in decisions.items():
        twins = former.get(study.id, [])
        for twin in twins:
            decision = _with_former_link(decision, twin)
        links[study.id] = _taken_over(_link_of(decision, index), twins)
        if decision.candidates or study.candidates:
            candidates[study.id] = decision.candidates
    changes = ledger.decide(links, cause, candidates)
    _end_former_links(former)
    return sum(1 for change in changes
        if change.after.link_state == 'linked' != change.before.link_state)


def _decisions(of_studies):
    """Return a Decision and the Index it was made with, by record of study.

    Inactive people get no new studies, and keep those that they have.

    :param of_studies: StudyFacts by record of study
    """
    patients = {s.patient.id for s in of_studies if s.patient}
    inactive = patients - facts.active_patients(patients)
    with_inactive = {
        s: fact for s, fact in of_studies.items()
        if s.patient and s.patient.id in inactive}
    others = {
        s: fact for s, fact in of_studies.items() if s not in with_inactive}
    decisions = {}
    for some, linked in [
            (others, set()),
            (with_inactive, {s.patient.id for s in with_inactive})]:
        if some:
            index = facts.index_of(some.values(), linked)
            decisions.update(
                (s, (matching.decide(fact, index), index))
                for s, fact in some.items())
    return decisions


def _link_of(decision, index):
    "Return the Link that a Decision makes."
    request = index.requests.get(decision.request)
    reason = decision.review_reason
    return Link(
        link_rule=decision.link_rule,
        link_state=decision.link_state,
        patient=decision.patient,
        request=decision.request,
        imaging_test=decision.result,
        review_code=reason.code if reason else None,
        review_parameters=(
            json.dumps(reason.parameters, default=str, sort_keys=True)
            if reason else None),
        merge_id=request.merge_id if request else None)


# Studies that came again under another PatientID

class FormerLink:
    """What a study was linked to under another PatientID, when it is missing
    under that one.

    :ivar int twin: id of the missing study
    :ivar link: Link that it has or had
    :ivar candidate: matching.Candidate
    :ivar parameters: those of the reason for a review
    """

    def __init__(self, twin, link, candidate, parameters):
        self.twin = twin
        self.link = link
        self.candidate = candidate
        self.parameters = parameters


def _former_links(of_studies):
    """Return lists of FormerLink by the id of the study that is there.

    :param of_studies: StudyFacts by record of study
    """
    rows = storage.former_links([s.id for s in of_studies])
    present = facts.present_patients({link.patient for *_, link in rows})
    Patient = Pool().get('gnuhealth.patient')
    patients = {
        p.id: p for p in facts.patient_facts(
            Patient.browse(sorted(set(present.values()))))}
    by_id = {study.id: fact for study, fact in of_studies.items()}
    found = defaultdict(list)
    for id_, twin, patient_id, link in rows:
        patient = patients[present[link.patient]]
        link = link._replace(patient=patient.id)
        found[id_].append(FormerLink(
                twin, link,
                matching.Candidate('patient', patient.id, patient.id, tuple(
                        matching.differences(by_id[id_], patient))),
                {'patient_id': patient_id or '', 'patient': patient.puid}))
    return found


def _with_former_link(decision, former):
    """Return a decision in which a former link is offered, unless it is the
    same one or a rule knows better than the rule before."""
    candidate = former.candidate
    if decision.link_state == matching.REVIEW:
        known = {c.patient for c in decision.candidates}
        if candidate.patient in known:
            return decision
        return replace(
            decision, candidates=(*decision.candidates, candidate))
    if decision.patient == candidate.patient:
        return decision
    if (decision.link_state == matching.LINKED
            and not former.link.is_of_person):
        return decision
    return matching.Decision(
        matching.REVIEW, candidates=(candidate,),
        review_reason=matching.Reason('former_link', former.parameters))


def _taken_over(link, twins):
    """Return the link with the request and result that a person had given
    to the same patient's study, when no rule found others."""
    for twin in twins:
        if (twin.link.is_of_person and link.patient == twin.link.patient
                and link.request in {None, twin.link.request}):
            return twin.link
    return link


def _end_former_links(former):
    """Unlink what is missing and there under another PatientID: what follows
    is that of the study that is there."""
    twins = {twin.twin for some in former.values() for twin in some}
    ledger.keep({
            id_: Link() for id_, link in ledger.read(twins).items()
            if link.patient or link.imaging_test}, 'replaced')


def reason_text(code, parameters):
    """Return the translated sentence of a reason for review.

    :param code: among matching.REASONS, or None
    :param parameters: JSON of the reason's parameters
    """
    if not code:
        return ''
    values = dict.fromkeys(matching.REASONS.get(code, ()), '')
    values.update(json.loads(parameters or '{}'))
    if code.startswith('name_'):
        values['study'] = records.readable_name(values['study'])
    return gettext(f'health_orthanc.msg_review_{code}', **values)
