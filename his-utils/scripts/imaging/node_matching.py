# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entries fit to the query of a modality, and what is answered (PS3.4
sections C.2.2.2 and K.6.1).

- An empty key, an empty sequence, or ``*`` alone fits to everything.
- ``*`` and ``?`` stand for signs, but not in UIDs, dates and times.
- Names are compared without case and accents, in each of their three groups,
  and empty components at the end do not count.  All else is exact.
- A list of values fits when one of them does.
- Dates and times are a value or a range, also with one end.  A time without
  seconds is the whole minute.  A range of dates and a range of times are one
  range from the first to the last moment; a range of times that ends before
  it begins is over midnight.
- Dates and times of the step are read in the time zone of the query, if that
  and the entry name one.
- A key that an entry does not have is answered empty, and fits when empty.
  Numbers, private keys, and the level of a query and retrieve are not
  compared.
"""
import datetime as dt
import re
import unicodedata
from functools import lru_cache

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag

CHARSET, TIMEZONE = Tag(0x0008, 0x0005), Tag(0x0008, 0x0201)
STEPS = Tag(0x0040, 0x0100)
LEVEL = Tag(0x0008, 0x0052)
START_DATE, START_TIME = Tag(0x0040, 0x0002), Tag(0x0040, 0x0003)

#: The most elements of a query, with those of its items.
MOST_KEYS = 500
_WILD = frozenset(['AE', 'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UR', 'UT', 'CS'])
# All else is not compared: some clients send the number 0 for an empty key.
_COMPARED = _WILD | {'AS', 'DA', 'TM', 'UI'}
_FIRST, _LAST = '', '\uffff'


class QueryError(Exception):
    """A query cannot be understood.

    :param tag: the attribute that cannot, None when it is the whole
    """

    def __init__(self, tag=None):
        super().__init__(tag)
        self.tag = tag


class Query:
    """What a modality asks for.

    :param identifier: pydicom Dataset
    :raises QueryError: it cannot be understood
    """

    def __init__(self, identifier):
        count = 0
        try:
            for _ in identifier.iterall():
                count += 1
                if count > MOST_KEYS:
                    raise QueryError
        except QueryError:
            raise
        except Exception:
            # Whatever pydicom raises for what a stranger sends.
            raise QueryError from None
        zone = identifier.get(TIMEZONE)
        self._offset = offset(zone.value if zone else None)
        self._keys = _Keys(identifier)

    def answer(self, entry):
        """Return the answer for an entry, None when it does not fit.

        :param entry: pydicom Dataset, all its elements decoded
        """
        shift = 0
        if self._offset is not None:
            zone = entry.get_item(TIMEZONE)
            own = offset(zone.value if zone else None)
            shift = 0 if own is None else self._offset - own
        if not self._keys.fit(entry, shift):
            return None
        answer = self._keys.pick(entry, shift)
        for tag in (CHARSET, TIMEZONE):
            # PS3.4 C.4.1.1.3.2: how the answer is to be read.
            element = entry.get_item(tag)
            if element is not None:
                answer[tag] = element
            else:
                answer.pop(tag, None)
        return answer


class _Keys:
    "The keys of a data set or an item, and the tests of their values."

    def __init__(self, dataset):
        self.wanted, self._tests = [], []
        self._dates = self._times = None
        for element in dataset:
            tag, vr = element.tag, element.VR
            if tag.element == 0 or tag.group < 8:
                continue
            inner = None
            if vr == 'SQ':
                inner = self._inner(element)
                if inner and inner.is_choosing:
                    self._tests.append((tag, inner))
            elif not tag.is_private and tag not in (CHARSET, TIMEZONE, LEVEL):
                self._add_test(tag, vr, element)
            self.wanted.append((tag, vr, inner))

    @staticmethod
    def _inner(element):
        "Return the keys of a sequence, None for the whole of it."
        if not element.value:
            return None
        if len(element.value) > 1:
            raise QueryError(element.tag)
        inner = _Keys(element.value[0])
        return inner if inner.wanted else None

    def _add_test(self, tag, vr, element):
        texts = [text for text in texts_of(element) if text.strip(' \0')]
        if not texts or all(not text.strip('* ') for text in texts):
            return
        try:
            if tag in (START_DATE, START_TIME) and len(texts) > 1:
                raise QueryError
            if tag == START_DATE:
                self._dates = date_range(texts[0])
            elif tag == START_TIME:
                self._times = time_range(texts[0])
            elif vr in _COMPARED:
                self._tests.append((tag, _make_test(vr, texts)))
        except (QueryError, ValueError):
            raise QueryError(tag) from None

    @property
    def is_choosing(self):
        "Whether there is an item that does not fit."
        return bool(self._tests or self._dates or self._times)

    def fit(self, dataset, shift):
        "Return whether a data set or an item has what is asked for."
        for tag, test in self._tests:
            element = dataset.get_item(tag)
            if isinstance(test, _Keys):
                if element is None or not any(
                        test.fit(item, shift) for item in element.value):
                    return False
            elif element is None or not any(map(test, texts_of(element))):
                return False
        return not (self._dates or self._times) or fits_moment(
            moment(dataset, shift), self._dates, self._times)

    def pick(self, dataset, shift):
        "Return what is asked for of a data set or an item that fits."
        picked = Dataset()
        for tag, vr, inner in self.wanted:
            element = dataset.get_item(tag)
            if element is None:
                element = DataElement(tag, vr, None if vr != 'SQ' else [])
            elif inner is not None:
                element = DataElement(tag, 'SQ', Sequence([
                            inner.pick(item, shift) for item in element.value
                            if inner.fit(item, shift)]))
            picked[tag] = element
        return picked


def texts_of(element):
    "Return the values of an element that is no sequence, list of str."
    value = element.value
    if value is None or value == '':
        return []
    if isinstance(value, (list, MultiValue)):
        return list(map(str, value))
    return [str(value)]


def _make_test(vr, texts):
    "Return a function of a value that tells whether one of the texts fits."
    if vr == 'PN':
        tests = list(map(_name_test, texts))
    elif vr in {'DA', 'TM'}:
        parse = date_range if vr == 'DA' else time_range
        tests = [_range_test(parse(text), parse) for text in texts]
    else:
        tests = [
            _wild_test(text.strip(' \0')) if vr in _WILD
            else text.strip(' \0').__eq__ for text in texts]
    if len(tests) == 1:
        return tests[0]
    return lambda value: any(test(value) for test in tests)


def _wild(text):
    return re.compile(
        ''.join({'*': '.*', '?': '.'}.get(c) or re.escape(c)
            for c in re.sub(r'\*+', '*', text)), re.DOTALL)


def _wild_test(text):
    if '*' not in text and '?' not in text:
        return lambda value: value.strip(' \0') == text
    fits = _wild(text).fullmatch
    return lambda value: bool(fits(value.strip(' \0')))


# Names

@lru_cache(maxsize=2 ** 15)
def plain_name(text):
    """Return the groups of a name (PN) as they are compared, tuple of str:
    without case, accents, and empty components at the end."""
    text = ''.join(
        c for c in unicodedata.normalize('NFKD', text)
        if not unicodedata.combining(c)).casefold()
    return tuple(
        '^'.join(' '.join(part.split()) for part in group.split('^')
            ).rstrip('^') for group in text.split('='))


def _name_test(text):
    groups = [_group_test(group) for group in plain_name(text)]
    if len(groups) == 1:
        return lambda value: any(map(groups[0], plain_name(value)))

    def fits(value):
        names = plain_name(value)
        names += ('',) * (len(groups) - len(names))
        return all(map(lambda test, name: test(name), groups, names))
    return fits


def _group_test(text):
    if not text.strip('*'):
        return lambda name: True
    # "Doe^*" is also for who has no given name.
    start = text
    while start.endswith('^*'):
        start = start[:-2]
    more = r'(?:\^.*)?' if start != text else ''
    return re.compile(_wild(start).pattern + more, re.DOTALL).fullmatch


# Dates and times

def date_range(text):
    """Return the first and last day of a key as DA, which may be open, and
    whether it is a range.

    :raises ValueError: it is none
    """
    return _range(text, _day, _day)


def time_range(text):
    """Return the first and last moment of a key as texts that compare, and
    whether it is a range; see `date_range`."""
    return _range(
        text, lambda part: _clock(part, '000000', '000000'),
        lambda part: _clock(part, '235959', '999999'))


def _range(text, low, high):
    first, dash, last = text.strip(' \0').partition('-')
    if not dash:
        return low(first), high(first), False
    first, last = first.strip(), last.strip()
    return (low(first) if first else _FIRST, high(last) if last else _LAST,
        True)


def _day(text):
    # ACR-NEMA had dots.
    digits = text.strip().replace('.', '')
    dt.datetime.strptime(digits, '%Y%m%d')
    if len(digits) != 8:
        raise ValueError(text)
    return digits


def _clock(text, rest, fraction):
    digits, dot, part = text.strip().replace(':', '').partition('.')
    if not re.fullmatch(
            r'([01]\d|2[0-3])([0-5]\d([0-5]\d|60)?)?', digits, re.ASCII) or (
            dot and not re.fullmatch(r'\d{1,6}', part, re.ASCII)):
        raise ValueError(text)
    return f'{digits}{rest[len(digits):]}.{(part + fraction)[:6]}'


def _range_test(wanted, parse):
    first, last, _ = wanted
    wraps = parse is time_range and first > last

    def fits(value):
        try:
            value = parse(value)[0]
        except ValueError:
            return False
        if wraps:
            return value >= first or value <= last
        return first <= value <= last
    return fits


def offset(text):
    "Return the minutes of TimezoneOffsetFromUTC (SH), None for none."
    match = re.fullmatch(
        r'([+-])(\d\d):?(\d\d)', str(text or '').strip(), re.ASCII)
    if not match:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    return -minutes if match[1] == '-' else minutes


def moment(step, shift=0):
    """Return the day and time at which a step begins, as texts that compare,
    empty when it has none.

    :param step: item of ScheduledProcedureStepSequence
    :param int shift: minutes to add, for another time zone
    """
    found = []
    for tag, parse in [(START_DATE, date_range), (START_TIME, time_range)]:
        element = step.get_item(tag)
        try:
            found.append(parse(texts_of(element)[0])[0])
        except (AttributeError, IndexError, ValueError):
            found.append('')
    day, clock = found
    if shift and day and clock:
        # A leap second has no other time zone.
        at = dt.datetime.strptime(
            f'{day}{clock}'.replace('60.', '59.'), '%Y%m%d%H%M%S.%f')
        day, clock = (at + dt.timedelta(minutes=shift)).strftime(
            '%Y%m%d %H%M%S.%f').split()
    return day, clock


def fits_moment(at, days, clocks):
    """Return whether a day and time is in ranges.

    :param at: as `moment` returns it
    :param days, clocks: as `date_range` and `time_range` return them, or None
    """
    day, clock = at
    if days and not day or clocks and not clock:
        return False
    if not clocks:
        return days[0] <= day <= days[1]
    first, last, is_range = clocks
    if days and is_range and days[0] != days[1]:
        return (days[0], first) <= at <= (days[1], last)
    if first <= last:
        return first <= clock <= last and (
            not days or days[0] <= day <= days[1])
    if not days:
        return clock >= first or clock <= last
    return (days[0], first) <= at <= (_next_day(days[0]), last)


@lru_cache(maxsize=100)
def _next_day(day):
    return (dt.datetime.strptime(day, '%Y%m%d') + dt.timedelta(days=1)
        ).strftime('%Y%m%d')
