# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules, one class each.

No rule claims to be complete.  Other modules add theirs by `Rule.register`.
"""
from dataclasses import dataclass

from .facts import (
    ASK, GADOLINIUM, IODINATED, LEFT, NOT, POSSIBLE, PREGNANT, RIGHT)
from .kidney import filtration, milligrams
from .media import ANY, IODINE, has_word, in_text, is_vague, of_allergy, plain

#: What a finding asks of who orders: nothing can be ordered, a reason is
#: needed, an answer is wanted, it is to be known.
REFUSED, STOP, QUESTION, WARNING = ('refused', 'stop', 'question', 'warning')
RANK = {REFUSED: 0, STOP: 1, QUESTION: 2, WARNING: 3}

#: What the rule of kidneys is asked for; of these metformin matters with one.
_OF_KIDNEYS = {IODINATED, GADOLINIUM}
#: Filtration rates (mL/min/1.73 m²) below which kidneys may be harmed.
LOW, LOWERED = 30, 45
#: How many days an exam counts as done not long ago.
DUPLICATE_DAYS = 30
_FERTILE = range(11, 56)
_MAMMOGRAPHY_FROM = 25
# Names of the substance, and of medicines that hold it, alone or with others.
_METFORMIN = [
    'metform', 'metphormin', 'actoplus', 'avandamet', 'competact', 'diabex',
    'diaformin', 'dianben', 'efficib', 'eucreas', 'glafornil', 'glibomet',
    'glifage', 'glubrava', 'glucient', 'glucophag', 'glukophag', 'glucovance',
    'glumetza', 'icandra', 'invokamet', 'janumet', 'jentadueto', 'kazano',
    'komboglyze', 'kombiglyze', 'mediabet', 'prandimet', 'ristfor',
    'segluromet', 'siofor', 'stagid', 'synjardy', 'trijardy', 'velmetia',
    'vipdomet', 'vokanamet', 'xigduo', 'zomarist', 'galvumet', 'galvusmet',
    'ميتفورمين', 'الميتفورمين', 'متفورمين', 'جلوكوفاج', '二甲双胍', '格华止',
    '捷诺达']


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    :ivar str rule: its code
    :ivar str kind: REFUSED, STOP, QUESTION or WARNING
    :ivar str reason: code of the sentence
    :ivar parameters: dict of str, what the sentence names
    :ivar str source: from where in the record it is
    """
    rule: str
    kind: str
    reason: str
    parameters: tuple = ()
    source: str = ''


class Rule:
    """One thing that is checked.

    :cvar str code: of the rule; an exam may switch it off
    :cvar str module: whose messages name the rule (msg_rule_CODE) and say what
        it finds (msg_finding_REASON)
    :cvar list known: the rules in their order
    """
    code = None
    module = 'health_imaging'
    known = []

    @classmethod
    def register(cls, rule):
        """Add a rule; a class decorator.

        :param rule: subclass of Rule
        :return: the same
        """
        cls.known.append(rule)
        return rule

    def findings(self, patient, exam, day):
        """Yield what is found.

        :param patient: facts.Patient
        :param exam: facts.Exam
        :param day: datetime.date of the exam
        :return: iterator of Finding
        """
        raise NotImplementedError

    def found(self, kind, reason, source='', **parameters):
        """Return a finding of this rule.

        :param str kind: REFUSED, STOP, QUESTION or WARNING
        :param str reason: code of the sentence
        :param str source: from where it is
        :param parameters: what the sentence names
        :rtype: Finding
        """
        return Finding(
            self.code, kind, reason, tuple(sorted(parameters.items())), source)


def check(patient, exam, day):
    """Return what all rules find, the most serious first.

    :param patient: facts.Patient
    :param exam: facts.Exam
    :param day: datetime.date of the exam
    :rtype: list of Finding
    """
    findings = [
        finding for rule in Rule.known if rule.code not in exam.switched_off
        for finding in rule().findings(patient, exam, day)]
    return sorted(findings, key=lambda f: RANK[f.kind])


@Rule.register
class Deceased(Rule):
    "Nothing is ordered for who is dead."
    code = 'deceased'

    def findings(self, patient, exam, day):
        "Yield a refusal for a deceased patient."
        if patient.deceased:
            yield self.found(REFUSED, 'deceased')


@Rule.register
class ContrastAllergy(Rule):
    "An allergy to the contrast medium of the exam."
    code = 'contrast_allergy'

    def findings(self, patient, exam, day):
        "Yield a stop or a question for each allergy and warning."
        if not exam.contrast:
            return
        for allergy in patient.allergies:
            kind = self._kind(
                exam, of_allergy(allergy.text, allergy.code))
            if not kind and is_vague(allergy.text, allergy.code):
                kind = QUESTION
            if kind:
                yield self.found(
                    kind, 'allergy', 'allergy', text=allergy.text)
        warned, denied = in_text(patient.critical_info)
        kind = self._kind(exam, warned)
        if not kind and self._kind(exam, denied):
            kind = QUESTION
        if kind:
            yield self.found(kind, 'allergy', 'critical_info',
                text=patient.critical_info.strip())

    @staticmethod
    def _kind(exam, media):
        """Return how serious an allergy to some media is, None when not."""
        if exam.contrast in media:
            return STOP
        if ANY in media:
            # Most people mean the media of X-rays.
            return STOP if exam.contrast in _OF_KIDNEYS else QUESTION
        if IODINE in media and exam.contrast == IODINATED:
            return QUESTION
        return None


@Rule.register
class Pregnancy(Rule):
    "Radiation, or gadolinium, and an unborn child."
    code = 'pregnancy'

    def findings(self, patient, exam, day):
        "Yield a stop for a pregnant woman, and a question for who may be."
        if not (exam.radiates or exam.contrast == GADOLINIUM):
            return
        reason = 'radiation' if exam.radiates else 'gadolinium'
        if patient.pregnancy == PREGNANT:
            yield self.found(STOP, f'pregnant_{reason}', 'pregnancy')
        elif patient.pregnancy == POSSIBLE:
            yield self.found(QUESTION, f'possible_{reason}', 'pregnancy')
        elif patient.pregnancy != NOT and patient.sex != 'm':
            age = patient.age(day)
            if age is None or age in _FERTILE:
                yield self.found(QUESTION, f'possible_{reason}')


def rate(patient, day):
    """Return the filtration rate of a patient on a day.

    :param patient: facts.Patient
    :param day: datetime.date of the exam
    :rtype: float in mL/min/1.73 m², None when it cannot be known
    """
    measured = patient.creatinine
    return measured and filtration(
        milligrams(measured.value, measured.unit),
        patient.age(day), patient.sex, patient.height)


def _is_old(patient, exam, day):
    "Whether the creatinine is of another time than the exam."
    return abs((day - patient.creatinine.date).days) > exam.creatinine_days


@Rule.register
class Kidney(Rule):
    "Kidneys that cannot pass the contrast medium."
    code = 'kidney'

    def findings(self, patient, exam, day):
        "Yield a stop or warnings by the filtration rate and its age."
        if exam.contrast not in _OF_KIDNEYS:
            return
        value = rate(patient, day)
        if value is None:
            yield self.found(WARNING, 'kidney_unknown', 'laboratory')
            return
        measured = patient.creatinine
        known = {'rate': f'{value:.0f}', 'date': measured.date}
        if value < LOW:
            yield self.found(STOP, 'kidney_low', 'laboratory', **known)
        elif value < LOWERED:
            yield self.found(WARNING, 'kidney_lowered', 'laboratory', **known)
        if _is_old(patient, exam, day):
            yield self.found(WARNING, 'kidney_old', 'laboratory', **known)


@Rule.register
class Metformin(Rule):
    "Metformin gathers when iodinated contrast harms weak kidneys."
    code = 'metformin'

    def findings(self, patient, exam, day):
        "Yield a warning for who takes it and has weak or unknown kidneys."
        if exam.contrast != IODINATED:
            return
        value = rate(patient, day)
        for name in patient.medication:
            if has_word(plain(name), _METFORMIN) and (
                    value is None or value < LOW
                    or _is_old(patient, exam, day)):
                yield self.found(
                    WARNING, 'metformin', 'medication', text=name)


def are_alike(former, exam):
    """Return whether exams are the same, or of the same body part by the same
    modality.

    :param former: facts.Former or facts.Exam
    :param facts.Exam exam: the other one
    """
    return former.code == exam.code or bool(
        exam.body_part and former.modality == exam.modality
        and former.body_part == exam.body_part)


@Rule.register
class Duplicate(Rule):
    "The same exam, or one of the same body part, a short time ago."
    code = 'duplicate'

    def findings(self, patient, exam, day):
        "Yield a warning for the latest such exam."
        same = [
            former for former in patient.former
            if abs((day - former.date).days) <= DUPLICATE_DAYS
            and not {former.side, exam.side} == {LEFT, RIGHT}
            and are_alike(former, exam)]
        if same:
            latest = max(same, key=lambda former: former.date)
            yield self.found(WARNING, 'duplicate', 'exams',
                exam=latest.code, date=latest.date)


@Rule.register
class Unusual(Rule):
    "Mammography of whom it is not made for."
    code = 'unusual'

    def findings(self, patient, exam, day):
        "Yield a question for a man or a child."
        if exam.modality != 'MG':
            return
        age = patient.age(day)
        if patient.sex == 'm':
            yield self.found(QUESTION, 'mammography_man')
        elif age is not None and age < _MAMMOGRAPHY_FROM:
            yield self.found(QUESTION, 'mammography_young', age=age)


@Rule.register
class Weight(Rule):
    "A patient who is too heavy for the machine."
    code = 'weight'

    def findings(self, patient, exam, day):
        "Yield a warning when the last weight is above the limit."
        if exam.weight_limit and (patient.weight or 0) > exam.weight_limit:
            yield self.found(WARNING, 'weight', 'measurements',
                weight=f'{patient.weight:g}', limit=f'{exam.weight_limit:g}')


@Rule.register
class Side(Rule):
    "A side that was not chosen."
    code = 'side'

    def findings(self, patient, exam, day):
        "Yield a question when the exam is of one side and none is said."
        if exam.side == ASK:
            yield self.found(QUESTION, 'side_missing')
