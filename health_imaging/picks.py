# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick lists inside of texts, which the writer of a report resolves.

``[none|small|large]`` is one of several texts, ``[__ mm]`` a number with its
unit and ``[__]`` any text.  Other words in brackets, such as ``[sic]``, are
text.
"""
import re
from collections import namedtuple

# Whether a pair of brackets is a pick list, also when its end was deleted.
_OPEN = re.compile(r'\[[^\[\]\n]*?(?:\||__)[^\[\]\n]*(?:\]|$|(?=\[))', re.M)
_BLANK = re.compile(r'\[\s*_{2,}\s*(?P<unit>[^\]|]*)\]')

#: A pick list in a text: its place, how it is written, the texts to choose
#: from, the unit of a number, and the words before it in its line.
Pick = namedtuple('Pick', 'start end source options unit before')
#: What is wrong with a text: a code, the line (from 1) and the place in it.
Flaw = namedtuple('Flaw', 'code line excerpt')


def find(text):
    """Return the pick lists that are left in a text.

    :param str text: a text or None
    :rtype: list of Pick
    """
    return [_pick(match) for match in _OPEN.finditer(text or '')]


def _pick(match):
    source, text = match.group(), match.string
    blank = _BLANK.fullmatch(source)
    line = text[text.rfind('\n', 0, match.start()) + 1:match.start()]
    options = [] if blank else list(filter(None, (
                option.strip() for option in source.strip('[]').split('|'))))
    return Pick(match.start(), match.end(), source, options,
        blank and blank['unit'].strip(), line.strip())


def check(text):
    """Return what is wrong with the brackets of a template.

    The codes are ``unbalanced``, ``nested`` and ``empty`` (an option without a
    text).

    :param str text: a text or None
    :rtype: list of Flaw
    """
    return [
        Flaw(code, number, excerpt)
        for number, line in enumerate((text or '').split('\n'), 1)
        for code, excerpt in _flaws(line)]


def _flaws(line):
    """Yield code and place of what is wrong in a line."""
    begin = None
    for at, sign in enumerate(line):
        if sign == '[' and begin is not None:
            yield 'nested', line[begin:at + 20]
        elif sign == ']' and begin is None:
            yield 'unbalanced', line[max(at - 20, 0):at + 1]
        elif sign == ']':
            inside = line[begin + 1:at]
            if '|' in inside and not all(map(str.strip, inside.split('|'))):
                yield 'empty', line[begin:at + 1]
        begin = {'[': at, ']': None}.get(sign, begin)
    if begin is not None:
        yield 'unbalanced', line[begin:begin + 40]


def fill(text, chosen):
    """Return a text with its pick lists resolved.

    :param dict chosen: texts by number of the pick list in `find`
    :rtype: str
    """
    parts, last = [], 0
    for number, pick in enumerate(find(text)):
        if chosen.get(number):
            unit = f' {pick.unit}' if pick.unit else ''
            parts += [text[last:pick.start], chosen[number] + unit]
            last = pick.end
    return ''.join([*parts, (text or '')[last:]])


def is_number(value):
    """Return whether a text is a number, a range or a product of numbers, such
    as "3.5", "3-5" or "3 x 4"."""
    number = r'[-+<>≤≥~]?\s*\d+(?:[.,]\d+)?'
    return bool(re.fullmatch(
            fr'\s*{number}(?:\s*[-–x×/]\s*{number})*\s*', value))


def choice(options):
    """Return the pick list of some texts, a single one as it is.

    Brackets and bars of the texts become others that mean nothing.

    :param options: list of str
    :rtype: str
    """
    options = list(filter(None, dict.fromkeys(
                plain(option).replace('|', '/') for option in options)))
    return f"[{'|'.join(options)}]" if options[1:] else ''.join(options)


def plain(text):
    """Return a text on one line in which nothing is a pick list."""
    return ' '.join(text.replace('[', '(').replace(']', ')').split())
