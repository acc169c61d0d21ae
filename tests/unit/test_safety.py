# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that protect patients, without a database."""
import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from trytond.modules.health_imaging.safety import facts, kidney, media
from trytond.modules.health_imaging.safety.rules import Rule, check

DAY = dt.date(2026, 6, 1)
EXAMS = {exam.code: exam for exam in [
        facts.Exam('CT', 'CT', body_part='HEAD', weight_limit=200),
        facts.Exam('CTC', 'CT', contrast=facts.IODINATED, body_part='HEAD'),
        facts.Exam('MR', 'MR', body_part='HEAD'),
        facts.Exam('MRG', 'MR', contrast=facts.GADOLINIUM),
        facts.Exam('RFB', 'RF', contrast=facts.BARIUM),
        facts.Exam('US', 'US'),
        facts.Exam('USB', 'US', contrast=facts.MICROBUBBLES),
        facts.Exam('XR', 'DX'),
        *(facts.Exam(f'XR-{code}', 'DX', side=side) for code, side in [
                ('L', facts.LEFT), ('R', facts.RIGHT), ('ASK', facts.ASK)]),
        facts.Exam('MG', 'MG'),
        ]}
NORMAL = facts.Creatinine(0.8, 'mg/dL', DAY - dt.timedelta(days=1))


def days_ago(days):
    return DAY - dt.timedelta(days=int(days))


def parsed(who, told):
    "Return the facts of a patient of the table."
    sex, born = who.split()
    values = {
        'sex': sex.strip('?'),
        'birth_date': None if born == '?' else dt.date.fromisoformat(
            born if '-' in born else f'{born}-01-01'),
        'creatinine': NORMAL, 'height': None, 'allergies': (),
        'medication': (), 'former': (),
        }
    if values['birth_date'] and values['birth_date'].year > 2008:
        # Schwartz: the height is needed.
        values['height'] = 120
    for fact in filter(None, map(str.strip, told.split('; '))):
        key, _, value = fact.partition(':')
        if key == 'a':
            text, _, code = value.partition('#')
            values['allergies'] += (facts.Allergy(text, code),)
        elif key == 'c':
            values['height'] = None
            values['creatinine'] = None
            if value != 'none':
                number, unit, days = value.split()
                values['creatinine'] = facts.Creatinine(
                    float(number), unit, days_ago(days))
        elif key == 'x':
            code, days = value.split()
            exam = EXAMS[code]
            values['former'] += (facts.Former(
                    days_ago(days), code.partition('-')[0], exam.modality,
                    exam.body_part, exam.side),)
        elif key == 'm':
            values['medication'] += (value,)
        elif key in {'h', 'w'}:
            values['height' if key == 'h' else 'weight'] = float(value)
        else:
            values[{'i': 'critical_info', 'p': 'pregnancy',
                    'd': 'deceased'}[key]] = value
    return facts.Patient(**values)


def table():
    path = Path(__file__).parents[1] / 'data/safety_patients.txt'
    for number, line in enumerate(path.read_text('utf-8').splitlines(), 1):
        if line and not line.startswith('#'):
            who, told, exam, found = map(str.strip, line.split('|'))
            expected = sorted(filter(None, map(str.strip, found.split(','))))
            yield pytest.param(
                parsed(who, told),
                replace(EXAMS[exam], code=exam.partition('-')[0]),
                expected, id=str(number))


PATIENTS = list(table())


def test_enough_patients_are_labelled():
    assert len(PATIENTS) >= 180


@pytest.mark.parametrize('patient, exam, expected', PATIENTS)
def test_finds_what_the_label_says(patient, exam, expected):
    found = check(patient, exam, DAY)
    assert sorted(
        f'{finding.kind} {finding.rule}' for finding in found) == expected


# Worked values of the publications and of the calculator of the National
# Kidney Foundation, rounded as there.
@pytest.mark.parametrize('creatinine, age, sex, height, expected', [
    (1.0, 50, 'm', None, 92), (1.0, 50, 'f', None, 69),
    (0.6, 30, 'f', None, 124), (1.5, 65, 'm', None, 51),
    (2.0, 70, 'f', None, 26), (4.0, 45, 'm', None, 18),
    (0.5, 8, 'm', 130, 107), (1.2, 12, 'f', 150, 52),
    ])
def test_filtration_is_that_of_the_publications(
        creatinine, age, sex, height, expected):
    assert round(kidney.filtration(creatinine, age, sex, height)) == expected


@pytest.mark.parametrize('value, unit, expected', [
    (1.2, 'mg/dL', 1.2), (106.08, 'µmol/L', 1.2), (106.08, 'umol / l', 1.2),
    (0.10608, 'mmol/l', 1.2), (12, 'mg/L', 1.2), (106, 'mg/dL', None),
    (1.2, '', None), (1.2, None, None), (-1, 'mg/dL', None),
    (float('nan'), 'mg/dL', None),
    ])
def test_creatinine_of_a_unit(value, unit, expected):
    assert kidney.milligrams(value, unit) == pytest.approx(expected)


@pytest.mark.parametrize('text, expected', [
    ('1,2', 1.2), (' 1.2 ', 1.2), ('<0.3', 0.3), ('> 15', 15),
    ('1.234,5', None), ('', None), (None, None), ('hemolytic', None),
    ('1' * 10_000, None)])
def test_creatinine_that_is_a_text(text, expected):
    assert kidney.number(text) == expected


def test_a_rule_is_switched_off_by_the_exam():
    patient = facts.Patient(
        sex='f', birth_date=dt.date(1998, 1, 1), pregnancy=facts.PREGNANT)
    exam = replace(EXAMS['XR'], switched_off=frozenset({'pregnancy'}))
    assert not check(patient, exam, DAY)


def test_another_module_adds_a_rule():
    class Implant(Rule):
        code = 'implant'

        def findings(self, patient, exam, day):
            yield self.found('warning', 'implant', device='pacemaker')

    Rule.register(Implant)
    try:
        finding, = check(facts.Patient(sex='m'), EXAMS['US'], DAY)
    finally:
        Rule.known.remove(Implant)
    assert (finding.rule, dict(finding.parameters)) == (
        'implant', {'device': 'pacemaker'})


def test_the_most_serious_comes_first():
    patient = facts.Patient(
        sex='f', deceased=True, pregnancy=facts.PREGNANT,
        birth_date=dt.date(1960, 1, 1),
        medication=('Metformin',), critical_info="betadine")
    kinds = [f.kind for f in check(patient, EXAMS['CTC'], DAY)]
    assert kinds == [
        'refused', 'stop', 'question', 'warning', 'warning']


@pytest.mark.parametrize('text', [
    '', ' ', '\0', '!' * 100_000, 'iod' * 50_000, '碘' * 50_000,
    'no ' * 50_000])
def test_odd_texts_are_read_in_a_moment(text):
    warned, denied = media.in_text(text)
    assert warned | denied <= {media.IODINE}
