# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Index of the requests and patients of a block of studies."""
from .names import own_names
from .nobody import means_nobody, plain
from .values import UID_ROOTS, clean, full_date, id_key, unique


class Index:
    """The requests and patients that studies are matched with.

    :param requests: RequestFacts found by the keys of the studies
    :param patients: PatientFacts found likewise, and those of the requests
    :param roots: as for ``keys``
    :param issuers: names under which the institution issues PUIDs,
        IssuerOfPatientID (0010,0021, VR LO)
    :param nobody: further values of PatientID that mean nobody
    :param steps: ids of the requests that the step which made the images of
        a study names, where they are several; by id of the study
    :ivar asked: dates of birth of which it was asked who has them: others may
        have them who are not in the index
    :raises ValueError: the patient of a request is missing
    """

    def __init__(self, requests, patients, roots=UID_ROOTS, issuers=(),
            nobody=frozenset(), steps=None):
        self.requests = {r.id: r for r in requests}
        self.patients, self.asked = {}, set()
        self.roots = tuple(roots)
        self._steps = steps or {}
        self.issuers = {clean(i).casefold() for i in issuers} - {''}
        self.nobody = frozenset(map(plain, nobody)) - {''}
        self._names, self._sounds, self._requests_of = {}, {}, {}
        self._uids, self._lines, self._orders = {}, {}, {}
        self._ids, self._births = {}, {}
        self.add_patients(patients)
        for request in self.requests.values():
            self._add_request(request)

    def add_patients(self, patients):
        """Add PatientFacts, of those who are not in the index."""
        self._sounds.clear()
        for patient in patients:
            if patient.id in self.patients:
                continue
            self.patients[patient.id] = patient
            _file(self._births, full_date(patient.birth_date), patient)
            for code, issuer in [
                    (patient.puid, None), *patient.alternative_ids]:
                code = clean(code)
                _file(self._ids, id_key(code), (code, issuer, patient))

    def _add_request(self, request):
        if request.patient not in self.patients:
            raise ValueError(f"patient of request {request.id} is missing")
        _file(self._requests_of, request.patient, request)
        for uid in {request.merge_id, *request.former_uids}:
            _file(self._uids, clean(uid), request)
        for number in {request.accession_number, *request.other_numbers}:
            number = clean(number)
            _file(self._lines, number.casefold(), (number, request))
        for number in {request.order_number, *request.other_order_numbers}:
            _file(self._orders, clean(number).casefold(), request)

    def names(self, patient):
        """Return the parsed names of a PatientFacts."""
        if patient.id not in self._names:
            self._names[patient.id] = own_names(patient.names)
        return self._names[patient.id]

    def born(self, birth_date, names):
        """Return the patients born on a date whose name sounds alike.

        Thousands may share the first of January of a year.

        :param datetime.date birth_date: the date
        :param names: list of Name, see ``study_names``
        """
        day = full_date(birth_date)
        self.asked.add(day)
        if day not in self._sounds:
            self._sounds[day] = {}
            for patient in self._births.get(day, []):
                for sound in _sounds(self.names(patient)):
                    _file(self._sounds[day], sound, patient)
        return unique(
            self._sounds[day].get(s, []) for s in sorted(_sounds(names)))

    def with_uid(self, uid):
        "Return the requests that have or shared a Study Instance UID."
        return self._uids.get(uid, [])

    def requests_of(self, patient):
        """Return the RequestFacts of a patient, by the id."""
        return self._requests_of.get(patient, [])

    def with_line(self, number):
        """Return the requests whose line has a number.

        :param str number: the number; the same case is preferred
        """
        number = clean(number)
        found = self._lines.get(number.casefold(), [])
        same = [r for text, r in found if text == number]
        return same or unique([[r for _, r in found]])

    def with_number(self, number):
        "Return the requests of an AccessionNumber, of line or order."
        return self.with_line(number) or unique(
            [self._orders.get(clean(number).casefold(), [])])

    def of_steps(self, study):
        """Return the requests that the step which made the images of a
        StudyFacts names, where they are several."""
        return [
            self.requests[id_] for id_ in sorted(self._steps.get(study.id, ()))
            if id_ in self.requests]

    def identified(self, study):
        """Return the patients with the PatientID of a StudyFacts.

        :return: two dicts of PatientFacts by id: exact, and equal but for
            case, issuer or leading zeros
        """
        number, exact, similar = clean(study.patient_id), {}, {}
        found = self._ids.get(id_key(number), ())
        if found and self.is_nobody(number):
            return exact, similar
        issuer = clean(study.issuer).casefold()
        for code, kind, patient in found:
            same = code == number and self._issued(kind, issuer)
            (exact if same else similar)[patient.id] = patient
        return exact, {i: similar[i] for i in similar if i not in exact}

    def is_nobody(self, patient_id):
        "Return whether a clean PatientID is missing or means nobody."
        return means_nobody(patient_id, self.nobody)

    def _issued(self, kind, issuer):
        """Return whether an identifier is certainly of an issuer."""
        if not issuer:
            return True
        kind = clean(kind).casefold()
        return kind == issuer or not kind and issuer in self.issuers


def _sounds(names):
    return set().union(*(n.sounds for n in names))


def _file(index, key, value):
    if key:
        index.setdefault(key, []).append(value)
