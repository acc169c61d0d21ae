# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recognizes names that were decoded with a wrong character set.

SpecificCharacterSet (0008,0005) is often missing or wrong.  Then the bytes of
a name become letters that nobody has in a name, or letters are lost.  Names
that people do have must never be called damaged: ``Þór`` and ``Üçüncü`` have
many letters that such bytes become, too.
"""
import re
import unicodedata
from functools import lru_cache
from itertools import chain

from anyascii import anyascii

# What the right one was, and what was read instead of it.
_WRITTEN = [
    'utf-8', 'cp1251', 'iso8859-5', 'koi8-r', 'iso8859-7', 'cp1253', 'cp1256',
    'iso8859-6', 'cp1255', 'iso8859-8', 'cp874', 'iso8859-2', 'cp1250',
    'iso8859-9', 'iso8859-4', 'iso8859-13', 'cp850', 'mac-roman',
    'iso2022_jp_2', 'gb18030', 'big5', 'shift_jis', 'euc_jp', 'euc_kr']
_OTHERS = [
    'cp1251', 'iso8859-5', 'koi8-r', 'iso8859-7', 'cp1253', 'cp1256',
    'iso8859-6', 'iso8859-8', 'cp874', 'iso8859-2', 'cp1250', 'iso8859-9',
    'cp850', 'cp437', 'mac-roman', 'gbk', 'big5', 'shift_jis', 'euc_jp',
    'euc_kr']
_AGAIN = [
    'utf-8', 'latin-1', 'cp1251', 'iso8859-5', 'iso8859-7', 'koi8-r', 'cp850']

# Letters of windows-1252 that stand for the bytes 80 to 9F.
_BYTES = {
    ord(bytes([i]).decode('cp1252', 'replace')): i for i in range(0x80, 0xA0)
    } | {0xFFFD: 0xFFFD}
# Signs that are in no name, also as windows-1252 reads them, and what is left
# of the escape sequences of ISO 2022.
_SIGNS = re.compile(
    '[\\x01-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\x80-\\x9f¡¢£¤¥¦§©¬®¯±²³µ¶¹¼½¾¿×÷'
    '€‡‰™\ud800-\udfff\ue000-\uf8ff]|\\$\\)?[@ABCD]')
# UTF-8, byte by byte.  Quotes and dashes also follow letters in names.
_UTF8 = re.compile(
    '[\xc2-\xdf](?![\x82\x84\x85\x91-\x94\x96\x97])[\x80-\xbf\ufffd]'
    '|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}')
_HIGH = re.compile('[\xa1-\xff]')
_HIGH_WORD = re.compile(
    '(?<![a-zA-Z\xa1-\xff])[\xa1-\xff]{3,}(?![a-zA-Z\xa1-\xff])')
# What stands where a letter could not be read.
MARKS = frozenset('?_*#\ufffd\u25a1\xbf')
MAX_LENGTH = 64
_FINE = re.compile('[ !"#%-*+-;=@-^`-~]*')
_LOST = re.compile('[?_\ufffd]')
_NOT_IN_WORDS = re.compile(r'[\s.,^=\'`’-]+')


def is_damaged(text):
    """Return whether a component group of a name (VR PN, PS3.5 section 6.2.1)
    cannot be a name as it was written."""
    return not _FINE.fullmatch(text) and _is_damaged(text)


@lru_cache(maxsize=2 ** 10)
def _is_damaged(text):
    if _SIGNS.search(text) or _LOST.search(text) and _mostly_lost(text):
        return True
    if not _HIGH.search(text):
        return False
    text = text.translate(_BYTES)
    if _UTF8.search(text) or _HIGH_WORD.search(text):
        return True
    letters = [c for c in text if c.isalpha()]
    return len(letters) >= 4 and all('\x80' <= c <= '\xff' for c in letters)


def _mostly_lost(text):
    """Return whether more letters are unreadable than readable.

    A text of marks alone, or with one mark, stands for an unknown name.
    """
    lost = left = 0
    for word in _NOT_IN_WORDS.split(text):
        letters = sum(c.isalpha() for c in word)
        marks = len(_LOST.findall(word))
        if letters and marks > 1:
            lost, left = lost + marks, left + letters
    return 0 < lost >= left


def from_utf8(text):
    """Return a text decoded as UTF-8 when it was read as Latin 1, None when it
    can have been something else."""
    return next(_reread(text, 'latin-1', ['utf-8']), None)


def may_have_been(text, family, given):
    """Return whether a text may be a name read in a wrong character set.

    :param str text: one component group of a name (VR PN)
    :param str family: family name in GNU Health, or None
    :param str given: given names in GNU Health, or None
    """
    family, given = family or '', given or ''
    own = family + given
    # Of bytes of Japanese and Chinese some are letters.
    if own.isascii() or text.isascii() and max(own) < '\u2e80':
        return False
    return (_letters(text) in _misread(family, given)
        or not {_letters(own), _letters(given + family)}.isdisjoint(
            _repairs(text)))


@lru_cache(maxsize=2 ** 10)
def _misread(family, given):
    """Return the letters that are left of a name read as Latin 1, where bytes
    that are control characters may be gone."""
    found = set()
    for change in [str, str.upper, str.title]:
        parts = change(family), change(given)
        for charset in _WRITTEN:
            try:
                one, other = (
                    _letters(part.encode(charset).decode('latin-1'))
                    for part in parts)
            except UnicodeError:
                continue
            found |= {one + other, other + one}
    return found - {''}


@lru_cache(maxsize=2 ** 10)
def _repairs(text):
    """Return the letters that a text may have been."""
    found = set(map(_letters, _reread(text, 'latin-1', _WRITTEN)))
    for read in _OTHERS:
        found.update(map(_letters, _reread(text, read, _AGAIN)))
    return found - {''}


def _reread(text, read, written):
    """Yield the texts that were written, for a text read in a set."""
    # Readers of Latin 1 are mostly readers of windows-1252.
    known = text.translate(_BYTES) if read == 'latin-1' else text
    try:
        known = known.encode(read)
    except UnicodeError:
        return
    for charset in written:
        try:
            fixed = known.decode(charset)
        except UnicodeError:
            continue
        if fixed != text and '\x1b' not in fixed:
            yield fixed


@lru_cache(maxsize=2 ** 12)
def _letters(text):
    """Return the letters of a text without case and accents."""
    text = unicodedata.normalize('NFKD', text.casefold())
    return ''.join(filter(str.isalpha, text)).replace('ı', 'i')


def is_rest(text, family, given):
    """Return whether a text may be a name without its non-ASCII letters.

    The letters are lost or replaced by marks. Bytes of Latin 1 read as UTF-8
    also lose the next letter: "Núñez" becomes "Nz". All other letters have to
    be there. The parameters are those of may_have_been."""
    family, given = _words(family or ''), _words(given or '')
    own = ''.join(family + given)
    words = _NOT_IN_WORDS.split(text.lower())
    words = [w for w in words if any(map(str.isalnum, w))]
    whole = ''.join(words)
    if own.isascii() or not 0 < len(whole) <= MAX_LENGTH:
        return False
    letters = MARKS.union(*chain.from_iterable(map(_forms, own)))
    if not letters.issuperset(whole):
        return False
    return (any(_left_of(whole, order) == DAMAGED
            for order in [own, ''.join(given + family)])
        or _are_left(words, [*family, *given]))


@lru_cache(maxsize=2 ** 12)
def _words(text):
    text = unicodedata.normalize('NFC', text[:MAX_LENGTH])
    return tuple(filter(None, _NOT_IN_WORDS.split(text)))


def _are_left(words, owns):
    """Return whether all words of the study may be words of the patient, and
    some of them damaged."""
    damaged = False
    for word in sorted(words, key=len, reverse=True):
        left, own = max(
            ((_left_of(word, o), o) for o in owns), default=(NONE, ''))
        if left == NONE:
            return False
        damaged |= left == DAMAGED
        owns.remove(own)
    return damaged


# What is left of a word.
NONE, DAMAGED, WHOLE = range(3)


def _left_of(word, own):
    """Return what a word in lower case is of another one."""
    # How much of the word is used, whether the letter before may have taken
    # the next one with it, and whether anything was lost.
    states = {(0, False, False)}
    for letter in own:
        after = set()
        for at, takes, lost in states:
            after.update(
                (at + len(form), False, lost) for form in _forms(letter)
                if word.startswith(form, at))
            if takes:
                after.add((at, False, True))
            if not letter.isascii():
                after.update((end, True, True) for end in _marks(word, at))
        states = after
    ends = {lost for at, _, lost in states if at == len(word)}
    return NONE if not ends else DAMAGED if ends == {True} else WHOLE


@lru_cache(maxsize=2 ** 10)
def _forms(letter):
    """Return the possible spellings of a letter that was lost."""
    forms = [letter.lower()]
    if unicodedata.name(letter, '').startswith('LATIN '):
        forms.append(anyascii(letter).lower())
    return tuple(filter(None, forms))


def _marks(word, at):
    """Yield the ends of up to four marks, which may be none."""
    yield at
    for end in range(at, min(at + 4, len(word))):
        if word[end] not in MARKS:
            return
        yield end + 1
