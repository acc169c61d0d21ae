# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short codes in texts, such as ``.nsf``, which stand for longer texts."""
import re

# A code: a dot and a word that begins with a letter.  It stands alone: after a
# blank or what opens, and before no further word.
_WORD = re.compile(
    r'(?<![^\s(\[|"\'«“„:/])(\.[^\W\d_][\w-]*)(?![\w-]|\.\w)(\.?)')


def codes(text):
    """Return what may be codes in a text, in lower case.

    :param str text: a text or None
    :rtype: set of str
    """
    return {match.group(1).lower() for match in _WORD.finditer(text or '')}


def expand(text, macros):
    """Return a text with its codes replaced.

    What a macro brings is not searched for codes again.

    :param str text: a text or None
    :param dict macros: texts by code in lower case
    :rtype: str
    """
    def replaced(match):
        text = macros.get(match.group(1).lower())
        if text is None:
            return match.group()
        # The sentence ends once.
        return text + ('' if text.endswith('.') else match.group(2))
    return _WORD.sub(replaced, text) if text else text
