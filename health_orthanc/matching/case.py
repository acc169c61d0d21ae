# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a study with requests and patients."""
from dataclasses import replace
from functools import cached_property
from operator import ge, gt

from .decision import (
    ACCESSION, LINKED, MERGE_ID, PATIENT_ID, REASONS, REVIEW, UNLINKED,
    Candidate, Decision, Difference, Reason)
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

    Patients are PatientFacts and requests RequestFacts in all its methods; a
    rule is the code of the rule that found them.

    :ivar study: StudyFacts
    :ivar index: Index
    :ivar exact, similar: the patients with the PatientID by their id, and
        those who have it but for case, issuer or leading zeros
    """

    def __init__(self, study, index):
        self.study, self.index = study, index
        self.exact, self.similar = index.identified(study)
        self._verdicts = {}

    @cached_property
    def names(self):
        """The Names in PatientName (0010,0010, VR PN) of the study."""
        return study_names(clean(self.study.patient_name))

    @cached_property
    def _date(self):
        return full_date(self.study.study_date)

    def named(self):
        """Return the requests with the accession number of the study.

        The requested IDs of the series select the lines of an order; they also
        count without an accession number."""
        index, study = self.index, self.study
        found = index.with_number(study.accession_number)
        asked = unique([
                *map(index.with_line, study.requested_ids or ()),
                index.of_steps(study)]) or unique(
            map(index.with_number, study.requested_ids or ()))
        if not asked:
            return found
        return ([r for r in found if r in asked]
            or unique([found, asked]))

    @cached_property
    def asked(self):
        """The requests that the images (RequestAttributesSequence, 0040,0275)
        or the step that made them name, each by what it alone has."""
        index, named = self.index, self.study.requested_ids or ()
        found = [index.with_number(n) or index.with_uid(clean(n))
            for n in named]
        return unique([
                *(some for some in found if len(some) == 1),
                index.of_steps(self.study)])

    def _is_of_other(self, request, patient):
        """Return whether a request that is asked is of somebody else.

        The steps of machines have short numbers that others have, too."""
        names = {clean(n).casefold() for n in self.study.requested_ids or ()}
        return request.patient != patient and (
            request in self.index.of_steps(self.study)
            or not names.isdisjoint(clean(n).casefold() for n in [
                    request.accession_number, request.merge_id,
                    *request.order_numbers] if n))

    def open(self, requests):
        """Return those of the requests whose images are still expected.

        Others were open when the study arrived: they may have been reported
        from these images."""
        # Stamps of records know no fractions of a second.
        arrived = self.study.arrived and self.study.arrived.replace(
            microsecond=0)
        return [r for r in requests
            if r.state in OPEN_STATES or r.id == self.study.request
            or r.state == 'done' and r.done_at and arrived
            and r.done_at >= arrived]

    def fits(self, request):
        "Return whether the modality does not contradict a request."
        return self._modality_verdict(request) != DIFFERS

    def date_verdict(self, request):
        "Return the verdict on study date and date of a request."
        own = full_date(request.date)
        if not self._date or not own:
            return MISSING
        if self._date == own:
            return SAME
        days = (self._date - own).days
        return CLOSE if -DAYS_BEFORE <= days <= DAYS_AFTER else DIFFERS

    def _modality_verdict(self, request):
        return compare_modality(self.study.modalities, request.modality)

    def _number_verdict(self, request):
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

    def identified(self):
        """Return the patients with the PatientID (0010,0020, VR LO).

        Inexact ones count when name and date of birth confirm them.
        """
        return {**self.exact, **{
                i: p for i, p in self.similar.items() if self.confirmed(p)}}

    def patient(self, request):
        """Return the PatientFacts of a RequestFacts."""
        return self.index.patients[request.patient]

    def confirmed(self, patient):
        "Return whether name, date of birth and sex confirm a patient."
        return (self._birth_verdict(patient) == SAME
            and self._sex_verdict(patient) != DIFFERS
            and self.name_verdict(patient) in AGREE)

    def name_verdict(self, patient):
        "Return the verdict on the name of a patient."
        return self._compare_name(patient)[0]

    def _compare_name(self, patient):
        """Return verdict and rank of the name of a patient, cached."""
        if patient.id not in self._verdicts:
            found = compare_names(self.names, self.index.names(patient))
            if found[0] in {UNSURE, UNREADABLE} and self._too_old(patient):
                found = DIFFERS, RANK[DIFFERS]
            self._verdicts[patient.id] = found
        return self._verdicts[patient.id]

    def _too_old(self, patient):
        """Return whether the name is a newborn's and the patient is older."""
        birth = full_date(patient.birth_date)
        return any(n.newborn for n in self.names) and not (
            self._date and birth
            and abs((self._date - birth).days) <= NEWBORN_DAYS)

    def _birth_verdict(self, patient):
        return compare_births(self.study.birth_date, patient)

    def _sex_verdict(self, patient):
        return compare_sex(self.study.sex, patient.sexes)

    def _id_verdict(self, patient):
        if self.index.is_nobody(clean(self.study.patient_id)):
            return MISSING
        if patient.id in self.exact:
            return SAME
        return CLOSE if patient.id in self.similar else DIFFERS

    def _born(self, names=()):
        """Return the patients with the date of birth and name of the study."""
        return self.index.born(
            self.study.birth_date, [*self.names, *names])

    def _rivals(self, patient, rule):
        """Return patients with the same date of birth whose name fits as well.

        Where a UID confirms the patient and the name does not contradict, a
        rival must fit better.
        """
        verdict, rank = self._compare_name(patient)
        if verdict in {SAME, MISSING}:
            return []
        better = gt if rule == MERGE_ID and verdict in AGREE else ge
        return [other for other in self._born(self.index.names(patient))
            if other.id != patient.id
            and self._sex_verdict(other) != DIFFERS
            and better(self._compare_name(other)[1], rank)]

    def contradiction(self, patient, rule):
        """Return the Reason why the study is not of a patient, or None.

        :param patient: PatientFacts
        :param str rule: code of the rule that found the patient, or None
        """
        study = self.study
        if self._birth_verdict(patient) == DIFFERS:
            return _reason('birth_date_differs', rule,
                study.birth_date, patient.birth_date)
        if self._sex_verdict(patient) == DIFFERS:
            return _reason('sex_differs', rule,
                study.sex, ' '.join(sorted(patient.sexes)))
        if self.name_verdict(patient) == DIFFERS:
            return self._name_reason('name_differs', rule, patient)
        return None

    def _request_problem(self, request, rule):
        """Return the Reason against a request itself, or None."""
        values = {'rule': rule, 'request': request.accession_number}
        if request.state == 'canceled':
            return Reason('request_canceled', values)
        owners = self.exact
        if not owners and not self.confirmed(self.patient(request)):
            owners = self.similar
        if owners and request.patient not in owners:
            return Reason('other_patient_id', {
                    **values, 'patient_id': clean(self.study.patient_id)})
        # A UID is used once, and clocks of modalities may be wrong.
        if rule == ACCESSION and self.date_verdict(request) == DIFFERS:
            return _reason('study_date_differs', rule,
                self.study.study_date, request.date)
        return None

    def _not_confirmed(self, patient, rule):
        """Return the Reason when too little confirms the patient, or None.

        A name that cannot be compared needs date of birth and sex. Without a
        request, a name that a sister may have needs the date of birth.
        """
        verdict = self.name_verdict(patient)
        doubtful = {UNREADABLE}
        if rule == PATIENT_ID:
            doubtful |= {UNSURE, SIMILAR}
        if verdict not in doubtful:
            return None
        same_sex = ({'M', 'F'}.isdisjoint(patient.sexes)
            or self._sex_verdict(patient) == SAME)
        if (self._birth_verdict(patient) != SAME
                or verdict == UNREADABLE and not same_sex):
            return self._name_reason('name_unsure', rule, patient)
        return None

    def _not_by_number(self, patient, rule):
        """Return the Reason against a patient found by the PatientID when
        nothing else fits, or the images are older than the patient."""
        birth = full_date(patient.birth_date)
        if (self._date and birth and self._date < birth
                and not patient.birth_date_estimated):
            return _reason('before_birth', rule, self._date, birth)
        if (self.name_verdict(patient) in AGREE
                or self._birth_verdict(patient) == SAME):
            return None
        return Reason('patient_id_alone', {
                'patient_id': clean(self.study.patient_id)})

    def _name_reason(self, code, rule, patient):
        return _reason(
            code, rule, self.study.patient_name, shown_name(patient))

    def to_request(self, request, rule):
        "Return the Decision to link to a request, or to review."
        return self._to(self.patient(request), rule, request)

    def to_requests(self, requests, rule):
        """Return the Decision to link to one of some requests, or to review.

        The images are of several requests only where they name each."""
        if len(requests) > 1 and not all(r in self.asked for r in requests):
            return self.review_requests('several_requests', requests, rule)
        first = min(requests, key=lambda r: (
                r.id != self.study.request, not r.result, r.id))
        return self.to_request(first, rule)

    def with_further(self, decision):
        """Return a Decision with the other requests that the images name
        beside its own, or to review when one is of another patient."""
        first = self.index.requests.get(decision.request)
        if not first or first not in self.asked:
            return decision
        others = [r for r in self.asked if r is not first
            and r.state in {'requested', 'done'}
            and self.date_verdict(r) != DIFFERS]
        foreign = [
            r for r in others if self._is_of_other(r, decision.patient)]
        if foreign:
            return self.review_requests('other_patients', [first, *foreign])
        others = sorted(
            (r for r in others if r.patient == decision.patient),
            key=lambda r: r.id)
        # A report from before the images came is not of them.
        results = [r.result for r in self.open(others) if r.result]
        return replace(
            decision, further=tuple(r.id for r in others),
            result=decision.result or next(iter(results), None))

    def to_patient(self, patient, rule):
        "Return the Decision to link to a patient, or to review."
        return self._to(patient, rule)

    def _to(self, patient, rule, request=None):
        reason = (request and self._request_problem(request, rule)
            or self.contradiction(patient, rule)
            or self._not_confirmed(patient, rule)
            or not request and self._not_by_number(patient, rule))
        rivals = self._rivals(patient, rule)
        if not reason and rivals:
            reason = self._name_reason('name_of_other', rule, patient)
        if not reason:
            return Decision(LINKED, rule, patient.id,
                *(request.id, request.result) if request else ())
        # They have the PatientID, or the name and date of birth.
        others = {
            **self.exact, **self.similar, **{p.id: p for p in rivals}}
        others.pop(patient.id, None)
        return self.review(reason, [
                self.candidate(patient, request),
                *map(self.candidate, others.values())])

    def review(self, reason, candidates):
        """Return the Decision to let a person review."""
        return Decision(
            REVIEW, review_reason=reason, candidates=tuple(candidates))

    def review_requests(self, code, requests, rule=None):
        """Return the Decision to let a person choose between requests."""
        numbers = ', '.join(clean(r.accession_number) for r in requests)
        return self._review_several(code, [
                self.candidate(self.patient(r), r) for r in requests],
            rule=rule, request=numbers)

    def review_patients(self, code, patients):
        """Return the Decision to let a person choose between patients."""
        return self._review_several(code, list(map(self.candidate, patients)))

    def _review_several(self, code, candidates, **values):
        values.update(
            count=len(candidates), patient_id=clean(self.study.patient_id))
        return self.review(
            Reason(code, {k: values[k] for k in sorted(REASONS[code])}),
            candidates)

    def unlinked(self):
        """Return the Decision to link nothing, with patients to suggest.

        These have the name and date of birth of the study.
        """
        return Decision(UNLINKED, candidates=tuple(
                self.candidate(p) for p in self._born() if self.confirmed(p)))

    def candidate(self, patient, request=None):
        "Return the Candidate for a patient, or for a request of the patient."
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
                self._birth_verdict(patient)),
            ('sex', study.sex, ' '.join(sorted(patient.sexes)),
                self._sex_verdict(patient)),
            ('patient_id', study.patient_id, patient.puid,
                self._id_verdict(patient))]
        if request:
            rows += [
                ('study_date', study.study_date, request.date,
                    self.date_verdict(request)),
                ('modality', ' '.join(
                        sorted(map(clean, study.modalities or ()))),
                    request.modality, self._modality_verdict(request)),
                ('accession_number', study.accession_number,
                    request.accession_number, self._number_verdict(request))]
        return tuple(
            Difference(name, shown(theirs), shown(own), verdict)
            for name, theirs, own, verdict in rows)

    def doubts(self, patient):
        """Return the Differences in name, birth date and sex that speak
        against a patient. A name that cannot be read, or stands in another
        script, does not where both others agree."""
        against = {DIFFERS, UNSURE, UNREADABLE}
        if {self._birth_verdict(patient),
                self._sex_verdict(patient)} == {SAME}:
            against.remove(UNREADABLE)
            if {n.script for n in self.names}.isdisjoint(
                    n.script for n in self.index.names(patient)):
                against.remove(UNSURE)
        return tuple(
            d for d in self.differences(patient, None)
            if d.attribute in {'name', 'birth_date', 'sex'}
            and d.verdict in against)

    def with_requests_beside(self, decision):
        """Return a Decision with the requests of its patients added that fit
        the modality and the date."""
        if decision.request:
            return decision
        patients = [decision.patient] if decision.patient else [
            c.patient for c in decision.candidates if c.kind == 'patient']
        known = {c.id for c in decision.candidates if c.kind == 'request'}
        beside = [
            self.candidate(self.patient(r), r)
            for patient in dict.fromkeys(patients)
            for r in self.index.requests_of(patient)
            if r.id not in known and self._is_beside(r)]
        if not beside:
            return decision
        return replace(
            decision, candidates=(*decision.candidates, *beside))

    def _is_beside(self, request):
        own = full_date(request.date)
        return (request.state != 'canceled' and self._date and own
            and abs((self._date - own).days) <= DAYS_BESIDE
            and self._modality_verdict(request) in {SAME, CLOSE})


def _reason(code, rule, study, own):
    """Return the Reason that shows the values of the study and of here."""
    return Reason(code, {
            'rule': rule, 'study': shown(study), 'own': shown(own)})
