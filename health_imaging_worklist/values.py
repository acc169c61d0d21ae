# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of a worklist template while it is rendered: which may come in,
where their separators come from, and how much of them there may be."""
import re
import time
from collections import namedtuple
from decimal import Decimal
from functools import lru_cache

from pydicom.datadict import dictionary_VR, tag_for_keyword

from .attributes import MultiValue, clean, is_charset
from .reasons import EvaluationError, LimitError, UnknownVariableError
from .texts import token
from .view import SCALARS, RecordView

#: What a rendering may use: characters of the source, of the output, of one
#: text and of all texts made, loop rounds and calls, seconds.
Limits = namedtuple('Limits', 'source output text memory rounds seconds')
LIMITS = Limits(
    source=64_000, output=200_000, text=64_000, memory=4_000_000,
    rounds=20_000, seconds=2)

_MAX_DATA = 1_000_000
_MAX_NUMBER = 10 ** 30
# A list may take as much memory as ten texts, and each of its items counts
# as so many characters.
_TEXTS_IN_LIST = 10
_ITEM = 16

# The clock is looked at after so many rounds and calls.
_UNWATCHED = 4

NUMBERS = (int, float, Decimal)
# What lists come as from Python.
_LISTS = {
    list, tuple, type({}.items()), type({}.keys()), type({}.values())}

# A value is calculated a second time with marks where it has characters that
# can be part of a format. A separator that comes from data is then one of
# these code points, which are no characters and are taken out of all data.
_MARKS = {'\\': '\ufdd0', '^': '\ufdd1', '=': '\ufdd2'}
# A text that the template itself writes in an expression, and that has such
# characters, is then written in private ones, which are taken out of data
# then: where data have them, nothing is structure.
_WRITTEN = {chr(c): chr(0xf0000 + c) for c in [10, 13, *range(32, 127)]}
SPECIAL = re.compile(r'[\\^=\[\]("\n#]')
_STRUCTURE = re.compile(r'[\[\]("\n#]')
_PRIVATE = re.compile('([\U000f0000-\U000f00ff]+)')
RESERVED = re.compile('[\ufdd0-\ufdef]')

_WRITE = str.maketrans(_WRITTEN)
_UNMARK = str.maketrans({
        mark: c for c, mark in [*_MARKS.items(), *_WRITTEN.items()]})

#: A value, and the same with its separators that come from data marked.
Pair = namedtuple('Pair', 'plain marked')


class Items(tuple):
    """A list; ``size`` counts it with all that is in it."""
    size = 0


class Map(dict):
    """A dictionary; ``size`` counts it with all that is in it."""
    size = 0


def items(values):
    """Return `Items` of an iterable, and of the tuples in it."""
    result = Items(
        items(value) if type(value) is tuple else value for value in values)
    result.size = sum(map(_size, result))
    return result


def mapping(pairs):
    """Return the `Map` of an iterable of keys and values."""
    result = Map(pairs)
    result.size = sum(map(_size, result)) + sum(map(_size, result.values()))
    return result


def _size(value):
    if isinstance(value, str):
        return _ITEM + len(value)
    return _ITEM + (value.size if isinstance(value, (Items, Map)) else 0)


def number(value):
    """Return a number.

    :raises LimitError: it is too large
    :raises ValueError: it is none
    """
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("not a number")
        too_large = abs(value.adjusted()) > 30
    else:
        too_large = isinstance(value, int) and abs(value) > _MAX_NUMBER
    if too_large:
        raise LimitError('limit_number')
    return value


def bounded(size):
    """Return how many characters a text will have, or raise LimitError."""
    if size > LIMITS.text:
        raise LimitError('limit_text')
    return size


def admit(value, marking=False, names=False):
    """Return a value as expressions may use it, texts cleaned.

    :param bool marking: whether what comes from data is marked
    :param bool names: whether ``^`` and ``=`` are the separators of a PN
    :raises TypeError: templates must not have it
    """
    if isinstance(value, str):
        if len(value) > _MAX_DATA:
            raise LimitError('limit_text')
        text = clean(str.__str__(value), lines=True)
        if not marking:
            return text
        several = '\\' in value and (
            isinstance(value, MultiValue) or is_charset(value))
        return mark(_PRIVATE.sub('', text), names, several)
    if isinstance(value, NUMBERS):
        return number(value)
    if isinstance(value, (*SCALARS, RecordView)):
        return value
    if isinstance(value, (list, tuple)):
        return items(admit(item, marking, names) for item in value)
    if isinstance(value, dict):
        return mapping(
            (admit(key), admit(item, marking, names))
            for key, item in value.items() if isinstance(key, SCALARS))
    raise TypeError(type(value).__name__)


def each_text(function, value):
    """Return a value with a function applied to each text in it."""
    if isinstance(value, str):
        return function(value)
    if isinstance(value, Items):
        return items(each_text(function, item) for item in value)
    if isinstance(value, Map):
        return mapping(
            (key, each_text(function, item)) for key, item in value.items())
    return value


def mark(text, names=False, several=False):
    """Return a text that comes from data with its separators marked, those of
    names and of several values apart when it is such."""
    if not several:
        text = text.replace('\\', _MARKS['\\'])
    if names:
        return text
    return text.replace('^', _MARKS['^']).replace('=', _MARKS['='])


def mark_written(text):
    """Return a text of the template itself, marked where it is structure."""
    return text.translate(_WRITE) if _STRUCTURE.search(text) else text


def unmark(text):
    """Return a text without marks."""
    return text.translate(_UNMARK)


def parts(text):
    """Return in turn what is not and what is structure of a marked text."""
    return _PRIVATE.split(text)


def _is_special(value):
    if isinstance(value, str):
        return SPECIAL.search(value) is not None
    if isinstance(value, Map):
        return any(map(_is_special, value.values()))
    return isinstance(value, Items) and any(map(_is_special, value))


@lru_cache(maxsize=1024)
def _may_be_names(variable):
    # Variables that are no DICOM keywords may be names as well.
    tag = tag_for_keyword(variable)
    return tag is None or dictionary_VR(tag) == 'PN'


class State:
    """What one rendering knows, has written and has used up so far.

    ``made`` are the values that tokens stand for, ``written`` the texts with
    these, ``frames`` the names that the template has set, the last first.
    """

    def __init__(self, variables, limits=LIMITS):
        self.variables = variables
        self.limits = limits
        self.memory = limits.memory
        self.rounds = limits.rounds
        self.room = limits.output
        self.deadline = time.thread_time() + limits.seconds
        self.line = 1
        self.marking = False
        self.known = {}, {}
        self.frames = []
        self.choices = []
        self.made = []
        self.written = []

    def fetch(self, name):
        """Return a variable, admitted, or raise UnknownVariableError."""
        known = self.known[self.marking]
        if name not in known:
            try:
                known[name] = admit(
                    self.variables[name], self.marking, _may_be_names(name))
            except (KeyError, TypeError):
                raise UnknownVariableError('variable', name=name) from None
        return known[name]

    def look_up(self, name):
        """Return the value of a name that the template has set.

        :raises KeyError: it has not
        """
        for frame in reversed(self.frames):
            if name in frame:
                value = frame[name]
                return value[self.marking] if type(value) is Pair else value
        raise KeyError(name)

    def marked(self, evaluate, plain):
        """Return what an expression makes with marks, None where that is
        another value than ``plain``: then all of it is data."""
        if not _is_special(plain):
            return plain
        self.marking = True
        try:
            value = evaluate(self)
            if value == plain:
                return plain
            return value if each_text(unmark, value) == plain else None
        except EVALUATION_ERRORS:
            # With marks it goes another way than without.
            return None
        finally:
            self.marking = False

    def tick(self):
        """Count one round or call."""
        self.rounds -= 1
        if self.rounds < 0:
            raise LimitError('limit_rounds')
        if self.rounds % _UNWATCHED == 0 and (
                time.thread_time() > self.deadline):
            raise LimitError('limit_seconds')

    def count(self, value):
        """Return a value that was made, counted; lists as `Items`."""
        if isinstance(value, str):
            self._spend(bounded(len(value)))
        elif isinstance(value, NUMBERS):
            number(value)
        elif type(value) in _LISTS:
            return self.collect(items(value))
        return value

    def collect(self, made):
        """Return `Items` or a `Map`, counted."""
        bounded(made.size // _TEXTS_IN_LIST)
        self._spend(made.size)
        return made

    def _spend(self, size):
        self.memory -= size
        if self.memory < 0:
            raise LimitError('limit_memory')

    def write(self, text):
        """Write a text."""
        self.room -= len(text)
        if self.room < 0:
            raise LimitError('limit_output')
        self.written.append(text)

    def keep(self, value):
        """Write the token of a text or a `Pair`."""
        plain = value if type(value) is str else value.plain
        self.room -= len(plain)
        self.made.append(value)
        self.write(token(len(self.made) - 1))


#: What operations of Python raise that are not possible, and ours.
EVALUATION_ERRORS = (
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
    RecursionError, EvaluationError)
