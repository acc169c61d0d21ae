# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a hospital and studies of which it is known where they belong.

Each kind of study is a story: who lay on the table, for which request, and
what happened on the way into the PACS.  The truth follows from the story and
never from what a rule would say.  Not told are the stories that leave no
trace, such as the wrong entry chosen on the modality and all of it kept.

Some stories go on: people are merged, corrected and moved between the first,
the second and the third synchronization, and the truth of each time is told.
"""
import datetime as dt
import random
import string
from dataclasses import dataclass, replace
from typing import Optional

from anyascii import anyascii

from trytond.modules.health_orthanc.matching import (
    Index, PatientFacts, RequestFacts, StudyFacts, decide, full_date, keys)
from trytond.modules.health_orthanc.matching.nobody import means_nobody

OLD_ROOT = '1.2.836.0.1.3240043.7.198.'
TODAY = dt.date(2026, 3, 2)
ISSUER = 'General'
LETTERS = string.ascii_uppercase

# Per culture: family names, given names of women and of men.  The first
# spelling is the one in GNU Health, the others are what modalities show.
CULTURES = [
    ([['García', 'Garcia'], ['Fernández', 'Fernandez'], ['Núñez', 'Nunez'],
      ['Peña', 'Pena'], ['Rodríguez López', 'Rodriguez Lopez', 'Rodriguez'],
      ['de la Cruz', 'De La Cruz', 'Cruz'], ['Martínez Ruiz', 'Martinez']],
     [['María José', 'Maria Jose'], ['Lucía', 'Lucia'], ['Inés', 'Ines'],
      ['Ana María', 'Ana Maria', 'Ana'], ['Rosario']],
     [['José Luis', 'Jose Luis', 'Jose'], ['Andrés', 'Andres'],
      ['Joaquín', 'Joaquin'], ['Óscar', 'Oscar'], ['Francisco']]),
    ([['Müller', 'Mueller', 'Muller'], ['Groß', 'Gross'], ['Schröder',
        'Schroeder'], ['Weiß-Bäcker', 'Weiss Baecker'], ['von Berg', 'Berg'],
      ['Schulz'], ['Hoffmann', 'Hofmann']],
     [['Käthe', 'Kaethe'], ['Sophie', 'Sofie'], ['Brigitte'], ['Lena'],
      ['Annemarie', 'Anne Marie', 'Anne-Marie']],
     [['Jürgen', 'Juergen'], ['Björn', 'Bjoern'], ['Karl Heinz', 'Karl-Heinz',
        'Karlheinz'], ['Stephan', 'Stefan'], ['Uwe']]),
    ([['Smith'], ["O'Neill", 'ONeill', 'O Neill'], ['Wilson'], ['Johnson'],
      ['Taylor-Brown', 'Taylor Brown', 'Taylor'], ['McDonald', 'Mcdonald']],
     [['Margaret'], ['Catherine', 'Katherine'], ['Sarah', 'Sara'],
      ['Mary Ann', 'Mary'], ['Elizabeth']],
     [['John'], ['Philip', 'Phillip'], ['William James', 'William'],
      ['Thomas'], ['Christopher']]),
    ([['Щербаков', 'Shcherbakov'], ['Соколов', 'Sokolov', 'Sokolow'],
      ['Кузнецов', 'Kuznetsov'], ['Васильев', 'Vasilyev', 'Vasiliev']],
     [['Екатерина', 'Ekaterina', 'Yekaterina'], ['Ольга', 'Olga'],
      ['Юлия', 'Yulia', 'Julia'], ['Наталья', 'Natalya', 'Natalia']],
     [['Александр', 'Aleksandr', 'Alexander'], ['Дмитрий', 'Dmitry',
        'Dmitrij'], ['Юрий', 'Yuri', 'Jurij'], ['Николай', 'Nikolay']]),
    ([['Παπαδόπουλος', 'Papadopoulos'], ['Νικολαΐδης', 'Nikolaidis'],
      ['Γεωργίου', 'Georgiou']],
     [['Μαρία', 'Maria'], ['Ελένη', 'Eleni'], ['Αικατερίνη', 'Aikaterini']],
     [['Γεώργιος', 'Georgios'], ['Δημήτριος', 'Dimitrios'],
      ['Κωνσταντίνος', 'Konstantinos']]),
    ([['王', 'Wang'], ['李', 'Li'], ['陈', 'Chen'], ['赵', 'Zhao']],
     [['丽娜', 'Lina', 'Li Na'], ['小红', 'Xiaohong'], ['美玲', 'Meiling']],
     [['小明', 'Xiaoming', 'Xiao Ming'], ['建国', 'Jianguo'], ['伟', 'Wei']]),
    ([['山田', 'Yamada'], ['佐藤', 'Sato', 'Satou'], ['鈴木', 'Suzuki']],
     [['花子', 'Hanako'], ['美咲', 'Misaki'], ['陽子', 'Yoko', 'Youko']],
     [['太郎', 'Taro', 'Tarou'], ['健一', 'Kenichi'], ['翔太', 'Shota']]),
    ([['حسن', 'Hassan', 'Hasan'], ['منصور', 'Mansour', 'Mansur'],
      ['خليل', 'Khalil', 'Khaleel']],
     [['فاطمة', 'Fatima', 'Fatma'], ['مريم', 'Maryam', 'Mariam'],
      ['زينب', 'Zainab', 'Zeinab']],
     [['محمد', 'Mohammed', 'Muhammad'], ['يوسف', 'Youssef', 'Yusuf'],
      ['سليمان', 'Suleiman', 'Sulaiman']]),
    ([['Nguyễn', 'Nguyen'], ['Trần', 'Tran'], ['Phạm', 'Pham']],
     [['Thị Hương', 'Thi Huong'], ['Ngọc Lan', 'Ngoc Lan']],
     [['Văn Đức', 'Van Duc'], ['Quốc Bảo', 'Quoc Bao']]),
    ([['Yılmaz', 'Yilmaz'], ['Şahin', 'Sahin'], ['Çelik', 'Celik'],
      ['Øvergård', 'Overgard', 'Oevergaard'], ['Łukaszewicz',
        'Lukaszewicz']],
     [['Ayşe', 'Ayse'], ['Elif'], ['Łucja', 'Lucja'], ['Ingrid']],
     [['İbrahim', 'Ibrahim'], ['Çağlar', 'Caglar'], ['Søren', 'Soren',
        'Soeren'], ['Paweł', 'Pawel']])]
LATIN = [0, 1, 2, 9]
HAN = [5, 6]

# What twins are called, with their sex, and in other scripts.
TWINS = [
    ('Anna', 'F', 'Hanna', 'F'), ('Katrin', 'F', 'Karin', 'F'),
    ('Martin', 'M', 'Martina', 'F'), ('Hassan', 'M', 'Hussein', 'M'),
    ('María José', 'F', 'María Luisa', 'F'), ('Tim', 'M', 'Tom', 'M'),
    ('Marta', 'F', 'Maria', 'F'), ('Lena', 'F', 'Lina', 'F'),
    ('Sabina', 'F', 'Sabrina', 'F'), ('Julian', 'M', 'Juliana', 'F'),
    ('Anna Maria', 'F', 'Lena Maria', 'F'), ('Jan', 'M', 'Jana', 'F'),
    ('Mohammed', 'M', 'Mahmoud', 'M'), ('Peter', 'M', 'Paul', 'M'),
    ('Daniel', 'M', 'Daniela', 'F'), ('Alina', 'F', 'Alisa', 'F'),
    ('Christian', 'M', 'Christina', 'F'), ('John', 'M', 'James', 'M')]
TWINS_IN_SCRIPT = [
    (3, ['Алина', 'Alina'], 'F', ['Алиса', 'Alisa'], 'F'),
    (3, ['Мария', 'Maria'], 'F', ['Марина', 'Marina'], 'F'),
    (4, ['Άννα', 'Anna'], 'F', ['Ιωάννα', 'Ioanna'], 'F'),
    (5, ['小明', 'Xiaoming'], 'M', ['小东', 'Xiaodong'], 'M'),
    (5, ['丽', 'Li'], 'F', ['莉', 'Li'], 'F'),
    (6, ['健一', 'Kenichi'], 'M', ['健二', 'Kenji'], 'M'),
    (7, ['حسن', 'Hassan'], 'M', ['حسين', 'Hussein'], 'M'),
    (7, ['محمد', 'Mohammed'], 'M', ['محمود', 'Mahmoud'], 'M')]

MODALITIES = ['CT', 'MR', 'US', 'DX', 'MG', 'CR', 'XA', 'NM']
UNKNOWN_BIRTHS = ['19000101', '00010101', '', '99991231', '18000101']
NOBODY = ['', 'UNKNOWN^MALE', 'NN^NN', 'UNBEKANNT^', 'EMERGENCY^UNKNOWN', '^',
    'DOE^JOHN', 'ANONYMOUS']
NOBODYS_IDS = [
    'UNKNOWN', 'unknown', '0', '000000', 'N/A', '-', '?', 'xxx', 'ANONYMOUS',
    '9999', '123456', '111111', 'No ID', 'sin ID', 'DESCONOCIDO', 'inconnu',
    'Unbekannt', 'pendiente', 'TEST', 'Emergency', 'NULL', 'none', '.']
HERE_NOBODY = 'WALK-IN'

# Names that machines get in Latin letters, and what of them must come back.
SCRIPTS = [
    ('გელაშვილი', 'გიორგი', 'M'), ('ใจดี', 'สมชาย', 'M'), ('כהן', 'דוד', 'M'),
    ('김', '철수', 'M'), ('王', '小明', 'M'), ('山田', '花子', 'F'),
    ('कुमार', 'राम', 'M'), ('حسن', 'محمد', 'M'), ('Щербаков', 'Юрий', 'M'),
    ('Παπαδόπουλος', 'Γεώργιος', 'M'), ('O’Brien', 'Seán', 'M'),
    ('Œuvrard–Łoś', 'Zoë', 'F'), ('Țepeș', 'Ștefan', 'M')]
# In which bytes the names of a culture are written, by its number.
CHARSETS = {
    0: ['latin-1', 'utf-8', 'cp850'], 1: ['latin-1', 'utf-8'],
    3: ['cp1251', 'iso8859-5', 'koi8-r', 'utf-8'],
    4: ['iso8859-7', 'utf-8'], 5: ['gb18030', 'utf-8'],
    6: ['shift_jis', 'euc_jp', 'iso2022_jp_2', 'utf-8'],
    7: ['iso8859-6', 'cp1256', 'utf-8']}


@dataclass(frozen=True)
class Labelled:
    """A study with its truth.

    ``patient`` and ``request`` are the ids of where it belongs, or None.
    ``linkable`` says what can rightly be linked from what the study carries:
    'request', 'patient', or None where the truth cannot be told from it;
    ``offered`` is the id of a request that has to be among the candidates.
    """
    study: StudyFacts
    kind: str
    patient: Optional[int]
    request: Optional[int]
    linkable: Optional[str]
    offered: Optional[int] = None


@dataclass(frozen=True)
class Person:
    "A patient, and the spellings of the name."
    facts: PatientFacts
    family: tuple
    given: tuple
    sex: str

    @property
    def latin(self):
        "Family and given name as on a modality that knows only ASCII."
        return self.family[-1], self.given[-1]


class State:
    """What there is at one time: PatientFacts and RequestFacts by id, and the
    Labelled studies.  Use ``look_up`` as the database."""

    def __init__(self, patients=(), requests=(), studies=()):
        self.patients, self.requests = dict(patients), dict(requests)
        self.studies = list(studies)

    def look_up(self, studies, born=True):
        """Return what a database holds for a list of StudyFacts, in bulk; who
        only was born on a day of theirs only if asked for."""
        uids, numbers, identifiers, dates = (
            frozenset().union(*values)
            for values in zip(*map(keys, studies)))
        births = {full_date(s.birth_date) for s in studies if born} - {None}
        requests = {
            r.id: r for r in self.requests.values()
            if not uids.isdisjoint([r.merge_id, *r.former_uids])
            or not numbers.isdisjoint(map(str.casefold, [
                        *r.line_numbers, *r.order_numbers]))}
        owners = {r.patient for r in requests.values()}
        patients = {
            p.id: p for p in self.patients.values() if p.id in owners
            or not identifiers.isdisjoint(map(str.casefold, [
                        p.puid, *(code for code, _ in p.alternative_ids)]))
            or p.birth_date in births}
        requests.update(
            (r.id, r) for r in self.requests.values()
            if r.patient in patients and r.date in dates)
        return list(requests.values()), list(patients.values())


class Hospital(State):
    """A hospital with its patients and requests, made from a seed.

    Its ``times`` are the States at three synchronizations; it is itself as it
    was at the last one.
    """

    def __init__(self, seed):
        super().__init__()
        self.random = random.Random(seed)
        self.times = []
        self._codes, self._orders, self._people = set(), 0, 0
        for _ in range(200):
            self.person()

    def remember(self):
        "Keep the state as it is now."
        self.times.append(State(self.patients, self.requests, self.studies))

    # Who and what there is

    def code(self):
        "A PUID as GNU Health makes them, or a number as some hospitals do."
        while True:
            code = ''.join(
                self.random.choices(LETTERS, k=3)
                + self.random.choices(string.digits, k=3)
                + self.random.choices(LETTERS, k=3))
            if self.random.random() < .2:
                code = f'{self.random.randrange(10 ** 6):06}'
            if self._is_new(code):
                return code

    def number(self):
        "A number of another institution, not beginning with a zero."
        while True:
            code = str(self.random.randrange(10 ** 5, 10 ** 7))
            if self._is_new(code):
                return code

    def _is_new(self, code):
        new = code.casefold() not in self._codes and not means_nobody(code)
        self._codes.add(code.casefold())
        return new

    def birth(self, first=1930, last=2015):
        start = dt.date(first, 1, 1)
        days = (dt.date(last, 12, 31) - start).days
        return start + dt.timedelta(self.random.randrange(days))

    def person(self, culture=None, sex=None, given=None, family=None, **facts):
        "A new patient; facts are those of PatientFacts."
        if culture is None:
            culture = self.random.randrange(len(CULTURES))
        families, women, men = CULTURES[culture]
        sex = sex or self.random.choice('FM')
        family = family or self.random.choice(families)
        given = given or self.random.choice(women if sex == 'F' else men)
        values = {
            'puid': self.code(), 'birth_date': self.birth(),
            'names': ((family[0], given[0]),), 'sexes': frozenset(sex)}
        values.update(facts)
        self._people += 1
        patient = PatientFacts(self._people, **values)
        self.patients[patient.id] = patient
        return Person(patient, tuple(family), tuple(given), sex)

    def change(self, person, **facts):
        "Change what GNU Health knows of a patient."
        patient = replace(person.facts, **facts)
        self.patients[patient.id] = patient
        return replace(person, facts=patient)

    def merge(self, goes, stays, **facts):
        "Merge one patient into another, who keeps the identifiers of both."
        gone = self.patients.pop(goes.facts.id)
        for request in list(self.requests.values()):
            if request.patient == gone.id:
                self.change_request(request, patient=stays.facts.id)
        return self.change(stays, alternative_ids=(
                *stays.facts.alternative_ids, (gone.puid, None),
                *gone.alternative_ids), **facts)

    def other_than(self, person):
        "A new patient with another given name and birth date."
        while True:
            other = self.person()
            if (other.given[0] != person.given[0]
                    and other.facts.birth_date != person.facts.birth_date):
                return other

    def twins(self):
        "Two patients of whom only given name and number differ."
        one, sex, other, other_sex = self.random.choice(TWINS)
        culture, one, other = self.random.choice(LATIN), [one], [other]
        if self.random.random() < .3:
            culture, one, sex, other, other_sex = self.random.choice(
                TWINS_IN_SCRIPT)
        same = {
            'family': self.random.choice(CULTURES[culture][0]),
            'birth_date': self.birth()}
        pair = [
            self.person(given=one, sex=sex, **same),
            self.person(given=other, sex=other_sex, **same)]
        self.random.shuffle(pair)
        return pair

    def uid(self, root=None):
        root = root or self.random.choice(['2.25.', OLD_ROOT])
        digits = 63 - len(root) if root == OLD_ROOT else 38
        return root + str(self.random.randrange(
                10 ** (digits - 1), 10 ** digits))

    def foreign_uid(self):
        return self.uid('1.2.840.113619.2.55.')

    def request(self, person, **facts):
        "A new order of one line; facts are those of RequestFacts."
        self._orders += 1
        order = f'REQ{self._orders:05}'
        values = {
            'merge_id': self.uid(), 'accession_number': f'{order}-01-01',
            'order_number': order, 'patient': person.facts.id,
            'modality': self.random.choice(MODALITIES), 'state': 'requested',
            'date': TODAY - dt.timedelta(self.random.randrange(700))}
        values.update(facts)
        request = RequestFacts(len(self.requests) + 1, **values)
        self.requests[request.id] = request
        return request

    def line(self, request, number=2, **facts):
        "A further request of the same order, for the same patient."
        line = replace(request, **{
                'id': len(self.requests) + 1, 'merge_id': self.uid(),
                'accession_number': f'{request.order_number}-01-{number:02}',
                **facts})
        self.requests[line.id] = line
        return line

    def change_request(self, request, **facts):
        "Change a request as it is now."
        request = replace(self.requests[request.id], **facts)
        self.requests[request.id] = request
        return request

    # What modalities write

    def pn(self, person, latin=None):
        "The name as a good modality writes it."
        family, given = person.family[0], person.given[0]
        if latin or latin is None and self.random.random() < .5:
            family, given = person.latin
            return f'{family}^{given}'.upper()
        if family.isascii() or given.isascii() or ord(family[0]) < 0x3000:
            return f'{family}^{given}'
        latin = '^'.join(person.latin)
        return f'{latin}={family}^{given}'

    def plain(self, person, **facts):
        "A study with no number but the PatientID."
        patient = person.facts
        values = {
            'study_instance_uid': self.foreign_uid(),
            'patient_id': patient.puid, 'patient_name': self.pn(person),
            'birth_date': patient.birth_date.strftime('%Y%m%d'),
            'sex': person.sex,
            'modalities': frozenset([self.random.choice(MODALITIES)]),
            'study_date': (TODAY - dt.timedelta(
                    self.random.randrange(900))).strftime('%Y%m%d')}
        values.update(facts)
        return StudyFacts(f'study{len(self.studies)}', **values)

    def ordered(self, person, request, **facts):
        "A study made from the worklist entry of a request."
        day = request.date + dt.timedelta(self.random.randrange(0, 3))
        return self.plain(person, **{
                'study_instance_uid': request.merge_id,
                'accession_number': request.accession_number,
                'modalities': frozenset([request.modality]),
                'study_date': day.strftime('%Y%m%d'), **facts})

    def add(self, kind, study, person=None, request=None, linkable=None,
            offered=None):
        "Add a study with its truth, and return its place."
        self.studies.append(Labelled(
                study, kind, person and person.facts.id,
                request and request.id, linkable, offered and offered.id))
        return len(self.studies) - 1

    def tell(self, place, person, request=None, linkable=None, **facts):
        "Say what is true of a study now; facts are those of its StudyFacts."
        labelled = self.studies[place]
        self.studies[place] = replace(
            labelled, patient=person and person.facts.id,
            request=request and request.id, linkable=linkable,
            study=replace(labelled.study, **facts))

    def any_carrier(self, kind, person, **facts):
        """A study of a person that carries the UID of a request, or number
        and PatientID, or the PatientID alone."""
        carrier = self.random.choice(['uid', 'number', 'id'])
        request = None
        if carrier != 'id':
            request = self.request(person)
            study = self.ordered(person, request, **facts)
            if carrier == 'number':
                study = replace(study, study_instance_uid=self.foreign_uid())
        else:
            study = self.plain(person, **facts)
        self.add(kind, study, person, request,
            'request' if request else 'patient')


# The stories.  Each adds one study, some add two.  Where one yields, time goes
# by until the next synchronization.

STORIES = {}
TIMES = 3


def story(times):
    "Have a story told so many times."
    def register(function):
        STORIES[function.__name__] = function, times
        return function
    return register


def make(seed=0):
    "Return the Hospital with its labelled studies, the same for a seed."
    hospital, lives = Hospital(seed), []
    for name, (function, times) in STORIES.items():
        lives += [function(hospital, name) for _ in range(times)]
    lives = list(filter(None, lives))
    for _ in range(TIMES):
        for life in lives:
            next(life, None)
        hospital.remember()
    return hospital


def decide_all(state, former=None):
    """Return the Decisions on all studies, looked up as one block.

    former: ids of the requests to which rules linked them, by their ids.
    """
    former = former or {}
    studies = [
        replace(s.study, request=former.get(s.study.id))
        for s in state.studies]
    index = Index(*state.look_up(studies),
        issuers=[ISSUER], nobody=[HERE_NOBODY])
    return [decide(study, index) for study in studies]


def decide_each_time(hospital):
    "Yield each State with its Decisions, which know those before them."
    former = {}
    for state in hospital.times:
        decisions = decide_all(state, former)
        yield state, decisions
        former = {
            s.study.id: d.request for s, d in zip(state.studies, decisions)}


def outcome(labelled, decision):
    """Return what a decision came to: 'request' or 'patient' where it links
    rightly that far, 'review', 'unlinked', or 'wrong'."""
    if decision.link_state != 'linked':
        return decision.link_state
    if decision.patient != labelled.patient:
        return 'wrong'
    if decision.request is None:
        return 'patient'
    return 'request' if decision.request == labelled.request else 'wrong'


@story(24)
def worklist(h, kind):
    person = h.person()
    request = h.request(person)
    h.add(kind, h.ordered(person, request), person, request, 'request')


@story(8)
def later_series_of_a_done_request(h, kind):
    person = h.person()
    request = h.request(person, state='done', result=h.random.randrange(999))
    h.add(kind, h.ordered(person, request), person, request, 'request')


@story(5)
def images_before_the_request_was_sent(h, kind):
    person = h.person()
    request = h.request(person, state='draft')
    h.add(kind, h.ordered(person, request), person, request, 'request')


@story(14)
def uid_of_the_modality(h, kind):
    person = h.person()
    request = h.request(person)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid())
    h.add(kind, study, person, request, 'request')


@story(5)
def number_in_other_case(h, kind):
    person = h.person()
    request = h.request(person)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        accession_number=request.accession_number.lower())
    h.add(kind, study, person, request, 'request')


@story(20)
def walk_in(h, kind):
    person = h.person()
    h.add(kind, h.plain(person), person, None, 'patient')


@story(6)
def padding(h, kind):
    person = h.person()
    pad = h.random.choice(['{} ', ' {}', '{}\0', '  {}  \0', '{}\t'])
    h.any_carrier(kind, person,
        patient_id=pad.format(person.facts.puid),
        patient_name=pad.format(h.pn(person)))


# Names

def mistype(h, word):
    "One slip of the finger, anywhere."
    i = h.random.randrange(len(word))
    letter = h.random.choice(string.ascii_lowercase)
    return h.random.choice([
            word[:i] + letter + word[i + 1:], word[:i] + letter + word[i:],
            word[:i] + word[i + 1:], word[:i] + word[i] + word[i:],
            word[:i] + word[i:i + 2][::-1] + word[i + 2:]])


@story(14)
def typo_in_family_name(h, kind):
    person = h.person()
    family, given = person.latin
    h.any_carrier(kind, person, patient_name=f'{mistype(h, family)}^{given}')


@story(12)
def typo_in_given_name(h, kind):
    person = h.person()
    family, given = person.latin
    h.any_carrier(kind, person, patient_name=f'{family}^{mistype(h, given)}')


@story(6)
def two_typos_in_family_name(h, kind):
    person = h.person()
    family, given = person.latin
    family = mistype(h, mistype(h, family))
    h.any_carrier(kind, person, patient_name=f'{family}^{given}')


@story(10)
def swapped(h, kind):
    person = h.person()
    name = h.random.choice([person.latin, (person.family[0], person.given[0])])
    h.any_carrier(kind, person, patient_name='^'.join(reversed(name)))


@story(8)
def in_one_component(h, kind):
    person = h.person()
    family, given = person.latin
    form = h.random.choice(['{0} {1}', '{1} {0}', '{0}, {1}', '{0},{1}^'])
    h.any_carrier(kind, person, patient_name=form.format(family, given))


@story(24)
def transliterated(h, kind):
    person = h.person()
    text = '^'.join([
            h.random.choice(person.family[1:] or person.family),
            h.random.choice(person.given[1:] or person.given)])
    h.any_carrier(kind, person,
        patient_name=h.random.choice([text, text.upper()]))


@story(8)
def groups_of_scripts(h, kind):
    person = h.person(culture=h.random.choice(HAN))
    latin = '^'.join(person.latin)
    own = f'{person.family[0]}^{person.given[0]}'
    h.any_carrier(kind, person, patient_name=h.random.choice([
                f'{latin}={own}', f'={own}', f'{own}', f'{latin}={own}=']))


@story(5)
def both_scripts_in_gnu_health(h, kind):
    person = h.person(culture=h.random.choice(HAN))
    person = h.change(person, names=(
            person.facts.names[0], (person.family[1], person.given[1])))
    h.any_carrier(kind, person, patient_name='^'.join(person.latin).upper())


@story(6)
def initial(h, kind):
    person = h.person(culture=h.random.choice(LATIN))
    family, given = person.latin
    dot = h.random.choice(['', '.'])
    h.any_carrier(kind, person, patient_name=f'{family}^{given[0]}{dot}')


@story(6)
def middle_name_left_out_or_added(h, kind):
    person = h.person(given=['Maria Theresa'], sex='F',
        culture=h.random.choice(LATIN))
    given = h.random.choice([
            'Maria', 'MARIA^THERESA', 'Maria T', 'Maria Theresa Anna'])
    h.any_carrier(kind, person,
        patient_name=f'{person.family[-1]}^{given}')


@story(8)
def married(h, kind):
    person = h.person(sex='F', culture=h.random.choice(LATIN))
    family = h.random.choice(['Ivanova', 'Okonkwo', 'Petit', 'Zhukov'])
    h.any_carrier(kind, person,
        patient_name=f'{family}^{person.given[-1]}')


@story(4)
def married_and_maiden_name_known(h, kind):
    person = h.person(sex='F', culture=h.random.choice(LATIN))
    family, given = person.facts.names[0]
    person = h.change(person, names=((family, given), ('Okonkwo', given)))
    h.any_carrier(kind, person, patient_name=f'Okonkwo^{given}', birth_date='')


@story(4)
def titles(h, kind):
    person = h.person()
    family, given = person.latin
    h.any_carrier(kind, person, patient_name=h.random.choice([
                f'{family}^{given}^^Dr^', f'{family}^{given}^^^Jr',
                f'Dr {family}^{given}', f'{family}^{given} Mrs']))


@story(6)
def misread(h, kind):
    person = h.person(culture=h.random.choice(LATIN))
    name = '^'.join(person.latin).upper()
    table = str.maketrans({
            'O': h.random.choice('O0'), 'I': h.random.choice('I1'),
            'S': h.random.choice('S5'), 'B': h.random.choice('B8')})
    h.any_carrier(kind, person, patient_name=name.translate(table))


@story(4)
def cut(h, kind):
    person = h.person(family=['Papageorgakopoulou'],
        culture=h.random.choice(LATIN))
    length = h.random.choice([16, 12, 10])
    h.any_carrier(kind, person,
        patient_name=f'{person.family[0][:length]}^{person.given[-1]}')


@story(8)
def no_name(h, kind):
    person = h.person(sex='M')
    h.any_carrier(kind, person, patient_name=h.random.choice(NOBODY))


@story(6)
def unreadable_without_birth_date(h, kind):
    "A Japanese name in characters here and in letters there."
    person = h.person(culture=6)
    study = h.plain(person, patient_name='^'.join(person.latin).upper(),
        birth_date='')
    h.add(kind, study, person)


@story(6)
def one_name_only(h, kind):
    person = h.person(culture=h.random.choice(LATIN), names=(
            h.random.choice([(None, 'Suharto'), ('Suharto', None)]),))
    h.any_carrier(kind, person, patient_name=h.random.choice([
                'SUHARTO', 'Suharto^', '^SUHARTO', 'SUHARTO^SUHARTO']))


@story(8)
def all_in_one_field_of_gnu_health(h, kind):
    "Of two brothers; the second came with the number of the first."
    names = {'culture': 2, 'sex': 'M', 'family': ['Smith']}
    person = h.person(given=['John'], names=((None, 'John Smith'),), **names)
    h.any_carrier(kind, person, patient_name='SMITH^JOHN')
    brother = h.person(
        given=['James'], names=((None, 'James Smith'),), **names)
    study = h.plain(brother, patient_id=person.facts.puid,
        patient_name='SMITH^JAMES', birth_date='')
    h.add(kind, study, brother)


@story(5)
def father_and_son(h, kind):
    "Of one name; the father's images came with the number of the son."
    father = h.person(family=['Smith Sr'], given=['John'], sex='M')
    son = h.person(family=['Smith Jr'], given=['John'], sex='M')
    study = h.plain(father, patient_id=son.facts.puid)
    h.add(kind, h.random.choice([study, replace(study, birth_date='')]),
        father)


# Birth date and sex

@story(10)
def unknown_birth_date(h, kind):
    h.any_carrier(kind, h.person(culture=h.random.choice(LATIN)),
        birth_date=h.random.choice(UNKNOWN_BIRTHS))


@story(6)
def other_or_no_sex(h, kind):
    h.any_carrier(kind, h.person(), sex=h.random.choice(['O', '', 'U', None]))


@story(5)
def patient_of_other_gender(h, kind):
    h.any_carrier(kind, h.person(sexes=frozenset('MFO')))


@story(5)
def estimated_birth_date(h, kind):
    person = h.person(birth_date_estimated=True)
    birth = person.facts.birth_date.replace(month=1, day=1)
    birth = birth.replace(year=birth.year + h.random.randint(-3, 3))
    h.any_carrier(kind, person, birth_date=birth.strftime('%Y%m%d'),
        patient_name=f'{person.family[0]}^{person.given[0]}')


@story(5)
def birth_date_in_other_forms(h, kind):
    person = h.person()
    h.any_carrier(kind, person, birth_date=person.facts.birth_date.strftime(
            h.random.choice(['%Y.%m.%d', '%Y-%m-%d', '%Y', '%Y%m'])),
        patient_name=f'{person.family[0]}^{person.given[0]}')


@story(8)
def wrong_birth_date(h, kind):
    "Mistyped, or day and month the wrong way round."
    person = h.person(birth_date=h.birth().replace(month=3, day=11))
    birth = person.facts.birth_date
    birth = h.random.choice([
            birth.replace(month=11, day=3), birth.replace(day=17),
            birth.replace(year=birth.year + 10)])
    h.add(kind, h.plain(person, birth_date=birth.strftime('%Y%m%d')), person)


@story(5)
def wrong_sex(h, kind):
    person = h.person()
    study = h.plain(person, sex='M' if person.sex == 'F' else 'F')
    h.add(kind, study, person)


# Identifiers

@story(8)
def id_in_other_case(h, kind):
    person = h.person(puid='Abc' + h.code())
    study = h.plain(person, patient_id=h.random.choice([
                person.facts.puid.upper(), person.facts.puid.lower()]),
        patient_name=f'{person.family[0]}^{person.given[0]}')
    h.add(kind, study, person, None, 'patient')


@story(6)
def id_in_other_case_unconfirmed(h, kind):
    person = h.person(puid='Abc' + h.code())
    change = h.random.choice([
            {'birth_date': ''}, {'patient_name': ''},
            {'birth_date': '19010203'}])
    study = h.plain(
        person, patient_id=person.facts.puid.upper(), **change)
    h.add(kind, study, person)


@story(4)
def ids_that_differ_in_case(h, kind):
    "Two patients; the study is of the one whose case it has."
    person = h.person(puid='qX' + h.code())
    h.person(puid=person.facts.puid.swapcase())
    h.add(kind, h.plain(person), person, None, 'patient')


@story(8)
def alternative_id(h, kind):
    code = f'P{h.number()}'
    person = h.person(alternative_ids=((code, h.random.choice(
                    ['passport', 'medical_record', 'country_id'])),))
    h.any_carrier(kind, person, patient_id=code)


@story(6)
def alternative_id_with_issuer(h, kind):
    code = h.number()
    person = h.person(alternative_ids=((code, 'Saint Mary'),))
    h.person(alternative_ids=((code, 'North Clinic'),))
    study = h.plain(person, patient_id=code, issuer='SAINT MARY')
    h.add(kind, study, person, None, 'patient')


@story(5)
def alternative_id_of_two_issuers(h, kind):
    code = h.number()
    person = h.person(alternative_ids=((code, 'Saint Mary'),))
    h.person(alternative_ids=((code, 'North Clinic'),))
    h.add(kind, h.plain(person, patient_id=code), person)


@story(6)
def same_id_of_another_hospital(h, kind):
    "A stranger's number, issued elsewhere, is a PUID here."
    here, stranger = h.person(), h.person()
    del h.patients[stranger.facts.id]
    study = h.plain(stranger, patient_id=here.facts.puid, issuer='ELSEWHERE')
    h.add(kind, study)


@story(4)
def issuer_of_this_hospital(h, kind):
    person = h.person()
    h.add(kind, h.plain(person, issuer=ISSUER), person, None, 'patient')


@story(8)
def shared_id(h, kind):
    "The number is one patient's PUID and another's insurance."
    person = h.person()
    other = h.person(alternative_ids=((person.facts.puid, 'other'),))
    who = h.random.choice([person, other])
    h.add(kind, h.plain(who, patient_id=person.facts.puid), who)


@story(5)
def shared_id_with_number(h, kind):
    "The accession number tells which of the two it is."
    person = h.person()
    other = h.person(alternative_ids=((person.facts.puid, 'other'),))
    who = h.random.choice([person, other])
    request = h.request(who)
    study = h.ordered(who, request, patient_id=person.facts.puid,
        study_instance_uid=h.foreign_uid())
    h.add(kind, study, who, request, 'request')


@story(12)
def recycled_id(h, kind):
    "Old images of someone who had the number before."
    person = h.person()
    former = h.other_than(person)
    del h.patients[former.facts.id]
    study = h.plain(former, patient_id=person.facts.puid)
    change = h.random.choice([
            {}, {'birth_date': ''}, {'sex': ''},
            {'patient_name': '', 'sex': ''}])
    h.add(kind, replace(study, **change))


@story(5)
def recycled_id_images_older_than_the_patient(h, kind):
    person = h.person(birth_date=h.birth(2010, 2015))
    study = h.plain(person, patient_name='', birth_date='', sex='',
        study_date='20030405')
    h.add(kind, study)


@story(24)
def card_of_the_twin(h, kind):
    "One twin came with the other's number, by hand or from the worklist."
    who, other = h.twins()
    request = h.request(other)
    name = {'patient_name': h.pn(who)}
    if who.given[-1] == other.given[-1]:
        name = {'patient_name': f'{who.family[0]}^{who.given[0]}'}
    study = h.random.choice([
            h.plain(who, patient_id=other.facts.puid, **name),
            h.ordered(who, request, patient_id=other.facts.puid, **name),
            h.ordered(who, request, patient_id=other.facts.puid,
                study_instance_uid=h.foreign_uid(), **name),
            h.ordered(who, request, **name),
            h.ordered(who, request, patient_id='', **name)])
    h.add(kind, replace(study, sex=h.random.choice(['', who.sex])), who)


@story(8)
def card_of_a_brother(h, kind):
    "Someone of the family who is no patient here, with another's number."
    person = h.person(sex='M', culture=h.random.choice(LATIN))
    given = h.random.choice(['ERNESTO', 'Gustav', 'LUDWIG', 'Basil'])
    study = h.plain(person, patient_name=f'{person.family[-1]}^{given}',
        birth_date='')
    h.add(kind, study)


@story(12)
def twins_each_in_order(h, kind):
    for person in h.twins():
        h.any_carrier(kind, person)


@story(10)
def wildcard_in_id(h, kind):
    person = h.person()
    puid = person.facts.puid
    study = h.plain(person, patient_id=h.random.choice([
                '*', '?', f'{puid[:4]}*', f'{puid[:-1]}?', f'{puid}\\{puid}',
                '%', f'{puid[:-1]}_', f'{puid[:-1]}%', f'{puid}*', '\\']))
    h.add(kind, study, person)


@story(6)
def typo_in_id(h, kind):
    person = h.person()
    puid = person.facts.puid
    h.add(kind, h.plain(
            person, patient_id=puid[:-2] + puid[-1] + puid[-2] + 'Q'), person)


@story(10)
def no_id(h, kind):
    person = h.person()
    study = h.plain(person, patient_id=h.random.choice(['', None, ' ', '\0']))
    h.add(kind, study, person)


@story(4)
def nothing_at_all(h, kind):
    h.add(kind, StudyFacts(f'study{len(h.studies)}'))


# Emergencies

@story(12)
def emergency(h, kind):
    person = h.person(sex='M')
    request = h.request(person)
    study = h.ordered(person, request, patient_id=h.random.choice(
            ['', None, 'UNKNOWN', 'EMERGENCY 1']),
        patient_name=h.random.choice(NOBODY),
        birth_date=h.random.choice(UNKNOWN_BIRTHS),
        sex=h.random.choice(['', 'O', 'M']),
        accession_number=h.random.choice(['', request.accession_number]))
    h.add(kind, study, person, request, 'request')


@story(5)
def emergency_with_number_only(h, kind):
    person = h.person(sex='M')
    request = h.request(person)
    study = h.ordered(person, request, patient_id='', birth_date='',
        study_instance_uid=h.foreign_uid(),
        patient_name=h.random.choice(NOBODY))
    h.add(kind, study, person, request)


@story(5)
def emergency_without_anything(h, kind):
    person = h.person(sex='M')
    h.add(kind, h.plain(person, patient_id='',
            patient_name=h.random.choice(NOBODY), birth_date=''), person)


# UIDs

@story(12)
def uid_in_another_field(h, kind):
    person = h.person()
    request = h.request(person)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        accession_number='')
    uid = request.merge_id
    study = h.random.choice([
            replace(study, texts=('Thorax', uid)),
            replace(study, texts=(f'Order {uid}',)),
            replace(study, texts=(f'{uid}.',)),
            replace(study, patient_id=uid),
            replace(study, patient_id=uid, patient_name='')])
    h.add(kind, study, person, request, 'request')


@story(8)
def truncated_uid(h, kind):
    "The modality kept the beginning; another UID is longer by one digit."
    person, other = h.person(), h.person()
    request = h.request(person)
    cut = h.random.choice([16, 30, 40])
    h.request(other, merge_id=request.merge_id[:40])
    h.request(other, merge_id=request.merge_id[:16])
    text = request.merge_id[:cut] if cut != 40 else request.merge_id[:39]
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        accession_number='', patient_id='', texts=(text,))
    h.add(kind, study, person, request)


@story(6)
def uids_of_two_requests(h, kind):
    person, other = h.person(), h.person()
    request = h.request(person)
    study = h.ordered(
        person, request, texts=(h.request(other).merge_id,))
    h.add(kind, study, person, request)


@story(12)
def uid_of_another_patient(h, kind):
    "The wrong entry was chosen, then some of the patient's data corrected."
    person = h.person()
    other = h.other_than(person)
    request = h.request(other)
    study = h.random.choice([
            h.ordered(person, request),
            h.ordered(person, request, patient_name='', birth_date='',
                sex=''),
            h.ordered(person, request, patient_id='')])
    h.add(kind, study, person)


@story(8)
def shared_uid_of_old_orders(h, kind):
    "Two exams of one order had one UID; the accession number tells which."
    person = h.person()
    uid = h.uid(OLD_ROOT)
    request = h.request(person, merge_id=uid)
    h.request(person, merge_id=uid, order_number=request.order_number,
        accession_number=f'{request.order_number}-01-02')
    known = h.random.random() < .5
    study = h.ordered(person, request, patient_id='',
        **({} if known else {'accession_number': ''}))
    h.add(kind, study, person, request, 'request' if known else None)


@story(8)
def copied_order_with_its_uid(h, kind):
    "An order was copied to another patient and kept its UID."
    person, other = h.person(), h.person()
    request = h.request(person)
    h.request(other, merge_id=request.merge_id)
    known = h.random.random() < .5
    study = h.ordered(person, request,
        **({} if known else {'accession_number': ''}))
    h.add(kind, study, person, request, 'request' if known else None)


@story(8)
def canceled(h, kind):
    person = h.person()
    request = h.request(person, state='canceled')
    study = h.ordered(person, request)
    if h.random.random() < .5:
        study = replace(study, study_instance_uid=h.foreign_uid())
    h.add(kind, study, person, request)


@story(8)
def sent_again_under_the_right_id(h, kind):
    person = h.person()
    request = h.request(person)
    study = h.ordered(person, request, patient_id='TEMP77')
    h.add(kind, study, person, request, 'request')
    study = replace(study, id=f'study{len(h.studies)}',
        patient_id=person.facts.puid)
    h.add(kind, study, person, request, 'request')


# Accession numbers

@story(8)
def number_used_again_for_another_patient(h, kind):
    "Numbers began anew after some years."
    former, person = h.person(), h.person()
    old = h.request(former, state='done', date=dt.date(2019, 5, 5))
    new = h.request(person, accession_number=old.accession_number)
    study = h.ordered(former, old, study_instance_uid=h.foreign_uid())
    h.add(kind, study, former, old, 'request')
    study = h.ordered(person, new, study_instance_uid=h.foreign_uid())
    h.add(kind, study, person, new, 'request')


@story(6)
def number_used_again_for_the_same_patient(h, kind):
    "Images from before; the order of that time is not in GNU Health."
    person = h.person()
    request = h.request(person)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        study_date='20170102')
    h.add(kind, study, person)


@story(6)
def number_of_another_patient(h, kind):
    "The accession number was typed wrong, the patient is right."
    person, other = h.person(), h.person()
    request = h.request(other)
    study = h.plain(person, accession_number=request.accession_number,
        patient_name=f'{person.family[0]}^{person.given[0]}',
        modalities=frozenset([request.modality]),
        study_date=request.date.strftime('%Y%m%d'))
    h.add(kind, study, person, None, 'patient')


@story(6)
def id_of_another_patient(h, kind):
    "The PatientID was typed wrong, and nothing else is known."
    person, other = h.person(), h.person()
    request = h.request(person)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        patient_id=other.facts.puid, patient_name='', birth_date='', sex='')
    h.add(kind, study, person, request)


@story(8)
def number_of_the_order(h, kind):
    "The order's number instead of the line's; the modality tells which."
    person = h.person()
    request = h.request(person, modality='CT')
    alike = h.random.random() < .5
    h.request(person, modality='CT' if alike else 'US',
        order_number=request.order_number, date=request.date,
        accession_number=f'{request.order_number}-01-02')
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        accession_number=request.order_number)
    h.add(kind, study, person, request, None if alike else 'request')


@story(8)
def modality_alike(h, kind):
    person = h.person()
    ordered, made = h.random.choice([
            ('CR', {'DX'}), ('DX', {'CR'}), ('XR', {'DX'}), ('CT', {'CT',
                'SR'}), ('PT', {'PT', 'CT'}), ('US', {'US', 'SR', 'PR'}),
            ('MR', set()), ('CT', {'SR'})])
    request = h.request(person, modality=ordered)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        modalities=frozenset(made))
    h.add(kind, study, person, request, 'request')


@story(6)
def other_modality(h, kind):
    "The number of the CT on an ultrasound that was done without an order."
    person = h.person()
    request = h.request(person, modality='CT')
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        modalities=frozenset(['US']))
    h.add(kind, study, person, None, 'patient')


# Phantoms and newborns

@story(8)
def phantom(h, kind):
    person = h.person()
    request = h.request(person)
    nobody = {'birth_date': '', 'sex': 'O'}
    name = h.random.choice(['PHANTOM^QA', 'TEST^TEST', 'Wasser^Phantom'])
    h.add(kind, h.random.choice([
                h.plain(person, patient_id='QA', patient_name=name, **nobody),
                h.plain(person, patient_name=name, **nobody),
                h.ordered(person, request, patient_name=name, **nobody),
                h.ordered(person, request, patient_name=name,
                    patient_id='PHANTOM', **nobody)]))


def newborn(h, given):
    mother = h.person(sex='F', culture=h.random.choice(LATIN),
        birth_date=h.birth(1985, 2003))
    birth = TODAY - dt.timedelta(h.random.randrange(30, 300))
    child = h.person(family=mother.family, given=given, birth_date=birth)
    day = (birth + dt.timedelta(2)).strftime('%Y%m%d')
    return mother, child, day


@story(8)
def baby_of(h, kind):
    "Named later; the images still have the name of the first day."
    mother, child, day = newborn(h, ['Noah'])
    family, given = mother.latin
    name = h.random.choice([
            f'BABY OF {family}^{given}', f'{family}^BABY BOY',
            f'RN {family}^', f'Baby {family}'])
    study = h.plain(child, patient_name=name.upper(), study_date=day)
    h.add(kind, study, child, None, 'patient')


@story(8)
def baby_under_the_number_of_the_mother(h, kind):
    mother, child, day = newborn(h, ['Noah'])
    family, given = mother.latin
    birth = h.random.choice([
            child.facts.birth_date, mother.facts.birth_date])
    birth = h.random.choice(['', birth.strftime('%Y%m%d')])
    study = h.plain(child, patient_id=mother.facts.puid, birth_date=birth,
        patient_name=f'BABY OF {family}^{given}'.upper(), study_date=day,
        sex=h.random.choice(['', 'F']))
    h.add(kind, study, child)


@story(6)
def babies_of_one_birth(h, kind):
    mother, child, day = newborn(h, ['Baby A'])
    other = h.person(family=mother.family, given=['Baby B'], sex=child.sex,
        birth_date=child.facts.birth_date)
    name = f'{mother.family[-1]}^BABY A'.upper()
    study = h.plain(child, patient_name=name, study_date=day)
    h.add(kind, study, child, None, 'patient')
    study = h.plain(child, patient_id=other.facts.puid, patient_name=name,
        study_date=day)
    h.add(kind, study, child)


# Identifiers that mean nobody, and such with nothing beside them

@story(10)
def id_of_nobody(h, kind):
    "It was registered as an alternative ID of somebody, once."
    h.person(alternative_ids=((h.random.choice(NOBODYS_IDS), 'other'),))
    person = h.person()
    study = h.plain(person, patient_id=h.random.choice(NOBODYS_IDS))
    change = h.random.choice([
            {}, {'patient_name': '', 'birth_date': ''},
            {'patient_name': h.random.choice(NOBODY), 'sex': ''}])
    h.add(kind, replace(study, **change), person)


@story(6)
def id_of_nobody_and_right_uid(h, kind):
    "The alternative ID of somebody else contradicts nothing."
    code = h.random.choice(['UNKNOWN', '0', HERE_NOBODY.lower()])
    h.person(alternative_ids=((code, None),))
    person = h.person()
    request = h.request(person)
    study = h.ordered(person, request, patient_id=code)
    h.add(kind, study, person, request, 'request')


@story(5)
def own_id_that_means_nobody(h, kind):
    code = h.random.choice(NOBODYS_IDS)
    person = h.person(alternative_ids=((code, 'other'),))
    h.add(kind, h.plain(person, patient_id=code), person)


@story(8)
def id_alone(h, kind):
    "Typed by hand for somebody else, and nothing beside it."
    person, other = h.person(), h.person()
    study = h.plain(person, patient_id=other.facts.puid,
        patient_name=h.random.choice(['', '^', 'UNKNOWN^']),
        birth_date=h.random.choice(UNKNOWN_BIRTHS),
        sex=h.random.choice(['', 'O', other.sex]))
    h.add(kind, study, person)


@story(8)
def lost_zeros(h, kind):
    digits = h.number()
    person = h.person(puid=h.random.choice(['00', '0']) + digits)
    code = h.random.choice([digits, '000' + digits])
    study = h.plain(person, patient_id=code,
        patient_name=f'{person.family[0]}^{person.given[0]}')
    h.add(kind, study, person, None, 'patient')


@story(6)
def lost_zeros_of_another(h, kind):
    "The number is right, and issued elsewhere to somebody else."
    digits = h.number()
    here = h.person(puid='00' + digits)
    stranger = h.other_than(here)
    del h.patients[stranger.facts.id]
    study = h.plain(stranger, patient_id=digits)
    change = h.random.choice([{}, {'birth_date': ''}, {'patient_name': ''}])
    h.add(kind, replace(study, **change))


@story(5)
def numbers_that_differ_in_zeros(h, kind):
    digits = h.number()
    person = h.person(puid='0' + digits)
    h.person(puid=digits)
    h.add(kind, h.plain(person), person, None, 'patient')


# Names on their way to the machine and back

@story(26)
def romanized(h, kind):
    family, given, sex = h.random.choice(SCRIPTS)
    person = h.person(family=[family], given=[given], sex=sex)
    name = anyascii(f'{family}^{given}')
    h.any_carrier(kind, person, patient_name=h.random.choice(
            [name, name.upper(), name.lower()]))


def damaged(h, person, culture):
    "The name as it looks when it is read in another character set."
    name = f'{person.family[0]}^{person.given[0]}'
    written = name.encode(h.random.choice(CHARSETS[culture]))
    if culture in LATIN and h.random.random() < .5:
        return as_utf8(name.encode('latin-1'))
    return written.decode(h.random.choice(['latin-1', 'cp1252']), 'replace')


def as_utf8(written):
    """Read bytes as UTF-8 as Orthanc does: what follows a byte that begins a
    letter, and is no part of it, is lost with it."""
    read, at = '', 0
    while at < len(written):
        first = written[at]
        size = 1 if first < 0xC2 else 2 if first < 0xE0 else 3
        size = 4 if 0xF0 <= first <= 0xF4 else 1 if first > 0xF4 else size
        end = at + 1
        while end < min(at + size, len(written)):
            end += 1
            if not 0x80 <= written[end - 1] < 0xC0:
                break
        letter = written[at:end].decode('utf-8', 'replace')
        read += letter if '\ufffd' not in letter else ''
        at = end
    return read


def person_to_damage(h):
    while True:
        culture = h.random.choice(sorted(CHARSETS))
        person = h.person(culture=culture)
        if not (person.family[0] + person.given[0]).isascii():
            return person, culture


@story(30)
def damaged_name(h, kind):
    person, culture = person_to_damage(h)
    h.any_carrier(kind, person, patient_name=damaged(h, person, culture))


@story(8)
def damaged_name_without_birth_date(h, kind):
    person, culture = person_to_damage(h)
    other = h.person()
    study = h.plain(person, patient_id=other.facts.puid, birth_date='',
        patient_name=damaged(h, person, culture))
    h.add(kind, study, person)


@story(10)
def damaged_name_of_the_twin(h, kind):
    "With the card of the other."
    names = [t for t in TWINS_IN_SCRIPT if t[2] == t[4]]
    culture, one, sex, two, _ = h.random.choice(names)
    same = {
        'family': h.random.choice(CULTURES[culture][0]), 'sex': sex,
        'birth_date': h.birth()}
    who, other = h.person(given=one, **same), h.person(given=two, **same)
    written = f'{who.family[0]}^{who.given[0]}'.encode(
        h.random.choice(CHARSETS[culture]))
    study = h.plain(who, patient_id=other.facts.puid,
        patient_name=written.decode('latin-1'))
    h.add(kind, study, who)


@story(8)
def lost_letters_of_the_twin(h, kind):
    one, two, sex = h.random.choice([
            ('José', 'Josué', 'M'), ('Inés', 'Lucía', 'F'),
            ('Andrés', 'Adrián', 'M'), ('María José', 'María Inés', 'F')])
    same = {'family': ['Núñez'], 'birth_date': h.birth(), 'sex': sex}
    who, other = h.person(given=[one], **same), h.person(given=[two], **same)
    name = f'{who.family[0]}^{who.given[0]}'
    h.add(kind, h.plain(who, patient_id=other.facts.puid,
            patient_name=as_utf8(name.encode('latin-1'))), who)
    h.add(kind, h.plain(who, patient_name=as_utf8(name.encode('latin-1'))),
        who, None, 'patient')


# Requests that are done, of one order, or written late

@story(10)
def number_of_a_done_request(h, kind):
    "The result was begun before the images came."
    person = h.person()
    state = h.random.choice(['draft', 'final'])
    request = h.request(
        person, state='done', result=h.number(), result_state=state)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid())
    h.add(kind, study, person, request, 'request')


@story(5)
def open_request_beside_a_done_one(h, kind):
    "Both of one order, whose number the study carries."
    person = h.person()
    done = h.request(person, state='done', result=h.number(), modality='CT')
    request = h.line(done, state='requested', result=None)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        accession_number=h.random.choice(
            [request.order_number, request.accession_number]))
    h.add(kind, study, person, request, 'request')


@story(12)
def lines_told_apart_by_the_series(h, kind):
    "Two CTs of one order, whose number the study carries."
    person = h.person()
    first = h.request(person, modality='CT',
        other_order_numbers=(f'A{h.number()}',))
    second = h.line(first, other_numbers=(f'S{h.number()}',))
    request = h.random.choice([first, second])
    number = h.random.choice(
        [request.order_number, *request.other_order_numbers, ''])
    ids = h.random.choice(request.line_numbers), number, '1'
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        accession_number=number, requested_ids=ids)
    h.add(kind, study, person, request, 'request')


@story(5)
def one_study_for_two_lines(h, kind):
    person = h.person()
    request = h.request(person, modality='CT')
    other = h.line(request)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        accession_number=request.order_number, requested_ids=(
            request.accession_number, other.accession_number))
    h.add(kind, study, person, request)


@story(6)
def step_of_another_patient(h, kind):
    "The steps of machines have short numbers that others have, too."
    person, other = h.person(), h.person()
    request = h.request(other, other_numbers=(f'S{h.number()}',))
    study = h.plain(person, requested_ids=request.other_numbers,
        patient_name=f'{person.family[0]}^{person.given[0]}',
        modalities=frozenset([request.modality]),
        study_date=request.date.strftime('%Y%m%d'))
    h.add(kind, study, person, None, 'patient')


@story(12)
def former_uid_of_several(h, kind):
    "They had one UID before the upgrade, and one of them may have kept it."
    person, uid = h.person(), h.uid(OLD_ROOT)
    kept = h.random.random() < .5
    first = h.request(person, modality='CT', former_uids=(uid,))
    if kept:
        first = h.change_request(first, merge_id=uid)
    alike = h.random.random() < .5
    second = h.line(first, modality='CT' if alike else 'US')
    request = h.random.choice([first, second])
    known = h.random.random() < .5
    study = h.ordered(person, request, study_instance_uid=uid,
        accession_number=request.accession_number if known else '')
    h.add(kind, study, person, request,
        'request' if known or not alike else None)


@story(10)
def order_written_after_the_images(h, kind):
    person = h.person()
    study = h.plain(person, modalities=frozenset(['DX']))
    day = dt.datetime.strptime(study.study_date, '%Y%m%d').date()
    request = h.request(person, modality=h.random.choice(['CR', 'DX']),
        date=day + dt.timedelta(h.random.randint(-2, 2)),
        state=h.random.choice(['draft', 'requested', 'done']))
    h.request(person, modality='CT', date=day)
    h.request(person, modality='DX', date=day + dt.timedelta(3))
    if h.random.random() < .4:
        study = replace(study, patient_id='',
            patient_name=f'{person.family[0]}^{person.given[0]}')
        h.add(kind, study, person, None, None, request)
    else:
        h.add(kind, study, person, None, 'patient', request)


# Lives over three synchronizations

@story(10)
def merged(h, kind):
    "Registered twice; images, requests and numbers of both go to one."
    goes = h.person()
    stays = h.person(family=goes.family, given=goes.given, sex=goes.sex,
        birth_date=goes.facts.birth_date)
    name = {'patient_name': f'{goes.family[0]}^{goes.given[0]}'}
    request = h.request(goes)
    images = h.add(kind, h.plain(goes, **name), goes, None, 'patient')
    ordered = h.add(
        kind, h.ordered(goes, request, **name), goes, request, 'request')
    yield
    stays = h.merge(goes, stays)
    h.tell(images, stays, None, 'patient')
    h.tell(ordered, stays, request, 'request')
    yield
    h.add(kind, h.plain(goes, **name), stays, None, 'patient')
    other = h.request(stays)
    h.add(kind, h.ordered(stays, other, patient_id=goes.facts.puid, **name),
        stays, other, 'request')


@story(6)
def merged_twice(h, kind):
    "The first of three, by way of the second."
    first = h.person(alternative_ids=((f'P{h.number()}', 'passport'),))
    same = {
        'family': first.family, 'given': first.given, 'sex': first.sex,
        'birth_date': first.facts.birth_date}
    second, third = h.person(**same), h.person(**same)
    name = {'patient_name': f'{first.family[0]}^{first.given[0]}'}
    place = h.add(kind, h.plain(first, **name), first, None, 'patient')
    yield
    second = h.merge(first, second)
    h.tell(place, second, None, 'patient')
    yield
    third = h.merge(second, third)
    h.tell(place, third, None, 'patient')
    code = first.facts.alternative_ids[0][0]
    h.add(kind, h.plain(first, patient_id=code, **name), third, None,
        'patient')


@story(8)
def merged_with_wrong_data(h, kind):
    "Who stays has another spelling and date of birth, corrected later."
    goes = h.person(culture=h.random.choice(LATIN))
    birth = goes.facts.birth_date
    stays = h.person(family=goes.family, given=goes.given, sex=goes.sex,
        birth_date=birth.replace(year=birth.year + 1))
    place = h.add(kind, h.plain(goes), goes, None, 'patient')
    yield
    stays = h.merge(goes, stays)
    h.tell(place, stays)
    yield
    stays = h.change(stays, birth_date=birth)
    h.tell(place, stays, None, 'patient')


@story(8)
def birth_date_corrected_here(h, kind):
    person = h.person(birth_date=h.birth().replace(month=3, day=11))
    right = person.facts.birth_date
    carrier = h.random.choice(['id', 'uid'])
    request = h.request(person)
    study = h.plain(person) if carrier == 'id' else h.ordered(person, request)
    truth = (None, 'patient') if carrier == 'id' else (request, 'request')
    person = h.change(person, birth_date=right.replace(month=11, day=3))
    place = h.add(kind, study, person, truth[0])
    yield
    person = h.change(person, birth_date=right)
    h.tell(place, person, *truth)


@story(8)
def birth_date_corrected_here_and_there(h, kind):
    "Wrong on both sides at first."
    person = h.person(birth_date=h.birth().replace(month=3, day=11))
    place = h.add(kind, h.plain(person), person, None, 'patient')
    yield
    right = person.facts.birth_date.replace(day=12)
    person = h.change(person, birth_date=right)
    h.tell(place, person)
    yield
    h.tell(place, person, None, 'patient',
        birth_date=right.strftime('%Y%m%d'))


@story(8)
def name_corrected_here(h, kind):
    "Registered under the name of somebody else."
    person = h.person(culture=h.random.choice(LATIN))
    study = h.plain(person)
    wrong = h.person(culture=h.random.choice(LATIN), family=['Quispe'],
        given=['Xiomara'])
    names = person.facts.names
    person = h.change(person, names=wrong.facts.names)
    place = h.add(kind, study, person)
    yield
    person = h.change(person, names=names)
    h.tell(place, person, None, 'patient')


@story(8)
def puid_corrected_here(h, kind):
    "The number that the machine was told is somebody else's later."
    person = h.person()
    former = person.facts.puid
    request = h.request(person)
    images = h.add(kind, h.plain(person), person, None, 'patient')
    ordered = h.add(
        kind, h.ordered(person, request), person, request, 'request')
    yield
    person = h.change(person, puid=h.code())
    h.tell(images, person)
    h.tell(ordered, person, request, 'request')
    yield
    other = h.other_than(person)
    h.change(other, puid=former)
    h.tell(images, person)
    h.tell(ordered, person, request)


@story(8)
def patient_id_corrected_there(h, kind):
    "The card of somebody else, seen and corrected in the PACS."
    person = h.person()
    other = h.other_than(person)
    study = h.plain(person, patient_name=f'{person.family[0]}^'
        f'{person.given[0]}')
    place = h.add(kind, replace(study, patient_id=other.facts.puid), person)
    yield
    h.tell(place, person, None, 'patient', patient_id=person.facts.puid)


@story(8)
def number_corrected_there(h, kind):
    "The number of the ultrasound on the CT."
    person = h.person()
    request = h.request(person, modality='CT')
    wrong = h.line(request, modality='US')
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid(),
        accession_number=wrong.accession_number)
    place = h.add(kind, study, person, None, 'patient', request)
    yield
    h.tell(place, person, request, 'request',
        accession_number=request.accession_number)
    yield
    h.change_request(request, state='done', result=h.number())


@story(8)
def alternative_id_removed(h, kind):
    "It was given to the wrong one of two."
    code = f'P{h.number()}'
    wrong = h.person(alternative_ids=((code, 'passport'),))
    person = h.other_than(wrong)
    study = h.plain(person, patient_id=code)
    place = h.add(kind, study, person)
    own = h.add(
        kind, h.plain(wrong, patient_id=code), wrong, None, 'patient')
    yield
    h.change(wrong, alternative_ids=())
    h.tell(own, wrong)
    yield
    person = h.change(person, alternative_ids=((code, 'passport'),))
    h.tell(place, person, None, 'patient')


@story(8)
def request_canceled_and_restored(h, kind):
    person = h.person()
    request = h.request(person)
    study = h.ordered(person, request)
    if h.random.random() < .5:
        study = replace(study, study_instance_uid=h.foreign_uid())
    place = h.add(kind, study, person, request, 'request')
    yield
    request = h.change_request(request, state='canceled')
    h.tell(place, person, request)
    yield
    request = h.change_request(request, state='requested')
    h.tell(place, person, request, 'request')


@story(8)
def request_moved(h, kind):
    "Written for the wrong patient, seen after the images."
    wrong = h.person()
    person = h.other_than(wrong)
    request = h.request(wrong)
    study = h.ordered(person, request)
    place = h.add(kind, study, person, request)
    yield
    request = h.change_request(request, patient=person.facts.id)
    h.tell(place, person, request, 'request')
    yield
    h.change_request(request, state='done', result=h.number())


@story(8)
def request_done_meanwhile(h, kind):
    person = h.person()
    request = h.request(person)
    study = h.ordered(person, request, study_instance_uid=h.foreign_uid())
    place = h.add(kind, study, person, request, 'request')
    yield
    request = h.change_request(
        request, state='done', result=h.number(), result_state='draft')
    h.add(kind, replace(study, id=f'study{len(h.studies)}',
            study_instance_uid=h.foreign_uid()), person, request, 'request')
    yield
    h.change_request(request, result_state='final')
    h.tell(place, person, request, 'request')


@story(6)
def patient_deactivated(h, kind):
    person = h.person()
    place = h.add(kind, h.plain(person), person, None, 'patient')
    yield
    h.patients.pop(person.facts.id)
    h.tell(place, person)
    yield
    h.change(person)
    h.tell(place, person, None, 'patient')


@story(6)
def registered_after_the_images(h, kind):
    person = h.person()
    h.patients.pop(person.facts.id)
    place = h.add(kind, h.plain(person), person)
    yield
    h.change(person)
    h.tell(place, person, None, 'patient')
    yield
    day = dt.datetime.strptime(
        h.studies[place].study.study_date, '%Y%m%d').date()
    modality, = h.studies[place].study.modalities
    request = h.request(person, date=day, modality=modality)
    h.studies[place] = replace(h.studies[place], offered=request.id)


@story(6)
def uid_shared_until_the_upgrade(h, kind):
    person = h.person()
    first = h.request(person, modality='CT', merge_id=h.uid(OLD_ROOT))
    second = h.line(first, merge_id=first.merge_id)
    request = h.random.choice([first, second])
    place = h.add(kind, h.ordered(person, request), person, request,
        'request')
    yield
    for line in [first, second]:
        h.change_request(
            line, merge_id=h.uid(), former_uids=(first.merge_id,))
    h.tell(place, person, request, 'request')
    yield
    h.change_request(request, state='done', result=h.number())
