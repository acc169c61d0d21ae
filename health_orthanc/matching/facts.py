# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of studies, requests and patients, and the keys to look them up."""
import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, FrozenSet, NamedTuple, Optional, Tuple, Union

from .nobody import means_nobody
from .values import (
    NUMBER_LENGTHS, UID_ROOTS, clean, full_date, uids_of, variants)

# Days between the images and an order that may have been written for them
# without their carrying any number of it.
DAYS_BESIDE = 2

Date = Union[dt.date, str, None]


@dataclass(frozen=True)
class StudyFacts:
    """What the PACS says about a study; any value may be missing.

    :ivar str study_instance_uid: StudyInstanceUID (0020,000D, VR UI)
    :ivar str patient_id: PatientID (0010,0020, VR LO)
    :ivar str issuer: IssuerOfPatientID (0010,0021, VR LO)
    :ivar str patient_name: PatientName (0010,0010, VR PN), all groups
    :ivar birth_date: PatientBirthDate (0010,0030, VR DA), date or str
    :ivar str sex: PatientSex (0010,0040, VR CS)
    :ivar str accession_number: AccessionNumber (0008,0050, VR SH)
    :ivar modalities: Modality (0008,0060, VR CS) of the series
    :ivar study_date: StudyDate (0008,0020, VR DA), date or str
    :ivar texts: other attributes that may contain the UID of a request
    :ivar int request: id of the request that a rule linked before, which
        counts as open
    :ivar requested_ids: ScheduledProcedureStepID (0040,0009),
        RequestedProcedureID (0040,1001), AccessionNumber and StudyInstanceUID
        in RequestAttributesSequence (0040,0275, VR SQ) of the series
    :ivar arrived: when the study was first stored here, datetime, UTC
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

    :ivar str merge_id: Study Instance UID of the worklist entry
    :ivar str accession_number, order_number: numbers of line and order
    :ivar int patient: id of the patient
    :ivar str modality: DICOM modality code
    :ivar str state: 'draft', 'requested', 'done' or 'canceled'
    :ivar int result: id of the result, or None
    :ivar date: when the exam is scheduled
    :ivar other_numbers, other_order_numbers: further ones sent to modalities
    :ivar former_uids: Study Instance UIDs shared with other lines
    :ivar str result_state: None, 'draft' or 'final'
    :ivar done_at: when the result was made, datetime, UTC
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
        """The numbers of this line alone, without padding."""
        return _known(self.accession_number, *self.other_numbers)

    @property
    def order_numbers(self):
        """The numbers of all lines of the order, without padding."""
        return _known(self.order_number, *self.other_order_numbers)


def _known(*numbers):
    return [n for n in map(clean, numbers) if n]


@dataclass(frozen=True)
class PatientFacts:
    """A patient.

    :ivar alternative_ids: pairs of code and issuer (or type)
    :ivar names: pairs of family and given names, in any script
    :ivar birth_date: date of birth, or None
    :ivar sexes: the values of PatientSex (0010,0040, VR CS) that fit
    :ivar bool birth_date_estimated: whether the year may be wrong
    """
    id: int
    puid: Optional[str]
    alternative_ids: Tuple[Tuple[str, Optional[str]], ...] = ()
    names: Tuple[Tuple[Optional[str], Optional[str]], ...] = ()
    birth_date: Date = None
    sexes: FrozenSet[str] = frozenset()
    birth_date_estimated: bool = False


class Keys(NamedTuple):
    """Exact values to look up for a study.

    Numbers and identifiers are given as they are, folded and in upper case
    (mixed case needs a folded column), those of digits with more and fewer
    leading zeros.

    :ivar uids: Study Instance UIDs and former ones of requests
    :ivar accession_numbers: numbers of requests and orders
    :ivar identifiers: PUIDs and alternative identifications
    :ivar request_dates: dates of the requests of the patients found
    """
    uids: FrozenSet[str] = frozenset()
    accession_numbers: FrozenSet[str] = frozenset()
    identifiers: FrozenSet[str] = frozenset()
    request_dates: FrozenSet[dt.date] = frozenset()


def keys(study, roots=UID_ROOTS):
    """Return the Keys of a StudyFacts.

    :param roots: roots of the UIDs that requests have or had
    """
    numbers = [study.accession_number, *(study.requested_ids or ())]
    return Keys(
        frozenset(uids_of(study, roots)).union(
            clean(n) for n in numbers[1:] if n and '.' in n),
        frozenset().union(*map(variants, numbers)),
        _identifiers(study.patient_id),
        _days_beside(full_date(study.study_date)))


@lru_cache(maxsize=2 ** 12)
def _days_beside(day):
    return frozenset(
        day + dt.timedelta(days)
        for days in range(-DAYS_BESIDE, DAYS_BESIDE + 1) if day)


def _identifiers(patient_id):
    number = clean(patient_id)
    if means_nobody(number):
        return frozenset()
    if not (number.isascii() and number.isdigit()):
        return variants(number)
    short = number.lstrip('0')
    return frozenset([number, short, *map(short.zfill, NUMBER_LENGTHS)])


def compatible_sexes(*values):
    """Return the values of PatientSex (0010,0040) that fit a patient, none
    when any does.

    :param values: gender and biological sex as GNU Health stores them
    """
    found = {v.upper() for v in values if v}
    return frozenset(found if found <= {'M', 'F'} else ())
