# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What expressions of worklist templates can do: operators, functions, the
methods and fields of values. Each function gets the state first, and counts
what it makes before it makes it."""
import ast
import datetime as dt
import operator
import re
from decimal import Decimal

from .attributes import clean
from .reasons import EvaluationError, ForbiddenError, LimitError
from .values import NUMBERS, Items, Map, admit, number, unmark
from .view import SCALARS, FieldError, RecordView

_MAX_WIDTH = 200
_MAX_NEEDLE = 1_000
_MISSING = object()

_KINDS = {
    str: 'text', bool: 'boolean', int: 'number', float: 'number',
    Decimal: 'number', Items: 'list', Map: 'dictionary',
    type(None): 'nothing', dt.date: 'date', dt.datetime: 'datetime',
    dt.time: 'time', dt.timedelta: 'timedelta', RecordView: 'record',
    }


def kind(value):
    """Return what a value is, among `reasons.KINDS`."""
    return _KINDS.get(type(value), 'other')


# Operators

def _add(state, left, right):
    if isinstance(left, str) and isinstance(right, str):
        state.spend(len(left) + len(right))
        return left + right
    if isinstance(left, Items) and isinstance(right, Items):
        return state.collect(left + right)
    if _are_numbers(left, right) or isinstance(right, dt.timedelta):
        return left + right
    raise _unsupported('+', left, right)


def _subtract(state, left, right):
    if _are_numbers(left, right) or isinstance(left, dt.date):
        return left - right
    raise _unsupported('-', left, right)


def _multiply(state, left, right):
    if isinstance(left, str) != isinstance(right, str):
        text, times = (left, right) if isinstance(left, str) else (
            right, left)
        if isinstance(times, int):
            state.spend(len(text) * times)
            return text * times
    if _are_numbers(left, right):
        return left * right
    raise _unsupported('*', left, right)


def _modulo(state, left, right):
    if isinstance(left, str):
        return _format(state, left, right)
    return _calculate('%', operator.mod)(state, left, right)


def _calculate(sign, function):
    def calculate(state, left, right):
        if _are_numbers(left, right):
            return function(left, right)
        raise _unsupported(sign, left, right)
    return calculate


def _are_numbers(left, right):
    return isinstance(left, NUMBERS) and isinstance(right, NUMBERS)


def _unsupported(sign, left, right):
    return EvaluationError(
        'operands', left=kind(left), sign=sign, right=kind(right))


_CONVERSION = re.compile(
    r'%(?:\((\w{1,60})\))?[-0 +]{0,4}(\d{0,4})(?:\.(\d{0,4}))?'
    '[sdiufFeEgGxX%]')


def _format(state, text, values):
    # Each conversion for itself: what is between may be marked.
    plain, end, parts = unmark(text), 0, []
    positional = iter(values if isinstance(values, Items) else [values])
    for found in _CONVERSION.finditer(plain):
        parts += (text[end:found.start()], _convert(
                found, values, positional))
        end = found.end()
        state.spend(len(parts[-1]))
    if '%' in _CONVERSION.sub('', plain):
        raise EvaluationError('format')
    if not isinstance(values, Map) and next(positional, None) is not None:
        raise TypeError("not all arguments converted")
    state.spend(sum(map(len, parts)) + len(text))
    return ''.join([*parts, text[end:]])


def _convert(found, values, positional):
    """Return the text of one conversion."""
    if found[0] == '%%':
        return '%'
    if max(int(found[2] or 0), int(found[3] or 0)) > _MAX_WIDTH:
        raise LimitError('limit_text')
    try:
        value = values[found[1]] if found[1] else next(positional)
    except StopIteration:
        raise TypeError("not enough arguments for format string") from None
    if not isinstance(value, SCALARS):
        raise ForbiddenError('forbidden_value', kind=kind(value))
    return found[0] % ({found[1]: value} if found[1] else (value,))


BINARY = {
    ast.Add: _add,
    ast.Sub: _subtract,
    ast.Mult: _multiply,
    ast.Div: _calculate('/', operator.truediv),
    ast.FloorDiv: _calculate('//', operator.floordiv),
    ast.Mod: _modulo,
    }
UNARY = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    }
COMPARE = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    }


def comparable(value):
    """Return a value that is no list of lists.

    :raises EvaluationError: it is one
    """
    if isinstance(value, (Items, Map)) and any(
            isinstance(item, (Items, Map)) for item in value):
        raise EvaluationError('not_comparable', kind=kind(value))
    return value


# Functions

def sequence(value):
    """Return what a loop can go through.

    :raises EvaluationError: it is no list
    """
    if isinstance(value, (str, Items, Map)):
        return value
    if value is None:
        return ()
    raise EvaluationError('not_list', kind=kind(value))


def _collecting(function):
    def collect(state, *args, **kwargs):
        return state.collect(function(*map(sequence, args), **kwargs))
    return collect


def _enumerate(state, values, start=0):
    return state.collect(
        state.collect(pair) for pair in enumerate(sequence(values), start))


def _zip(state, *values):
    return state.collect(
        state.collect(row) for row in zip(*map(sequence, values)))


def _defined(state, name):
    return _value_of(state, name, _MISSING) is not _MISSING


def _value_of(state, name, default=None):
    try:
        return state.look_up(name)
    except KeyError:
        return state.fetch(name) if name in state.variables else default


def _str(state, value=''):
    if not isinstance(value, SCALARS):
        raise ForbiddenError('forbidden_value', kind=kind(value))
    return value if isinstance(value, str) else state.count(str(value))


def _len(state, value):
    if value is None:
        raise EvaluationError('not_list', kind=kind(value))
    return len(sequence(value))


def _to_number(convert):
    def convert_(state, value=0):
        if isinstance(value, str) and len(value) > 40:
            raise LimitError('limit_number')
        return number(convert(value))
    return convert_


def _range(state, *values):
    numbers = range(*values)
    state.spend(len(numbers))
    return state.collect(numbers)


def _sorted(state, values, reverse=False):
    return state.collect(sorted(
            map(comparable, sequence(values)), reverse=bool(reverse)))


def _extreme(function):
    def extreme(state, *values, default=_MISSING):
        if len(values) == 1:
            values = tuple(sequence(values[0]))
        if not values and default is not _MISSING:
            return default
        return function(map(comparable, values))
    return extreme


def _numeric(function):
    def numeric(state, value, *args):
        if not isinstance(value, (*NUMBERS, dt.timedelta)):
            raise EvaluationError('not_number', kind=kind(value))
        if any(abs(digits or 0) > 30 for digits in args):
            raise LimitError('limit_number')
        return function(value, *args)
    return numeric


def _sum(state, values, start=0):
    for item in [*sequence(values), start]:
        if not isinstance(item, NUMBERS):
            raise EvaluationError('not_number', kind=kind(item))
    return number(sum(values or (), start))


FUNCTIONS = {
    'abs': _numeric(abs),
    'all': lambda state, values: all(sequence(values)),
    'any': lambda state, values: any(sequence(values)),
    'bool': lambda state, value=False: bool(value),
    'defined': _defined,
    'enumerate': _enumerate,
    'float': _to_number(float),
    'int': _to_number(int),
    'len': _len,
    'list': _collecting(tuple),
    'max': _extreme(max),
    'min': _extreme(min),
    'range': _range,
    'reversed': _collecting(lambda values: tuple(values)[::-1]),
    'round': _numeric(round),
    'sorted': _sorted,
    'str': _str,
    'sum': _sum,
    'tuple': _collecting(tuple),
    'value_of': _value_of,
    'zip': _zip,
    }


# Methods and fields

# In the worst case these compare each character of one text with each of the
# other.
_SLOW = {
    'lstrip', 'rfind', 'rindex', 'rpartition', 'rsplit', 'rstrip', 'strip'}


def _text_method(name):
    method = getattr(str, name)

    def call(state, text, *args, **kwargs):
        if name in _SLOW and any(
                isinstance(arg, str) and len(arg) > _MAX_NEEDLE
                for arg in [*args, *kwargs.values()]):
            raise LimitError('limit_text')
        return state.count(method(text, *args, **kwargs))
    return call


def _padding_method(name):
    method = getattr(str, name)

    def call(state, text, width, *fill):
        state.spend(width)
        return method(text, width, *fill)
    return call


def _replace(state, text, old, new, count=-1):
    found = text.count(old) if count < 0 else min(count, text.count(old))
    state.spend(len(text) + found * max(len(new) - len(old), 0))
    return text.replace(old, new, count)


def _join(state, text, values):
    values = tuple(sequence(values))
    for item in values:
        if not isinstance(item, str):
            raise EvaluationError('not_text', kind=kind(item))
    state.spend(sum(map(len, values)) + len(text) * len(values))
    return text.join(values)


_DIRECTIVE_OF_DATE = re.compile('%(?![-_0^#]?[A-Za-z%])')


def _strftime(state, value, format_):
    if len(format_) > _MAX_WIDTH or _DIRECTIVE_OF_DATE.search(format_):
        raise EvaluationError('format')
    return state.count(clean(value.strftime(format_), lines=True))


def _date_method(name):
    def call(state, value, *args, **kwargs):
        return getattr(value, name)(*args, **kwargs)
    return call


_DATE_METHODS = {
    'strftime': _strftime,
    **{name: _date_method(name)
        for name in ['isoformat', 'isoweekday', 'replace', 'weekday']},
    }
METHODS = {
    str: {
        'join': _join,
        'replace': _replace,
        **{name: _padding_method(name)
            for name in ['center', 'ljust', 'rjust', 'zfill']},
        **{name: _text_method(name) for name in [
                'capitalize', 'casefold', 'count', 'endswith', 'find',
                'index', 'isalnum', 'isalpha', 'isascii', 'isdecimal',
                'isdigit', 'islower', 'isnumeric', 'isspace', 'istitle',
                'isupper', 'lower', 'lstrip', 'partition', 'removeprefix',
                'removesuffix', 'rfind', 'rindex', 'rpartition', 'rsplit',
                'rstrip', 'split', 'splitlines', 'startswith', 'strip',
                'swapcase', 'title', 'upper']},
        },
    Map: {
        'get': lambda state, value, key, default=None: value.get(
            key, default),
        'items': lambda state, value: _zip(state, value, state.collect(
                value.values())),
        'keys': lambda state, value: state.collect(value),
        'values': lambda state, value: state.collect(value.values()),
        },
    dt.date: _DATE_METHODS,
    dt.datetime: {
        **_DATE_METHODS,
        'date': _date_method('date'),
        'time': _date_method('time'),
        },
    dt.time: {
        name: _DATE_METHODS[name]
        for name in ['isoformat', 'replace', 'strftime']},
    dt.timedelta: {'total_seconds': _date_method('total_seconds')},
    }
_DATE_FIELDS = {'year', 'month', 'day'}
_TIME_FIELDS = {'hour', 'minute', 'second', 'microsecond'}
FIELDS = {
    dt.date: _DATE_FIELDS,
    dt.datetime: _DATE_FIELDS | _TIME_FIELDS,
    dt.time: _TIME_FIELDS,
    dt.timedelta: {'days', 'seconds'},
    }


def method(value, name):
    """Return the function that the method of a value is."""
    methods = METHODS.get(type(value), {})
    if name in methods:
        return methods[name]
    if value is None:
        raise EvaluationError('no_value', name=name)
    raise ForbiddenError('forbidden_method', name=name, kind=kind(value))


def attribute(state, value, name):
    """Return the field of a record or date, or what a dictionary has."""
    if type(value) is RecordView:
        try:
            return admit(getattr(value, name), state.marking)
        except FieldError as error:
            raise ForbiddenError(
                'field', name=name, model=error.model) from None
    if value is None:
        raise EvaluationError('no_value', name=name)
    if isinstance(value, Map) and name in value:
        return value[name]
    if name in FIELDS.get(type(value), ()):
        return getattr(value, name)
    raise ForbiddenError('forbidden_attribute', name=name, kind=kind(value))


def item(state, value, key):
    """Return what a list, a text or a dictionary has at a place."""
    if isinstance(key, str) and type(value) is RecordView:
        return attribute(state, value, key)
    if isinstance(value, (str, Items, Map)):
        return value[key]
    raise ForbiddenError('forbidden_attribute', name=key, kind=kind(value))
