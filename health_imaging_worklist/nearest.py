# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nearest form of a text in a character set that lacks some of its signs.

A sign is replaced by the first of these that the character set holds: its
compatibility form (Unicode NFKC), a sign that looks alike, its letter with
fewer accents, its Latin spelling.  Letters of a script that the set does not
have are romanized, with all others of that script in the text, because half
a name in another script cannot be read.
"""
import itertools
import re
import unicodedata
from functools import lru_cache

from anyascii import anyascii

# Signs and what they are read as, the nearest first.
LOOKALIKES = {
    **dict.fromkeys('‘’‚‛′‵ʹʻʼʽˈ´`‹›׳', ["'"]),
    **dict.fromkeys('“”„‟″‶«»״', ['"', "''"]),
    **dict.fromkeys('‐‑‒–—―−⁃־', ['-']),
    '⁄': ['/'], '·': ['.'], '•': ['.'], 'µ': ['u'],
    'Æ': ['AE'], 'æ': ['ae'], 'Œ': ['OE'], 'œ': ['oe'],
    'Ǽ': ['Æ', 'AE'], 'ǽ': ['æ', 'ae'], 'ẞ': ['ß', 'SS'], 'ß': ['ss'],
    # Romanian letters are often written with the cedilla.
    'Ș': ['Ş', 'S'], 'ș': ['ş', 's'], 'Ț': ['Ţ', 'T'], 'ț': ['ţ', 't'],
    'Ґ': ['Г'], 'ґ': ['г'],
    # Persian and Arabic have one letter with two codes.
    'ی': ['ي'], 'ک': ['ك'],
    }
# What separates components and values, what queries read as a wildcard, and
# what stands for a sign that was lost.
_FORBIDDEN = str.maketrans(dict.fromkeys('\\^=', ' ') | {'?': '', '*': ''})

_EAST_ASIAN = frozenset(
    ['CJK', 'HIRAGANA', 'KATAKANA', 'KATAKANA-HIRAGANA', 'HALFWIDTH',
        'HANGUL', 'BOPOMOFO', 'IDEOGRAPHIC', 'KANGXI'])


def nearest(text, holds):
    r"""Return the nearest form of ``text``, with none of ``?*\^=`` that
    ``text`` has not, empty only when nothing in ``text`` can be seen.

    :param text: str without control characters
    :param holds: function that tells if the character set holds one
        character; it holds all of ASCII
    """
    foreign = foreign_scripts(text, holds)
    return ''.join(
        _spell(part, foreign, holds) for part in re.split('([=^])', text))


def foreign_scripts(text, holds):
    """Return the scripts of the letters of ``text`` that can only be
    romanized, a set of names; parameters as in `nearest`."""
    return {
        _script(c) for c in _full_width(text, holds)
        if not holds(c) and unicodedata.category(c)[0] == 'L'
        and _form(c, holds) is None and _script(c) != 'LATIN'}


def _spell(part, foreign, holds):
    spelled = ''.join(
        _romanize(run) if script in foreign
        else ''.join(_replace(c, holds) for c in run)
        for script, run in _runs(_full_width(part, holds), foreign))
    if not spelled.strip():
        seen = [c for c in part if unicodedata.category(c)[0] not in 'CMZ']
        return ' '.join(f'U+{ord(c):04X}' for c in seen[:3])
    return spelled


def _full_width(text, holds):
    # A voiced kana has two characters of half the width.
    return _HALF_WIDTHS.sub(
        lambda run: run[0] if all(map(holds, run[0]))
        else unicodedata.normalize('NFKC', run[0]), text)


def _runs(text, foreign):
    """Yield the runs of characters, those of each of the ``foreign`` scripts
    together with their marks, after the script."""
    def key(character):
        nonlocal current
        if unicodedata.category(character)[0] not in 'CM':
            script = _script(character)
            current = script if script in foreign else None
        return current
    current = None
    for script, run in itertools.groupby(text, key):
        yield script, ''.join(run)


@lru_cache(maxsize=2 ** 13)
def _script(character):
    name = unicodedata.name(character, 'UNKNOWN')
    if name.startswith('FULLWIDTH LATIN'):
        return 'LATIN'
    script = name.split()[0]
    return 'CJK' if script in _EAST_ASIAN else script


def _replace(character, holds):
    if holds(character):
        return character
    form = _form(character, holds)
    if form is not None:
        return form
    if unicodedata.category(character)[0] in 'MC':
        return ''
    latin = _latin(character)
    # The names of emojis.
    return '' if latin.startswith(':') else latin


def _form(character, holds):
    """Return what ``character`` is written as without romanization."""
    for candidate in _candidates(character):
        candidate = candidate.translate(_FORBIDDEN)
        if candidate and all(map(holds, candidate)):
            return candidate


def _candidates(character):
    yield unicodedata.normalize('NFKC', character)
    yield from LOOKALIKES.get(character, ())
    yield _half_width(character)
    base, *marks = unicodedata.normalize('NFKD', character)
    if marks and all(unicodedata.combining(mark) for mark in marks):
        for size in range(len(marks) - 1, -1, -1):
            for kept in itertools.combinations(marks, size):
                yield unicodedata.normalize('NFC', base + ''.join(kept))
        yield from LOOKALIKES.get(base, ())


def _half_width(character):
    """Return the half-width katakana of a kana, else an empty text."""
    return ''.join(
        _HALF_WIDTH.get(chr(ord(c) + 0x60) if 'ぁ' <= c <= 'ん' else c, '')
        for c in unicodedata.normalize('NFD', character))


_HALF_WIDTHS = re.compile('[\uff61-\uff9f]+')
_HALF_WIDTH = {
    unicodedata.normalize('NFKC', chr(code)): chr(code)
    for code in range(0xff61, 0xffa0)}


def _romanize(run):
    latin = _latin(unicodedata.normalize('NFKC', run)).strip()
    if run[0].lower() == run[0].upper():
        return latin[:1].upper() + latin[1:]
    return latin


def _latin(text):
    return anyascii(text).translate(_FORBIDDEN)
