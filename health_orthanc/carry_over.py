# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries over to the studies of today what people linked before 5.0, for the
script migrate_orthanc_module.py. A link that is there is never replaced."""
from collections import defaultdict
from typing import NamedTuple

from trytond.pool import Pool

from . import matching, tables
from .links import deciding, facts

COMMENT = 'NEED TO VERIFY!'


class Wish(NamedTuple):
    """What a person linked before 5.0.

    :ivar former: record of a former study, or of an Orthanc patient
    :ivar study: record of the study of today, or None
    :ivar patient: record, or None
    :ivar result: record, or None
    :ivar problem: why it cannot be carried over, or None
    """
    former: object
    study: object = None
    patient: object = None
    result: object = None
    problem: str = None

    def choice(self):
        "Return what was chosen for the study, as the ledger takes it."
        chosen = {
            'patient': self.patient,
            'imaging_test': self.result,
            'request': self.result.request if self.result else None,
            }
        return {name: record.id for name, record in chosen.items() if record}


def former_studies(after, limit, dry_run):
    """Carry over the links of some former studies.

    :param int after: id of the last one that was done
    :param int limit: how many
    :param bool dry_run: whether nothing is written
    :return: id of the last one, None at the end, and list of dicts
    """
    Former = Pool().get('gnuhealth.orthanc.study')
    formers = Former.search(
        [('id', '>', after)], limit=limit, order=[('id', 'ASC')])
    candidates = _Candidates(formers)
    wishes = [_wish(former, candidates) for former in formers]
    return _last(formers, limit), _carry_over(wishes, dry_run)


def orthanc_patients(after, limit, dry_run):
    """Carry over the local patients of some Orthanc patients, to those of
    their studies that no former study stands for, see former_studies."""
    pool = Pool()
    OrthancPatient = pool.get('gnuhealth.orthanc.patient')
    Former = pool.get('gnuhealth.orthanc.study')
    patients = OrthancPatient.search([
            ('id', '>', after), ('patient', '!=', None),
            ], limit=limit, order=[('id', 'ASC')])
    studies = sorted(
        (s for p in patients for s in p.imaging_studies if not s.patient),
        key=lambda s: s.id)
    formers = Former.search([
            ('uuid', 'in', [s.orthanc_UID for s in studies])])
    known = {(f.server, f.uuid) for f in formers}
    people = facts.patient_facts({p.patient.id for p in patients})
    contradicting = {
        study.id for study, row in zip(
            studies, facts.read_studies([s.id for s in studies]))
        if matching.contradiction(
            facts.study_facts(row),
            people[study.orthanc_patient.patient.id])}
    wishes = [
        Wish(study.orthanc_patient, study, study.orthanc_patient.patient,
            problem='contradiction' if study.id in contradicting else None)
        for study in studies
        if (study.orthanc_server, study.orthanc_UID) not in known]
    return _last(patients, limit), _carry_over(wishes, dry_run)


def _last(records, limit):
    return records[-1].id if len(records) == limit else None


class _Candidates:
    "The studies of today that may be some former ones, read at once."

    def __init__(self, formers):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        self._by_id, self._by_uid = defaultdict(list), defaultdict(list)
        for name, attribute, index in [
                ('orthanc_UID', 'uuid', self._by_id),
                ('study_instance_UID', 'instance_uid', self._by_uid)]:
            keys = {getattr(f, attribute) for f in formers} - {None, ''}
            for study in Study.search(
                    [(name, 'in', list(keys))], order=[('id', 'ASC')]):
                index[getattr(study, name)].append(study)

    def find(self, former):
        """Return the study of today, or None, and why there is none.

        A study UID alone, without Orthanc id, may be that of two patients.
        """
        found = [s for s in self._by_id[former.uuid]
            if not former.server or s.orthanc_server == former.server]
        if not found:
            ident = former.patient.ident if former.patient else None
            found = [s for s in self._by_uid[former.instance_uid]
                if not ident or (s.patient_id or '') == ident.strip()]
            own = [s for s in found if s.orthanc_server == former.server]
            found = own or found
        if len(found) > 1:
            return None, 'several'
        return (found[0], None) if found else (None, 'not_there')


def _wish(former, candidates):
    patient = former.patient.patient if former.patient else None
    result = former.imaging_test
    if not patient and not result:
        return Wish(former, problem='not_linked')
    if result and result.patient:
        if patient and patient != result.patient:
            return Wish(former, None, patient, result, 'contradiction')
        patient = result.patient
    study, problem = candidates.find(former)
    return Wish(former, study, patient, result, problem)


def _carry_over(wishes, dry_run):
    """Link the studies, and return what became of each wish."""
    lines, choices = [], {}
    for wish in wishes:
        outcome = wish.problem or _outcome(wish)
        if outcome == 'linked' and wish.study in choices:
            outcome = 'several'
        if outcome == 'linked':
            choices[wish.study] = wish.choice()
        lines.append(_line(wish, outcome))
    for study, choice in choices.items() if not dry_run else ():
        comment = study.merge_comment or ''
        if COMMENT not in comment:
            comment = '; '.join(filter(None, [comment, COMMENT]))
            tables.set_values(type(study), [study.id], merge_comment=comment)
        deciding.choose([study], choice, 'carried_over')
    return lines


def _outcome(wish):
    "Return whether a study can be linked as wished, or why not."
    study, wanted = wish.study, wish.choice()
    linked = {
        name: getattr(study, name).id for name in wanted
        if getattr(study, name)}
    if linked == wanted:
        return 'already'
    if any(linked[name] != wanted[name] for name in linked):
        return 'conflict'
    if study.link_rule == 'person' and study.link_state == 'unlinked':
        return 'rejected'
    return 'linked'


def _line(wish, outcome):
    "Return what the report says of a wish."
    former, study, patient, result, _ = wish
    return {
        'outcome': outcome,
        'kind': 'study' if former.__name__.endswith('study') else 'patient',
        'former': former.id,
        'orthanc_id': former.uuid,
        'server': former.server.label if former.server else '',
        'patient': (patient.puid or str(patient.id)) if patient else '',
        'result': (result.number or str(result.id)) if result else '',
        'study': study.id if study else None,
        'study_uid': study.study_instance_UID if study else '',
        'has_patient': (study.patient.puid or ''
            if study and study.patient else ''),
        'has_result': (study.imaging_test.number or ''
            if study and study.imaging_test else ''),
        }
