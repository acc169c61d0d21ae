# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What matching says of a study: where it belongs, or why a person has to
look, and who may be meant.
"""
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

LINKED, REVIEW, UNLINKED = 'linked', 'review', 'unlinked'
MERGE_ID, ACCESSION, PATIENT_ID = 'merge_id', 'accession', 'patient_id'

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


@dataclass(frozen=True)
class Reason:
    "Why a person has to look: a code of REASONS and its parameters."
    code: str
    parameters: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """How one attribute compares: 'same', 'close', 'unsure', 'differs' or
    'missing', and for names those of ``names.compare_names``."""
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


def reason_of(code, values):
    return Reason(code, {k: values[k] for k in sorted(REASONS[code])})
