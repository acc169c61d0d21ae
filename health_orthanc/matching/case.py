# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a study with requests and patients.
"""
from dataclasses import replace
from functools import cached_property
from operator import ge, gt

from .decision import (
    ACCESSION, LINKED, MERGE_ID, PATIENT_ID, REVIEW, UNLINKED, Candidate,
    Decision, Difference, Reason, reason_of)
from .facts import DAYS_BESIDE
from .names import (
    AGREE, CLOSE, DIFFERS, MISSING, RANK, SAME, SIMILAR, UNREADABLE, UNSURE,
    compare_names, study_names)
from .values import (
    clean, compare_births, compare_modality, compare_sex, full_date, shown,
    shown_name, unique)

OPEN_STATES = {'draft', 'requested'}
# Days that a study may lie before and after the date of the request whose
# accession number it carries.  Beyond, the number was used again.
DAYS_BEFORE, DAYS_AFTER = 92, 366
# Days after birth in which images may carry the name "baby of".
NEWBORN_DAYS = 366


class Case:
    """A study, the index and the rules; names are parsed when needed.

    :ivar study: StudyFacts
    :ivar index: Index
    """

    def __init__(self, study, index):
        self.study, self.index = study, index
        self.exact, self.similar = index.identified(study)
        self._verdicts = {}

    @cached_property
    def names(self):
        """The Names in PatientName (0010,0010, VR PN) of the study."""
        return study_names(clean(self.study.patient_name))

    def named(self):
        """Return the requests with the accession number of the study.

        The requested IDs of the series select the lines of an order; they also
        count without an accession number.

        :rtype: list of RequestFacts
        """
        index, study = self.index, self.study
        found = index.with_number(study.accession_number)
        if not study.requested_ids:
            return found
        asked = (
            unique(map(index.with_line, study.requested_ids))
            or unique(map(index.with_number, study.requested_ids)))
        return ([r for r in found if r in asked]
            or unique([found, asked]))

    def is_beside(self, request):
        """Return whether a request fits the modality and the date.

        :param request: RequestFacts
        """
        study, own = (
            full_date(self.study.study_date), full_date(request.date))
        return (request.state != 'canceled' and study and own
            and abs((study - own).days) <= DAYS_BESIDE
            and compare_modality(
                self.study.modalities, request.modality) in {SAME, CLOSE})

    def to_request(self, request, rule):
        """Return the Decision to link to a request, or to review.

        :param request: RequestFacts
        :param str rule: code of the rule that found it
        """
        patient = self.patient(request)
        reason = (self.request_problem(request, rule)
            or self.contradiction(patient, rule)
            or self.not_confirmed(patient, rule)
            or self.rival_problem(patient, rule))
        if reason:
            return self.review(reason, [
                    self.candidate(patient, request),
                    *self.other_candidates(patient, rule)])
        return Decision(LINKED, rule, patient.id, request.id, request.result)

    def other_candidates(self, patient, rule):
        """Return the other patients that the study may belong to.

        These have the PatientID, or the name and date of birth.

        :param patient: PatientFacts
        :param str rule: code of the rule
        :rtype: iterator of Candidate
        """
        others = {**self.exact, **self.similar}
        others.update((p.id, p) for p in self.rivals(patient, rule))
        others.pop(patient.id, None)
        return map(self.candidate, others.values())

    def identified(self):
        """Return the patients with the PatientID (0010,0020, VR LO).

        Inexact ones count when name and date of birth confirm them.
        """
        return {**self.exact, **{
                i: p for i, p in self.similar.items() if self.confirmed(p)}}

    def patient(self, request):
        """Return the PatientFacts of a RequestFacts."""
        return self.index.patients[request.patient]

    def request_problem(self, request, rule):
        """Return the Reason against a request itself, or None.

        :param request: RequestFacts
        :param str rule: code of the rule that found it
        """
        number = request.accession_number
        if request.state == 'canceled':
            return Reason('request_canceled', {
                    'rule': rule, 'request': number})
        owners = self.exact
        if not owners and not self.confirmed(self.patient(request)):
            owners = self.similar
        if owners and request.patient not in owners:
            return Reason('other_patient_id', {
                    'rule': rule, 'request': number,
                    'patient_id': clean(self.study.patient_id)})
        # A UID is used once, and clocks of modalities may be wrong.
        if rule == ACCESSION and self.date_verdict(request) == DIFFERS:
            return self.reason('study_date', rule,
                self.study.study_date, request.date)
        return None

    def contradiction(self, patient, rule):
        """Return the Reason why the study is not of a patient, or None.

        :param patient: PatientFacts
        :param str rule: code of the rule that found the patient, or None
        """
        study = self.study
        if compare_births(study.birth_date, patient) == DIFFERS:
            return self.reason(
                'birth_date', rule, study.birth_date, patient.birth_date)
        if compare_sex(study.sex, patient.sexes) == DIFFERS:
            return self.reason(
                'sex', rule, study.sex, ' '.join(sorted(patient.sexes)))
        if self.name_verdict(patient) == DIFFERS:
            return self.name_reason('name_differs', patient, rule)
        return None

    def not_confirmed(self, patient, rule):
        """Return the Reason when too little confirms the patient, or None.

        A name that cannot be compared needs date of birth and sex. Without a
        request, a name that a sister may have needs the date of birth.

        :param patient: PatientFacts
        :param str rule: code of the rule
        """
        verdict = self.name_verdict(patient)
        doubtful = {UNREADABLE}
        if rule == PATIENT_ID:
            doubtful |= {UNSURE, SIMILAR}
        if verdict in doubtful and (
                compare_births(self.study.birth_date, patient) != SAME
                or verdict == UNREADABLE and not self.same_sex(patient)):
            return self.name_reason('name_unsure', patient, rule)
        return None

    def same_sex(self, patient):
        """Return whether the sex agrees, as far as it is known here.

        :param patient: PatientFacts
        """
        return ({'M', 'F'}.isdisjoint(patient.sexes)
            or compare_sex(self.study.sex, patient.sexes) == SAME)

    def alone(self, patient):
        """Return the Reason when nothing but the PatientID fits, or None.

        :param patient: PatientFacts
        """
        if (self.name_verdict(patient) in AGREE
                or compare_births(self.study.birth_date, patient) == SAME):
            return None
        return Reason('patient_id_alone', {
                'patient_id': clean(self.study.patient_id)})

    def before_birth(self, patient):
        """Return the Reason when the images are older than the patient.

        :param patient: PatientFacts
        :rtype: Reason or None
        """
        study, birth = (
            full_date(self.study.study_date), full_date(patient.birth_date))
        if (study and birth and study < birth
                and not patient.birth_date_estimated):
            return Reason('before_birth', {
                    'rule': PATIENT_ID, 'study': study.isoformat(),
                    'own': birth.isoformat()})
        return None

    def rival_problem(self, patient, rule):
        """Return the Reason when another patient fits as well, or None.

        :param patient: PatientFacts
        :param str rule: code of the rule
        """
        if self.rivals(patient, rule):
            return self.name_reason('name_of_other', patient, rule)
        return None

    def born(self, names=()):
        """Return the patients with the date of birth and name of the study.

        :param names: list of Name
        """
        return self.index.born(
            self.study.birth_date, [*self.names, *names])

    def rivals(self, patient, rule):
        """Return patients with the same date of birth whose name fits as well.

        Where a UID confirms the patient and the name does not contradict, a
        rival must fit better.

        :param patient: PatientFacts
        :param str rule: code of the rule
        """
        verdict, rank = self.compare_name(patient)
        if verdict in {SAME, MISSING}:
            return []
        better = ge
        if rule == MERGE_ID and verdict in AGREE:
            better = gt
        return [other for other in self.born(self.index.names(patient))
            if other.id != patient.id
            and compare_sex(self.study.sex, other.sexes) != DIFFERS
            and better(self.compare_name(other)[1], rank)]

    def confirmed(self, patient):
        """Return whether name, date of birth and sex confirm a patient.

        :param patient: PatientFacts
        """
        study = self.study
        return (compare_births(study.birth_date, patient) == SAME
            and compare_sex(study.sex, patient.sexes) != DIFFERS
            and self.name_verdict(patient) in AGREE)

    def name_verdict(self, patient):
        """Return the verdict on the name of a patient.

        :param patient: PatientFacts
        """
        return self.compare_name(patient)[0]

    def compare_name(self, patient):
        """Return verdict and rank of the name of a patient, cached.

        :param patient: PatientFacts
        """
        if patient.id not in self._verdicts:
            found = compare_names(self.names, self.index.names(patient))
            if found[0] in {UNSURE, UNREADABLE} and self.too_old(patient):
                found = DIFFERS, RANK[DIFFERS]
            self._verdicts[patient.id] = found
        return self._verdicts[patient.id]

    def too_old(self, patient):
        """Return whether the name is a newborn's and the patient is older.

        :param patient: PatientFacts
        """
        if not any(n.newborn for n in self.names):
            return False
        study, birth = (
            full_date(self.study.study_date), full_date(patient.birth_date))
        return not (study and birth
            and abs((study - birth).days) <= NEWBORN_DAYS)

    def open(self, requests):
        """Return the requests whose images are still expected.

        :param requests: list of RequestFacts
        """
        return [r for r in requests
            if r.state in OPEN_STATES or r.id == self.study.request
            or self.was_open(r)]

    def was_open(self, request):
        """Return whether a request was open when the study arrived.

        It may have been reported from these images.

        :param request: RequestFacts
        """
        arrived = self.study.arrived
        return bool(
            request.state == 'done' and request.done_at and arrived
            # Stamps of records know no fractions of a second.
            and request.done_at >= arrived.replace(microsecond=0))

    def fits(self, request):
        """Return whether the modality does not contradict a request.

        :param request: RequestFacts
        """
        return compare_modality(
            self.study.modalities, request.modality) != DIFFERS

    def date_verdict(self, request):
        """Return the verdict on study date and date of a request.

        :param request: RequestFacts
        """
        study, own = (
            full_date(self.study.study_date), full_date(request.date))
        if not study or not own:
            return MISSING
        if study == own:
            return SAME
        days = (study - own).days
        return CLOSE if -DAYS_BEFORE <= days <= DAYS_AFTER else DIFFERS

    def reason(self, attribute, rule, study, own):
        """Return the Reason for an attribute that differs.

        :param str attribute: name of the attribute
        :param str rule: code of the rule
        :param study: value of the study
        :param own: value here
        """
        return Reason(f'{attribute}_differs', {
                'rule': rule, 'study': shown(study), 'own': shown(own)})

    def name_reason(self, code, patient, rule):
        """Return a Reason that shows both names.

        :param str code: one of REASONS
        :param patient: PatientFacts
        :param str rule: code of the rule
        """
        return Reason(code, {
                'rule': rule, 'study': shown(self.study.patient_name),
                'own': shown_name(patient)})

    def review(self, reason, candidates):
        """Return the Decision to let a person review.

        :param reason: Reason
        :param candidates: list of Candidate
        """
        return Decision(
            REVIEW, review_reason=reason, candidates=tuple(candidates))

    def review_requests(self, code, requests, rule=None):
        """Return the Decision to let a person choose between requests.

        :param str code: one of REASONS
        :param requests: list of RequestFacts
        :param str rule: code of the rule
        """
        values = {
            'rule': rule, 'count': len(requests),
            'request': ', '.join(clean(r.accession_number) for r in requests),
            'patient_id': clean(self.study.patient_id)}
        return self.review(reason_of(code, values), [
                self.candidate(self.patient(r), r) for r in requests])

    def review_patients(self, code, patients):
        """Return the Decision to let a person choose between patients.

        :param str code: one of REASONS
        :param patients: list of PatientFacts
        """
        values = {
            'count': len(patients),
            'patient_id': clean(self.study.patient_id)}
        return self.review(
            reason_of(code, values), map(self.candidate, patients))

    def candidate(self, patient, request=None):
        """Return the Candidate for a patient, or for a request.

        :param patient: PatientFacts
        :param request: RequestFacts of the patient, or None
        """
        kind, id_ = 'patient', patient.id
        if request:
            kind, id_ = 'request', request.id
        return Candidate(
            kind, id_, patient.id, self.differences(patient, request))

    def differences(self, patient, request):
        """Return the Differences to a patient, and to a request if given.

        :param patient: PatientFacts
        :param request: RequestFacts or None
        """
        study = self.study
        rows = [
            ('name', study.patient_name, shown_name(patient),
                self.name_verdict(patient)),
            ('birth_date', study.birth_date, patient.birth_date,
                compare_births(study.birth_date, patient)),
            ('sex', study.sex, ' '.join(sorted(patient.sexes)),
                compare_sex(study.sex, patient.sexes)),
            ('patient_id', study.patient_id, patient.puid,
                self.id_verdict(patient))]
        if request:
            rows += [
                ('study_date', study.study_date, request.date,
                    self.date_verdict(request)),
                ('modality', ' '.join(
                        sorted(map(clean, study.modalities or ()))),
                    request.modality,
                    compare_modality(study.modalities, request.modality)),
                ('accession_number', study.accession_number,
                    request.accession_number, self.number_verdict(request))]
        return tuple(
            Difference(name, shown(theirs), shown(own), verdict)
            for name, theirs, own, verdict in rows)

    def id_verdict(self, patient):
        """Return the verdict on PatientID and the identifiers of a patient.

        :param patient: PatientFacts
        """
        if self.index.is_nobody(clean(self.study.patient_id)):
            return MISSING
        if patient.id in self.exact:
            return SAME
        return CLOSE if patient.id in self.similar else DIFFERS

    def number_verdict(self, request):
        """Return the verdict on the accession number and that of a request.

        :param request: RequestFacts
        """
        study = set(map(clean, [
                    self.study.accession_number,
                    *(self.study.requested_ids or ())])) - {''}
        lines = request.line_numbers
        if not study or not lines:
            return MISSING
        if not study.isdisjoint(lines):
            return SAME
        alike = {n.casefold() for n in lines + request.order_numbers}
        return DIFFERS if alike.isdisjoint(map(str.casefold, study)) else CLOSE

    def unlinked(self):
        """Return the Decision to link nothing, with patients to suggest.

        These have the name and date of birth of the study.
        """
        alike = [p for p in self.born() if self.confirmed(p)]
        return Decision(
            UNLINKED, candidates=tuple(map(self.candidate, alike)))

    def with_requests_beside(self, decision):
        """Return a decision with the fitting requests of its patients added.

        :param decision: Decision
        """
        if decision.request:
            return decision
        patients = [decision.patient] if decision.patient else [
            c.patient for c in decision.candidates if c.kind == 'patient']
        known = {c.id for c in decision.candidates if c.kind == 'request'}
        beside = [
            self.candidate(self.patient(r), r)
            for patient in dict.fromkeys(patients)
            for r in self.index.requests_of(patient)
            if r.id not in known and self.is_beside(r)]
        if not beside:
            return decision
        return replace(
            decision, candidates=(*decision.candidates, *beside))
