# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Direction of texts, from left or from right (Unicode Standard Annex 9)."""
import re
import unicodedata

# FIRST STRONG ISOLATE, POP DIRECTIONAL ISOLATE
_BEGIN, _END = '\u2068', '\u2069'
_CONTROLS = re.compile('[\u202a-\u202e\u2066-\u2069]')


def plain(text):
    """Return a text without characters that change the direction of others.

    With such a character a name is displayed as another name.

    :param str text: a text or None
    :return: the text without U+202A to U+202E and U+2066 to U+2069
    """
    return _CONTROLS.sub('', text) if text else text


def runs_from_right(text, default=False):
    """Return whether the first letter of a line is written from the right.

    :param bool default: the answer for a line without letters
    """
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        if kind in {'L', 'R', 'AL'}:
            return kind != 'L'
    return default


def isolated(text):
    """Return a text that does not change the order of its neighbours.

    Behind an Arabic letter, a number with dashes (a date, the ID of a patient)
    is displayed with its last part first.

    :param str text: a text or None
    :return: text between U+2068 and U+2069 when it has letters written from
        the right
    """
    text = plain(text)
    if any(unicodedata.bidirectional(letter) in {'R', 'AL'}
            for letter in text or ''):
        return keep_direction(text)
    return text


def keep_direction(text):
    """Return a text between U+2068 and U+2069, or None."""
    text = plain(text)
    return f'{_BEGIN}{text}{_END}' if text else text
