# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies what matching decides to the studies in the database, in bulk."""
import json
from collections import defaultdict
from dataclasses import replace

from sql import Null, Window
from sql.functions import Lower, RowNumber

from trytond.config import config
from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from . import candidate, matching, records, storage
from .link_log import shown_differ, values_of

# Texts of a study in which a machine may have put the UID of its request.
_TEXTS = [
    'patient_id', 'description', 'study_id', 'accession_number',
    'institution', 'referring_physician_name', 'requesting_physician_name',
    'performing_physician_name', 'requested_procedure_description']
# Where the first of January stands for unknown birthdays, one date is that
# of thousands: reading them all costs more than it protects.
_MOST_BORN_ON_ONE_DAY = 2000


def link_studies(ids):
    """Decide to which patients and requests studies belong, and keep it.

    What a person linked or unlinked is left alone.

    :param ids: ids of study rows
    :return: how many studies are linked now that were not before
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    linked = 0
    for sub in grouped_slice(sorted(ids), 500):
        studies = [s for s in Study.browse(list(sub))
            if s.link_rule != 'person']
        linked += _link(Study, studies)
    return linked


def _link(Study, studies):
    pool = Pool()
    LinkLog = pool.get('gnuhealth.orthanc.link_log')
    facts = {s: study_facts(s) for s in studies}
    index = _index(facts.values())
    former = _former_links(facts)
    same, lines, candidates, requests = defaultdict(list), [], {}, set()
    for study, fact in facts.items():
        decision = matching.decide(fact, index)
        if study.id in former:
            decision = _with_former_link(decision, former[study.id])
        before, after = values_of(study), _values(decision, index)
        if decision.request:
            requests.add(decision.request)
        if decision.candidates or before['link_state'] == 'review':
            candidates[study.id] = decision.candidates
        if before != after:
            same[tuple(after.items())].append(study.id)
        if shown_differ(before, after):
            lines.append((study, before, after))
    for values, ids in same.items():
        storage.set_values(Study, ids, **dict(values))
    _replace_candidates(candidates)
    LinkLog.note(lines)
    images_are_there(requests)
    images_are_gone(left_by(lines))
    return sum(1 for _, before, after in lines
        if after['link_state'] == 'linked' != before['link_state'])


def left_by(changes):
    """Return the ids of the requests that studies do not belong to any more.

    :param changes: as for LinkLog.note
    """
    return {
        before['request'] for _, before, after in changes
        if before['request'] and before['request'] != after['request']}


def _values(decision, index):
    """Return the values of a study for a decision, named as in KEPT."""
    request = index.requests.get(decision.request)
    reason = decision.review_reason
    return {
        'link_rule': decision.link_rule,
        'link_state': decision.link_state,
        'patient': decision.patient,
        'request': decision.request,
        'imaging_test': decision.result,
        'review_code': reason.code if reason else None,
        'review_parameters': (
            json.dumps(reason.parameters, default=str, sort_keys=True)
            if reason else None),
        'merge_id': request.merge_id if request else None,
        }


def _former_links(facts):
    """Return what studies were linked to under another PatientID, when they
    are missing under that one.

    :param facts: StudyFacts by the records of studies
    :return: by the id of a study: the rule of the former link, its Candidate,
        and the parameters of the reason
    """
    rows = storage.former_links([s.id for s in facts])
    Patient = Pool().get('gnuhealth.patient')
    patients = {
        p.id: p for p in patient_facts(Patient.browse(
                list({patient for _, patient, _, _ in rows})))}
    by_id = {study.id: fact for study, fact in facts.items()}
    return {
        id_: (
            rule,
            matching.Candidate('patient', patient, patient, tuple(
                    matching.differences(by_id[id_], patients[patient]))),
            {
                'patient_id': patient_id or '',
                'patient': patients[patient].puid or '',
                })
        for id_, patient, rule, patient_id in rows}


def _with_former_link(decision, former):
    """Return a decision in which a former link is offered, unless it is the
    same one or a rule knows better than the rule before."""
    rule, candidate, parameters = former
    if decision.link_state == matching.REVIEW:
        known = {c.patient for c in decision.candidates}
        if candidate.patient in known:
            return decision
        return replace(
            decision, candidates=(*decision.candidates, candidate))
    if decision.patient == candidate.patient:
        return decision
    if decision.link_state == matching.LINKED and rule != 'person':
        return decision
    return matching.Decision(
        matching.REVIEW, candidates=(candidate,),
        review_reason=matching.Reason('former_link', parameters))


def _replace_candidates(candidates):
    """Keep the candidates of studies instead of those before."""
    Candidate = Pool().get('gnuhealth.imaging_orthanc.link_candidate')
    if not candidates:
        return
    Candidate.delete(Candidate.search([('study', 'in', list(candidates))]))
    Candidate.create([
            candidate.row(study, choice)
            for study, choices in candidates.items() for choice in choices])


def study_facts(study):
    """Return what is known of a study, for matching.

    :rtype: matching.StudyFacts
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    texts = [getattr(study, name) for name in _TEXTS]
    texts.append(Study.get_merge_id(study))
    modalities = filter(None, (study.modalities or '').split(', '))
    by_rule = study.request and study.link_rule != 'person'
    return matching.StudyFacts(
        id=study.id,
        study_instance_uid=study.study_instance_UID,
        patient_id=study.patient_id,
        patient_name=study.patient_name,
        birth_date=study.patient_birth_date,
        sex=study.patient_sex,
        accession_number=study.accession_number,
        modalities=frozenset(modalities),
        study_date=study.study_date,
        texts=tuple(filter(None, texts)),
        request=study.request.id if by_rule else None)


def uid_roots():
    """Return the beginnings of the UIDs that requests have or had."""
    root = config.get('health_imaging_worklist', 'uid_root', default='2.25')
    return tuple(dict.fromkeys([
                *matching.UID_ROOTS, root.rstrip('.') + '.']))


def _index(facts):
    """Read the requests and patients that may belong to studies."""
    uids, numbers, identifiers, births = set(), set(), set(), set()
    roots = uid_roots()
    for fact in facts:
        keys = matching.keys(fact, roots)
        uids |= keys.uids
        numbers |= keys.accession_numbers
        identifiers |= keys.identifiers
        births |= keys.birth_dates
    requests = _requests(uids, numbers)
    patients = {r.patient for r in requests}
    patients |= _patients(identifiers, births)
    return matching.Index(
        [_request_facts(r) for r in requests],
        patient_facts(patients), roots)


def _requests(uids, numbers):
    Request = Pool().get('gnuhealth.imaging.test.request')
    table = Request.__table__()
    folded = list({n.lower() for n in numbers})
    where = Lower(table.request_line).in_(folded or [''])
    where |= Lower(table.request).in_(folded or [''])
    if uids and 'merge_id' in Request._fields:
        where |= table.merge_id.in_(list(uids))
    rows = storage.execute(table.select(table.id, where=where))
    return Request.browse([id_ for id_, in rows])


def _request_facts(request):
    return matching.RequestFacts(
        id=request.id,
        merge_id=getattr(request, 'merge_id', None),
        accession_number=request.request_line,
        order_number=request.request,
        patient=request.patient.id,
        modality=request.requested_test.test_type.code,
        state=request.state,
        result=request.results[0].id if request.results else None,
        date=request.date.date() if request.date else None)


def _patients(identifiers, births):
    """Return the patients with some identifiers or dates of birth."""
    pool = Pool()
    party = pool.get('party.party').__table__()
    patient = pool.get('gnuhealth.patient').__table__()
    other = pool.get('gnuhealth.person_alternative_identification').__table__()
    query = patient.join(party, condition=patient.party == party.id)
    folded = list({i.lower() for i in identifiers})
    found = set()
    for sub in grouped_slice(folded, 1000):
        sub = list(sub)
        others = other.select(other.party, where=Lower(other.code).in_(sub))
        found.update(storage.execute(query.select(patient.id,
                    where=Lower(party.ref).in_(sub)
                    | party.id.in_(others))))
    for sub in grouped_slice(list(births), 1000):
        born = query.select(
            patient.id.as_('id'),
            RowNumber(window=Window(
                    [party.dob], order_by=[patient.id])).as_('number'),
            where=party.dob.in_(list(sub)))
        found.update(storage.execute(born.select(born.id,
                    where=born.number <= _MOST_BORN_ON_ONE_DAY)))
    Patient = pool.get('gnuhealth.patient')
    return set(Patient.browse([id_ for id_, in found]))


def patient_facts(patients):
    """Return what is known of patients, for matching.

    Their names are read at once.

    :rtype: list of matching.PatientFacts
    """
    PersonName = Pool().get('gnuhealth.person_name')
    table = PersonName.__table__()
    parties = [p.party.id for p in patients]
    names = defaultdict(list)
    for sub in grouped_slice(parties, 1000):
        rows = storage.execute(table.select(
                table.party, table.family, table.given,
                where=reduce_ids(table.party, list(sub))))
        for party, family, given in rows:
            names[party].append((family, given))
    return [_one_patient_facts(p, names[p.party.id]) for p in patients]


def _one_patient_facts(patient, names):
    party = patient.party
    return matching.PatientFacts(
        id=patient.id,
        puid=party.ref,
        alternative_ids=tuple(
            (a.code, a.other_alternative_id_type or a.alternative_id_type)
            for a in party.alternative_ids),
        names=((party.lastname, party.name), *names),
        birth_date=party.dob,
        sexes=matching.compatible_sexes(
            party.gender, patient.biological_sex),
        birth_date_estimated=bool(party.est_dob))


def images_are_there(requests):
    """Take requests off the worklist: their images have arrived.

    :param requests: ids of requests
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    if not requests or 'worklist_status' not in Request._fields:
        return
    todo = Request.search([
            ('id', 'in', list(requests)),
            ('worklist_status', '=', 'todo'),
            ])
    storage.set_values(
        Request, [r.id for r in todo], worklist_status='done')


def images_are_gone(requests):
    """Put requests on the worklist again that lost their last study.

    :param requests: ids of requests
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    if not requests or 'worklist_status' not in Request._fields:
        return
    lost = Request.search([
            ('id', 'in', list(requests)),
            ('state', '=', 'requested'),
            ('worklist_status', '=', 'done'),
            ('orthanc_studies', '=', None),
            ])
    storage.set_values(
        Request, [r.id for r in lost], worklist_status='todo')


# When something else than a study changes

def relink_requests(requests):
    """Decide again on the studies that requests may be concerned with.

    Images may have come before their order was written.
    """
    if not requests:
        return
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    numbers = {
        n.lower() for r in requests for n in [r.request, r.request_line] if n}
    identifiers = {
        r.patient.puid.lower() for r in requests if r.patient.puid}
    uids = {r.merge_id for r in requests if getattr(r, 'merge_id', None)}
    where = reduce_ids(table.request, [r.id for r in requests])
    unsettled = table.study_instance_UID.in_(list(uids) or [''])
    unsettled |= Lower(table.accession_number).in_(list(numbers) or [''])
    unsettled |= Lower(table.patient_id).in_(list(identifiers) or [''])
    _relink(table, where | (unsettled & (table.request == Null)))


def relink_patients(patients):
    """Decide again on the studies that patients may be concerned with."""
    if not patients:
        return
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    identifiers = {p.puid.lower() for p in patients if p.puid}
    identifiers |= {
        a.code.lower() for p in patients for a in p.party.alternative_ids}
    where = reduce_ids(table.patient, [p.id for p in patients])
    where |= Lower(table.patient_id).in_(list(identifiers) or [''])
    _relink(table, where)


def _relink(table, where):
    rows = storage.execute(table.select(table.id,
            where=where & (
                (table.link_rule == Null) | (table.link_rule != 'person'))))
    link_studies([id_ for id_, in rows])


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
