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

from trytond.i18n import gettext
from trytond.modules.health_imaging.institution import (
    institution, institution_timezone, local_datetime)
from trytond.modules.health_imaging.patient_facts import PatientFacts
from trytond.modules.health_imaging.tables import execute
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from . import attributes, rendering
from .exceptions import ApplicationEntityError

logger = logging.getLogger(__name__)

# How long the templates of an answer may work together, and for each entry
# besides, in seconds of the processor, which do not pass while others have
# it: some ten times what ours need. Each template has an equal share, so
# that a slow one does not keep the entries of others from the modalities.
POLL_SECONDS = 20
ENTRY_SECONDS = .02

# Names that people do not go by.
_FORMER_USES = {'old', 'maiden', 'anonymous'}

_PersonName = namedtuple('_PersonName', 'use name')


class Batch:
    """What the entries of many requests are made of, looked up once.

    :param requests: records of requests
    """

    def __init__(self, requests):
        self._requests = requests
        self._kept, self._exams = {}, {}
        self._logged = set()

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
            r.worklist_template.id for r in self._requests
            if r.worklist_template)
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

    def exam(self, request):
        """Return the variables that depend on the exam and its side alone."""
        if request.id not in self._exams:
            self._exams[request.id] = self._exam(
                request.requested_test, request.side)
        return self._exams[request.id]

    def _exam(self, exam, side):
        if (exam, side) not in self._kept:
            template = exam.imaging_worklist_template
            name = attributes.exam_name(exam.name, exam.title(side))
            self._kept[exam, side] = {
                'template_type': template.template_type if template else None,
                'SpecificCharacterSet':
                    template.valid_charset if template else '',
                'RequestedProcedureDescription': name,
                'ScheduledProcedureStepDescription': name,
                'Modality': attributes.code_string(exam.test_type.code),
                }
        return self._kept[exam, side]

    def station(self, request):
        """Return the variables of the machine of a request.

        :param request: record
        :raises ApplicationEntityError: the AE title is none
        """
        exam, machine = request.requested_test, request.machine
        # Others have the exam and its side as their key.
        key = 'station', exam, machine
        if key not in self._kept:
            self._kept[key] = {
                'ScheduledStationAETitle':
                    machine.aetitle if machine else _application_entity(exam),
                'ScheduledStationName': attributes.short_string(
                    machine.name if machine else ''),
                }
        return self._kept[key]

    def doctor(self, doctor, charset):
        """Return the variables that depend on the doctor alone."""
        key = doctor, charset
        if key not in self._kept:
            name = self.person_name(doctor.party, charset)
            specialty = doctor.main_specialty
            self._kept[key] = {
                'RequestingPhysician': name,
                'ReferringPhysicianName': name,
                'RequestingService': attributes.long_string(
                    specialty.rec_name if specialty else ''),
                }
        return self._kept[key]

    @cached_property
    def _facts(self):
        facts = PatientFacts([r.patient for r in self._requests])
        # What machines show is in English.
        with Transaction().set_context(language='en'):
            facts.conditions
        return facts

    def allergies(self, request):
        """Return what the patient of a request is allergic to.

        :param request: record
        :rtype: list of str, in English
        """
        return [
            c.name for c in self._facts.conditions[request.patient.id]
            if c.is_allergy]

    def weight(self, request):
        """Return the last weight of the patient of a request.

        :param request: record
        :rtype: float in kg, or None
        """
        return self._facts.measured('weight').get(request.patient.id)

    def pregnancy(self, request):
        """Return whether the patient of a request is pregnant.

        :param request: record
        :return: a value of health_imaging.safety.facts.Patient.pregnancy
        """
        day = local_datetime(request.date, self.zone).date()
        return self._facts.pregnancy(request.patient, day)

    @cached_property
    def findings(self):
        """What the rules of safety find now: lists of
        health_imaging.safety.rules.Finding by id of the request."""
        Request = Pool().get('gnuhealth.imaging.test.request')
        return Request.safety_checks(self._requests, self._facts).findings

    @cached_property
    def _names(self):
        "The names that are valid today, lists by party id."
        # In the order of the requests: trytond reads the others along with
        # the first one that is looked at, but not the one before it.
        return _read_names({
                person.party.id for request in self._requests
                for person in (request.patient, request.doctor) if person})

    def person_name(self, party, charset):
        """Return the name of a person (PN): the official one while it is
        valid, else that of the person, those in other scripts in the other
        component groups.

        :param party: record of the person
        :param str charset: SpecificCharacterSet (CS) that the name must fit,
            empty for ASCII only, None for any
        """
        return attributes.person_name(*self._names_of(party), charset)

    def romanized_name(self, party, charset):
        """Return the name of a person (PN) when it is romanized in a
        character set, else an empty text; parameters as in person_name."""
        names = self._names_of(party)
        if not attributes.is_romanized(*names, charset):
            return ''
        return attributes.person_name(*names, charset)

    def _names_of(self, party):
        """Return the official and the other Names of a person."""
        if party.id not in self._names:
            self._names.update(_read_names({party.id}))
        names = self._names[party.id]
        first = next((n.name for n in names if n.use == 'official'), None)
        others = [n.name for n in names
            if n.use != 'official' and n.use not in _FORMER_USES]
        return (
            first or attributes.Name(party.lastname or '', party.name or ''),
            others)


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
