# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies what matching decides to the studies in the database, in bulk."""
import json
from collections import defaultdict

from sql.functions import Lower

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from . import matching, storage

# Texts of a study in which a machine may have put the UID of its request.
_TEXTS = [
    'patient_id', 'description', 'study_id', 'accession_number',
    'institution', 'referring_physician_name', 'requesting_physician_name',
    'performing_physician_name', 'requested_procedure_description']


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
    facts = {s: _study_facts(s) for s in studies}
    index = _index(facts.values())
    changes = defaultdict(list)
    before = {s.id: s.link_state for s in studies}
    requests = set()
    for study, fact in facts.items():
        decision = matching.decide(fact, index)
        values = _values(decision, index)
        if decision.request:
            requests.add(decision.request)
        if any(_id(getattr(study, n)) != v for n, v in values.items()):
            changes[tuple(values.items())].append(study.id)
    for values, ids in changes.items():
        storage.set_values(Study, ids, **dict(values))
    _images_are_there(requests)
    return sum(
        len([i for i in ids if before[i] != 'linked'])
        for values, ids in changes.items()
        if dict(values)['link_state'] == 'linked')


def _id(value):
    return getattr(value, 'id', value)


def _values(decision, index):
    """Return the values of a study for a decision."""
    request = index.requests.get(decision.request)
    reason = decision.review_reason
    return {
        'patient': decision.patient,
        'request': decision.request,
        'imaging_test': decision.result,
        'merge_id': request.merge_id if request else None,
        'link_rule': decision.link_rule,
        'link_state': decision.link_state,
        'review_code': reason.code if reason else None,
        'review_parameters': (
            json.dumps(reason.parameters, default=str, sort_keys=True)
            if reason else None),
        }


def _study_facts(study):
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    texts = [getattr(study, name) for name in _TEXTS]
    texts.append(Study.get_merge_id(study))
    modalities = filter(None, (study.modalities or '').split(', '))
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
        texts=tuple(filter(None, texts)))


def _index(facts):
    """Read the requests and patients that may belong to studies."""
    uids, numbers, identifiers, births = set(), set(), set(), set()
    for fact in facts:
        keys = matching.keys(fact)
        uids |= keys.uids
        numbers |= keys.accession_numbers
        identifiers |= keys.identifiers
        births |= keys.birth_dates
    requests = _requests(uids, numbers)
    patients = {r.patient for r in requests}
    patients |= _patients(identifiers, births)
    return matching.Index(
        [_request_facts(r) for r in requests],
        _patient_facts(patients))


def _requests(uids, numbers):
    Request = Pool().get('gnuhealth.imaging.test.request')
    domain = ['OR']
    if numbers:
        domain += [
            ('request_line', 'in', list(numbers)),
            ('request', 'in', list(numbers)),
            ]
    if uids and 'merge_id' in Request._fields:
        domain.append(('merge_id', 'in', list(uids)))
    return Request.search(domain) if len(domain) > 1 else []


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
    """Return the ids of the patients with some identifiers or birth dates."""
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
        found.update(storage.execute(
                query.select(patient.id, where=party.dob.in_(list(sub)))))
    Patient = pool.get('gnuhealth.patient')
    return set(Patient.browse([id_ for id_, in found]))


def _patient_facts(patients):
    """Return PatientFacts, with the names of all patients read at once."""
    pool = Pool()
    PersonName = pool.get('gnuhealth.person_name')
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


def _images_are_there(requests):
    """Take requests off the worklist: their images have arrived."""
    Request = Pool().get('gnuhealth.imaging.test.request')
    if not requests or 'worklist_status' not in Request._fields:
        return
    todo = Request.search([
            ('id', 'in', list(requests)),
            ('worklist_status', '=', 'todo'),
            ])
    storage.set_values(
        Request, [r.id for r in todo], worklist_status='done')


def reason_text(code, parameters):
    """Return the translated sentence of a reason for review.

    :param code: among matching.REASONS, or None
    :param parameters: JSON of the reason's parameters
    """
    if not code:
        return ''
    values = dict.fromkeys(matching.REASONS.get(code, ()), '')
    values.update(json.loads(parameters or '{}'))
    return gettext(f'health_orthanc.msg_review_{code}', **values)
