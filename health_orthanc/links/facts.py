# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads studies, requests and patients as the facts that matching compares.

Each kind is read with a few statements for a whole block of studies.
"""
import datetime as dt
import json
from collections import defaultdict, namedtuple
from operator import attrgetter

from sql import Literal, Window
from sql.conditionals import Case
from sql.functions import Lower, RowNumber

from trytond.config import config
from trytond.modules.health_imaging.institution import (
    current_company, institution_timezone, local_datetime)
from trytond.modules.health_imaging.tables import moment
from trytond.pool import Pool
from trytond.tools import grouped_slice

from .. import blocks, matching, tables
from . import further
from .link import COLUMNS, NEVER_DECIDED, Link

# Columns in which a modality may have written the UID of the request.
_TEXTS = [
    'patient_id', 'description', 'study_id', 'accession_number',
    'institution', 'referring_physician_name', 'requesting_physician_name',
    'performing_physician_name', 'requested_procedure_description']
_texts_of = attrgetter(*_TEXTS)
#: Models with a patient, by name of the field of a Link.
OF_PATIENTS = {
    'request': 'gnuhealth.imaging.test.request',
    'imaging_test': 'gnuhealth.imaging.test.result',
    }
# Limit of patients read per date of birth: thousands may have the first of
# January, which stands for unknown birthdays.
_MOST_BORN_ON_ONE_DAY = 2000
# Limit of the length of a chain of merges.
_MERGES = 20
# Fields of requests where health_imaging_worklist is activated
_OF_WORKLIST = ['merge_id', 'former_merge_id', 'step_id', 'accession_number']
_OF_PARTY = ['ref', 'lastname', 'name', 'dob', 'est_dob', 'gender']
# The columns of a study used for matching
_COLUMNS = [
    'id', 'missing_since', 'create_date', 'study_instance_UID', 'issuer',
    'patient_birth_date', 'patient_sex', 'modalities', 'study_date',
    'requested_ids', 'patient_name', *_TEXTS]
StudyRow = namedtuple('StudyRow', [*_COLUMNS, 'link'])


def read_studies(ids):
    """Return the StudyRows of studies, in the order of their ids, with links
    to the first of their requests."""
    table = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    count = len(_COLUMNS)
    rows = blocks.rows(
        table, [getattr(table, n) for n in [*_COLUMNS, *COLUMNS]],
        table.id, ids, order_by=table.id)
    return [StudyRow(*row[:count], Link(*row[count:])) for row in rows]


def new_study(id_, values, now):
    """Return the StudyRow of a study that this transaction inserted.

    :param int id_: id of its row
    :param dict values: of its columns, by name
    :param datetime now: when it was inserted, UTC
    """
    values = {**values, 'id': id_, 'create_date': now}
    return StudyRow(*map(values.get, _COLUMNS), NEVER_DECIDED)


def study_facts(study):
    "Return the matching.StudyFacts of a StudyRow."
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    texts = *_texts_of(study), Study.get_merge_id(study)
    modalities = filter(None, (study.modalities or '').split(', '))
    return matching.StudyFacts(
        id=study.id,
        study_instance_uid=study.study_instance_UID,
        patient_id=study.patient_id,
        issuer=study.issuer,
        patient_name=study.patient_name,
        birth_date=study.patient_birth_date,
        sex=study.patient_sex,
        accession_number=study.accession_number,
        modalities=frozenset(modalities),
        study_date=study.study_date,
        texts=tuple(filter(None, texts)),
        requested_ids=tuple(filter(
                None, (study.requested_ids or '').split('\\'))),
        request=None if study.link.is_of_person else study.link.request,
        arrived=moment(study.create_date))


def _requests_of_steps(facts, people, days):
    """Return the requests that the steps which made the images of studies
    name, where they are several: sets of ids by the id of the study.

    A machine says of a step (MPPS, PS3.4 annex F) which series it made.

    :param facts: list of StudyFacts
    :param people: ids of patients
    :param days: when the studies were done
    """
    pool = Pool()
    near = _near(days)
    if not near or not people or 'performed_steps' not in pool.get(
            'gnuhealth.imaging.test.request')._fields:
        return {}
    link, other = [
        pool.get('gnuhealth.imaging_worklist.performed_step-request')
        .__table__() for _ in 'ab']
    step = pool.get('gnuhealth.imaging_worklist.performed_step').__table__()
    request = pool.get('gnuhealth.imaging.test.request').__table__()
    query = request.join(link, condition=link.request == request.id).join(
        step, condition=step.id == link.step).join(
        other, condition=other.step == link.step)
    begin, end = _span(near)
    named, made = defaultdict(set), {}
    for id_, uids, series, named_request in blocks.rows(
            query, [step.id, step.study_uid, step.series, other.request],
            request.patient, people, (step.start >= begin)
            & (step.start <= end) & (other.request != link.request)):
        named[id_].add(named_request)
        made[id_] = {*(uids or '').split(', ')}, {
            uid for uid, *_ in json.loads(series or '[]')}
    return _studies_of_steps(facts, named, made)


def _studies_of_steps(facts, named, made):
    """Return the requests that steps name by the id of the study that they
    made.

    :param dict named: ids of requests by step
    :param dict made: pairs of sets of UIDs, of studies and series, by step
    """
    found = defaultdict(set)
    if not made:
        return found
    series = Pool().get('gnuhealth.imaging_orthanc.study_series').__table__()
    uids = defaultdict(set)
    for study, uid in blocks.rows(
            series, [series.study, series.series_UID], series.study,
            [f.id for f in facts]):
        uids[study].add(uid)
    for fact in facts:
        for id_, (studies, some) in made.items():
            # A step may name the studies that were planned for each request.
            if {fact.study_instance_uid} == studies or uids[fact.id] & some:
                found[fact.id] |= named[id_]
    return found


def index_of(facts, linked=(), chosen=()):
    """Read the requests and patients that studies may belong to.

    :param facts: list of StudyFacts
    :param linked: ids of inactive patients that count nevertheless
    :param chosen: ids of patients whose requests count in any case
    :rtype: matching.Index
    """
    root = config.get('health_imaging_worklist', 'uid_root', default='2.25')
    roots = tuple(dict.fromkeys([
                *matching.UID_ROOTS, root.rstrip('.') + '.']))
    keys = [matching.keys(fact, roots) for fact in facts]
    uids, numbers, identifiers, days = (
        set().union(*values) for values in zip(*keys))
    people = _patients_identified(identifiers) | set(chosen)
    requests = _requests(uids, numbers)
    all_people = people.union(requests.values())
    requests = {*requests, *_requests_of(all_people, days)}
    steps = _requests_of_steps(facts, all_people, days)
    requests = _request_facts(requests.union(*steps.values()))
    of_requests = {r.patient for r in requests}
    people |= of_requests
    nobody = config.get('health_orthanc', 'nobody', default='').split(',')
    return matching.Index(
        requests, patient_facts(people, of_requests.union(linked)).values(),
        roots, issuers=_issuers(), nobody=map(str.strip, nobody), steps=steps)


def add_born(index):
    """Add to a matching.Index the patients with the dates of birth of which
    it was asked who has them.

    :return: set of these dates
    """
    asked = index.asked - {None}
    index.add_patients(patient_facts(
            _born(asked).difference(index.patients), ()).values())
    return asked


def _issuers():
    """Return the names under which the institution issues PUIDs."""
    pool = Pool()
    place = pool.get('gnuhealth.institution').__table__()
    party = pool.get('party.party').__table__()
    company = current_company()
    return [] if not company else [
        name for names in tables.execute(
            place.join(party, condition=place.party == party.id).select(
                place.code, party.name, where=party.id == company.party.id,
                order_by=place.id, limit=1))
        for name in names]


def _requests(uids, numbers):
    """Return the patients of the requests with a UID or a number, ids by id
    of the request."""
    Request = Pool().get('gnuhealth.imaging.test.request')
    table, numbers = Request.__table__(), {n.lower() for n in numbers}
    return dict(blocks.union(*(
                (table, [table.id, table.patient], *(
                        (getattr(table, name), uids)
                        if name.endswith('merge_id')
                        else (Lower(getattr(table, name)), numbers)))
                for name in ['request', 'request_line', *_OF_WORKLIST]
                if name in Request._fields)))


def _requests_of(patients, days):
    """Return the ids of the requests of patients around some days."""
    table = Pool().get('gnuhealth.imaging.test.request').__table__()
    near = _near(days)
    if not near:
        return set()
    begin, end = _span(near)
    return {
        id_ for id_, at in blocks.rows(
            table, [table.id, table.date], table.patient, patients,
            (table.date >= begin) & (table.date <= end))
        if moment(at).date() in near}


def _near(days):
    """Return days, local, with those before and after: stored times are
    UTC."""
    return {
        day + dt.timedelta(days=n) for day in days for n in [-1, 0, 1]
        if dt.date(1850, 1, 1) < day < dt.date(9990, 1, 1)}


def _span(days):
    """Return the first and the last moment of days."""
    return (
        dt.datetime.combine(min(days), dt.time.min),
        dt.datetime.combine(max(days), dt.time.max))


def _request_facts(ids):
    pool = Pool()
    Request = pool.get('gnuhealth.imaging.test.request')
    request = Request.__table__()
    exam = pool.get('gnuhealth.imaging.test').__table__()
    type_ = pool.get('gnuhealth.imaging.test.type').__table__()
    result = pool.get('gnuhealth.imaging.test.result').__table__()
    zone = institution_timezone()
    names = ['id', 'patient', 'state', 'date', 'done_at', 'request',
        'request_line', *(n for n in _OF_WORKLIST if n in Request._fields)]
    rows = blocks.rows(
        request.join(exam, condition=request.requested_test == exam.id)
        .join(type_, condition=exam.test_type == type_.id)
        .join(result, 'LEFT', condition=result.request == request.id),
        [type_.code, result.id, result.state,
            *(getattr(request, name) for name in names)],
        request.id, ids, order_by=[request.id, result.id])
    return [
        _one_request(dict(zip(names, values[3:])), *values[:3], zone)
        for values in rows]


def _one_request(row, modality, result, result_state, zone):
    def own(name):
        return tuple(filter(None, [row.get(name)]))
    return matching.RequestFacts(
        id=row['id'],
        merge_id=row.get('merge_id'),
        accession_number=row['request_line'],
        order_number=row['request'],
        other_numbers=own('step_id'),
        other_order_numbers=own('accession_number'),
        former_uids=own('former_merge_id'),
        patient=row['patient'],
        modality=modality,
        state=row['state'],
        result=result,
        result_state=result_state,
        done_at=moment(row['done_at']),
        date=local_datetime(moment(row['date']), zone).date()
        if row['date'] else None)


# People

def _patients_identified(identifiers):
    """Return the ids of the patients that have or had some PUIDs or
    alternative identifications; those of merged people lead to who stays."""
    pool = Pool()
    party = pool.get('party.party').__table__()
    other = pool.get('gnuhealth.person_alternative_identification').__table__()
    codes = {i.lower() for i in identifiers}
    found = blocks.union(
        (party, [party.id], Lower(party.ref), codes),
        (other, [other.party], Lower(other.code), codes))
    return set(patients_of({id_ for id_, in found if id_}).values())


def patients_of(parties):
    """Return the patients that people are today, by id of the party.

    A merged person is the patient of the person who stays; if that person is
    no patient, the former one.

    :param parties: ids of parties
    """
    return {id_: known[-1] for id_, known in lines_of(parties).items()}


def lines_of(parties):
    """Return the patients that people were and became when they were merged,
    the present one last: lists of ids by id of the party.

    :param parties: ids of parties
    """
    patient, party, _ = _people()
    # One that was activated again counts as not replaced.
    replaced = Case((party.active == Literal(False), party.replaced_by))
    chains, patients = {id_: [id_] for id_ in parties}, {}
    todo = chains.keys()
    for _ in range(_MERGES + 1):
        by = {}
        for id_, stays, is_patient in blocks.rows(
                party.join(patient, 'LEFT',
                    condition=patient.party == party.id),
                [party.id, replaced, patient.id], party.id, todo):
            by[id_], patients[id_] = stays, is_patient
        todo = set()
        for chain in chains.values():
            following = by.get(chain[-1])
            if following and following not in chain:
                chain.append(following)
                todo.add(following)
        if not todo:
            break
    found = {
        id_: [patients[p] for p in chain if patients.get(p)]
        for id_, chain in chains.items()}
    return {id_: known for id_, known in found.items() if known}


def present_patients(patients):
    "Return the patients that merged ones are today, by the former id."
    table = Pool().get('gnuhealth.patient').__table__()
    parties = dict(blocks.rows(
            table, [table.id, table.party], table.id, patients))
    of_parties = patients_of(set(parties.values()))
    return {
        id_: of_parties.get(party, id_) for id_, party in parties.items()}


def present_links(links):
    """Return links with merged patients replaced by the present ones.

    Requests and results that are of other patients by now are removed.

    :param dict links: Link by id of the study
    """
    present = present_patients({
            link.patient for link in links.values() if link.patient})
    of = owners(links.values())
    found = {}
    for id_, link in links.items():
        link = link._replace(patient=present.get(link.patient))
        link = link._replace(**dict.fromkeys(foreign(link, of)))
        found[id_] = link.with_requests([
                *filter(None, [link.request]), *own_requests(link, of)])
    return found


def owners(links):
    """Return the patients of the requests and results of links.

    :return: dict of ids by name and id
    """
    found = {}
    for name, model in OF_PATIENTS.items():
        table = Pool().get(model).__table__()
        found[name] = dict(blocks.rows(
                table, [table.id, table.patient], table.id,
                ids_in(links, name)))
    return found


def own_requests(link, of):
    """Return those of the further requests of a link that are of its patient.

    :param dict of: see owners
    """
    return [
        id_ for id_ in link.further if of['request'].get(id_) == link.patient]


def ids_in(links, name):
    """Return a set of the ids of requests or results in links.

    :param str name: request or imaging_test
    """
    if name == 'request':
        return {id_ for link in links for id_ in link.requests}
    return {getattr(link, name) for link in links} - {None}


def further_requests(studies):
    """Return the further requests of studies, tuples by id of the study.

    :param studies: ids of studies
    """
    found, table = defaultdict(tuple), Pool().get(further.NAME).__table__()
    for study, request in blocks.rows(
            table, [table.study, table.request], table.study, studies,
            order_by=table.request):
        found[study] += (request,)
    return found


def studies_of_further(requests):
    """Return the ids of the studies of which some are further requests.

    :param requests: ids of requests
    """
    table = Pool().get(further.NAME).__table__()
    return blocks.ids(table, table.study, table.request, requests)


def foreign(link, of):
    """Return the names of those of request and result that are not of the
    patient of a link.

    :param dict of: see owners
    """
    return [
        name for name in OF_PATIENTS
        if link.patient and getattr(link, name)
        and of[name].get(getattr(link, name)) != link.patient]


def _people():
    """Return the tables of patients and parties, and their join."""
    pool = Pool()
    party = pool.get('party.party').__table__()
    patient = pool.get('gnuhealth.patient').__table__()
    return patient, party, patient.join(
        party, condition=patient.party == party.id)


def active_patients(patients):
    "Return the ids of the patients active as party and as patient."
    patient, party, query = _people()
    return blocks.ids(query, patient.id, patient.id, patients,
        (patient.active == Literal(True)) & (party.active == Literal(True)))


def _born(births):
    """Return the ids of the patients with some dates of birth."""
    patient, party, query = _people()
    found = set()
    for sub in grouped_slice(list(births), 1000):
        born = query.select(
            patient.id.as_('id'),
            RowNumber(window=Window(
                    [party.dob], order_by=[patient.id])).as_('number'),
            where=party.dob.in_(list(sub)))
        found.update(id_ for id_, in tables.execute(born.select(born.id,
                    where=born.number <= _MOST_BORN_ON_ONE_DAY)))
    return found


def patient_facts(ids, inactive=None):
    """Return the matching.PatientFacts of patients by id, with what is known
    of people merged into them.

    :param inactive: ids of those that count even if they are not active,
        None: all
    """
    patient, party, query = _people()
    rows = [row for *active, row in (
            (*row[:2], row[2:]) for row in blocks.rows(
                query, [patient.active, party.active, patient.id,
                    patient.biological_sex, party.id,
                    *(getattr(party, name) for name in _OF_PARTY)],
                patient.id, ids, order_by=patient.id))
        if all(active) or inactive is None or row[0] in inactive]
    names, codes = _of_people([party for _, _, party, *_ in rows])
    return {
        id_: _one_patient(
            id_, sex, dict(zip(_OF_PARTY, values)), names[party], codes[party])
        for id_, sex, party, *values in rows}


def _of_people(parties):
    """Return lists of the further names and identifiers of parties, those of
    merged ones among them, by id of the party that stays."""
    pool = Pool()
    party = pool.get('party.party').__table__()
    name = pool.get('gnuhealth.person_name').__table__()
    other = pool.get('gnuhealth.person_alternative_identification').__table__()
    names, codes = defaultdict(list), defaultdict(list)
    own = todo = {id_: id_ for id_ in parties}
    for _ in range(_MERGES + 1):
        merged = {}
        for kind, of, id_, *texts in sorted(blocks.union(
                (name, [Literal('name'), name.party, name.id,
                        name.family, name.given, Literal(None)],
                    name.party, todo),
                (other, [Literal('code'), other.party, other.id,
                        other.code, other.other_alternative_id_type,
                        other.alternative_id_type], other.party, todo),
                (party, [Literal('party'), party.replaced_by, party.id,
                        party.ref, party.lastname, party.name],
                    party.replaced_by, todo, party.active == Literal(False)))):
            stays = own[of]
            if kind == 'name':
                names[stays].append(tuple(texts[:2]))
            elif kind == 'code':
                code, issuer, type_ = texts
                codes[stays].append((code, issuer or type_))
            elif id_ not in own:
                ref, *parts = texts
                merged[id_] = stays
                codes[stays].append((ref, None))
                names[stays].append(tuple(parts))
        if not merged:
            break
        own, todo = {**own, **merged}, merged
    return names, codes


def _one_patient(id_, sex, party, names, codes):
    return matching.PatientFacts(
        id=id_,
        puid=party['ref'],
        alternative_ids=tuple((c, k) for c, k in codes if c),
        names=((party['lastname'], party['name']), *names),
        birth_date=party['dob'],
        sexes=matching.compatible_sexes(party['gender'], sex),
        birth_date_estimated=bool(party['est_dob']))
