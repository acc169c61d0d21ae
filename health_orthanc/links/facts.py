# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known here of studies, requests and people, as the facts that
matching compares. Each kind is read with a few statements for a whole block.
"""
import datetime as dt
from collections import defaultdict, namedtuple

from sql import Literal, Null, Window
from sql.functions import Lower, RowNumber

from trytond.config import config
from trytond.modules.health_imaging.institution import (
    institution, institution_timezone, local_datetime)
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from .. import matching, tables
from .link import Link

# Texts of a study in which a modality may have put the UID of its request.
_TEXTS = [
    'patient_id', 'description', 'study_id', 'accession_number',
    'institution', 'referring_physician_name', 'requesting_physician_name',
    'performing_physician_name', 'requested_procedure_description']
#: What belongs to patients, by the name in a Link.
OF_PATIENTS = {
    'request': 'gnuhealth.imaging.test.request',
    'imaging_test': 'gnuhealth.imaging.test.result',
    }
# Where the first of January stands for unknown birthdays, one date is that
# of thousands: reading them all costs more than it protects.
_MOST_BORN_ON_ONE_DAY = 2000
# People are merged into people who were merged before, but not for ever.
_MERGES = 20


#: The columns of a study with which is decided, and its Link.
_COLUMNS = [
    'id', 'missing_since', 'create_date', 'study_instance_UID', 'issuer',
    'patient_birth_date', 'patient_sex', 'modalities', 'study_date',
    'requested_ids', 'patient_name', *_TEXTS]
StudyRow = namedtuple('StudyRow', [*_COLUMNS, 'link'])


def read_studies(ids):
    """Return what is known of studies, in the order of their ids.

    :param ids: ids of studies
    :rtype: list of StudyRow
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table, count = Study.__table__(), len(_COLUMNS)
    columns = [
        getattr(table, name) for name in [*_COLUMNS, *Link._fields]]
    rows = []
    for sub in grouped_slice(sorted(ids), 500):
        rows += tables.execute(table.select(
                *columns, where=reduce_ids(table.id, list(sub)),
                order_by=table.id))
    return [StudyRow(*row[:count], Link(*row[count:])) for row in rows]


def study_facts(study):
    """Return what a study says of its patient and its request.

    :param study: StudyRow
    :rtype: matching.StudyFacts
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    texts = [getattr(study, name) for name in _TEXTS]
    texts.append(Study.get_merge_id(study))
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
        arrived=_moment(study.create_date))


def uid_roots():
    """Return the beginnings of the UIDs that requests have or had."""
    root = config.get('health_imaging_worklist', 'uid_root', default='2.25')
    return tuple(dict.fromkeys([
                *matching.UID_ROOTS, root.rstrip('.') + '.']))


def index_of(facts, linked=(), chosen=()):
    """Read the requests and patients that may belong to studies.

    :param facts: StudyFacts
    :param linked: ids of patients who count although they are inactive
    :param chosen: ids of patients whose requests count anyway
    :rtype: matching.Index
    """
    uids, numbers, identifiers, births, days = (set() for _ in range(5))
    roots = uid_roots()
    for fact in facts:
        keys = matching.keys(fact, roots)
        uids |= keys.uids
        numbers |= keys.accession_numbers
        identifiers |= keys.identifiers
        births |= keys.birth_dates
        days |= keys.request_dates
    people = patients_identified(identifiers) | set(chosen)
    requests = _requests(uids, numbers)
    requests |= _requests_of(
        people | {id_ for id_, in tables.execute(
                _patients_of(requests))} if requests else people, days)
    Request = Pool().get('gnuhealth.imaging.test.request')
    requests = Request.browse(sorted(requests))
    requests = request_facts(requests)
    of_requests = {r.patient for r in requests}
    people |= _born(births)
    people = (active_patients(people) | of_requests
        | (people | of_requests) & set(linked))
    Patient = Pool().get('gnuhealth.patient')
    return matching.Index(
        requests,
        patient_facts(Patient.browse(sorted(people))), roots,
        issuers=_issuers(), nobody=_nobody())


def _issuers():
    "Return the names under which the institution itself issues PUIDs."
    place = institution()
    return [place.code, place.party.name] if place else []


def _nobody():
    "Return what the hospital writes as PatientID of nobody."
    return frozenset(filter(None, map(str.strip, config.get(
                    'health_orthanc', 'nobody', default='').split(','))))


def _patients_of(requests):
    Request = Pool().get('gnuhealth.imaging.test.request')
    table = Request.__table__()
    return table.select(
        table.patient, where=reduce_ids(table.id, sorted(requests)))


def _requests(uids, numbers):
    """Return the ids of the requests with a UID or a number.

    :param uids: Study Instance UIDs
    :param numbers: accession numbers and the like
    :rtype: set
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    found = set()
    for names, fold, values in [
            (['merge_id', 'former_merge_id'], lambda c: c, uids),
            (['request', 'request_line', 'accession_number', 'step_id'],
                Lower, {n.lower() for n in numbers})]:
        for sub in grouped_slice(sorted(values), 1000):
            sub = list(sub)
            for name in names:
                if name in Request._fields:
                    table = Request.__table__()
                    found.update(id_ for id_, in tables.execute(
                            table.select(table.id, where=fold(
                                    getattr(table, name)).in_(sub))))
    return found


def _requests_of(patients, days):
    """Return the ids of the requests of patients around some days.

    :param patients: ids
    :param days: datetime.date
    :rtype: set
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    # A day begins at another time in UTC.
    near = {
        day + dt.timedelta(days=n) for day in days for n in [-1, 0, 1]
        if dt.date(1850, 1, 1) < day < dt.date(9990, 1, 1)}
    table = Request.__table__()
    found = set()
    for sub in grouped_slice(sorted(patients) if near else [], 1000):
        found.update(
            id_ for id_, moment in tables.execute(table.select(
                    table.id, table.date,
                    where=reduce_ids(table.patient, list(sub))
                    & (table.date >= dt.datetime.combine(
                            min(near), dt.time.min))
                    & (table.date <= dt.datetime.combine(
                            max(near), dt.time.max))))
            if _moment(moment).date() in near)
    return found


def _moment(value):
    # SQLite returns texts.
    return dt.datetime.fromisoformat(value) if isinstance(value, str) \
        else value


def request_facts(requests):
    """Return what is known of requests.

    :param requests: records
    :rtype: list of matching.RequestFacts
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    zone = institution_timezone()
    rows = Request.read([r.id for r in requests], [
            'patient', 'state', 'date', 'done_at', 'request', 'request_line',
            'requested_test.test_type.code',
            *(name for name in _OF_WORKLIST if name in Request._fields)])
    results = _results([row['id'] for row in rows])
    return [
        _one_request_facts(row, results.get(row['id'], (None, None)), zone)
        for row in rows]


# What requests have where machines are told of them
_OF_WORKLIST = ['merge_id', 'former_merge_id', 'step_id', 'accession_number']


def _results(requests):
    "Return id and state of the results, by the id of the request."
    table = Pool().get('gnuhealth.imaging.test.result').__table__()
    return {
        request: (id_, state)
        for sub in grouped_slice(requests, 1000)
        for request, id_, state in tables.execute(table.select(
                table.request, table.id, table.state,
                where=reduce_ids(table.request, list(sub))))}


def _one_request_facts(row, result, zone):
    def own(name):
        return tuple(filter(None, [row.get(name)]))
    exam = row['requested_test.']
    return matching.RequestFacts(
        id=row['id'],
        merge_id=row.get('merge_id'),
        accession_number=row['request_line'],
        order_number=row['request'],
        other_numbers=own('step_id'),
        other_order_numbers=own('accession_number'),
        former_uids=own('former_merge_id'),
        patient=row['patient'],
        modality=exam['test_type.']['code'],
        state=row['state'],
        result=result[0],
        result_state=result[1],
        done_at=row['done_at'],
        date=local_datetime(row['date'], zone).date()
        if row['date'] else None)


# People

def patients_identified(identifiers):
    """Return the ids of the patients who have or had some identifiers: PUIDs
    and alternative identifications.

    Those of people who were merged into others lead to the others.

    :param identifiers: texts, in any case
    :rtype: set
    """
    pool = Pool()
    party = pool.get('party.party').__table__()
    other = pool.get('gnuhealth.person_alternative_identification').__table__()
    found = set()
    for sub in grouped_slice(sorted({i.lower() for i in identifiers}), 1000):
        sub = list(sub)
        found.update(id_ for id_, in tables.execute(party.select(
                    party.id, where=Lower(party.ref).in_(sub))))
        found.update(id_ for id_, in tables.execute(other.select(
                    other.party, where=Lower(other.code).in_(sub)))
            if id_)
    return set(patients_of(found).values())


def patients_of(parties):
    """Return the patients that people are, by the id of the party.

    Who was merged into another is the patient that the other is; where the
    other is none, the one that he was.

    :param parties: ids of parties
    :rtype: dict of int
    """
    chains = {id_: [id_] for id_ in parties}
    for _ in range(_MERGES):
        ends = {chain[-1] for chain in chains.values()}
        replaced = _replaced_by(ends)
        if not replaced:
            break
        for chain in chains.values():
            following = replaced.get(chain[-1])
            if following and following not in chain:
                chain.append(following)
    patients = patients_by_party(
        {id_ for chain in chains.values() for id_ in chain})
    found = {}
    for id_, chain in chains.items():
        patient = next(
            (patients[p] for p in reversed(chain) if p in patients), None)
        if patient:
            found[id_] = patient
    return found


def present_patients(patients):
    """Return the patients that people are today who were some patients once,
    by the id of the patient of then.

    :param patients: ids
    :rtype: dict of int
    """
    table = Pool().get('gnuhealth.patient').__table__()
    parties = dict(
        row for sub in grouped_slice(sorted(patients), 1000)
        for row in tables.execute(table.select(
                table.id, table.party,
                where=reduce_ids(table.id, list(sub)))))
    of_parties = patients_of(set(parties.values()))
    return {
        id_: of_parties.get(party, id_) for id_, party in parties.items()}


def present_links(links):
    """Return links to the patients that former ones are today, without the
    requests and results that are of others by now.

    :param links: Link by id of the study
    :return: the same
    """
    present = present_patients({
            link.patient for link in links.values() if link.patient})
    of = owners(links.values())
    found = {}
    for id_, link in links.items():
        link = link._replace(patient=present.get(link.patient))
        found[id_] = link._replace(**{
                name: None for name in of
                if getattr(link, name) and link.patient
                and of[name].get(getattr(link, name)) != link.patient})
    return found


def owners(links):
    """Return the ids of the patients of the requests and results of links, by
    name and id."""
    found = {}
    for name, model in OF_PATIENTS.items():
        table = Pool().get(model).__table__()
        ids = sorted({getattr(link, name) for link in links} - {None})
        found[name] = dict(
            row for sub in grouped_slice(ids, 500)
            for row in tables.execute(table.select(
                    table.id, table.patient,
                    where=reduce_ids(table.id, list(sub)))))
    return found


def _replaced_by(parties):
    """Return who took the place of people, by the id of the party.

    Nobody did of who was activated again: so a merge is taken back.
    """
    table = Pool().get('party.party').__table__()
    return dict(
        row for sub in grouped_slice(sorted(parties), 1000)
        for row in tables.execute(table.select(
                table.id, table.replaced_by,
                where=reduce_ids(table.id, list(sub))
                & (table.replaced_by != Null)
                & (table.active == Literal(False)))))


def patients_by_party(parties):
    "Return the patients by the id of their party."
    table = Pool().get('gnuhealth.patient').__table__()
    return dict(
        row for sub in grouped_slice(sorted(parties), 1000)
        for row in tables.execute(table.select(
                table.party, table.id,
                where=reduce_ids(table.party, list(sub)))))


def active_patients(patients):
    """Return those of some patients who are active, as people and as
    patients.

    :param patients: ids
    """
    pool = Pool()
    party = pool.get('party.party').__table__()
    patient = pool.get('gnuhealth.patient').__table__()
    query = patient.join(party, condition=patient.party == party.id)
    return {
        id_ for sub in grouped_slice(sorted(patients), 1000)
        for id_, in tables.execute(query.select(patient.id,
                where=reduce_ids(patient.id, list(sub))
                & (patient.active == Literal(True))
                & (party.active == Literal(True))))}


def _born(births):
    """Return the ids of the patients with some dates of birth.

    :param births: datetime.date
    :rtype: set
    """
    pool = Pool()
    party = pool.get('party.party').__table__()
    patient = pool.get('gnuhealth.patient').__table__()
    query = patient.join(party, condition=patient.party == party.id)
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


def patient_facts(patients):
    """Return what is known of patients. What is known of people who were
    merged into them is theirs.

    :param patients: records
    :rtype: list of matching.PatientFacts
    """
    Patient = Pool().get('gnuhealth.patient')
    rows = Patient.read([p.id for p in patients], [
            'party', 'biological_sex',
            *(f'party.{name}' for name in _OF_PARTY)])
    own = {row['party']: row['party'] for row in rows}
    own.update(_merged_into(own))
    names, codes = defaultdict(list), defaultdict(list)
    for sub in grouped_slice(sorted(own), 1000):
        _read_people(list(sub), own, names, codes)
    found = {
        row['id']: _one_patient_facts(
            row, names[row['party']], codes[row['party']])
        for row in rows}
    return [found[p.id] for p in patients]


_OF_PARTY = ['ref', 'lastname', 'name', 'dob', 'est_dob', 'gender']


def _merged_into(parties):
    "Return who stays, by the ids of the parties that were merged into him."
    table = Pool().get('party.party').__table__()
    found, todo = {}, {id_: id_ for id_ in parties}
    for _ in range(_MERGES):
        more = {}
        for sub in grouped_slice(sorted(todo), 1000):
            more.update(
                (id_, todo[by]) for id_, by in tables.execute(table.select(
                        table.id, table.replaced_by,
                        where=reduce_ids(table.replaced_by, list(sub))
                        & (table.active == Literal(False))))
                if id_ not in parties and id_ not in found)
        if not more:
            break
        found.update(more)
        todo = more
    return found


def _read_people(ids, own, names, codes):
    """Add the names and identifiers of parties to those of who stays.

    :param own: who stays, by the id of the party
    """
    pool = Pool()
    party = pool.get('party.party').__table__()
    name = pool.get('gnuhealth.person_name').__table__()
    other = pool.get('gnuhealth.person_alternative_identification').__table__()
    for id_, *parts in tables.execute(name.select(
                name.party, name.family, name.given,
                where=reduce_ids(name.party, ids), order_by=name.id)):
        names[own[id_]].append(tuple(parts))
    for id_, code, *kinds in tables.execute(other.select(
                other.party, other.code, other.other_alternative_id_type,
                other.alternative_id_type,
                where=reduce_ids(other.party, ids), order_by=other.id)):
        codes[own[id_]].append((code, kinds[0] or kinds[1]))
    merged = [id_ for id_ in ids if own[id_] != id_]
    for id_, ref, lastname, given in tables.execute(party.select(
                party.id, party.ref, party.lastname, party.name,
                where=reduce_ids(party.id, merged))) if merged else ():
        codes[own[id_]].append((ref, None))
        names[own[id_]].append((lastname, given))


def _one_patient_facts(row, names, codes):
    party = row['party.']
    return matching.PatientFacts(
        id=row['id'],
        puid=party['ref'],
        alternative_ids=tuple((c, k) for c, k in codes if c),
        names=((party['lastname'], party['name']), *names),
        birth_date=party['dob'],
        sexes=matching.compatible_sexes(
            party['gender'], row['biological_sex']),
        birth_date_estimated=bool(party['est_dob']))
