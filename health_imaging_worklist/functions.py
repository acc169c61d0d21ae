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

def _calculate(sign, function):
    def calculate(state, left, right):
        if isinstance(left, NUMBERS) and isinstance(right, NUMBERS):
            return function(left, right)
        raise EvaluationError(
            'operands', left=kind(left), sign=sign, right=kind(right))
    return calculate


def _add(state, left, right):
    if isinstance(left, str) and isinstance(right, str):
        state.spend(len(left) + len(right))
        return left + right
    if isinstance(left, Items) and isinstance(right, Items):
        return state.collect(left + right)
    if isinstance(right, dt.timedelta):
        return left + right
    return _calculate('+', operator.add)(state, left, right)


def _subtract(state, left, right):
    if isinstance(left, dt.date):
        return left - right
    return _calculate('-', operator.sub)(state, left, right)


def _multiply(state, left, right):
    text, times = (left, right) if isinstance(left, str) else (right, left)
    if isinstance(text, str) and isinstance(times, int):
        state.spend(len(text) * times)
        return text * times
    return _calculate('*', operator.mul)(state, left, right)


def _modulo(state, left, right):
    if isinstance(left, str):
        return _format(state, left, right)
    return _calculate('%', operator.mod)(state, left, right)


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


def _value_of(state, name, default=None):
    try:
        return state.look_up(name)
    except KeyError:
        return state.fetch(name) if name in state.variables else default


def _str(state, value=''):
    if not isinstance(value, SCALARS):
        raise ForbiddenError('forbidden_value', kind=kind(value))
    return value if isinstance(value, str) else state.count(str(value))


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


def _extreme(function):
    def extreme(state, *values, default=_MISSING):
        if len(values) == 1:
            values = tuple(sequence(values[0]))
        if not values and default is not _MISSING:
            return default
        return function(map(comparable, values))
    return extreme


def _numeric(value, *digits):
    if not isinstance(value, (*NUMBERS, dt.timedelta)):
        raise EvaluationError('not_number', kind=kind(value))
    if any(abs(count or 0) > 30 for count in digits):
        raise LimitError('limit_number')
    return (value, *digits)


def _sum(state, values, start=0):
    return number(sum(
            (_numeric(item)[0] for item in sequence(values)),
            *_numeric(start)))


FUNCTIONS = {
    'abs': lambda state, value: abs(*_numeric(value)),
    'all': lambda state, values: all(sequence(values)),
    'any': lambda state, values: any(sequence(values)),
    'bool': lambda state, value=False: bool(value),
    'defined': lambda state, name: _value_of(
        state, name, _MISSING) is not _MISSING,
    'enumerate': lambda state, values, start=0: state.collect(
        map(state.collect, enumerate(sequence(values), start))),
    'float': _to_number(float),
    'int': _to_number(int),
    'len': lambda state, value: len(sequence(value)),
    'list': lambda state, values=(): state.collect(sequence(values)),
    'max': _extreme(max),
    'min': _extreme(min),
    'range': _range,
    'reversed': lambda state, values: state.collect(
        tuple(sequence(values))[::-1]),
    'round': lambda state, *args: round(*_numeric(*args)),
    'sorted': lambda state, values, reverse=False: state.collect(sorted(
            map(comparable, sequence(values)), reverse=bool(reverse))),
    'str': _str,
    'sum': _sum,
    'tuple': lambda state, values=(): state.collect(sequence(values)),
    'value_of': _value_of,
    'zip': lambda state, *values: state.collect(
        map(state.collect, zip(*map(sequence, values)))),
    }


# Methods and fields

# In the worst case these compare each character of one text with each of the
# other.
_SLOW = {
    'lstrip', 'rfind', 'rindex', 'rpartition', 'rsplit', 'rstrip', 'strip'}


def _text_method(name, size=None):
    """Return the function of a method of texts.

    :param size: function of its arguments that returns how many characters
        it may make, where these are more than the text has
    """
    method = getattr(str, name)

    def call(state, *args, **kwargs):
        if name in _SLOW and any(
                isinstance(arg, str) and len(arg) > _MAX_NEEDLE
                for arg in [*args[1:], *kwargs.values()]):
            raise LimitError('limit_text')
        if size:
            state.spend(size(*args))
        return state.count(method(*args, **kwargs))
    return call


def _padded(text, width, *fill):
    return width


def _replaced(text, old, new, count=-1):
    return len(text) + text.count(old) * max(len(new) - len(old), 0)


def _joined(text, values):
    for item in values:
        if not isinstance(item, str):
            raise EvaluationError('not_text', kind=kind(item))
    return sum(map(len, values)) + len(text) * len(values)


_DIRECTIVE_OF_DATE = re.compile('%(?![-_0^#]?[A-Za-z%])')


def _strftime(state, value, format_):
    if len(format_) > _MAX_WIDTH or _DIRECTIVE_OF_DATE.search(format_):
        raise EvaluationError('format')
    return state.count(clean(value.strftime(format_), lines=True))


def _methods(names):
    """Return the functions of methods that make little, by name."""
    return {
        name: lambda state, value, *args, name=name, **kwargs:
        getattr(value, name)(*args, **kwargs) for name in names.split()}


_DATE_METHODS = {
    'strftime': _strftime, **_methods('isoformat isoweekday replace weekday')}
METHODS = {
    str: {
        'join': _text_method('join', _joined),
        'replace': _text_method('replace', _replaced),
        **{name: _text_method(name, _padded)
            for name in ['center', 'ljust', 'rjust', 'zfill']},
        **{name: _text_method(name) for name in (
                'capitalize casefold count endswith find index isalnum '
                'isalpha isascii isdecimal isdigit islower isnumeric isspace '
                'istitle isupper lower lstrip partition removeprefix '
                'removesuffix rfind rindex rpartition rsplit rstrip split '
                'splitlines startswith strip swapcase title upper').split()},
        },
    Map: {
        'get': lambda state, value, key, default=None: value.get(
            key, default),
        'items': lambda state, value: state.collect(
            map(state.collect, value.items())),
        'keys': lambda state, value: state.collect(value),
        'values': lambda state, value: state.collect(value.values()),
        },
    dt.date: _DATE_METHODS,
    dt.datetime: {**_DATE_METHODS, **_methods('date time')},
    dt.time: {'strftime': _strftime, **_methods('isoformat replace')},
    dt.timedelta: _methods('total_seconds'),
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
