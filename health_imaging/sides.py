# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words for the sides of the body, in the languages of the suite."""
import fnmatch
import functools
import re

#: Words by side; ``*`` stands for any letters, a dot at the end is part of an
#: abbreviation.
WORDS = {
    'left': (
        'left', 'lt', 'lhs', 'linke*', 'links*', 'li.', 'izquierd*', 'izq',
        'izda', 'izdo', 'gauche*', 'gche', 'sinistr*', 'sx', 'esquerd*',
        'esq', '*左*', '*يسار*', '*يسرى*', '*أيسر*', '*ايسر*'),
    'right': (
        'right', 'rt', 'rhs', 'rechte*', 'rechts*', 're.', 'derech*', 'dcha',
        'dcho', 'droit', 'droite', 'droits', 'droites', 'dte', 'destro',
        'destra', 'destri', 'destre', 'dx', 'direit*', 'dir.', '*右*',
        '*يمين*', '*يمنى*', '*أيمن*', '*ايمن*'),
    'both': (
        'bilateral*', 'bilatéra*', 'both', 'beide*', 'beidseit*', 'bds',
        'ambos', 'ambas', 'entrambi', 'entrambe', '*双侧*', '*两侧*', '*兩側*',
        '*الجانبين*', '*ثنائي*', '*كلا*', '*كلتا*'),
    }


def is_pattern(word):
    """Return whether a word, in which ``*`` is any letters, can be found."""
    return bool(re.fullmatch(r'\*?\w+\*?\.?', word))


def named(text, own=()):
    """Return the sides that a text names: the first word for each.

    :param str text: a text or None
    :param own: pairs of word and side of the hospital, which count before
        those of this file; any other side takes a word out
    :rtype: dict of str by side
    """
    table = _table(tuple(own))
    found = {}
    for match in re.finditer(r'\w+\.?', (text or '').casefold()):
        word = match.group()
        for side, pattern in table:
            if pattern.fullmatch(word) or pattern.fullmatch(word.rstrip('.')):
                found.setdefault(side, word)
    return found


@functools.lru_cache(maxsize=8)
def _table(own):
    """Return pairs of side and compiled pattern."""
    sides = {word: side for side, words in WORDS.items() for word in words}
    sides.update((word.casefold(), side) for word, side in own)
    return [
        (side, re.compile('|'.join(
                    fnmatch.translate(word) for word, of in sides.items()
                    if of == side)))
        for side in WORDS]


def contradiction(exam, sections, own=()):
    """Return what is wrong with the sides that a report names.

    :param str exam: the name of the exam
    :param sections: the texts that speak of the exam, those of former ones
        left out
    :param own: as for `named`
    :return: pair of a code, ``side_missing`` or ``side_other``, and the word
        for the side in the exam; None when nothing is wrong
    """
    of_exam = named(exam, own)
    if len(of_exam) != 1 or 'both' in of_exam:
        return None
    (side, word), = of_exam.items()
    other = {'left': 'right', 'right': 'left'}[side]
    texts = [named(text, own) for text in sections]
    if any(other in t and not t.keys() & {side, 'both'} for t in texts):
        return 'side_other', word
    if not any(t.keys() & {side, 'both'} for t in texts):
        return 'side_missing', word
    return None
