# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in a busy hospital within two months: the same people, exams
and requests in each run, for days that are counted from today.
"""
import datetime as dt
import random
from collections import namedtuple

import seed
from seed import Exam, Login, Person

SEED = 15
BEGIN, END = -50, 12

Case = namedtuple(
    'Case', 'order patient doctor exam day hour minute urgent fate')
#: A study that no request asked for.
Extra = namedtuple('Extra', 'kind patient exam day')

#: How many requests end how, and in which days.
FATES = {
    'draft': (12, range(-3, 9)),
    'future': (28, range(1, END + 1)),
    'today': (14, [0]),
    'overdue': (14, range(-8, 0)),
    'canceled': (18, range(-45, 6)),
    'images': (26, [-4, -3, -2, -1, -1, 0, 0]),
    'claimed': (4, range(-2, 0)),
    'preliminary': (10, range(-6, 0)),
    'released': (4, range(-5, -1)),
    'final': (86, range(BEGIN, 0)),
    'amended': (6, range(-40, -5)),
    }
#: Those of whom images came.
EXAMINED = {
    'images', 'claimed', 'preliminary', 'released', 'final', 'amended'}
#: The states of their requests at the end, and of their results.
STATES = {
    'draft': 'draft', 'canceled': 'canceled', 'claimed': 'done',
    'preliminary': 'done', 'final': 'done', 'amended': 'done'}
#: How many studies there are beside those of the requests.
EXTRAS = {
    # Of a patient who is known, from another hospital.
    'outside': 10,
    # As outside, while a request for the same waits.
    'beside': 4,
    # Of somebody who came without a request and got a report.
    'walk_in': 4,
    # The birth date is another one: a person decides, or has rejected it.
    'birth': 6,
    'rejected': 4,
    # No PatientID, or one that nobody has.
    'no_id': 2,
    'stranger': 5,
    }

# How a name is written, then given names of women and men, and family names
# of a script.
_NAMES = [
    ('pgfs', "Esperança", "Wanjiru", "Mary-Ann", "Guðrún", "Łukasz", "Kwame",
        "Jean-Baptiste", "Søren", "Vasconcelos de Albuquerque e Castro",
        "Kariuki", "O'Brien", "Einarsdóttir", "Wiśniewski", "Nkrumah-Osei",
        "Lefèvre", "Kjærgård"),
    ('pgfs', "Sita", "Laxmi", "Pemba", "Maya", "Ram Bahadur", "Dorje",
        "Krishna Prasad", "Bishnu", "Shrestha", "Gurung", "Sherpa", "Rai",
        "Adhikari", "Lama", "Bhattarai", "Magar"),
    ('pgfs', "सीता", "लक्ष्मी", "गीता", "सरिता", "राम", "कृष्ण", "हरि",
        "विष्णु", "श्रेष्ठ", "गुरुङ", "शर्मा", "थापा", "अधिकारी", "लामा",
        "भट्टराई", "मगर"),
    ('cjk', "秀英", "敏", "静", "婷婷", "伟", "建国", "志强", "欧文", "王",
        "李", "张", "刘", "杨", "黄", "司马", "欧阳"),
    ('fg', "Анна Ивановна", "Мария", "Ольга", "Галина Петровна", "Дмитрий",
        "Сергей Николаевич", "Юрий", "Ђорђе", "Иванова", "Кузнецова",
        "Шевченко", "Белоусова-Щербакова", "Попов", "Лебедев", "Кравчук",
        "Јовановић"),
    ('pgfs', "فاطمة", "مريم", "زينب", "خديجة", "محمد", "عبد الرحمن", "يوسف",
        "علي", "الحسن", "بن سعيد", "الزهراني", "حداد", "المصري", "الخطيب",
        "منصور", "القاسم"),
    ('pgfs', "Ελένη", "Μαρία", "Σοφία", "Ιωάννα", "Νίκος", "Γιώργος",
        "Κωνσταντίνος", "Δημήτρης", "Παπαδοπούλου", "Γεωργίου", "Νικολάου",
        "Δημητρίου", "Παππάς", "Αγγελόπουλος", "Ιωάννου", "Καραγιάννης"),
    ('cjk', "서연", "지우", "영희", "민지", "민준", "도윤", "철수", "준호",
        "김", "이", "박", "최", "정", "강", "조", "윤"),
    ]


def _patients():
    """Return the patients, eight of each script."""
    chance = random.Random(SEED)
    people = []
    for layout, *names in _NAMES:
        for place, given in enumerate(names[:8]):
            birth = dt.date(2020, 1, 1) - dt.timedelta(
                chance.randrange(365 * 90))
            people.append(Person(
                    given, names[8 + place], birth, 'f' if place < 4 else 'm',
                    f'SDH{1000 + len(people) * 7:06}', layout))
    return people


PATIENTS = _patients()
#: What those who examine them must know of some.
CRITICAL = {
    PATIENTS[3]: "Cardiac pacemaker.", PATIENTS[21]: "Metformin.",
    PATIENTS[40]: "Needs an interpreter."}
ALLERGIC = PATIENTS[5:60:11]

SURGEON = Login('surgeon',
    Person("Ingrid", "Habyarimana", dt.date(1980, 1, 6), 'f', 'DOC002',
        'pgfs'),
    ['health.group_health_doctor'])
COLLEAGUE = Login('radiologist2',
    Person("Yuki", "Castellanos", dt.date(1979, 6, 23), 'f', 'RAD002',
        'pgfs'),
    ['health.group_health_doctor',
        'health_imaging.group_health_imaging_reporting',
        'health_orthanc.group_imaging_orthanc'])
FRONT_DESK = Login('frontdesk',
    Person("Noor", "Adeyemi", dt.date(1992, 12, 1), 'f', 'FRD001', 'pgfs'),
    ['health_imaging.group_health_imaging_front_desk'])
LOGINS = [SURGEON, COLLEAGUE, FRONT_DESK]

_TEMPLATES = {
    'CT': 'ct', 'MR': 'mr', 'US': 'us', 'CR': 'cr_dx', 'DX': 'cr_dx',
    'MG': 'mg'}
_SERVICES = {
    'CT': 'ctscan', 'PT': 'petscan', 'MR': 'mri', 'US': 'ultrasound'}


def _exam(code, name, modality, body_part, question, aetitle=None, **values):
    template = _TEMPLATES.get(modality, 'general')
    return Exam(code, name, modality, aetitle or f'{modality}1', 'json',
        f'health_imaging_worklist.worklist_template_{template}_json',
        'health_imaging.product_product_'
        f'{_SERVICES.get(modality, "xray")}charges', question, body_part,
        **values)


NEW_EXAMS = [
    _exam('CTCHEST', "CT chest", 'CT', 'CHEST', "Metastases?"),
    _exam('CTCSPINE', "CT cervical spine", 'CT', 'CSPINE', "Fracture?"),
    _exam('MRBRAIN', "MRI brain", 'MR', 'BRAIN', "Multiple sclerosis?",
        contrast='gadolinium'),
    _exam('MRLSPINE', "MRI lumbar spine", 'MR', 'LSPINE', "Slipped disc?"),
    _exam('MRKNEER', "MRI knee, right", 'MR', 'KNEE', "Tear of a meniscus?",
        side='right'),
    _exam('MRKNEEL', "MRI knee, left", 'MR', 'KNEE', "Tear of a meniscus?",
        side='left'),
    _exam('MRSHOULDL', "MRI shoulder, left", 'MR', 'SHOULDER',
        "Tear of the rotator cuff?", 'MR2', side='left'),
    _exam('XRHANDR', "X-ray hand, right", 'CR', 'HAND', "Fracture?", 'XR1',
        side='right'),
    _exam('XRHANDL', "X-ray hand, left", 'CR', 'HAND', "Fracture?", 'XR1',
        side='left'),
    _exam('XRANKLEL', "X-ray ankle, left", 'CR', 'ANKLE', "Fracture?", 'XR1',
        side='left'),
    _exam('XRFOREARM', "X-ray forearm in two planes, right", 'CR', 'FOREARM',
        "Does the fracture heal?", 'XR1', side='right'),
    _exam('XRPELVIS', "X-ray pelvis", 'DX', 'PELVIS', "Arthrosis?"),
    _exam('XRTSPINE', "X-ray thoracic spine", 'DX', 'TSPINE', "Fracture?"),
    _exam('USTHYR', "Ultrasound thyroid", 'US', 'THYROID', "Nodules?"),
    _exam('USPREG', "Ultrasound pregnancy", 'US', 'UTERUS', "Growth?", 'US2'),
    _exam('MGBOTH', "Mammography, both sides", 'MG', 'BREAST', "Screening.",
        side='both'),
    _exam('RFSWALLOW', "Barium swallow", 'RF', 'ESOPHAGUS', "Stenosis?",
        contrast='barium',
        preparation="Nothing to eat for six hours before the exam."),
    _exam('PTBODY', "PET-CT whole body", 'PT', 'WHOLEBODY', "Staging.",
        preparation="No sugar for six hours before the exam."),
    ]
EXAMS = seed.EXAMS + NEW_EXAMS

#: Why an exam is ordered that may harm the patient.
REASON = "The patient was asked, no other exam tells it."
REASONS = [
    ('absent', None), ('declined', None), ('twice', None),
    ('needless', "The plaster was taken off last week."),
    ('contraindicated', "A pacemaker that is not fit for the scanner."),
    ('technical', "The tube is broken, the exam was ordered elsewhere.")]
#: The sections of reports.
TEXTS = [
    {'impression': "No acute finding.", 'comment': "Normal for the age."},
    {'impression': "Fracture without displacement.",
        'comment': "A fine line through the cortex, the joint is not "
        "involved."},
    {'impression': "Degenerative changes, no change since the last exam.",
        'comment': "Narrow joint space, small osteophytes.",
        'comparison': "With the exam of last year, where it is here."},
    {'impression': "A lesion of 14 mm of unknown nature; a follow-up within "
        "three months is advised.",
        'comment': "Round, with a clear border, without calcification."},
    ]


def cases():
    """Return the Cases of all requests."""
    chance = random.Random(SEED)
    made, order = [], 0
    # Everybody comes once before somebody comes again.
    patients = [p for _ in range(4) for p in chance.sample(
            PATIENTS, len(PATIENTS))]
    for fate, (count, days) in FATES.items():
        left = count
        while left:
            size = min(left, chance.choice([1, 1, 1, 2, 2, 3]))
            left -= size
            patient = patients[order]
            order += 1
            when = (chance.choice(days), chance.randrange(8, 18),
                chance.choice(range(0, 60, 5)))
            urgent = chance.random() < 0.15
            doctor = chance.choice([seed.DOCTOR, SURGEON]).login
            made += [
                Case(order, patient, doctor, exam, *when, urgent, fate)
                for exam in chance.sample(_exams_of(patient), size)]
    return made


def _exams_of(patient):
    """Return the exams that a person may need."""
    age = 2020 - patient.birth.year
    never = {
        'USPREG': patient.gender != 'f' or not 12 < age < 40,
        'MGBOTH': patient.gender != 'f' or age < 30,
        }
    return [e for e in EXAMS if not never.get(e.code)]


def extras():
    """Return the Extras: studies that no request asked for."""
    chance = random.Random(SEED)
    waiting = [c for c in cases() if c.fate == 'overdue']
    made = []
    for kind, count in EXTRAS.items():
        for number in range(count):
            patient = PATIENTS[(len(made) * 5 + 2) % len(PATIENTS)]
            exam = chance.choice(_exams_of(patient))
            day = chance.randrange(-30, 0)
            if kind == 'outside':
                day = chance.randrange(-700, -20)
            elif kind == 'beside':
                case = waiting[number * 3]
                patient, exam, day = case.patient, case.exam, case.day
            made.append(Extra(kind, patient, exam, day))
    return made
