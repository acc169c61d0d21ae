# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text that a worklist template makes, with its values apart.

In the text itself a token stands for each value. The format, a dump of
dump2dcm or JSON, is read with the tokens in it; what they stand for is put
into what was read. So no value can be read as part of the format.
"""
import re
from collections import namedtuple
from functools import lru_cache

from .attributes import TEXT_VRS, identifies

DUMP2DCM = 'dump2dcm'
JSON = 'json'

# No characters, which no value and no template has.
_OPEN, _CLOSE = '\ufdd8', '\ufdd9'
_TOKEN = re.compile(f'{_OPEN}([0-9]+){_CLOSE}')
# A string that does not end is one too, or many such would be searched for.
_STRING_OR_TOKEN = re.compile(
    f'"(?:[^"\\\\]|\\\\.)*"?|{_TOKEN.pattern}', re.DOTALL)

_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], ' ')
# Separators that are data, see `values`.
_DATA = {0xfdd0: '/', 0xfdd1: '^', 0xfdd2: '=', **_CONTROLS}
_DATA_IN_NAME = {**_DATA, 0xfdd1: ' ', 0xfdd2: ' '}

#: The longest text whose format is kept to be used again.
_KEPT = 8_000


def kept(function):
    """Decorate a function of a text with tokens, of which only few differ,
    to keep its last results."""
    cached = lru_cache(maxsize=64)(function)
    return lambda text, *args: (
        cached if len(text) <= _KEPT else function)(text, *args)


def token(index):
    """Return the text that stands for the value at an index."""
    return f'{_OPEN}{index}{_CLOSE}'


def pieces(text):
    """Return what is between tokens, and these by index, in turn."""
    return tuple(
        int(piece) if index % 2 else piece
        for index, piece in enumerate(_TOKEN.split(text)))


class Text(namedtuple('Text', 'skeleton values')):
    """A rendered template: a text with tokens, and what they stand for: texts,
    or a `values.Pair` of one and the same with marks."""
    __slots__ = ()

    def __str__(self):
        """Return the text with its values, to look at."""
        return _TOKEN.sub(
            lambda found: _plain(self.values[int(found[1])]), self.skeleton)


def _plain(value):
    return value if type(value) is str else value[0]


def put(value, vr, keyword, template_type):
    """Return the text of a value as an attribute of a VR has it."""
    plain, marked = (value, value) if type(value) is str else value
    if plain is marked and plain.isprintable():
        return plain
    if vr in TEXT_VRS and template_type == JSON:
        return '\r\n'.join(
            line.translate(_CONTROLS) for line in plain.split('\n'))
    if vr in TEXT_VRS or identifies(keyword):
        return plain.translate(_CONTROLS)
    return marked.translate(_DATA_IN_NAME if vr == 'PN' else _DATA)


def quote_tokens(text):
    """Return a JSON text in which tokens that stand alone are strings."""
    return _STRING_OR_TOKEN.sub(
        lambda found: f'"{found[0]}"' if found[1] else found[0], text)


def readable(text):
    """Return a text without tokens, for messages."""
    return _TOKEN.sub('\u2026', text)
