# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A study among the requests and patients to which it may belong: how it
compares with each of them, and what speaks against a link.
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
    "A study, the index, and the rules; names are only read when needed."

    def __init__(self, study, index):
        self.study, self.index = study, index
        self.exact, self.similar = index.identified(study)
        self._verdicts = {}

    @cached_property
    def names(self):
        "The Names of the study, PatientName (0010,0010)."
        return study_names(clean(self.study.patient_name))

    def named(self):
        """Return the requests that the accession number names.

        What was requested for the series tells the lines of an order apart,
        and may stand alone.
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
        "Whether a request is for such images and of about the same day."
        study, own = (
            full_date(self.study.study_date), full_date(request.date))
        return (request.state != 'canceled' and study and own
            and abs((study - own).days) <= DAYS_BESIDE
            and compare_modality(
                self.study.modalities, request.modality) in {SAME, CLOSE})

    def to_request(self, request, rule):
        "Link to a request unless something speaks against it."
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
        "Whoever else has the PatientID, or the name and date of birth."
        others = {**self.exact, **self.similar}
        others.update((p.id, p) for p in self.rivals(patient, rule))
        others.pop(patient.id, None)
        return map(self.candidate, others.values())

    def identified(self):
        "The patients of the PatientID; inexact ones count when confirmed."
        return {**self.exact, **{
                i: p for i, p in self.similar.items() if self.confirmed(p)}}

    def patient(self, request):
        "Return the PatientFacts of a RequestFacts."
        return self.index.patients[request.patient]

    def request_problem(self, request, rule):
        "Return the Reason that speaks against a request itself, or None."
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
        """Return the Reason why the study cannot be of a patient, or None.

        :param rule: code of the rule that found him, or None
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
        """A name that cannot be compared needs date of birth and sex; without
        a request, one that may be that of a sister needs the first."""
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
        "Whether the sex agrees, as far as ours is known."
        return ({'M', 'F'}.isdisjoint(patient.sexes)
            or compare_sex(self.study.sex, patient.sexes) == SAME)

    def alone(self, patient):
        "A PatientID may be typed wrong: something has to confirm it."
        if (self.name_verdict(patient) in AGREE
                or compare_births(self.study.birth_date, patient) == SAME):
            return None
        return Reason('patient_id_alone', {
                'patient_id': clean(self.study.patient_id)})

    def before_birth(self, patient):
        study, birth = (
            full_date(self.study.study_date), full_date(patient.birth_date))
        if (study and birth and study < birth
                and not patient.birth_date_estimated):
            return Reason('before_birth', {
                    'rule': PATIENT_ID, 'study': study.isoformat(),
                    'own': birth.isoformat()})
        return None

    def rival_problem(self, patient, rule):
        "Return the Reason when somebody else fits as well, or None."
        if self.rivals(patient, rule):
            return self.name_reason('name_of_other', patient, rule)
        return None

    def born(self, names=()):
        "Return who is born on the day of the study and called alike."
        return self.index.born(
            self.study.birth_date, [*self.names, *names])

    def rivals(self, patient, rule):
        """Return who is born on the same day and has the name of the study
        as much as the patient; more, when a UID speaks for the patient and
        the name does not contradict that."""
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
        "Whether name and date of birth agree, and the sex does not contradict"
        study = self.study
        return (compare_births(study.birth_date, patient) == SAME
            and compare_sex(study.sex, patient.sexes) != DIFFERS
            and self.name_verdict(patient) in AGREE)

    def name_verdict(self, patient):
        "Return how the name of the study compares to that of a patient."
        return self.compare_name(patient)[0]

    def compare_name(self, patient):
        "Return verdict and rank of the name of a patient, asked once."
        if patient.id not in self._verdicts:
            found = compare_names(self.names, self.index.names(patient))
            if found[0] in {UNSURE, UNREADABLE} and self.too_old(patient):
                found = DIFFERS, RANK[DIFFERS]
            self._verdicts[patient.id] = found
        return self._verdicts[patient.id]

    def too_old(self, patient):
        "Whether the images name a newborn that the patient cannot be."
        if not any(n.newborn for n in self.names):
            return False
        study, birth = (
            full_date(self.study.study_date), full_date(patient.birth_date))
        return not (study and birth
            and abs((study - birth).days) <= NEWBORN_DAYS)

    def open(self, requests):
        "Return those of some requests whose images may still come."
        return [r for r in requests
            if r.state in OPEN_STATES or r.id == self.study.request
            or self.was_open(r)]

    def was_open(self, request):
        """Whether a request was reported after the study had arrived: it may
        have been reported from its images."""
        arrived = self.study.arrived
        return bool(
            request.state == 'done' and request.done_at and arrived
            # Stamps of records know no fractions of a second.
            and request.done_at >= arrived.replace(microsecond=0))

    def fits(self, request):
        "Whether the modality does not contradict a request."
        return compare_modality(
            self.study.modalities, request.modality) != DIFFERS

    def date_verdict(self, request):
        "Return how the study date compares to the date of a request."
        study, own = (
            full_date(self.study.study_date), full_date(request.date))
        if not study or not own:
            return MISSING
        if study == own:
            return SAME
        days = (study - own).days
        return CLOSE if -DAYS_BEFORE <= days <= DAYS_AFTER else DIFFERS

    def reason(self, attribute, rule, study, own):
        "Return the Reason for an attribute that differs."
        return Reason(f'{attribute}_differs', {
                'rule': rule, 'study': shown(study), 'own': shown(own)})

    def name_reason(self, code, patient, rule):
        "Return a Reason that shows both names."
        return Reason(code, {
                'rule': rule, 'study': shown(self.study.patient_name),
                'own': shown_name(patient)})

    def review(self, reason, candidates):
        "Return the Decision that a person has to look."
        return Decision(
            REVIEW, review_reason=reason, candidates=tuple(candidates))

    def review_requests(self, code, requests, rule=None):
        "Return the Decision that a person chooses between requests."
        values = {
            'rule': rule, 'count': len(requests),
            'request': ', '.join(clean(r.accession_number) for r in requests),
            'patient_id': clean(self.study.patient_id)}
        return self.review(reason_of(code, values), [
                self.candidate(self.patient(r), r) for r in requests])

    def review_patients(self, code, patients):
        "Return the Decision that a person chooses between patients."
        values = {
            'count': len(patients),
            'patient_id': clean(self.study.patient_id)}
        return self.review(
            reason_of(code, values), map(self.candidate, patients))

    def candidate(self, patient, request=None):
        "Return the Candidate for a patient, or for a request of his."
        kind, id_ = 'patient', patient.id
        if request:
            kind, id_ = 'request', request.id
        return Candidate(
            kind, id_, patient.id, self.differences(patient, request))

    def differences(self, patient, request):
        "Return the Differences to a patient, and to a request if given."
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
        "Return how the PatientID compares to those of a patient."
        if self.index.is_nobody(clean(self.study.patient_id)):
            return MISSING
        if patient.id in self.exact:
            return SAME
        return CLOSE if patient.id in self.similar else DIFFERS

    def number_verdict(self, request):
        "Return how the accession number compares to a request's."
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
        "Nothing found; who has that name and date of birth is suggested."
        alike = [p for p in self.born() if self.confirmed(p)]
        return Decision(
            UNLINKED, candidates=tuple(map(self.candidate, alike)))

    def with_requests_beside(self, decision):
        "Return a decision with the requests that patients have beside it."
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
