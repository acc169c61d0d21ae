# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the name of a person in DICOM images with the names in GNU Health.

A name is compared part by part, family with family and given with given, also
the other way round.  The parts weigh differently: twins share all but the
given name, and who marries keeps it.  So another given name is another person,
and another family name alone is a question (unsure) that the date of birth
answers.
"""
import re
import unicodedata
from functools import cached_property, lru_cache
from operator import itemgetter

from anyascii import anyascii

from .damage import from_utf8, is_damaged, is_rest, may_have_been

# How an attribute of the study compares to the one of GNU Health.
SAME, CLOSE, SHORT, SIMILAR, UNSURE, UNREADABLE, DIFFERS, MISSING = (
    'same', 'close', 'short', 'similar', 'unsure', 'unreadable', 'differs',
    'missing')
RANK = {
    DIFFERS: 0, UNREADABLE: 1, UNSURE: 2, SIMILAR: 3, SHORT: 4, CLOSE: 5,
    SAME: 6}
AGREE = {SAME, CLOSE, SHORT, SIMILAR}

# Bounds for hostile text, far above what names need.
MAX_LENGTH, MAX_WORDS, MAX_NAMES = 200, 8, 20

# Words that stand where a name is not known.
UNKNOWN = {
    'anonim', 'anonimo', 'anonym', 'anonymized', 'anonymous', 'desconocida',
    'desconocido', 'emergency', 'female', 'femenino', 'fnu', 'inconnu',
    'inconnue', 'lnu', 'male', 'mannlich', 'masculino', 'nfn', 'nln', 'nn',
    'noname', 'none', 'notfall', 'null', 'paciente', 'patient',
    'sconosciuto', 'trauma', 'unbekannt', 'unidentified', 'unk', 'unknown',
    'weiblich', 'xx', 'xxx', 'xxxx'}
NOBODIES = [{'john', 'doe'}, {'jane', 'doe'}]
# Words for a child that has no name yet.
NEWBORN = {
    'baby', 'babyboy', 'babygirl', 'bb', 'bebe', 'hija', 'hijo', 'infant',
    'neonate', 'neugeborenes', 'newborn', 'rn'}
# Words for a thing that is scanned, and no person.
THINGS = {
    'calibration', 'dummy', 'fantom', 'fantoma', 'fantome', 'kalibrierung',
    'maniqui', 'phantom', 'phantome', 'qa', 'qc', 'test'}
# Titles and particles, dropped where something else is left.
MINOR = {
    'al', 'da', 'das', 'de', 'del', 'della', 'den', 'der', 'di', 'do', 'dos',
    'dr', 'du', 'el', 'frau', 'herr', 'la', 'las', 'los', 'miss', 'mr', 'mrs',
    'ms', 'of', 'prof', 'van', 'von', 'y'}
# Scripts whose Latin reading is near to how people spell their names.
READABLE = {'LATIN', 'CYRILLIC', 'GREEK', 'KANA', 'ARMENIAN', 'GEORGIAN'}
# Spellings of one sound, applied in this order to lower-case ASCII.
SPELLINGS = [
    ('tsch', 'ch'), ('rn', 'm'), ('vv', 'w'), ('ck', 'k'), ('ph', 'f'),
    ('ae', 'a'), ('oe', 'o'), ('ue', 'u'), ('ou', 'u'), ('oo', 'u'),
    ('w', 'v'), ('x', 'ks'), ('q', 'k'), ('c', 'k'), ('y', 'i'), ('j', 'i'),
    ('ie', 'i'), ('ee', 'i'), ('z', 's'), ('o', 'u')]

_WORD = re.compile(r'[a-z0-9]{1,32}')
_INNER = re.compile(r"['`]")
_SILENT = re.compile(r'(?<=[bdgkpstz])h|h(?=[lnr])|(?<=.)h\b')
_LOOKALIKE = str.maketrans('0158', 'oisb')
_VOWELS = str.maketrans('aeiou', '~~~~~')
_HARD = str.maketrans('bdgvz', 'ptkfs', 'aeiou')


class Name:
    """A name prepared for comparison.

    :ivar str text: the component group (VR PN)
    :ivar str script: script of the letters
    :ivar written: pair, the whole name in both orders
    :ivar romanized: the same as sent to modalities with Latin letters only
    :ivar bool newborn: whether it stands for a child without a name
    :ivar bool thing: whether it is of a phantom
    :ivar bool damaged: whether the text was read in a wrong character set
    """

    def __init__(self, family, given, text=''):
        self.text, self.own_family, self.own_given = text, family, given
        self.damaged = bool(text) and is_damaged(text)
        family, words, script = _read(family)
        given, more, other = _read(given)
        self._words = _known(words), _known(more)
        self.missing = (not (script or other) or not any(self._words)
            or len(words) + len(more) == 2 and {*words, *more} in NOBODIES)
        self.script = script or other
        if script and other and script != other:
            self.script = 'MIXED'
        self.written = family + given, given + family
        family, given = ''.join(words), ''.join(more)
        self.romanized = family + given, given + family
        if self.script == 'LATIN':
            self.written = self.romanized
        words = () if self.damaged else words + more
        self.newborn = not NEWBORN.isdisjoint(words)
        self.thing = not THINGS.isdisjoint(words)

    @cached_property
    def from_utf8(self):
        """The Name when the text certainly is misread UTF-8, else None."""
        fixed = _name(from_utf8(self.text) or '')
        return None if fixed.missing else fixed

    @cached_property
    def family(self):
        """The words of the family name as they sound, in Latin letters."""
        return _fold(self._words[0], self.script)

    @cached_property
    def given(self):
        """The words of the given names as they sound, in Latin letters."""
        return _fold(self._words[1], self.script)

    @cached_property
    def sounds(self):
        """The consonants of all words; similar names have one in common."""
        return {_consonants(w) or w for w in self.family + self.given}


def study_names(text):
    """Return the Names in a text of VR PN.

    Up to three component groups are separated by ``=``: alphabetic,
    ideographic, phonetic; in each, ``^`` separates family, given, middle,
    prefix and suffix (PS3.5 section 6.2.1). Prefix and suffix are ignored."""
    names = [_name(g[:MAX_LENGTH]) for g in (text or '').split('=', 3)[:3]]
    return [n for n in names if not n.missing]


def _name(group):
    text = group
    if '^' not in group:
        group = group.replace(',', '^', 1)
    family, *given = group.split('^')
    return Name(family, ' '.join(given[:2]), text)


def own_names(pairs):
    "Return the Names of pairs of family and given names, None if missing."
    names = [
        Name((family or '')[:MAX_LENGTH], (given or '')[:MAX_LENGTH])
        for family, given in pairs[:MAX_NAMES]]
    return [n for n in names if not n.missing]


def compare_names(theirs, owns):
    """Return how the names of a study compare to those of a patient.

    Names agree when they are 'same', 'close' (same given name), 'short' (given
    name missing or an initial) or 'similar' (spelled otherwise). They are
    'unsure' when they agree in part, 'unreadable' in two scripts without a
    sure transliteration or when the study's name is damaged, 'missing' when
    there is nothing to compare, and otherwise one 'differs'. Where both have a
    name in one script only these are compared, so that two Chinese names of
    one sound stay two.

    :param theirs: list of Name of the study
    :param owns: list of Name of the patient
    :return: verdict (str), and rank (the higher, the nearer)
    """
    if not theirs or not owns:
        return MISSING, 0
    sound = [n for n in theirs if not n.damaged]
    if not sound:
        return max((_compare_damaged(a, owns) for a in theirs),
            key=itemgetter(1))
    verdict, rank = _compare_sound(sound, owns)
    if rank < RANK[CLOSE]:
        if _are_romanized(sound, owns):
            return CLOSE, RANK[CLOSE]
        if verdict == DIFFERS and any(
                _may_have_been(a, b) for a in sound for b in owns):
            return UNREADABLE, _REPAIRED
    return verdict, rank


def _compare_sound(theirs, owns):
    pairs = [(a, b) for a in theirs for b in owns]
    alike = ([(a, b) for a, b in pairs if a.script == b.script]
        or [(a, b) for a, b in pairs if {a.script, b.script} <= READABLE]
        or pairs)
    return max((_compare(a, b) for a, b in alike), key=itemgetter(1))


# Of a damaged name that may well have been the right one.
_REPAIRED = RANK[UNREADABLE] + .5


def _compare_damaged(theirs, owns):
    """Return the verdict on a damaged name, which contradicts only when it
    can be repaired and is another name."""
    verdict = None
    if theirs.from_utf8:
        verdict, rank = _compare_sound([theirs.from_utf8], owns)
        if verdict == DIFFERS:
            return verdict, rank
    if verdict in AGREE or any(_may_have_been(theirs, own) for own in owns):
        return UNREADABLE, _REPAIRED
    return UNREADABLE, RANK[UNREADABLE]


def _may_have_been(theirs, own):
    """Return whether a name is ours, read in a wrong character set."""
    return (is_rest(theirs.text, own.own_family, own.own_given)
        or may_have_been(theirs.text, own.own_family, own.own_given))


def _are_romanized(theirs, owns):
    """Return whether a Latin name is ours as it is sent to modalities."""
    scripts = {n.script for n in theirs}
    return any(
        a.romanized[0] and a.romanized[0] in b.romanized
        for a in theirs if a.script == 'LATIN'
        for b in owns if b.script not in scripts)


def _compare(theirs, own):
    if theirs.written[0] in own.written:
        return SAME, RANK[SAME]
    if theirs.thing != own.thing:
        return DIFFERS, RANK[DIFFERS]
    if theirs.newborn != own.newborn:
        # One is "baby of" somebody.
        shared = {*theirs.family, *theirs.given} & {*own.family, *own.given}
        verdict = UNSURE if shared else UNREADABLE
        return verdict, RANK[verdict]
    same_script = theirs.script == own.script
    # Different characters are different names, however they sound.
    readable = (theirs.script != 'CJK' if same_script
        else {theirs.script, own.script} <= READABLE)
    verdict, same_family = _best_arrangement(theirs, own, readable)
    rank = RANK[verdict]
    if not readable and verdict != DIFFERS:
        return UNSURE, RANK[UNSURE] + rank / 10
    # Where the family name agrees, the reading is right.
    if not readable and not same_family and not same_script:
        return UNREADABLE, RANK[UNREADABLE]
    return verdict, rank


def _best_arrangement(theirs, own, readable):
    """Return the best verdict, and whether the family name agrees."""
    if not own.family or not own.given:
        verdict, *_ = _compare_part(
            theirs.family + theirs.given, own.family + own.given,
            _alike_given if readable else _alike_sound)
        return (SHORT if verdict == CLOSE else verdict), False
    compared = []
    for parts in _arrangements(theirs):
        compared.append(_compare_parts(own, *parts, readable))
        if compared[-1][0] in {SAME, CLOSE}:
            return compared[-1]
    best = max(compared, key=lambda v: (RANK[v[0]], v[1]))
    if best[0] == UNSURE and (DIFFERS, True) in compared:
        # Who has the same family name and another given name did not marry.
        return DIFFERS, True
    return best


def _arrangements(name):
    """Yield family and given name, swapped, and each split of all words, with
    whether this is a guess."""
    family, given = name.family, name.given
    words, guess = family + given, not (family and given)
    yield family, given, guess
    yield given, family, guess
    for i in range(1, len(words)):
        yield words[:i], words[i:], True
        yield words[i:], words[:i], True


def _compare_parts(own, family, given, guess, readable):
    """Return the verdict, and whether the family name agrees.

    In a guess words of one name may be left over, not of both: otherwise Anna
    Maria and Lena Maria would agree.
    """
    shared = any(len(word) > 1 for word in {*given} & {*own.given})
    family, more_family, less_family = _compare_part(
        family, own.family, _alike_family if readable else _alike_sound)
    given, more_given, less_given = _compare_part(
        given, own.given, _alike_given if readable else _alike_sound)
    if (guess and (more_family or more_given)
            and (less_family or less_given)):
        return DIFFERS, False
    same_family = family in AGREE
    if given == DIFFERS or {family, given} <= {DIFFERS, MISSING}:
        return DIFFERS, same_family
    if family == DIFFERS:
        return UNSURE if given == SAME or shared else DIFFERS, False
    if given not in {SAME, CLOSE}:
        return SHORT if given == MISSING else given, same_family
    return SAME if family == given == SAME else CLOSE, same_family


def _compare_part(theirs, own, alike):
    """Compare the words of one part of two names, paired off, long ones first.

    :return: verdict, and whether words of theirs and of ours are left over
    """
    if not theirs or not own:
        return MISSING, bool(theirs), bool(own)
    if sorted(theirs) == sorted(own) or ''.join(theirs) == ''.join(own):
        return SAME, False, False
    own, more, verdicts = list(own), False, {CLOSE}
    for word in sorted(theirs, key=len, reverse=True):
        if word in own:
            own.remove(word)
            continue
        match = next((w for w in own if alike(word, w)), None)
        if match:
            own.remove(match)
            initial = 1 in {len(word), len(match)}
            verdicts.add(SHORT if initial else SIMILAR)
        else:
            more = True
    verdict = DIFFERS if more and own else min(verdicts, key=RANK.get)
    return verdict, more, bool(own)


def _alike_family(a, b):
    """Return whether family names agree but for initials and slips.

    One letter may be wrong, two in a long name.
    """
    short, long = sorted([a, b], key=len)
    if len(short) == 1 or len(short) >= 6:
        if long.startswith(short):
            return True
    allowed = (len(short) >= 4) + (len(short) >= 7)
    return edits(a, b, allowed) <= allowed


def _alike_given(a, b):
    """Return whether given names agree but for initials and slips.

    Twins are called Anna and Hanna, Martin and Martina, Hassan and Hussein:
    the first and the last letter have to be right, and in a short name all.
    """
    short, long = sorted([a, b], key=len)
    if len(short) == 1:
        return long.startswith(short)
    if a[0] != b[0] or a[-1] != b[-1] or len(short) < 4:
        return False
    if sorted(a) == sorted(b):
        return edits(a, b, 1) <= 1
    if len(short) >= 6 and a.translate(_VOWELS) == b.translate(_VOWELS):
        return True
    least = 6 if len(a) == len(b) else 5
    allowed = (len(short) >= least) + (len(short) >= 9)
    return edits(a, b, allowed) <= allowed


def _alike_sound(a, b):
    """Return whether two thirds of the consonants agree, for scripts that do
    not write vowels."""
    if min(len(a), len(b)) == 1:
        return a[0] == b[0]
    a, b = _consonants(a), _consonants(b)
    allowed = max(len(a), len(b)) // 3
    return edits(a, b, allowed) <= allowed


def _consonants(word):
    return _single(word.translate(_HARD))


@lru_cache(maxsize=2 ** 13)
def edits(a, b, limit):
    """Return the edit distance of two words, at the most ``limit + 1``.

    Letters are added, removed, replaced or swapped with the next one (optimal
    string alignment distance)."""
    if abs(len(a) - len(b)) > limit or len(a) > 64:
        return limit + 1
    before, row = [], list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        earlier, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(*before, *row) > limit:
            return limit + 1
    return min(row[-1], limit + 1)


@lru_cache(maxsize=2 ** 13)
def _read(text):
    """Return a part of a name without case and variants of letters, its words
    in ASCII, and the script of its first letter as Unicode names it."""
    if not text.isascii():
        text = unicodedata.normalize('NFKC', text)
    text = ' '.join(text.casefold().split())
    letter = next(filter(str.isalpha, text), '')
    latin = text if text.isascii() else anyascii(text).lower()
    words = _WORD.findall(_INNER.sub('', latin))[:MAX_WORDS]
    return text, tuple(words), letter and _script(letter)


def _script(letter):
    if letter.isascii():
        return 'LATIN'
    script = unicodedata.name(letter, 'UNKNOWN').split()[0]
    return 'KANA' if script in {'HIRAGANA', 'KATAKANA'} else script


def _known(words):
    """Return the words, empty when all mean that a name is unknown."""
    return () if UNKNOWN.issuperset(words) else words


def _fold(words, script):
    """Return the words of a part as they sound, in Latin letters."""
    words = [w for w in words if w not in MINOR] or words
    return tuple(filter(None, [_sound(w, script) for w in words]))


@lru_cache(maxsize=2 ** 13)
def _sound(word, script):
    if word.isdigit():
        return word
    word = word.translate(_LOOKALIKE)
    if word.startswith('ye') and len(word) > 4:
        word = word[1:]
    if script == 'GREEK':
        word = word.replace('oy', 'ou')
    for spelling, sound in SPELLINGS:
        word = word.replace(spelling, sound)
    return _single(_SILENT.sub('', word) if 'h' in word else word)


def _single(word):
    """Return a word without its doubled letters."""
    return ''.join(a for a, b in zip(word, ' ' + word) if a != b)
