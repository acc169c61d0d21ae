# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of matching: a link, or a reason for review, and candidates."""
from dataclasses import dataclass, field
from typing import Any, Dict, NamedTuple, Optional, Tuple

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
    # The images, or the step that made them, name requests of two patients.
    'other_patients': {'request'},
    # The PatientID is of several patients.
    'several_patients': {'patient_id', 'count'},
    # The PatientID is a patient's but for its case, its issuer or leading
    # zeros, and name and date of birth do not confirm it.
    'patient_id_not_exact': {'patient_id'},
    # The PatientID is a patient's, and nothing beside it says so.
    'patient_id_alone': {'patient_id'},
    # The accession number is of an open request, the PatientID of nobody.
    'accession_only': {'request'},
    # As before, and the study has no PatientID at all.
    'accession_no_id': {'request'},
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
    """Why a person has to review a study.

    :ivar str code: one of REASONS
    :ivar dict parameters: values of the sentence
    """
    code: str
    parameters: Dict[str, Any] = field(default_factory=dict)


class Difference(NamedTuple):
    """How one attribute of a study compares.

    :ivar str attribute: name of the attribute
    :ivar str study, own: value of the study, and here
    :ivar str verdict: 'same', 'close', 'unsure', 'differs' or 'missing', for
        names those of ``names.compare_names``
    """
    attribute: str
    study: str
    own: str
    verdict: str


class Candidate(NamedTuple):
    """A request or a patient that a person may choose for the study.

    :ivar str kind: request or patient
    :ivar int id, patient: id of the request or patient, and of the patient
    :ivar differences: tuple of Difference
    """
    kind: str
    id: int
    patient: int
    differences: Tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Where a study belongs.

    :ivar str link_state: 'linked', 'review' or 'unlinked'
    :ivar str link_rule: code of the rule, or None
    :ivar patient, request, result: ids, only when 'linked'
    :ivar further: ids of the other requests that the study serves, of the
        same patient
    :ivar review_reason: Reason, only when 'review'
    :ivar candidates: tuple of Candidate; of a study linked to a patient these
        are requests
    """
    link_state: str
    link_rule: Optional[str] = None
    patient: Optional[int] = None
    request: Optional[int] = None
    result: Optional[int] = None
    review_reason: Optional[Reason] = None
    candidates: Tuple[Candidate, ...] = ()
    further: Tuple[int, ...] = ()
