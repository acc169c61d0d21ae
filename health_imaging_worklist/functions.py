# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What expressions of worklist templates can do: operators, functions, the
methods and fields of values.  What can make much more than it gets is bounded
before it does; what was made is counted where it is called."""
import ast
import datetime as dt
import operator
import re
from decimal import Decimal

from .attributes import clean
from .reasons import EvaluationError, ForbiddenError, LimitError
from .values import NUMBERS, Items, Map, admit, bounded, unmark
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
    """Return what a value is, the code of a message ``msg_kind_<code>``."""
    return _KINDS.get(type(value), 'other')


# Operators

def _operator(sign, function, *pairs):
    """Return the function of an operator for numbers and pairs of types."""
    def operate(left, right):
        for types in [(NUMBERS, NUMBERS), *pairs]:
            if all(map(isinstance, (left, right), types)):
                return function(left, right)
        raise EvaluationError(
            'operands', left=kind(left), sign=sign, right=kind(right))
    return operate


def _multiply(left, right):
    for text, times in [(left, right), (right, left)]:
        if isinstance(text, str):
            bounded(len(text) * times)
    return left * right


def _modulo(left, right):
    return _format(left, right) if isinstance(left, str) else left % right


_CONVERSION = re.compile(
    r'%(?:\((\w{1,60})\))?[-0 +]{0,4}(\d{0,4})(?:\.(\d{0,4}))?'
    '[sdiufFeEgGxX%]')


def _format(text, values):
    # Each conversion for itself: what is between may be marked.
    plain, end, parts, size = unmark(text), 0, [], len(text)
    positional = iter(values if isinstance(values, Items) else [values])
    for found in _CONVERSION.finditer(plain):
        converted = _convert(found, values, positional)
        size = bounded(size + len(converted))
        parts += (text[end:found.start()], converted)
        end = found.end()
    if '%' in _CONVERSION.sub('', plain):
        raise EvaluationError('format')
    if not isinstance(values, Map) and next(positional, None) is not None:
        raise TypeError("not all arguments converted")
    return ''.join([*parts, text[end:]])


def _convert(found, values, positional):
    if found[0] == '%%':
        return '%'
    if max(int(found[2] or 0), int(found[3] or 0)) > _MAX_WIDTH:
        raise LimitError('limit_text')
    try:
        value = values[found[1]] if found[1] else next(positional)
    except StopIteration:
        raise TypeError("not enough arguments for format string") from None
    _writable(value)
    return found[0] % ({found[1]: value} if found[1] else (value,))


BINARY = {
    ast.Add: _operator('+', operator.add, (str, str), (Items, Items),
        (object, dt.timedelta)),
    ast.Sub: _operator('-', operator.sub, (dt.date, object)),
    ast.Mult: _operator('*', _multiply, (str, int), (int, str)),
    ast.Div: _operator('/', operator.truediv),
    ast.FloorDiv: _operator('//', operator.floordiv),
    ast.Mod: _operator('%', _modulo, (str, object)),
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
    """Return a value, or raise EvaluationError for a list of lists."""
    if isinstance(value, (Items, Map)) and any(
            isinstance(item, (Items, Map)) for item in value):
        raise EvaluationError('not_comparable', kind=kind(value))
    return value


# Functions

def sequence(value):
    """Return what a loop can go through, or raise EvaluationError."""
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


def _writable(value):
    if not isinstance(value, SCALARS):
        raise ForbiddenError('forbidden_value', kind=kind(value))
    return value


def _digits(value):
    if isinstance(value, str) and len(value) > 40:
        raise LimitError('limit_number')
    return value


def _range(*values):
    numbers = range(*values)
    bounded(len(numbers))
    return tuple(numbers)


def _comparables(*values):
    return map(comparable, values if values[1:] else sequence(*values))


def _numeric(value):
    if not isinstance(value, (*NUMBERS, dt.timedelta)):
        raise EvaluationError('not_number', kind=kind(value))
    return value


def _round(value, digits=None):
    if abs(digits or 0) > 30:
        raise LimitError('limit_number')
    return round(_numeric(value), digits)


#: The functions by name; the first two get the state first.
FUNCTIONS = {
    'defined': lambda state, name: _value_of(
        state, name, _MISSING) is not _MISSING,
    'value_of': _value_of,
    'abs': lambda value: abs(_numeric(value)),
    'all': lambda values: all(sequence(values)),
    'any': lambda values: any(sequence(values)),
    'bool': lambda value=False: bool(value),
    'enumerate': lambda values, start=0: tuple(
        enumerate(sequence(values), start)),
    'float': lambda value=0: float(_digits(value)),
    'int': lambda value=0: int(_digits(value)),
    'len': lambda value: len(sequence(value)),
    'list': lambda values=(): tuple(sequence(values)),
    'max': lambda *values, **default: max(_comparables(*values), **default),
    'min': lambda *values, **default: min(_comparables(*values), **default),
    'range': _range,
    'reversed': lambda values: tuple(sequence(values))[::-1],
    'round': _round,
    'sorted': lambda values, reverse=False: sorted(
        _comparables(values), reverse=bool(reverse)),
    'str': lambda value='': str(_writable(value)),
    'sum': lambda values, start=0: sum(
        map(_numeric, sequence(values)), _numeric(start)),
    'tuple': lambda values=(): tuple(sequence(values)),
    'zip': lambda *values: tuple(zip(*map(sequence, values))),
    }


# Methods and fields

def _padded(text, width, *fill):
    bounded(width)


def _replaced(text, old, new, count=-1):
    bounded(len(text) + text.count(old) * max(len(new) - len(old), 0))


def _joined(text, values):
    for item in values:
        if not isinstance(item, str):
            raise EvaluationError('not_text', kind=kind(item))
    bounded(sum(map(len, values)) + len(text) * len(values))


def _needles(text, *needles, **more):
    # In the worst case each character is compared with each of the other.
    for needle in [*needles, *more.values()]:
        if isinstance(needle, str) and len(needle) > _MAX_NEEDLE:
            raise LimitError('limit_text')


_DIRECTIVE_OF_DATE = re.compile('%(?![-_0^#]?[A-Za-z%])')


def _formatted(value, format_):
    if len(format_) > _MAX_WIDTH or _DIRECTIVE_OF_DATE.search(format_):
        raise EvaluationError('format')


def _methods(names, check=None):
    return dict.fromkeys(names.split(), check)


_DATE_METHODS = {
    **_methods('isoformat isoweekday replace weekday'),
    'strftime': _formatted}
#: The methods by type and name, with the function of a value and arguments
#: that raises an error when these take too much.
METHODS = {
    str: {
        **_methods(
            'capitalize casefold count endswith find index isalnum isalpha '
            'isascii isdecimal isdigit islower isnumeric isspace istitle '
            'isupper lower partition removeprefix removesuffix split '
            'splitlines startswith swapcase title upper'),
        **_methods(
            'lstrip rfind rindex rpartition rsplit rstrip strip', _needles),
        **_methods('center ljust rjust zfill', _padded),
        'join': _joined,
        'replace': _replaced,
        },
    Map: _methods('get items keys values'),
    dt.date: _DATE_METHODS,
    dt.datetime: {**_DATE_METHODS, **_methods('date time')},
    dt.time: {**_methods('isoformat replace'), 'strftime': _formatted},
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


def call(name, value, *args, **kwargs):
    """Return what a method of a value does.

    :param str name: of the method
    :raises TemplateError: there is no such method, or it makes too much
    """
    methods = METHODS.get(type(value), {})
    if name not in methods:
        if value is None:
            raise EvaluationError('no_value', name=name)
        raise ForbiddenError('forbidden_method', name=name, kind=kind(value))
    if methods[name]:
        methods[name](value, *args, **kwargs)
    result = getattr(value, name)(*args, **kwargs)
    return clean(result, lines=True) if name == 'strftime' else result


def attribute(state, value, name):
    """Return the field of a record or date, or what a dictionary has.

    :raises TemplateError: there is none that is open
    """
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
    """Return what a list, a text or a dictionary has at a place or a slice.

    :raises TemplateError: it is none of these
    """
    if isinstance(key, str) and type(value) is RecordView:
        return attribute(state, value, key)
    if isinstance(key, slice) and not isinstance(value, (str, Items)):
        raise EvaluationError('not_list', kind=kind(value))
    if isinstance(value, (str, Items, Map)):
        return value[key]
    raise ForbiddenError('forbidden_attribute', name=key, kind=kind(value))
