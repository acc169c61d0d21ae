# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a hospital and studies of which it is known where they belong.

Each kind of study is a story: who lay on the table, for which request, and
what happened on the way into the PACS.  The truth follows from the story and
never from what a rule would say.  Not told are the stories that leave no
trace, such as the wrong entry chosen on the modality and all of it kept.
"""
import datetime as dt
import random
import string
from dataclasses import dataclass, replace
from typing import Optional

from trytond.modules.health_orthanc.matching import (
    Index, PatientFacts, RequestFacts, StudyFacts, decide, keys)

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


@dataclass(frozen=True)
class Labelled:
    """A study with its truth.

    ``patient`` and ``request`` are the ids of where it belongs, or None.
    ``linkable`` says what can rightly be linked from what the study carries:
    'request', 'patient', or None where the truth cannot be told from it.
    """
    study: StudyFacts
    kind: str
    patient: Optional[int]
    request: Optional[int]
    linkable: Optional[str]


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


class Hospital:
    """A hospital with its patients and requests, made from a seed.

    Use ``studies`` for the labelled set and ``look_up`` as the database.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.patients, self.requests, self.studies = {}, {}, []
        self._codes, self._orders = set(), 0
        for _ in range(200):
            self.person()

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
            if code.casefold() not in self._codes:
                self._codes.add(code.casefold())
                return code

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
        patient = PatientFacts(len(self.patients) + 1, **values)
        self.patients[patient.id] = patient
        return Person(patient, tuple(family), tuple(given), sex)

    def change(self, person, **facts):
        "Change what GNU Health knows of a patient."
        patient = replace(person.facts, **facts)
        self.patients[patient.id] = patient
        return replace(person, facts=patient)

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

    def add(self, kind, study, person=None, request=None, linkable=None):
        self.studies.append(Labelled(
                study, kind, person and person.facts.id,
                request and request.id, linkable))

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

    # The database

    def look_up(self, found):
        "Return what a database holds for a list of Keys, in bulk."
        uids, numbers, identifiers, births = (
            frozenset().union(*(getattr(k, name) for k in found))
            for name in [
                'uids', 'accession_numbers', 'identifiers', 'birth_dates'])
        requests = [
            r for r in self.requests.values() if r.merge_id in uids
            or {r.accession_number, r.accession_number.casefold(),
                r.order_number, r.order_number.casefold()} & numbers]
        owners = {r.patient for r in requests}
        patients = [
            p for p in self.patients.values() if p.id in owners
            or {p.puid, p.puid.casefold()} & identifiers
            or any({c, c.casefold()} & identifiers
                for c, _ in p.alternative_ids)
            or p.birth_date in births]
        return requests, patients


# The stories.  Each adds one study, some add two.

STORIES = {}


def story(times):
    "Have a story told so many times."
    def register(function):
        STORIES[function.__name__] = function, times
        return function
    return register


def make(seed=0):
    "Return the Hospital with its labelled studies, the same for a seed."
    hospital = Hospital(seed)
    for name, (function, times) in STORIES.items():
        for _ in range(times):
            function(hospital, name)
    return hospital


def decide_all(hospital):
    "Return the Decisions on all studies, looked up as one block."
    found = [keys(s.study) for s in hospital.studies]
    index = Index(*hospital.look_up(found), issuers=[ISSUER])
    return [decide(s.study, index) for s in hospital.studies]


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
    code = f'P{h.random.randrange(10 ** 8)}'
    person = h.person(alternative_ids=((code, h.random.choice(
                    ['passport', 'medical_record', 'country_id'])),))
    h.any_carrier(kind, person, patient_id=code)


@story(6)
def alternative_id_with_issuer(h, kind):
    code = str(h.random.randrange(10 ** 6))
    person = h.person(alternative_ids=((code, 'Saint Mary'),))
    h.person(alternative_ids=((code, 'North Clinic'),))
    study = h.plain(person, patient_id=code, issuer='SAINT MARY')
    h.add(kind, study, person, None, 'patient')


@story(5)
def alternative_id_of_two_issuers(h, kind):
    code = str(h.random.randrange(10 ** 6))
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
    h.add(kind, study, former, None, 'patient')
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
