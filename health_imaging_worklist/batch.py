# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the entries of many requests are made of, read from the database with
a few statements for all of them."""
import datetime as dt
import logging
import time
import traceback
from collections import Counter, namedtuple
from contextlib import contextmanager
from functools import cached_property
from types import SimpleNamespace

from trytond.i18n import gettext
from trytond.modules.health_imaging.institution import (
    institution, institution_timezone, local_datetime)
from trytond.modules.health_imaging.patient_facts import PatientFacts
from trytond.modules.health_imaging.tables import execute
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from . import attributes, rendering
from .at_machine import aetitle
from .exceptions import ApplicationEntityError

logger = logging.getLogger(__name__)

# How long the templates of an answer may work together, and for each entry
# besides, in seconds of the processor, which do not pass while others have
# it: some ten times what ours need. Each template has an equal share, so
# that a slow one does not keep the entries of others from the modalities.
POLL_SECONDS = 20
ENTRY_SECONDS = .02

# What is read of requests, and of patients besides what safety needs.
_OF_REQUEST = [
    'request', 'request_line', 'accession_number', 'step_id', 'merge_id',
    'date', 'urgent', 'clinical_question', 'comment', 'side', 'patient',
    'doctor', 'requested_test', 'machine']
_OF_PATIENT = [
    'party.ref', 'party.name', 'party.lastname', 'crit_dbt', 'crit_hbp',
    'crit_cardio', 'crit_immuno', 'crit_cognitive']
_RECORDS = [
    ('doctor', 'gnuhealth.healthprofessional'),
    ('requested_test', 'gnuhealth.imaging.test'),
    ('machine', 'gnuhealth.imaging_worklist.machine')]

# Names that people do not go by.
_FORMER_USES = {'old', 'maiden', 'anonymous'}

_PersonName = namedtuple('_PersonName', 'use name')


class Batch:
    """What the entries of many requests are made of, looked up once.

    :param requests: records of requests
    """

    def __init__(self, requests):
        self._requests = requests
        self._kept = {}
        self._logged = set()

    @cached_property
    def _stored(self):
        Request = Pool().get('gnuhealth.imaging.test.request')
        with without_check_access():
            return Request.read([r.id for r in self._requests], _OF_REQUEST)

    def _ids(self, name):
        "Return the ids that the requests have in a field, in their order."
        # In another one trytond leaves out the record before the first one
        # that is looked at when it reads the others along with it.
        return list(dict.fromkeys(
                row[name] for row in self._stored if row[name]))

    @cached_property
    def _patients(self):
        Patient = Pool().get('gnuhealth.patient')
        return PatientFacts(
            Patient.browse(self._ids('patient')), _OF_PATIENT)

    @cached_property
    def _rows(self):
        pool, records = Pool(), {'patient': self._patients.people}
        for name, model in _RECORDS:
            records[name] = {
                r.id: r for r in pool.get(model).browse(self._ids(name))}
        return {
            row['id']: SimpleNamespace(**{**row, **{
                        name: some.get(row[name])
                        for name, some in records.items()}})
            for row in self._stored}

    def row(self, request):
        """Return a plain object with what is stored of a request, of which
        each look at a field takes far less than of the record. Its patient
        and the party of that are such as well.

        :param request: record, or its plain object
        """
        return self._rows[request.id]

    def log(self, error):
        """Log where something happened, once for all requests, but not its
        text, in which data of a patient may be."""
        lines = ''.join(traceback.format_tb(error.__traceback__))
        if lines not in self._logged:
            self._logged.add(lines)
            logger.error("unexpected %s\n%s", type(error).__name__, lines)
        logger.debug("its text is: %s", error)

    @cached_property
    def variables(self):
        """The variables of templates: dict of variables.Variable by name."""
        Request = Pool().get('gnuhealth.imaging.test.request')
        return Request.worklist_variables()

    @cached_property
    def open_fields(self):
        """The fields that ``my`` shows, by model."""
        return Pool().get(
            'gnuhealth.imaging_worklist.worklist_template').open_fields()

    @cached_property
    def _seconds(self):
        "The seconds that each template may still work, by id."
        entries = Counter(
            template.id for template in map(self.template, self._requests)
            if template)
        return {
            template: POLL_SECONDS / len(entries) + ENTRY_SECONDS * count
            for template, count in entries.items()}

    @contextmanager
    def clocked(self, template):
        """Count the time that an entry takes for its template; gives the
        `values.Limits` of it, a quarter of what all its entries have left.

        :raises rendering.LimitError: the template has none left
        """
        left = self._seconds.get(template.id, POLL_SECONDS)
        if left <= 0:
            raise rendering.LimitError('limit_seconds')
        begin = time.thread_time()
        try:
            yield rendering.LIMITS._replace(
                seconds=min(rendering.LIMITS.seconds, left / 4))
        finally:
            self._seconds[template.id] = left - time.thread_time() + begin

    @cached_property
    def zone(self):
        """The time zone of the institution (datetime.tzinfo)."""
        return institution_timezone()

    @cached_property
    def institution_name(self):
        """InstitutionName (0008,0080, VR LO), str."""
        place = institution()
        return attributes.long_string(place.party.name if place else '')

    def _keep(self, make, row, *key):
        """Return what a function makes of a plain object, once for all that
        have the same key."""
        key = make, *key
        if key not in self._kept:
            self._kept[key] = make(row)
        return self._kept[key]

    def template(self, request):
        """Return the record of the template of a request, or None."""
        row = self.row(request)
        return self._keep(_template, row, row.requested_test.id)

    def place(self, request):
        """Return the AE title and the modality code of a request, as they
        are."""
        row = self.row(request)
        return self._keep(
            _place, row, row.requested_test.id, row.machine and row.machine.id)

    def exam(self, request):
        """Return the variables that depend on the exam and its side alone."""
        row = self.row(request)
        return self._keep(_exam, row, row.requested_test.id, row.side)

    def station(self, request):
        """Return the variables of the machine of a request.

        :raises ApplicationEntityError: the AE title is none
        """
        row = self.row(request)
        return self._keep(
            _station, row, row.requested_test.id,
            row.machine and row.machine.id)

    def doctor(self, request):
        """Return the variables that depend on the doctor and the exam alone.
        """
        row = self.row(request)
        return self._keep(
            self._doctor, row, row.requested_test.id, row.doctor.id)

    def _doctor(self, row):
        doctor = row.doctor
        name = self.person_name(
            doctor.party, self.exam(row)['SpecificCharacterSet'])
        specialty = doctor.main_specialty
        return {
            'RequestingPhysician': name,
            'ReferringPhysicianName': name,
            'RequestingService': attributes.long_string(
                specialty.rec_name if specialty else ''),
            }

    @cached_property
    def _facts(self):
        # What machines show is in English.
        with Transaction().set_context(language='en'):
            self._patients.conditions
        return self._patients

    def allergies(self, request):
        """Return what the patient of a request is allergic to.

        :param request: record
        :rtype: list of str, in English
        """
        return [
            c.name for c in self._facts.conditions[
                self.row(request).patient.id]
            if c.is_allergy]

    def weight(self, request):
        """Return the last weight of the patient of a request.

        :param request: record
        :rtype: float in kg, or None
        """
        return self._facts.measured('weight').get(
            self.row(request).patient.id)

    def pregnancy(self, request):
        """Return whether the patient of a request is pregnant.

        :param request: record
        :return: a value of health_imaging.safety.facts.Patient.pregnancy
        """
        row = self.row(request)
        day = local_datetime(row.date, self.zone).date()
        return self._facts.pregnancy(row.patient, day)

    @cached_property
    def findings(self):
        """What the rules of safety find now: lists of
        health_imaging.safety.rules.Finding by id of the request."""
        Request = Pool().get('gnuhealth.imaging.test.request')
        return Request.safety_checks(
            self._rows.values(), self._facts).findings

    @cached_property
    def _names(self):
        return Names(dict.fromkeys(
                party for row in self._rows.values()
                for party in [
                    row.patient.party.id,
                    *([row.doctor.party.id] if row.doctor else [])]))

    def person_name(self, party, charset):
        """Return the name of a person; see `Names.person_name`."""
        return self._names.person_name(party, charset)


class Names:
    """The names of people that are valid today.

    :param parties: ids of those whose names are looked up at once
    """

    def __init__(self, parties):
        self._found = _read_names(parties)

    def person_name(self, party, charset):
        """Return the name of a person (PN): the official one while it is
        valid, else that of the person, those in other scripts in the other
        component groups.

        :param party: record of the person, or a plain object as of `Batch.row`
        :param str charset: SpecificCharacterSet (CS) that the name must fit,
            empty for ASCII only, None for any
        """
        return attributes.person_name(*self._of(party), charset)

    def romanized(self, party, charset):
        """Return the name of a person (PN) when it is romanized in a
        character set, else an empty text; parameters as in person_name."""
        names = self._of(party)
        if not attributes.is_romanized(*names, charset):
            return ''
        return attributes.person_name(*names, charset)

    def _of(self, party):
        """Return the official and the other Names of a person."""
        if party.id not in self._found:
            self._found.update(_read_names([party.id]))
        names = self._found[party.id]
        first = next((n.name for n in names if n.use == 'official'), None)
        others = [n.name for n in names
            if n.use != 'official' and n.use not in _FORMER_USES]
        return (
            first or attributes.Name(party.lastname or '', party.name or ''),
            others)


def _template(row):
    return row.requested_test.imaging_worklist_template


def _place(row):
    return aetitle(row) or '', row.requested_test.test_type.code or ''


def _exam(row):
    exam, template = row.requested_test, _template(row)
    name = attributes.exam_name(exam.name, exam.title(row.side))
    return {
        'template_type': template.template_type if template else None,
        'SpecificCharacterSet': template.valid_charset if template else '',
        'RequestedProcedureDescription': name,
        'ScheduledProcedureStepDescription': name,
        'Modality': attributes.code_string(exam.test_type.code),
        }


def _station(row):
    exam, machine = row.requested_test, row.machine
    return {
        'ScheduledStationAETitle':
            machine.aetitle if machine else _application_entity(exam),
        'ScheduledStationName': attributes.short_string(
            machine.name if machine else ''),
        }


def _application_entity(exam):
    """Return the AE title (VR AE) of the modality of an exam, as it is.

    :raises ApplicationEntityError: it is none
    """
    title = (exam.aetitle or '').strip()
    if title != attributes.application_entity(title):
        raise ApplicationEntityError(gettext(
                'health_imaging_worklist.msg_aetitle_invalid',
                aetitle=title, exam=exam.rec_name))
    return title


def _read_names(parties):
    "Return the names of parties that are valid today, lists by id."
    table = Pool().get('gnuhealth.person_name').__table__()
    today = dt.date.today()
    names = {id_: [] for id_ in parties}
    for ids in grouped_slice(list(parties)):
        for id_, use, begin, end, *parts in execute(table.select(
                    table.party, table.use, table.date_from, table.date_to,
                    table.family, table.given, table.prefix, table.suffix,
                    where=reduce_ids(table.party, list(ids)),
                    order_by=table.id)):
            if (begin or today) <= today <= (end or today):
                family, given, prefix, suffix = (part or '' for part in parts)
                names[id_].append(_PersonName(use, attributes.Name(
                            family, given, prefix=prefix, suffix=suffix)))
    return names
