# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matches studies with patients and requests, and stores the links."""
import json
from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

from sql import Literal, Null, Union
from sql.aggregate import Count

from trytond.i18n import gettext
from trytond.modules.health_imaging.direction import plain
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import without_check_access

from .. import matching, tables
from ..archive import texts
from . import candidate, facts, ledger, questions, twins
from .link import PERSON, Change, Link

_BLOCK = 500


@without_check_access
def link_studies(ids, cause='sync', new=(), review=None):
    """Match studies and store their links.

    Links made by a person stay. Where a person chose only the patient, the
    requests that fit are stored as candidates.

    :param str cause: one of link.CAUSES
    :param new: list of facts.StudyRow of those among them that this
        transaction inserted, which are not read again
    :param set review: gets the ids of the studies that come to be reviewed
    :return: number of studies that are newly linked
    """
    linked, new = 0, {s.id: s for s in new}
    review = set() if review is None else review
    for sub in grouped_slice(sorted(ids), _BLOCK):
        sub = set(sub)
        studies = [new[id_] for id_ in sorted(sub.intersection(new))]
        studies += facts.read_studies(sub.difference(new))
        _offer_requests(studies)
        # The study that replaced a missing one takes its link.
        replaced = twins.ambiguous_studies(
            [s.id for s in studies if s.missing_since])
        again = twins.missing_twins(
            [s.id for s in studies if not s.missing_since])
        linked += _link([
                s for s in studies
                if not s.link.is_of_person and s.id not in replaced],
            {id_ for id_, _ in again}, cause, new, review)
        # What is known of their twins is in other rows.
        tables.touch(
            Pool().get('gnuhealth.imaging_orthanc.study'),
            {id_ for id_, _ in again} - new.keys())
        replaced = {missing for _, missing in again}
        ledger.keep(dict.fromkeys(replaced, Link()), 'replaced',
            dict.fromkeys(replaced, ()))
    return linked


def choose(studies, values, cause=PERSON):
    """Store what a person chose for studies.

    Where only a patient was chosen, the requests that fit become candidates.
    See ledger.choose.

    :param dict values: ids by the names in ledger.CHOICES
    :param str cause: one of link.CAUSES
    """
    ledger.choose(studies, values, cause)
    _offer_requests(facts.read_studies([s.id for s in studies]))


@without_check_access
def undo(links):
    """Give studies back the links before their last change.

    :param dict links: Link by id of the study
    :raises SignedLinkError: a study would leave a signed result
    :raises UndoLinkWarning: the user is asked, and may go on
    """
    links = facts.present_links(links)
    ledger.check(links)
    before = ledger.read(links)
    questions.ask_to_undo([
            Change(id_, before[id_], link) for id_, link in links.items()])
    ledger.keep(links, PERSON, action='undo', before=before)
    link_studies(list(links), PERSON)


@without_check_access
def _offer_requests(studies):
    "Store requests as candidates where a person chose only a patient."
    studies = [s for s in studies if s.link.is_of_person and s.link.patient
        and not s.link.request and not s.link.imaging_test]
    if not studies:
        return
    of_studies = {s.id: facts.study_facts(s) for s in studies}
    index = facts.index_of(
        of_studies.values(), chosen={s.link.patient for s in studies})
    candidate.replace({
            id_: matching.requests_beside(
                of_studies[id_], index, link.patient)
            for id_, link in ledger.read(of_studies).items()
            if link.is_of_person and not link.request})


def wanting_details(server, limit):
    """Return the ids of studies whose match may change once an image is read.

    Only the instances have IssuerOfPatientID (0010,0021, VR LO), and in
    Orthanc before 1.11 RequestAttributesSequence (0040,0275, VR SQ).

    :param int server: id of the server
    :param int limit: largest number of studies
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    candidate = pool.get(
        'gnuhealth.imaging_orthanc.link_candidate').__table__()
    request = pool.get('gnuhealth.imaging.test.request').__table__()
    of_server = (
        (table.orthanc_server == server)
        & (table.details_at == Null) & (table.missing_since == Null)
        & ((table.link_rule == Null) | (table.link_rule != PERSON)))
    # It may be of several requests of its patient.
    of_several = (table.request != Null) & table.patient.in_(request.select(
            request.patient, where=request.state == 'requested',
            group_by=request.patient, having=Count(Literal(1)) > 1))
    # Each part has an index: no run looks at all studies.
    doubtful = Union(*(
            query.select(table.id, where=of_server & where)
            for query, where in [
                (table, table.link_rule == matching.PATIENT_ID),
                (table, table.link_state == matching.REVIEW),
                (table, of_several),
                (table.join(candidate, condition=candidate.study == table.id),
                    Literal(True))]))
    return [id_ for id_, in tables.execute(doubtful.select(
                doubtful.id, order_by=doubtful.id.desc, limit=limit))]


def _link(studies, again, cause, new, review):
    """Match studies; parameters are those of link_studies.

    :param again: ids of those that were sent again
    """
    said = {s.id: facts.study_facts(s) for s in studies}
    former = _former_links({
            s.id: said[s.id] for s in studies
            if s.id in again or not s.link.patient})
    links, candidates = {}, {}
    for index, ids in _indexes(studies, said):
        for id_, decision in _decisions(
                index, {id_: said[id_] for id_ in ids}).items():
            for one in former[id_]:
                decision = _with_former_link(decision, one)
            links[id_] = _taken_over(_link_of(decision, index), former[id_])
            candidates[id_] = (
                () if links[id_].is_of_person else decision.candidates)
    changes = ledger.decide(
        links, cause, candidates, new.keys() & links.keys())
    came = {state: {
            c.study for c in changes
            if c.after.link_state == state != c.before.link_state}
        for state in [matching.LINKED, matching.REVIEW]}
    review |= came[matching.REVIEW]
    return len(came[matching.LINKED])


def _decisions(index, said):
    """Return the Decisions on StudyFacts, both by id of the study.

    Who else has a date of birth is read only where a decision asks for it.
    """
    found = {id_: matching.decide(one, index) for id_, one in said.items()}
    asked = facts.add_born(index)
    found.update(
        (id_, matching.decide(one, index)) for id_, one in said.items()
        if matching.full_date(one.birth_date) in asked)
    return found


def _indexes(studies, said):
    """Yield the Index for some of the studies, and their ids.

    Inactive patients get no new studies and keep their present ones.

    :param dict said: StudyFacts by id
    """
    patients = {s.link.patient for s in studies} - {None}
    inactive = patients - facts.active_patients(patients)
    # Merged patients have no studies.
    inactive = {
        p for p, now in facts.present_patients(inactive).items() if p == now}
    for linked in [False, True]:
        ids = [
            s.id for s in studies if (s.link.patient in inactive) == linked]
        if ids:
            yield facts.index_of(
                [said[id_] for id_ in ids], inactive if linked else ()), ids


def _link_of(decision, index):
    """Return the Link of a Decision."""
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
        merge_id=request.merge_id if request else None,
        further=decision.further)


# Studies that came again under another PatientID

class _FormerLink(NamedTuple):
    """What a study was linked to before it was sent again.

    :ivar bool own: whether the study itself came back, rather than under
        another PatientID (0010,0020)
    :ivar link: the former Link
    :ivar candidate: matching.Candidate
    :ivar parameters: dict, those of the reason for review
    """
    own: bool
    link: Link
    candidate: matching.Candidate
    parameters: dict


def _former_links(said):
    """Return _FormerLinks by id of the present study, of StudyFacts by id."""
    rows = twins.former_links(said)
    present = facts.present_patients({link.patient for *_, link in rows})
    patients = facts.patient_facts(set(present.values()), ())
    found = defaultdict(list)
    for id_, of, patient_id, link in rows:
        patient = patients.get(present[link.patient])
        if patient:
            found[id_].append(_FormerLink(
                    of == id_, link._replace(patient=patient.id),
                    matching.Candidate('patient', patient.id, patient.id,
                        matching.differences(said[id_], patient)),
                    {'patient_id': patient_id or '', 'patient': patient.puid}))
    return found


def _with_former_link(decision, former):
    """Return a decision that offers a former link for review.

    It stays as it is when both links are the same, or when its rule is more
    exact than the former one.
    """
    candidate = former.candidate
    if decision.link_state == matching.REVIEW:
        if candidate.patient in {c.patient for c in decision.candidates}:
            return decision
        return replace(
            decision, candidates=(*decision.candidates, candidate))
    if decision.patient == candidate.patient or (
            decision.link_state == matching.LINKED
            and not former.link.is_of_person):
        return decision
    return matching.Decision(
        matching.REVIEW, candidates=(candidate,),
        review_reason=matching.Reason('former_link', former.parameters))


def _taken_over(link, before):
    """Return the link completed with what a person had chosen before."""
    for former in before:
        if former.link.is_of_person and (former.own or (
                    link.patient == former.link.patient
                    and link.request in {None, former.link.request})):
            return former.link
    return link


def reason_text(code, parameters):
    """Return the translated sentence of a reason for review.

    :param str code: one of matching.REASONS, or None
    :param str parameters: JSON of the reason's parameters
    """
    if not code:
        return ''
    values = {
        **dict.fromkeys(matching.REASONS.get(code, ()), ''),
        **json.loads(parameters or '{}')}
    values = {
        name: plain(value) if isinstance(value, str) else value
        for name, value in values.items()}
    if code.startswith('name_'):
        values['study'] = texts.readable_name(values['study'])
    if code == 'former_link' and not values['patient_id']:
        code = 'former_link_no_id'
    return gettext(f'health_orthanc.msg_review_{code}', **values)
