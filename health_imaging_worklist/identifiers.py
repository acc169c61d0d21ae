# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accession numbers and step ids: the numbers of orders and requests where
these are correct SH values (PS3.5 table 6.2-1), short ones of their own
else."""
import hashlib

from .attributes import is_identifier

# Letters and digits that are not mistaken for each other on a console.
_LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
_LENGTH = 12


def choose(numbers, others):
    """Return an identifier (SH) for each number, a dict.

    The same number gets the same identifier wherever it is asked for, so that
    orders that several write at once need not know of each other.

    :param numbers: texts; what has no number is named by a text with a
        control character, which is no correct value
    :param others: function of a dict of identifiers by number that returns
        those of its numbers whose identifier belongs to something else
    """
    chosen, attempt = {}, 0
    numbers = set(numbers)
    while numbers:
        wishes = {n: _wish(n, attempt) for n in numbers}
        numbers = _repeated(wishes) | set(others(wishes))
        chosen.update(
            (n, wish) for n, wish in wishes.items() if n not in numbers)
        attempt += 1
    return chosen


def _repeated(wishes):
    "Return the numbers that wish what another one is called."
    return {n for n, wish in wishes.items() if wish != n and wish in wishes}


def _wish(number, attempt):
    if not attempt and is_identifier(number):
        return number
    text = f'{attempt}\0{number}'.encode('utf-8', 'surrogatepass')
    value = int.from_bytes(hashlib.sha256(text).digest(), 'big')
    letters = (
        _LETTERS[value >> 5 * place & 31] for place in range(_LENGTH))
    return 'N-' + ''.join(letters)
