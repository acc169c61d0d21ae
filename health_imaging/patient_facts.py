# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the facts that the rules of safety ask for, once for many patients.

What comes with modules that are not activated is unknown.
"""
import datetime as dt
from collections import defaultdict
from functools import cached_property
from types import SimpleNamespace
from typing import NamedTuple

from sql import Literal, Null
from sql.conditionals import Coalesce, NullIf
from sql.functions import Lower

from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import without_check_access

from .institution import institution_timezone, local_datetime
from .safety import facts, kidney, media
from .tables import execute, moment, once

# ICD-10: pregnant state, supervision of a pregnancy; complications of one.
PREGNANT_CODES = ('Z33', 'Z34', 'Z35', 'Z3A', 'O')
# A pregnancy that began so long ago is over, whatever the record says.
_PREGNANCY_DAYS = 310
# Radiation is of no danger so soon after a menstruation began (ten-day rule
# of the ICRP).
_SAFE_DAYS = 10
_FORMER_DAYS = 60
# In the code of an analyte, else in its name; the last ones are of LOINC.
_CREATININE = [
    'creatinine', 'crea', 'creat', 'scr', 'serum creatinine', 'creatinina',
    'kreatinin', 'créatinine', '肌酐', '血肌酐', 'كرياتينين', '2160-0',
    '14682-9']
# In what the specimen or the test is called when it is not serum.
_URINE = ['urin', 'orin', 'pipi', '尿', 'بول', 'البول']
_YES = Literal(True)
# The last one comes with gynecology.
_FIELDS = [
    'party.dob', 'party.gender', 'party.deceased', 'biological_sex',
    'critical_info', 'menopausal']


def sex_of(patient):
    """Return the sex of a patient.

    :param patient: gnuhealth.patient record
    :rtype: str: 'm', 'f', 'o', or '' when it is unknown
    """
    sex = patient.biological_sex or (
        patient.party.gender or '').split('-')[0]
    return {'m': 'm', 'f': 'f', 'nb': 'o', 'other': 'o'}.get(sex, '')


class Condition(NamedTuple):
    """A condition of a patient.

    :ivar str title: code and name
    :ivar str code: of ICD-10
    """
    name: str
    title: str
    remark: str
    code: str
    is_allergy: bool

    @property
    def text(self):
        "Title and remark."
        return ': '.join(filter(None, [self.title, self.remark]))


class PatientFacts:
    """The facts of patients.

    :param patients: gnuhealth.patient records
    :param fields: names of fields that `people` have besides, those of the
        party with ``party.`` before
    """

    def __init__(self, patients, fields=()):
        self._patients = {p.id for p in patients}
        self._fields = {*_FIELDS, *fields}

    @cached_property
    def people(self):
        """What is stored of the patients and their parties, by id of the
        patient: plain objects with the fields of the records, of which each
        look at a field takes far longer."""
        pool, people = Pool(), {}
        Patient = pool.get('gnuhealth.patient')
        patient = Patient.__table__()
        party = pool.get('party.party').__table__()
        own = [n for n in self._fields if n in Patient._fields]
        of_party = [
            n.partition('.')[2] for n in self._fields if '.' in n]
        query = patient.join(
            party, condition=patient.party == party.id).select(
                patient.id, party.id, *(getattr(patient, n) for n in own),
                *(getattr(party, n) for n in of_party))
        for ids in grouped_slice(list(self._patients)):
            query.where = reduce_ids(patient.id, list(ids))
            for id_, person, *values in execute(query):
                people[id_] = SimpleNamespace(
                    id=id_, **dict(zip(own, values)),
                    party=SimpleNamespace(
                        id=person, **dict(zip(of_party, values[len(own):]))))
        return people

    @without_check_access
    def of(self, patient, day, request=None):
        """Return what is known of a patient.

        :param patient: gnuhealth.patient record, one of the class
        :param day: datetime.date of the exam
        :param request: id of the request that is checked, or None
        :rtype: safety.facts.Patient
        """
        id_ = patient.id
        return self.person(
            patient, day, medication=tuple(self._medication[id_]),
            former=tuple(
                former for key, former in self._former[id_]
                if key is None or key != request))

    @without_check_access
    def person(self, patient, day, **more):
        """Return what is known of a patient, without what was taken and done.

        :param patient: gnuhealth.patient record, one of the class
        :param day: datetime.date of the exam
        :param more: what is known besides
        :rtype: safety.facts.Patient
        """
        id_ = patient.id
        patient = self.people[id_]
        sex = sex_of(patient)
        return facts.Patient(
            birth_date=patient.party.dob,
            sex=sex if sex in {'f', 'm'} else '',
            deceased=bool(patient.party.deceased),
            allergies=tuple(
                facts.Allergy(c.text, c.code)
                for c in self.conditions[id_] if c.is_allergy),
            critical_info=(patient.critical_info or '').strip(),
            pregnancy=self.pregnancy(patient, day),
            creatinine=self._creatinine.get(id_),
            height=self.measured('height').get(id_),
            weight=self.measured('weight').get(id_), **more)

    @cached_property
    def conditions(self):
        "The active conditions, lists of Condition by patient id."
        pool = Pool()
        Pathology = pool.get('gnuhealth.pathology')
        table = pool.get('gnuhealth.patient.disease').__table__()
        rows = self._read(table, [
                table.pathology, table.is_allergy, table.short_comment,
                table.extra_info],
            (Coalesce(table.is_active, _YES) == _YES)
            & (table.healed_date == Null) & (table.pathology != Null))
        pathologies = {p.id: p for p in Pathology.browse(
                {pathology for _, pathology, *_ in rows})}
        found = defaultdict(list)
        for patient, id_, is_allergy, *remarks in rows:
            name, title = pathologies[id_].name, pathologies[id_].rec_name
            code = pathologies[id_].code or ''
            found[patient].append(Condition(
                    name, title, '; '.join(filter(None, remarks)), code,
                    bool(is_allergy) or media.is_allergy(title, code)))
        return found

    @cached_property
    def _pregnancies(self):
        """The pregnancies that are not over: lists of the last menstruation
        (datetime.date or None) by patient id."""
        Pregnancy = _model('gnuhealth.patient.pregnancy')
        if not Pregnancy:
            return {}
        table = Pregnancy.__table__()
        found = defaultdict(list)
        for patient, begun in self._read(
                table, [table.lmp], table.current_pregnancy == _YES):
            found[patient].append(begun)
        return found

    @cached_property
    def _menstruations(self):
        "The last menstruation, datetime.date by patient id."
        History = _model('gnuhealth.patient.menstrual_history')
        if not History:
            return {}
        table = History.__table__()
        return dict(self._read(
                table, [table.lmp], table.lmp != Null, table.lmp))

    def pregnancy(self, patient, day):
        """Return whether a patient is pregnant.

        :param patient: gnuhealth.patient record, one of the class
        :param day: datetime.date
        :return: a value of safety.facts.Patient.pregnancy
        """
        begun = self._pregnancies.get(patient.id, [])
        if any(not b or (day - b).days <= _PREGNANCY_DAYS for b in begun):
            return facts.PREGNANT
        if any(c.code.upper().startswith(PREGNANT_CODES)
                for c in self.conditions[patient.id]):
            return facts.PREGNANT
        if begun:
            return facts.POSSIBLE
        if getattr(self.people[patient.id], 'menopausal', False):
            return facts.NOT
        last = self._menstruations.get(patient.id)
        if last and 0 <= (day - last).days <= _SAFE_DAYS:
            return facts.NOT
        return facts.UNKNOWN

    @cached_property
    def _creatinine(self):
        "The last creatinine in serum, safety.facts.Creatinine by patient id."
        pool = Pool()
        Analyte = _model('gnuhealth.lab.test.critearea')
        if not Analyte:
            return {}
        analyte = Analyte.__table__()
        lab = pool.get('gnuhealth.lab').__table__()
        test = pool.get('gnuhealth.lab.test_type').__table__()
        unit = pool.get('gnuhealth.lab.test.units').__table__()
        date = Coalesce(lab.date_analysis, lab.date_requested)
        tables = lab.join(
            analyte, condition=analyte.gnuhealth_lab_id == lab.id).join(
            test, 'LEFT', condition=test.id == lab.test).join(
            unit, 'LEFT', condition=unit.id == analyte.units)
        # A date that is still to come is a slip.
        rows = self._read(lab, [
                analyte.result, analyte.result_text, unit.code, date,
                lab.specimen_type, test.specimen_type, test.name],
            Lower(Coalesce(NullIf(analyte.code, ''), analyte.name)).in_(
                _CREATININE)
            & (date <= dt.datetime.now() + dt.timedelta(days=1))
            & (Coalesce(analyte.excluded, Literal(False)) != _YES),
            date, tables)
        found = {}
        for patient, value, text, unit, date, *specimens in rows:
            if value is None:
                value = kidney.number(text)
            if value is not None and not any(
                    media.has_word(media.plain(s or ''), _URINE)
                    for s in specimens):
                found[patient] = facts.Creatinine(
                    value, unit or '', _day(date))
        return found

    def measured(self, name):
        """Return what the last evaluation that says it says.

        :param str name: weight (kg) or height (cm)
        :return: dict of float by patient id
        """
        return self._measures[name]

    @cached_property
    def _measures(self):
        return _measures(tuple(self._patients))

    @cached_property
    def _medication(self):
        "What patients take, names with components, lists by patient id."
        pool = Pool()
        Medicament = pool.get('gnuhealth.medicament')
        table = pool.get('gnuhealth.patient.medication').__table__()
        rows = self._read(table, [table.medicament],
            (Coalesce(table.is_active, _YES) == _YES)
            & (Coalesce(table.discontinued, Literal(False)) != _YES)
            & (Coalesce(table.course_completed, Literal(False)) != _YES))
        medicaments = {m.id: m for m in Medicament.browse(
                {medicament for _, medicament in rows})}
        found = defaultdict(list)
        for patient, id_ in rows:
            medicament = medicaments[id_]
            found[patient].append('; '.join(dict.fromkeys(filter(None, [
                            medicament.rec_name, medicament.active_component,
                            (medicament.composition or '').strip()]))))
        return found

    @cached_property
    def _former(self):
        """The exams that were ordered or done not long ago, pairs of the id of
        the request or None and safety.facts.Former in lists by patient id."""
        pool = Pool()
        Exam = pool.get('gnuhealth.imaging.test')
        table = pool.get('gnuhealth.imaging.test.request').__table__()
        result = pool.get('gnuhealth.imaging.test.result').__table__()
        zone = institution_timezone()
        since = dt.datetime.now() - dt.timedelta(days=_FORMER_DAYS)
        rows = self._read(
            table, [table.id, table.requested_test, table.date, table.side],
            table.state.in_(['requested', 'done']) & (table.date >= since))
        rows += self._read(
            result, [Literal(Null), result.requested_test, result.date,
                Literal(Null)],
            (result.request == Null) & (result.date >= since))
        exams = {e.id: e for e in Exam.browse({row[2] for row in rows})}
        kinds = {
            (exam, side): exams[exam].safety_facts(side)
            for exam, side in {(row[2], row[4]) for row in rows}}
        found = defaultdict(list)
        for patient, id_, exam, date, side in rows:
            exam = kinds[exam, side]
            day = local_datetime(moment(date), zone).date()
            found[patient].append((id_, facts.Former(
                        day, exam.code, exam.modality, exam.body_part,
                        exam.side)))
        return found

    def _read(self, table, columns, where, order=None, tables=None):
        """Return rows of the patients, the id of the patient first.

        :param table: sql.Table with the column patient
        :param columns: list of the other columns
        :param where: condition
        :param order: column that the last row is last by, besides the id
        :param tables: sql.Join, None for the table alone
        """
        return _rows(self._patients, table, columns, where, order, tables)


def _rows(patients, table, columns, where, order=None, tables=None):
    return [row for ids in grouped_slice(list(patients))
        for row in execute((tables or table).select(
                table.patient, *columns,
                where=where & reduce_ids(table.patient, list(ids)),
                order_by=[*filter(None, [order]), table.id]))]


@once
def _measures(patients):
    "Return the last weight and height by patient id; a form asks twice."
    table = Pool().get('gnuhealth.patient.evaluation').__table__()
    found = {'weight': {}, 'height': {}}
    for patient, *values in _rows(
            patients, table, [getattr(table, name) for name in found],
            (table.weight > 0) | (table.height > 0), table.evaluation_start):
        for name, value in zip(found, values):
            if value and value > 0:
                found[name][patient] = value
    return found


def _model(name):
    "Return a model, None when its module is not activated."
    try:
        return Pool().get(name)
    except KeyError:
        return None


def _day(moment):
    "Return the day of a date and time as the database gives it."
    if isinstance(moment, str):
        moment = dt.datetime.fromisoformat(moment)
    return moment.date() if isinstance(moment, dt.datetime) else moment
