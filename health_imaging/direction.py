# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way texts run, and how they keep it beside texts that run the other
way (Unicode Standard Annex 9)."""
import re
import unicodedata

# FIRST STRONG ISOLATE, POP DIRECTIONAL ISOLATE
_BEGIN, _END = '\u2068', '\u2069'
_CONTROLS = re.compile('[\u202a-\u202e\u2066-\u2069]')


def plain(text):
    """Return a text without the characters that turn around what stands
    beside them: a name with one of them reads as another name."""
    return _CONTROLS.sub('', text) if text else text


def runs_from_right(text, default=False):
    """Return whether the first letter of a text is of such a script, the
    default when it has no letter.

    :param str text: a line
    """
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        if kind in {'L', 'R', 'AL'}:
            return kind != 'L'
    return default


def isolated(text):
    """Return a text so that it does not turn around what stands beside it.

    Behind an Arabic letter a number with dashes is read from its last part,
    be it a date or the id of a patient.
    """
    text = plain(text)
    if any(unicodedata.bidirectional(letter) in {'R', 'AL'}
            for letter in text or ''):
        return keep_direction(text)
    return text


def keep_direction(text):
    "Return a text that no text around it turns around."
    text = plain(text)
    return f'{_BEGIN}{text}{_END}' if text else text
