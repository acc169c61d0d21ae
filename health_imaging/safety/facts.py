# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules ask for: facts of a patient, of an exam and of an order."""
import datetime as dt
from dataclasses import dataclass

#: Values of contrast.
IODINATED, GADOLINIUM, BARIUM, MICROBUBBLES = (
    'iodinated', 'gadolinium', 'barium', 'microbubbles')
#: Modality (0008,0060, VR CS) of machines with ionizing radiation.
IONIZING = frozenset({'CR', 'DX', 'CT', 'MG', 'RF', 'XA', 'NM', 'PT'})
#: Side of an exam; ASK: of each order.
LEFT, RIGHT, BOTH, ASK = ('left', 'right', 'both', 'ask')
#: Whether a patient is pregnant.
PREGNANT, POSSIBLE, NOT, UNKNOWN = ('pregnant', 'possible', 'not', 'unknown')


@dataclass(frozen=True)
class Allergy:
    """An allergy in the record of a patient.

    :ivar str text: names and remarks, in any language
    :ivar str code: ICD-10 code, with or without the dot
    """
    text: str
    code: str = ''


@dataclass(frozen=True)
class Creatinine:
    """Creatinine in serum.

    :ivar float value: as measured
    :ivar str unit: such as mg/dL or µmol/L
    :ivar date: datetime.date of the analysis
    """
    value: float
    unit: str
    date: dt.date


@dataclass(frozen=True)
class Former:
    """An exam that was ordered or done before.

    :ivar date: datetime.date
    :ivar str code: that of the exam
    :ivar str modality: Modality (0008,0060, VR CS)
    :ivar str body_part: Body Part Examined (0018,0015, VR CS), or ''
    :ivar str side: LEFT, RIGHT, BOTH or ''
    """
    date: dt.date
    code: str
    modality: str
    body_part: str = ''
    side: str = ''


@dataclass(frozen=True)
class Patient:
    """What is known of a patient.

    :ivar birth_date: datetime.date or None
    :ivar str sex: 'f', 'm' or '' when unknown
    :ivar bool deceased: whether the record says so
    :ivar allergies: tuple of Allergy
    :ivar str critical_info: free text
    :ivar str pregnancy: PREGNANT, POSSIBLE, NOT or UNKNOWN
    :ivar creatinine: the last Creatinine, or None
    :ivar height: in cm, or None
    :ivar weight: in kg, or None
    :ivar medication: tuple of str, names and active components
    :ivar former: tuple of Former
    """
    birth_date: dt.date | None = None
    sex: str = ''
    deceased: bool = False
    allergies: tuple = ()
    critical_info: str = ''
    pregnancy: str = UNKNOWN
    creatinine: Creatinine | None = None
    height: float | None = None
    weight: float | None = None
    medication: tuple = ()
    former: tuple = ()

    def age(self, day):
        """Return the age on a day in completed years.

        :param day: datetime.date
        :rtype: int, None when it is unknown
        """
        born = self.birth_date
        if not born or born > day:
            return None
        return day.year - born.year - (
            (day.month, day.day) < (born.month, born.day))


@dataclass(frozen=True)
class Exam:
    """What is known of an exam.

    :ivar str code: of the exam
    :ivar str modality: Modality (0008,0060, VR CS)
    :ivar ionizing: bool, None: as usual for the modality
    :ivar str contrast: IODINATED, GADOLINIUM, BARIUM, MICROBUBBLES or ''
    :ivar str body_part: Body Part Examined (0018,0015, VR CS), or ''
    :ivar str side: LEFT, RIGHT, BOTH, '' for none; ASK when none was chosen
    :ivar int creatinine_days: how old a creatinine may be
    :ivar weight_limit: of the machine in kg, or None
    :ivar switched_off: frozenset of str, codes of rules
    """
    code: str
    modality: str
    ionizing: bool | None = None
    contrast: str = ''
    body_part: str = ''
    side: str = ''
    creatinine_days: int = 30
    weight_limit: float | None = None
    switched_off: frozenset = frozenset()

    @property
    def radiates(self):
        "Whether it uses ionizing radiation."
        if self.ionizing is None:
            return self.modality in IONIZING
        return self.ionizing
