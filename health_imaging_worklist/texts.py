# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text that a worklist template makes, with its values apart.

In the text itself a token stands for each value. The format, a dump of
dump2dcm or JSON, is read with the tokens in it; what they stand for is put
into what was read. So no value can be read as part of the format.
"""
import json
import re
from collections import namedtuple
from functools import lru_cache

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from .attributes import ENCODED_VRS, TEXT_VRS, identifies, to_charset

DUMP2DCM = 'dump2dcm'
JSON = 'json'

# No characters, which no value and no template has.
_OPEN, _CLOSE = '\ufdd8', '\ufdd9'
_TOKEN = re.compile(f'{_OPEN}([0-9]+){_CLOSE}')
# A string that does not end is one too, or many such would be searched for.
_STRING_OR_TOKEN = re.compile(
    f'"(?:[^"\\\\]|\\\\.)*"?|{_TOKEN.pattern}', re.DOTALL)

#: The line of an attribute in a dump: group, element, VR, value. As in
#: dcmtk, two capitals after the tag are the VR whatever follows.
ELEMENT = re.compile(
    r'\(\s*([0-9a-fA-F]{1,4})\s*,\s*([0-9a-fA-F]{1,4})\s*\)'
    r'\s*([A-Z]{2}|[A-Za-z?]{2}(?=[\s\[(]|$))?\s*(.*)', re.DOTALL)
_KEY_OR_TOKEN = re.compile(
    f'\\\\.|"(\\w+)"\\s*:|(")|{_TOKEN.pattern}')
_NUMBER = re.compile(r'-?\d+(?:\.\d+)?|null|true|false')

_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], ' ')
# Separators that are data, see `values`.
_DATA = {0xfdd0: '/', 0xfdd1: '^', 0xfdd2: '=', **_CONTROLS}
_DATA_IN_NAME = {**_DATA, 0xfdd1: ' ', 0xfdd2: ' '}
# Outside of brackets these would begin or end a value.
_OUTSIDE = str.maketrans('[](#', '{}{ ')

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
    return _FIRST[index] if index < 99 else f'{_OPEN}{index}{_CLOSE}'


_FIRST = [f'{_OPEN}{index}{_CLOSE}' for index in range(99)]


def pieces(text):
    """Return what is between tokens, and these by index, in turn."""
    return tuple(
        int(piece) if index % 2 else piece
        for index, piece in enumerate(_TOKEN.split(text)))


class Text(str):
    """A rendered template, as people and programs read it.

    ``skeleton`` is the same with tokens, ``values`` what they stand for: a
    text, or a `values.Pair` of it and the same with marks.
    """
    skeleton = None
    values = ()

    @classmethod
    def fill(cls, skeleton, values, template_type, charset):
        """Return the `Text` of a text with tokens.

        :param charset: the SpecificCharacterSet (CS) that it must fit
        """
        (first, *literals), indexes, places = _layout(skeleton, template_type)
        parts = [first]
        for index, place, literal in zip(indexes, places, literals):
            value = values[index]
            # Without marks it has no signs of the format either.
            if not (type(value) is str and place.inside
                    and value.isascii() and value.isprintable()):
                value = place.write(value, template_type, charset)
            parts += (value, literal)
        text = cls(''.join(parts))
        text.skeleton, text.values = skeleton, values
        return text


class Place(namedtuple('Place', 'vr keyword inside')):
    """Where a value stands: VR and keyword of the attribute, and whether
    brackets or quotes are around it."""
    __slots__ = ()

    def put(self, value, template_type):
        """Return the text of a value as the attribute has it."""
        plain, marked = (value, value) if type(value) is str else value
        if plain is marked and plain.isprintable():
            return plain
        if self.vr in TEXT_VRS and template_type == JSON:
            return '\r\n'.join(
                line.translate(_CONTROLS) for line in plain.split('\n'))
        if self.vr in TEXT_VRS or identifies(self.keyword):
            return plain.translate(_CONTROLS)
        return marked.translate(_DATA_IN_NAME if self.vr == 'PN' else _DATA)

    def write(self, value, template_type, charset):
        """Return a value as it is written in the format."""
        text = self.put(value, template_type)
        if not text.isascii() and not identifies(self.keyword) and (
                not self.vr or self.vr in ENCODED_VRS):
            text = to_charset(text, charset)
        if template_type == JSON:
            if not self.inside:
                return text if _NUMBER.fullmatch(text) else json.dumps(text)
            if '"' in text or '\\' in text or not text.isprintable():
                return json.dumps(text, ensure_ascii=False)[1:-1]
            return text
        return text if self.inside else text.translate(_OUTSIDE)


@kept
def _layout(skeleton, template_type):
    """Return the texts between tokens, and for each token the index of its
    value and its `Place`."""
    find = _json_places if template_type == JSON else _dump_places
    parts = pieces(skeleton)
    return parts[::2], parts[1::2], [*find(skeleton)]


def _dump_places(skeleton):
    for line in skeleton.split('\n'):
        if _OPEN not in line:
            continue
        element = ELEMENT.match(line.strip(' \t\r'))
        keyword, vr, value = '', '', ''
        if element:
            tag = int(element[1], 16) << 16 | int(element[2], 16)
            keyword, vr = keyword_for_tag(tag), _vr(tag, element[3])
            value, _ = bracketed(element[4])
        for found in _TOKEN.findall(line):
            yield Place(vr, keyword, f'{_OPEN}{found}{_CLOSE}' in value)


def bracketed(text):
    """Return the value that the brackets of a dump's line hold, and whether
    the brackets that begin are closed."""
    if not text.startswith('['):
        return '', True
    end = text.rfind(']')
    return text[1:end] if end > 0 else text[1:], end > 0


def _json_places(skeleton):
    keyword, inside = '', False
    for found in _KEY_OR_TOKEN.finditer(skeleton):
        if found[1]:
            keyword, inside = found[1], False
        elif found[2]:
            inside = not inside
        elif found[3]:
            yield Place(_vr(tag_for_keyword(keyword), ''), keyword, inside)


def _vr(tag, default):
    try:
        return dictionary_VR(tag)
    except (KeyError, TypeError, ValueError):
        return (default or '').upper()


def quote_tokens(text):
    """Return a JSON text in which tokens that stand alone are strings."""
    return _STRING_OR_TOKEN.sub(
        lambda found: f'"{found[0]}"' if found[1] else found[0], text)


def readable(text):
    """Return a text without tokens, for messages."""
    return _TOKEN.sub('\u2026', text)
