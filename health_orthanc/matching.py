# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides to which patient and which request a study belongs, and says why.

The caller asks ``keys`` what to look up, reads the requests and patients of a
whole block of studies at once, puts them into an ``Index`` and calls
``decide`` for each study.  Nothing here knows a database.
"""
import datetime as dt
import re
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from operator import ge, gt
from typing import Any, Dict, FrozenSet, Optional, Tuple, Union

from .matching_names import (
    AGREE, CLOSE, DIFFERS, MISSING, RANK, SAME, SIMILAR, UNREADABLE, UNSURE,
    compare_names, own_names, study_names)
from .matching_nobody import means_nobody, plain

LINKED, REVIEW, UNLINKED = 'linked', 'review', 'unlinked'
MERGE_ID, ACCESSION, PATIENT_ID = 'merge_id', 'accession', 'patient_id'

# The arc of UUIDs, and the root of the orders made by GNU Health 5.0.
UID_ROOTS = ('2.25.', '1.2.836.0.1.3240043.7.198.')
# Shorter ones could be the beginning of a longer one.
UID_MIN_LENGTH = 20
# Of a UID, and of a text of VR LO: what ends there may have been cut.
MAX_LENGTH = 64

OPEN_STATES = {'draft', 'requested'}
# Days that a study may lie before and after the date of the request whose
# accession number it carries.  Beyond, the number was used again.
DAYS_BEFORE, DAYS_AFTER = 92, 366
# Days between the images and an order that may have been written for them
# without their carrying any number of it.
DAYS_BESIDE = 2
# Digits of a number in which leading zeros may be lost or added.
NUMBER_LENGTHS = range(4, 13)
# Years that an estimated date of birth may be wrong.
ESTIMATE_YEARS = 5
# Days after birth in which images may carry the name "baby of".
NEWBORN_DAYS = 366

# Modalities (0008,0060) that are made from images of another one.
DERIVED = {
    'AU', 'DOC', 'FID', 'KO', 'OT', 'PLAN', 'PR', 'REG', 'RTDOSE', 'RTPLAN',
    'RTRECORD', 'RTSTRUCT', 'SC', 'SEG', 'SR'}
# Modalities that one and the same kind of apparatus may write.
ALIKE = [
    {'CR', 'DX', 'DR', 'RG', 'XR'},
    {'XA', 'RF', 'XR'},
    {'US', 'IVUS'},
    {'PX', 'IO', 'DX'},
    {'MR', 'MRI'},
    {'PT', 'PET'}]

# The reasons for a review, with their parameters.
REASONS = {
    # One UID or accession number, or the UIDs in one study, are of several
    # requests.
    'several_requests': {'rule', 'count'},
    'uids_differ': {'count'},
    # The request was canceled, and yet there are images.
    'request_canceled': {'rule', 'request'},
    # The request is of one patient, the PatientID is another's.
    'other_patient_id': {'rule', 'request', 'patient_id'},
    # The PatientID is of several patients.
    'several_patients': {'patient_id', 'count'},
    # The PatientID is a patient's but for its case, its issuer or leading
    # zeros, and name and date of birth do not confirm it.
    'patient_id_not_exact': {'patient_id'},
    # The PatientID is a patient's, and nothing beside it says so.
    'patient_id_alone': {'patient_id'},
    # The accession number is of an open request, the PatientID of nobody.
    'accession_only': {'request'},
    # What the study says of the person contradicts the patient.
    'birth_date_differs': {'rule', 'study', 'own'},
    'sex_differs': {'rule', 'study', 'own'},
    'name_differs': {'rule', 'study', 'own'},
    # The name may be the patient's, no date of birth confirms it.
    'name_unsure': {'rule', 'study', 'own'},
    # Someone with the same date of birth has that name, a twin for instance.
    'name_of_other': {'rule', 'study', 'own'},
    # Made before the patient was born, or too far from the request's date.
    'before_birth': {'rule', 'study', 'own'},
    'study_date_differs': {'rule', 'study', 'own'},
    # Linked before the upgrade to one patient and to the result of another.
    'other_patient': set(),
    # Two records of the study were linked differently before they were one.
    'linked_twice': {'patient'},
    # It was there under another PatientID, and linked to somebody.
    'former_link': {'patient_id', 'patient'},
    }

Date = Union[dt.date, str, None]


@dataclass(frozen=True)
class StudyFacts:
    """What the PACS says of a study.

    Dates are dates or texts of VR DA; ``issuer`` is IssuerOfPatientID
    (0010,0021); ``patient_name`` the text of VR PN with all its groups;
    ``modalities`` those of its series; ``texts`` every other text of the
    study; ``request`` the id of the request to which a rule linked it before,
    which then counts as open; ``requested_ids`` what RequestAttributesSequence
    (0040,0275) of its series holds as ScheduledProcedureStepID,
    RequestedProcedureID and AccessionNumber; ``arrived`` when it was first
    known here (UTC).  Anything may be missing.
    """
    id: Any
    study_instance_uid: Optional[str] = None
    patient_id: Optional[str] = None
    issuer: Optional[str] = None
    patient_name: Optional[str] = None
    birth_date: Date = None
    sex: Optional[str] = None
    accession_number: Optional[str] = None
    modalities: FrozenSet[str] = frozenset()
    study_date: Date = None
    texts: Tuple[str, ...] = ()
    request: Optional[int] = None
    requested_ids: Tuple[str, ...] = ()
    arrived: Optional[dt.datetime] = None


@dataclass(frozen=True)
class RequestFacts:
    """A request: one exam of one patient.

    ``accession_number`` is the number of the line, ``order_number`` that of
    the order; ``other_numbers`` and ``other_order_numbers`` further ones that
    machines were told; ``former_uids`` those that the line shared with others;
    ``patient`` and ``result`` are ids; ``state`` is 'draft', 'requested',
    'done' or 'canceled', ``result_state`` None, 'draft' or 'final';
    ``done_at`` when its result was made (UTC).
    """
    id: int
    merge_id: Optional[str]
    accession_number: Optional[str]
    order_number: Optional[str]
    patient: int
    modality: Optional[str]
    state: str
    result: Optional[int] = None
    date: Date = None
    other_numbers: Tuple[str, ...] = ()
    other_order_numbers: Tuple[str, ...] = ()
    former_uids: Tuple[str, ...] = ()
    result_state: Optional[str] = None
    done_at: Optional[dt.datetime] = None

    @property
    def line_numbers(self):
        "The numbers of this line alone, without padding."
        return self._known(self.accession_number, *self.other_numbers)

    @property
    def order_numbers(self):
        "The numbers of all lines of the order, without padding."
        return self._known(self.order_number, *self.other_order_numbers)

    @staticmethod
    def _known(*numbers):
        return [n for n in map(_clean, numbers) if n]


@dataclass(frozen=True)
class PatientFacts:
    """A patient.

    ``alternative_ids`` are pairs of code and issuer (or type); ``names`` pairs
    of family and given names in any script; ``sexes`` the values of
    PatientSex that fit.
    """
    id: int
    puid: Optional[str]
    alternative_ids: Tuple[Tuple[str, Optional[str]], ...] = ()
    names: Tuple[Tuple[Optional[str], Optional[str]], ...] = ()
    birth_date: Date = None
    sexes: FrozenSet[str] = frozenset()
    birth_date_estimated: bool = False


@dataclass(frozen=True)
class Keys:
    """What to look up for a study, all of it as exact values.

    ``uids`` among the merge ids and former UIDs; ``accession_numbers`` among
    all numbers of request lines and orders; ``identifiers`` among the PUIDs
    and alternative identifications; ``birth_dates`` among those of patients,
    so that twins are seen; ``request_dates`` among those of the requests of
    the patients that are found.  Numbers and identifiers come as they are,
    folded and in upper case; only a folded column finds those in mixed case.
    Identifiers of digits come with more and fewer leading zeros.
    """
    uids: FrozenSet[str] = frozenset()
    accession_numbers: FrozenSet[str] = frozenset()
    identifiers: FrozenSet[str] = frozenset()
    birth_dates: FrozenSet[dt.date] = frozenset()
    request_dates: FrozenSet[dt.date] = frozenset()


@dataclass(frozen=True)
class Reason:
    "Why a person has to look: a code of REASONS and its parameters."
    code: str
    parameters: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """How one attribute compares: 'same', 'close', 'unsure', 'differs' or
    'missing', and for names those of ``matching_names.compare_names``."""
    attribute: str
    study: str
    own: str
    verdict: str


@dataclass(frozen=True)
class Candidate:
    "A request or a patient that a person may choose for the study."
    kind: str
    id: int
    patient: int
    differences: Tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Where a study belongs.

    ``patient``, ``request`` and ``result`` are ids, set only when the state
    is 'linked'; ``review_reason`` only when it is 'review'.  The candidates of
    a study linked to a patient are the requests for which it may be.
    """
    link_state: str
    link_rule: Optional[str] = None
    patient: Optional[int] = None
    request: Optional[int] = None
    result: Optional[int] = None
    review_reason: Optional[Reason] = None
    candidates: Tuple[Candidate, ...] = ()


_NONE = frozenset()


def keys(study, roots=UID_ROOTS):
    """Return the Keys of a StudyFacts.

    ``roots`` are the beginnings of the UIDs that requests have or had.
    """
    birth_date = _full_date(study.birth_date)
    numbers = _variants(study.accession_number)
    for number in study.requested_ids or ():
        numbers |= _variants(number)
    return Keys(
        frozenset(_uids(study, roots)),
        numbers,
        _identifiers(study.patient_id),
        frozenset([birth_date]) if birth_date else _NONE,
        _days_beside(_full_date(study.study_date)))


_BESIDE = [
    dt.timedelta(days) for days in range(-DAYS_BESIDE, DAYS_BESIDE + 1)]


@lru_cache(maxsize=2 ** 12)
def _days_beside(day):
    return frozenset([day + days for days in _BESIDE] if day else [])


def _identifiers(patient_id):
    number = _clean(patient_id)
    if means_nobody(number):
        return _NONE
    if not (number.isascii() and number.isdigit()):
        return _variants(number)
    short = number.lstrip('0')
    return frozenset([number, short, *map(short.zfill, NUMBER_LENGTHS)])


class Index:
    """The requests and patients among which to decide.

    requests, patients: RequestFacts and PatientFacts found by the keys of the
    studies, with the patients of all the requests (else ValueError).
    roots: as for ``keys``.
    issuers: the names under which the institution itself issues PUIDs
    (IssuerOfPatientID, (0010,0021)).
    nobody: texts that mean nobody as PatientID, beside those that everybody
    knows.
    """

    def __init__(self, requests, patients, roots=UID_ROOTS, issuers=(),
            nobody=frozenset()):
        self.requests = {r.id: r for r in requests}
        self.patients = {p.id: p for p in patients}
        self.roots = tuple(roots)
        self.issuers = {_clean(i).casefold() for i in issuers} - {''}
        self.nobody = frozenset(map(plain, nobody)) - {''}
        self._names, self._sounds, self._requests_of = {}, {}, {}
        self._uids, self._lines, self._orders = {}, {}, {}
        self._ids, self._births = {}, {}
        for request in self.requests.values():
            self._add_request(request)
        for patient in self.patients.values():
            self._add_patient(patient)

    def _add_request(self, request):
        if request.patient not in self.patients:
            raise ValueError(f"patient of request {request.id} is missing")
        _file(self._requests_of, request.patient, request)
        for uid in {request.merge_id, *request.former_uids}:
            _file(self._uids, _clean(uid), request)
        for number in {request.accession_number, *request.other_numbers}:
            number = _clean(number)
            _file(self._lines, number.casefold(), (number, request))
        for number in {request.order_number, *request.other_order_numbers}:
            _file(self._orders, _clean(number).casefold(), request)

    def _add_patient(self, patient):
        _file(self._births, _full_date(patient.birth_date), patient)
        codes = [(patient.puid, None), *patient.alternative_ids]
        for code, issuer in codes:
            code = _clean(code)
            _file(self._ids, _id_key(code), (code, issuer, patient))

    def names(self, patient):
        "Return the parsed names of a PatientFacts."
        if patient.id not in self._names:
            self._names[patient.id] = own_names(patient.names)
        return self._names[patient.id]

    def born(self, birth_date, names):
        """Return the PatientFacts born on a date and called alike.

        names: Names as ``study_names`` gives them.  Thousands may share a
        birth date, where the first of January stands for a year.
        """
        day = _full_date(birth_date)
        if day not in self._sounds:
            self._sounds[day] = self._by_sound(self._births.get(day, []))
        sounds = set().union(*(n.sounds for n in names))
        return _unique(self._sounds[day].get(s, []) for s in sorted(sounds))

    def _by_sound(self, patients):
        found = {}
        for patient in patients:
            for sound in set().union(*(n.sounds for n in self.names(patient))):
                found.setdefault(sound, []).append(patient)
        return found

    def with_uid(self, uid):
        "Return the RequestFacts that have a UID, or had it with others."
        return self._uids.get(uid, [])

    def requests_of(self, patient):
        "Return the RequestFacts of a patient, by the id."
        return self._requests_of.get(patient, [])

    def with_line(self, number):
        """Return the RequestFacts whose line alone has a number.

        Those of the same case win.
        """
        number = _clean(number)
        found = self._lines.get(number.casefold(), [])
        same = [r for text, r in found if text == number]
        return same or _unique([[r for _, r in found]])

    def with_number(self, number):
        """Return the RequestFacts of an accession number: that of a line, or
        else that of an order."""
        return self.with_line(number) or _unique(
            [self._orders.get(_clean(number).casefold(), [])])

    def identified(self, study):
        """Return two dicts of PatientFacts by id: those whose identifier is
        the PatientID, and those for whom it is but for case, issuer or leading
        zeros."""
        number, exact, similar = _clean(study.patient_id), {}, {}
        found = self._ids.get(_id_key(number))
        if not found or self.is_nobody(number):
            return exact, similar
        issuer = _clean(study.issuer).casefold()
        for code, kind, patient in found:
            same = code == number and self._issued(kind, issuer)
            (exact if same else similar)[patient.id] = patient
        for id_ in exact:
            similar.pop(id_, None)
        return exact, similar

    def is_nobody(self, patient_id):
        "Whether a PatientID, without padding, is missing or nobody's."
        return means_nobody(patient_id, self.nobody)

    def _issued(self, kind, issuer):
        "Whether an identifier is by an issuer, and not only may be."
        if not issuer:
            return True
        kind = _clean(kind).casefold()
        return kind == issuer or not kind and issuer in self.issuers


def decide(study, index):
    """Return the Decision on a StudyFacts.

    The first rule that has something to say decides: the UID of a request,
    the accession number together with the PatientID, the PatientID alone.
    A rule that finds two candidates or a contradiction links nothing.  What
    has no request is offered those that the patient has for such images of
    those days.
    """
    case = _Case(study, index)
    return case.with_requests_beside(case.by_merge_id()
        or case.by_accession()
        or case.by_patient_id()
        or case.unlinked())


def requests_beside(study, index, patient):
    """Return the Candidates for a StudyFacts that is of a patient: his
    requests for such images of about the same day.

    patient: id
    """
    decision = Decision(LINKED, patient=patient)
    return _Case(study, index).with_requests_beside(decision).candidates


def contradiction(study, patient):
    """Return the Reason why a StudyFacts cannot be of a PatientFacts, or None.

    Missing values contradict nothing.
    """
    return _Case(study, Index([], [patient])).contradiction(patient, None)


def differences(study, patient, request=None):
    """Return the Differences between a StudyFacts and a PatientFacts, and a
    RequestFacts when given, for display side by side."""
    return _Case(study, Index([], [patient])).differences(patient, request)


def compatible_sexes(*values):
    """Return the PatientSex values that fit a patient, empty when any does.

    values: gender and biological sex as GNU Health stores them.
    """
    known = {'m': 'M', 'f': 'F'}
    values = [v for v in values if v]
    if all(v in known for v in values):
        return frozenset(known[v] for v in values)
    return frozenset()


class _Case:
    "A study, the index, and the rules; names are only read when needed."

    def __init__(self, study, index):
        self.study, self.index = study, index
        self.exact, self.similar = index.identified(study)
        self._verdicts = {}

    @cached_property
    def names(self):
        return study_names(_clean(self.study.patient_name))

    def by_merge_id(self):
        "The UID of a request, wherever the study carries it."
        first, *others = [
            self.index.with_uid(u)
            for u in _uids(self.study, self.index.roots)] or [[]]
        hits = [requests for requests in [first, *others] if requests]
        found = _unique(hits)
        if not found:
            return None
        if len(found) > 1:
            shared = [r for r in found if all(r in more for more in hits)]
            if first and not shared:
                return self.review_requests('uids_differ', found)
            found = self.narrowed(shared or found, bool(shared))
            if shared and len(found) == 1 and not self.fits(found[0]):
                # The number names one exam, the images are of another kind.
                return self.review_requests(
                    'several_requests', shared, MERGE_ID)
        if len(found) > 1:
            return self.review_requests('several_requests', found, MERGE_ID)
        return self.to_request(found[0], MERGE_ID)

    def narrowed(self, requests, shared):
        """Return which of the requests of one UID a study is of.

        Releases before 5.0.5 gave one UID to all lines of an order, and to
        copies of an order for other patients.  Whether a request is done does
        not tell: its own images may come again.
        """
        named = self.named()
        if named:
            both = [r for r in requests if r in named]
            if not both or not shared:
                return both if len(both) == 1 else requests
            requests = both
        patients = self.identified()
        tests = [
            lambda r: r.patient in patients, self.fits,
            lambda r: r.state != 'canceled',
            lambda r: self.date_verdict(r) != DIFFERS]
        for test in tests if shared else []:
            requests = list(filter(test, requests)) or requests
        return requests

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
            _unique(map(index.with_line, study.requested_ids))
            or _unique(map(index.with_number, study.requested_ids)))
        return ([r for r in found if r in asked]
            or _unique([found, asked]))

    def by_accession(self):
        """The accession number with the PatientID, of exactly one request.

        Images also come for requests that are done, the open ones go first.
        """
        found = [r for r in self.named() if self.fits(r)]
        if not found:
            return None
        patients = self.identified()
        own = [r for r in found if r.patient in patients]
        now = [r for r in own if self.date_verdict(r) != DIFFERS]
        done = [r for r in now if r.state == 'done']
        live = self.open(now) or done or self.open(own)
        if len(live) > 1:
            return self.review_requests('several_requests', live, ACCESSION)
        canceled = [r for r in now if r.state == 'canceled']
        if live or canceled:
            return self.to_request((live or canceled)[0], ACCESSION)
        return self.of_others([r for r in found if r not in own])

    def of_others(self, requests):
        "The accession number of open requests of other patients."
        requests = [
            r for r in self.open(requests) if self.date_verdict(r) != DIFFERS]
        patients = self.identified()
        if not requests or any(map(self.confirmed, patients.values())):
            return None
        if patients:
            return self.review_requests(
                'other_patient_id', requests, ACCESSION)
        requests = [r for r in requests
            if not self.contradiction(self.patient(r), ACCESSION)]
        if requests:
            return self.review_requests('accession_only', requests)
        return None

    def by_patient_id(self):
        "The PatientID of exactly one patient."
        patients = list(self.identified().values())
        if len(patients) > 1:
            return self.review_patients('several_patients', patients)
        if patients:
            return self.to_patient(patients[0])
        similar = [p for p in self.similar.values()
            if not self.contradiction(p, PATIENT_ID)]
        if similar:
            return self.review_patients('patient_id_not_exact', similar)
        return None

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

    def is_beside(self, request):
        "Whether a request is for such images and of about the same day."
        study, own = (
            _full_date(self.study.study_date), _full_date(request.date))
        return (request.state != 'canceled' and study and own
            and abs((study - own).days) <= DAYS_BESIDE
            and _compare_modality(
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

    def to_patient(self, patient):
        "Link to a patient unless something speaks against it."
        reason = (self.contradiction(patient, PATIENT_ID)
            or self.not_confirmed(patient, PATIENT_ID)
            or self.before_birth(patient)
            or self.alone(patient)
            or self.rival_problem(patient, PATIENT_ID))
        if reason:
            return self.review(reason, [
                    self.candidate(patient),
                    *self.other_candidates(patient, PATIENT_ID)])
        return Decision(LINKED, PATIENT_ID, patient.id)

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
        return self.index.patients[request.patient]

    def request_problem(self, request, rule):
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
                    'patient_id': _clean(self.study.patient_id)})
        # A UID is used once, and clocks of modalities may be wrong.
        if rule == ACCESSION and self.date_verdict(request) == DIFFERS:
            return self.reason('study_date', rule,
                self.study.study_date, request.date)
        return None

    def contradiction(self, patient, rule):
        study = self.study
        if _compare_births(study.birth_date, patient) == DIFFERS:
            return self.reason(
                'birth_date', rule, study.birth_date, patient.birth_date)
        if _compare_sex(study.sex, patient.sexes) == DIFFERS:
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
                _compare_births(self.study.birth_date, patient) != SAME
                or verdict == UNREADABLE and not self.same_sex(patient)):
            return self.name_reason('name_unsure', patient, rule)
        return None

    def same_sex(self, patient):
        "Whether the sex agrees, as far as ours is known."
        return ({'M', 'F'}.isdisjoint(patient.sexes)
            or _compare_sex(self.study.sex, patient.sexes) == SAME)

    def alone(self, patient):
        "A PatientID may be typed wrong: something has to confirm it."
        if (self.name_verdict(patient) in AGREE
                or _compare_births(self.study.birth_date, patient) == SAME):
            return None
        return Reason('patient_id_alone', {
                'patient_id': _clean(self.study.patient_id)})

    def before_birth(self, patient):
        study, birth = (
            _full_date(self.study.study_date), _full_date(patient.birth_date))
        if (study and birth and study < birth
                and not patient.birth_date_estimated):
            return Reason('before_birth', {
                    'rule': PATIENT_ID, 'study': study.isoformat(),
                    'own': birth.isoformat()})
        return None

    def rival_problem(self, patient, rule):
        if self.rivals(patient, rule):
            return self.name_reason('name_of_other', patient, rule)
        return None

    def born(self, names=()):
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
            and _compare_sex(self.study.sex, other.sexes) != DIFFERS
            and better(self.compare_name(other)[1], rank)]

    def confirmed(self, patient):
        "Whether name and date of birth agree, and the sex does not contradict"
        study = self.study
        return (_compare_births(study.birth_date, patient) == SAME
            and _compare_sex(study.sex, patient.sexes) != DIFFERS
            and self.name_verdict(patient) in AGREE)

    def name_verdict(self, patient):
        return self.compare_name(patient)[0]

    def compare_name(self, patient):
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
            _full_date(self.study.study_date), _full_date(patient.birth_date))
        return not (study and birth
            and abs((study - birth).days) <= NEWBORN_DAYS)

    def open(self, requests):
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
        return _compare_modality(
            self.study.modalities, request.modality) != DIFFERS

    def date_verdict(self, request):
        study, own = (
            _full_date(self.study.study_date), _full_date(request.date))
        if not study or not own:
            return MISSING
        if study == own:
            return SAME
        days = (study - own).days
        return CLOSE if -DAYS_BEFORE <= days <= DAYS_AFTER else DIFFERS

    def reason(self, attribute, rule, study, own):
        return Reason(f'{attribute}_differs', {
                'rule': rule, 'study': _shown(study), 'own': _shown(own)})

    def name_reason(self, code, patient, rule):
        return Reason(code, {
                'rule': rule, 'study': _shown(self.study.patient_name),
                'own': _shown_name(patient)})

    def review(self, reason, candidates):
        return Decision(
            REVIEW, review_reason=reason, candidates=tuple(candidates))

    def review_requests(self, code, requests, rule=None):
        values = {
            'rule': rule, 'count': len(requests),
            'request': ', '.join(_clean(r.accession_number) for r in requests),
            'patient_id': _clean(self.study.patient_id)}
        return self.review(_reason(code, values), [
                self.candidate(self.patient(r), r) for r in requests])

    def review_patients(self, code, patients):
        values = {
            'count': len(patients),
            'patient_id': _clean(self.study.patient_id)}
        return self.review(
            _reason(code, values), map(self.candidate, patients))

    def candidate(self, patient, request=None):
        kind, id_ = 'patient', patient.id
        if request:
            kind, id_ = 'request', request.id
        return Candidate(
            kind, id_, patient.id, self.differences(patient, request))

    def differences(self, patient, request):
        study = self.study
        rows = [
            ('name', study.patient_name, _shown_name(patient),
                self.name_verdict(patient)),
            ('birth_date', study.birth_date, patient.birth_date,
                _compare_births(study.birth_date, patient)),
            ('sex', study.sex, ' '.join(sorted(patient.sexes)),
                _compare_sex(study.sex, patient.sexes)),
            ('patient_id', study.patient_id, patient.puid,
                self.id_verdict(patient))]
        if request:
            rows += [
                ('study_date', study.study_date, request.date,
                    self.date_verdict(request)),
                ('modality', ' '.join(
                        sorted(map(_clean, study.modalities or ()))),
                    request.modality,
                    _compare_modality(study.modalities, request.modality)),
                ('accession_number', study.accession_number,
                    request.accession_number, self.number_verdict(request))]
        return tuple(
            Difference(name, _shown(theirs), _shown(own), verdict)
            for name, theirs, own, verdict in rows)

    def id_verdict(self, patient):
        if self.index.is_nobody(_clean(self.study.patient_id)):
            return MISSING
        if patient.id in self.exact:
            return SAME
        return CLOSE if patient.id in self.similar else DIFFERS

    def number_verdict(self, request):
        study = set(map(_clean, [
                    self.study.accession_number,
                    *(self.study.requested_ids or ())])) - {''}
        lines = request.line_numbers
        if not study or not lines:
            return MISSING
        if not study.isdisjoint(lines):
            return SAME
        alike = {n.casefold() for n in lines + request.order_numbers}
        return DIFFERS if alike.isdisjoint(map(str.casefold, study)) else CLOSE


def _reason(code, values):
    return Reason(code, {k: values[k] for k in sorted(REASONS[code])})


def _file(index, key, value):
    if key:
        index.setdefault(key, []).append(value)


def _unique(lists):
    return list({r.id: r for found in lists for r in found}.values())


def _clean(value):
    """Return a text without its padding, empty when it cannot be a key.

    DICOM pads with spaces, some writers with NUL (PS3.5 section 6.2).
    """
    if not value:
        return ''
    text = str(value).strip(' \0\t\r\n')
    if text.isascii():
        return '' if '\0' in text else text
    try:
        text.encode()
    except UnicodeEncodeError:
        return ''
    return '' if '\0' in text else text


def _id_key(number):
    "Return an identifier without case and leading zeros."
    if number.isascii() and number.isdigit():
        return number.lstrip('0')
    return number.casefold()


def _variants(value):
    text = _clean(value)
    if not text:
        return _NONE
    return frozenset([text, text.casefold(), text.upper()])


def _shown(value):
    if isinstance(value, dt.date):
        return _full_date(value).isoformat() if _full_date(value) else ''
    return _clean(value)


def _shown_name(patient):
    names = [' '.join(filter(None, [g, f])) for f, g in patient.names[:1]]
    return ' '.join(names)


_UID = re.compile(r'(?<![\d.])\d+(?:\.\d+)+(?!\d|\.\d)', re.ASCII)


def _uids(study, roots):
    """Return the UIDs by which a request may be found, StudyInstanceUID first.

    Some modalities cannot keep the UID and put it into another field.
    """
    uids = [_clean(study.study_instance_uid)]
    for text in [
            study.patient_id, study.accession_number, study.patient_name,
            *(study.texts or ())]:
        if text and '.' in text and any(r in text for r in roots):
            uids += _uids_in(_clean(text), roots)
    return list(dict.fromkeys(filter(None, uids)))


def _uids_in(text, roots):
    for found in _UID.finditer(text):
        uid = found.group()
        cut = found.end() == len(text) == MAX_LENGTH > len(uid)
        if (uid.startswith(tuple(roots)) and not cut
                and UID_MIN_LENGTH <= len(uid) <= MAX_LENGTH):
            yield uid


_DA = re.compile(r'(\d{4})(?:[-./]?(\d{2})(?:[-./]?(\d{2}))?)?', re.ASCII)


def _date(value):
    """Return year, month and day, or None where there is no date.

    Month and day are 0 where not known.  DICOM has no value for an unknown
    date: the first day of 1900 and years out of reach stand for it.
    """
    if isinstance(value, dt.date):
        year, month, day = value.year, value.month, value.day
    else:
        found = _DA.fullmatch(_clean(value))
        if not found:
            return None
        year, month, day = map(int, found.groups('0'))
    if (not 1880 <= year < 2200 or month > 12 or day > 31
            or year == 1900 and (month, day) in {(1, 1), (0, 0)}):
        return None
    return year, month, day


def _full_date(value):
    "Return the date, or None where not all of it is known."
    parts = _date(value)
    try:
        return dt.date(*parts) if parts else None
    except ValueError:
        return None


def _compare_births(study, patient):
    theirs, own = _date(study), _date(patient.birth_date)
    if not theirs or not own:
        return MISSING
    if theirs == own:
        return SAME if all(own) else CLOSE
    if all(a == b for a, b in zip(theirs, own) if a and b):
        return CLOSE
    if (patient.birth_date_estimated
            and abs(theirs[0] - own[0]) <= ESTIMATE_YEARS):
        return UNSURE
    return DIFFERS


def _compare_sex(study, sexes):
    "Only M and F contradict each other: O is also written for unknown."
    study = _clean(study).upper()
    if study not in {'M', 'F'} or {'M', 'F'}.isdisjoint(sexes):
        return MISSING
    return SAME if study in sexes else DIFFERS


def _compare_modality(modalities, own):
    own = _clean(own).upper()
    theirs = {_clean(m).upper() for m in modalities or ()} - DERIVED - {''}
    if not own or not theirs:
        return MISSING
    if own in theirs:
        return SAME
    alike = any(own in group and theirs & group for group in ALIKE)
    return CLOSE if alike else DIFFERS
