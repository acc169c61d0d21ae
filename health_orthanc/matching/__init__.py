# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matches studies with patients and requests, and gives reasons.

The caller asks ``keys`` what to look up, reads the requests and patients of a
whole block of studies at once, puts them into an ``Index`` and calls
``decide`` for each study.  No database is used here.
"""
from .decision import (
    ACCESSION, LINKED, MERGE_ID, PATIENT_ID, REASONS, REVIEW, UNLINKED,
    Candidate, Decision, Difference, Reason)
from .facts import (
    Keys, PatientFacts, RequestFacts, StudyFacts, compatible_sexes, keys)
from .index import Index
from .rules import (
    RULES, Rule, contradiction, decide, differences, doubts, requests_beside)
from .values import UID_ROOTS, full_date
