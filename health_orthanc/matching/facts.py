# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a study, a request and a patient, and what to look up for a
study.
"""
import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, FrozenSet, Optional, Tuple, Union

from .nobody import means_nobody
from .values import (
    NUMBER_LENGTHS, UID_ROOTS, clean, full_date, uids_of, variants)

# Days between the images and an order that may have been written for them
# without their carrying any number of it.
DAYS_BESIDE = 2

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
        return [n for n in map(clean, numbers) if n]


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


def keys(study, roots=UID_ROOTS):
    """Return the Keys of a StudyFacts.

    :param roots: beginnings of the UIDs that requests have or had
    """
    birth_date = full_date(study.birth_date)
    numbers = variants(study.accession_number)
    for number in study.requested_ids or ():
        numbers |= variants(number)
    return Keys(
        frozenset(uids_of(study, roots)),
        numbers,
        _identifiers(study.patient_id),
        frozenset([birth_date] if birth_date else []),
        _days_beside(full_date(study.study_date)))


_BESIDE = [
    dt.timedelta(days) for days in range(-DAYS_BESIDE, DAYS_BESIDE + 1)]


@lru_cache(maxsize=2 ** 12)
def _days_beside(day):
    return frozenset([day + days for days in _BESIDE] if day else [])


def _identifiers(patient_id):
    number = clean(patient_id)
    if means_nobody(number):
        return frozenset()
    if not (number.isascii() and number.isdigit()):
        return variants(number)
    short = number.lstrip('0')
    return frozenset([number, short, *map(short.zfill, NUMBER_LENGTHS)])


def compatible_sexes(*values):
    """Return the PatientSex values that fit a patient, empty when any does.

    :param values: gender and biological sex as GNU Health stores them.
    """
    known = {'m': 'M', 'f': 'F'}
    values = [v for v in values if v]
    if all(v in known for v in values):
        return frozenset(known[v] for v in values)
    return frozenset()
