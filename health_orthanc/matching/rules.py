# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of matching, one class each, in their order."""
from .case import Case
from .decision import ACCESSION, LINKED, MERGE_ID, PATIENT_ID, Decision
from .index import Index
from .names import DIFFERS
from .values import clean, uids_of, unique


class Rule:
    """One way to find the patient or request of a study.

    :cvar str code: value of the field *Linked by* of the study
    """
    code = None

    def decide(self, case):
        """Return a Decision, None when the rule finds nothing."""
        raise NotImplementedError


class ByUID(Rule):
    """Finds a request by its Study Instance UID (0020,000D, VR UI)."""
    code = MERGE_ID

    def decide(self, case):
        "Return the Decision for the request of the UID, or None."
        hits = [
            case.index.with_uid(uid)
            for uid in uids_of(case.study, case.index.roots)]
        first, hits = any(hits[:1]), list(filter(None, hits))
        found = unique(hits)
        if not found:
            return None
        if len(found) > 1:
            shared = [r for r in found if all(r in more for more in hits)]
            if first and not shared:
                return case.review_requests('uids_differ', found)
            found = self._narrowed(case, shared or found, bool(shared))
            if shared and len(found) == 1 and not case.fits(found[0]):
                # The number names one exam, the images are of another kind.
                return case.review_requests(
                    'several_requests', shared, MERGE_ID)
        return case.to_requests(found, MERGE_ID)

    @staticmethod
    def _narrowed(case, requests, shared):
        """Return which of the requests that share a UID a study is of.

        Releases before 5.0.5 gave one UID to all lines of an order, and to
        copies of an order for other patients. Whether a request is done does
        not matter: its own images may be sent again.

        :param bool shared: whether every UID of the study leads to all of
            them
        """
        named = case.named()
        if named:
            both = [r for r in requests if r in named]
            if not both or not shared:
                return both if len(both) == 1 else requests
            requests = both
        patients = case.identified()
        tests = [
            lambda r: r.patient in patients, case.fits,
            lambda r: r.state != 'canceled',
            lambda r: case.date_verdict(r) != DIFFERS]
        for test in tests if shared else []:
            requests = list(filter(test, requests)) or requests
        return requests


class ByAccessionNumber(Rule):
    """Finds the only request with accession number and PatientID.

    Images also come for requests that are done; open ones are preferred.
    """
    code = ACCESSION

    def decide(self, case):
        "Return the Decision for the accession number, or None."
        found = [r for r in case.named() if case.fits(r)]
        if not found:
            return None
        patients = case.identified()
        own = [r for r in found if r.patient in patients]
        now = [r for r in own if case.date_verdict(r) != DIFFERS]
        done = [r for r in now if r.state == 'done']
        live = case.open(now) or done or case.open(own)
        if live:
            return case.to_requests(live, ACCESSION)
        canceled = [r for r in now if r.state == 'canceled']
        if canceled:
            return case.to_request(canceled[0], ACCESSION)
        return self._of_others(
            case, [r for r in found if r not in own], patients)

    @staticmethod
    def _of_others(case, requests, patients):
        "Return the Decision when other patients have the number, or None."
        requests = [
            r for r in case.open(requests) if case.date_verdict(r) != DIFFERS]
        if not requests or any(map(case.confirmed, patients.values())):
            return None
        if patients:
            return case.review_requests(
                'other_patient_id', requests, ACCESSION)
        requests = [r for r in requests
            if not case.contradiction(case.patient(r), ACCESSION)]
        if requests:
            return case.review_requests(
                'accession_only' if clean(case.study.patient_id)
                else 'accession_no_id', requests)
        return None


class ByPatientID(Rule):
    """Finds the only patient with the PatientID (0010,0020, VR LO)."""
    code = PATIENT_ID

    def decide(self, case):
        "Return the Decision for the PatientID, or None."
        patients = list(case.identified().values())
        if len(patients) > 1:
            return case.review_patients('several_patients', patients)
        if patients:
            return case.to_patient(patients[0], PATIENT_ID)
        similar = [p for p in case.similar.values()
            if not case.contradiction(p, PATIENT_ID)]
        if similar:
            return case.review_patients('patient_id_not_exact', similar)
        return None


#: Called in this order, the first Decision counts. Modules that add a rule
#: insert it here, and its code into the selection *Linked by* of the studies.
RULES = [ByUID(), ByAccessionNumber(), ByPatientID()]


def decide(study, index):
    """Return the Decision on a study.

    A rule that finds two candidates or a contradiction links nothing, unless
    the images name each of several requests: they are of all. A study without
    request is offered the requests of its patient that fit in modality and
    date.

    :param index: Index of the requests and patients to match
    """
    case = Case(study, index)
    found = filter(None, (rule.decide(case) for rule in RULES))
    return case.with_requests_beside(
        case.with_further(next(found, None) or case.unlinked()))


def requests_beside(study, index, patient):
    """Return the requests of a patient that fit in modality and date.

    :param index: Index with the requests of the patient
    :param int patient: id of the patient
    :rtype: tuple of Candidate
    """
    decision = Decision(LINKED, patient=patient)
    return Case(study, index).with_requests_beside(decision).candidates


def contradiction(study, patient):
    """Return the Reason why a StudyFacts is not of a PatientFacts, or None.

    Missing values contradict nothing."""
    return Case(study, Index([], [patient])).contradiction(patient, None)


def doubts(study, patient):
    """Return the Differences that speak against a patient whom a person
    chooses for a study.

    Missing values do not.

    :param patient: PatientFacts
    """
    return Case(study, Index([], [patient])).doubts(patient)


def differences(study, patient, request=None):
    """Return the Differences between a study and a patient.

    :param patient: PatientFacts
    :param request: RequestFacts to compare too, or None
    """
    return Case(study, Index([], [patient])).differences(patient, request)
