# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python expressions of worklist templates, evaluated without Python.

An expression is parsed, each node is looked up in a list of what is
allowed, and what is found there does the work: no code is compiled and no
attribute is fetched, so there is nothing to break out of. Text, numbers,
rounds and time are bounded.
"""
import ast
import datetime as dt
import operator
import re
import time
from collections import namedtuple
from decimal import Decimal
from functools import lru_cache

from pydicom.datadict import dictionary_VR, tag_for_keyword

from .attributes import MultiValue, clean, is_charset

#: What a rendering may use: characters of the source, of the output, of one
#: text and of all texts made, loop rounds and calls, seconds.
Limits = namedtuple('Limits', 'source output text memory rounds seconds')
LIMITS = Limits(
    source=64_000, output=200_000, text=64_000, memory=4_000_000,
    rounds=20_000, seconds=2)

_MAX_EXPRESSION = 4_000
_MAX_DEPTH = 60
_MAX_NUMBER = 10 ** 30
_MAX_WIDTH = 200
_MAX_DATA = 1_000_000
_MISSING = object()

#: The reasons of `TemplateError` by code, for `str.format`.
REASONS = {
    'block_open':
        'The "{name}" that begins here is not closed by an "end".',
    'block_depth': 'Too many directives inside each other.',
    'directive_empty': 'A directive is empty.',
    'directive_forbidden':
        'The directive "{name}" is not available in worklist templates.',
    'directive_open': '"{name}" is not closed.',
    'directive_unknown': 'There is no directive "{name}".',
    'directive_value': 'The directive "{name}" needs an expression.',
    'end': 'There is no directive that this "end" could close.',
    'evaluation': 'This cannot be calculated: {detail}.',
    'field': 'The field "{name}" of "{model}" is not open to templates.',
    'for': 'A loop is written as "for name in values".',
    'forbidden_attribute':
        '"{name}" cannot be read here: this is {kind}.',
    'forbidden_construct': '"{name}" is not available in templates.',
    'forbidden_format':
        'Use "%" to format texts: "{name}" is not available.',
    'forbidden_function': 'There is no function "{name}".',
    'forbidden_method':
        '"{name}" cannot be called here: this is {kind}.',
    'forbidden_name': '"{name}" begins with an underscore.',
    'forbidden_value':
        'This is {kind}, which cannot be written: name one of its fields.',
    'format': 'This is not a valid format.',
    'limit_depth': 'An expression is nested too deeply.',
    'limit_expression': 'An expression is too long.',
    'limit_memory': 'The template makes too much text.',
    'limit_number': 'A number is too large.',
    'limit_output': 'The text made from the template is too long.',
    'limit_rounds': 'The template goes through too many rounds.',
    'limit_seconds': 'The template takes too long.',
    'limit_source': 'The template is too long.',
    'limit_text': 'A text is too long.',
    'no_value': '"{name}" is read from something that has no value.',
    'not_comparable': 'This is {kind}, which cannot be compared.',
    'not_list': 'A list is needed here, this is {kind}.',
    'not_number': 'A number is needed here, this is {kind}.',
    'not_text': 'A text is needed here, this is {kind}.',
    'operands':
        '"{sign}" is not possible: on the left is {left}, on the right '
        '{right}.',
    'syntax': '"{name}" is not a valid expression.',
    'variable': 'There is no variable "{name}".',
    'variable_hint': 'There is no variable "{name}"; "{hint}" is one.',
    'when': '"{name}" is only possible inside a "choose".',
    'with': 'Names are set as "with name = value; name = value".',
    }


#: What values are, by what `kind` returns.
KINDS = {
    'boolean': 'a boolean',
    'date': 'a date',
    'datetime': 'a date and time',
    'dictionary': 'a dictionary',
    'list': 'a list',
    'nothing': 'nothing',
    'number': 'a number',
    'other': 'something else',
    'record': 'a record',
    'text': 'a text',
    'time': 'a time',
    'timedelta': 'a span of time',
    }
#: The values of reasons that are among `KINDS`.
OF_KINDS = frozenset({'kind', 'left', 'right'})


class TemplateError(Exception):
    """A template, or what it does with its values, is wrong.

    ``line`` counts from 1 (None when it is not known), ``reason`` is a
    sentence in English, made from ``REASONS[code]`` and ``values``.
    """

    def __init__(self, code, line=None, **values):
        super().__init__(code, line, values)
        self.code = code
        self.line = line
        self.values = values

    @property
    def reason(self):
        return REASONS[self.code].format(**self.put(KINDS.get))

    def put(self, words):
        """Return the values with words in place of the keys of `KINDS`.

        :param words: function that returns the words of a key
        """
        return {
            name: words(value) if name in OF_KINDS else value
            for name, value in self.values.items()}

    def __str__(self):
        if self.line is None:
            return self.reason
        return f"Line {self.line}: {self.reason}"


class TemplateSyntaxError(TemplateError):
    """The template cannot be read."""


class UnknownVariableError(TemplateError):
    """The template names a variable that does not exist."""


class ForbiddenError(TemplateError):
    """The template uses what templates must not use."""


class LimitError(TemplateError):
    """The template is too long, makes too much or takes too long."""


class EvaluationError(TemplateError):
    """The template cannot be applied to these values."""


# Characters that are part of a format when the template itself writes them
# in an expression, and mere text when they come from data. The former are
# kept apart as code points that are no characters and that data cannot have.
STRUCTURE = '[]("\\\n\r#'
SEPARATORS = '^='
_SPECIALS = STRUCTURE + SEPARATORS
MARKS = {c: chr(0xfdd0 + i) for i, c in enumerate(_SPECIALS)}
#: The backslash between two values of a `MultiValue`.
VALUE_MARK = chr(0xfdd0 + len(_SPECIALS))
_MARK = str.maketrans(MARKS)
_UNMARK = {ord(mark): c for c, mark in [*MARKS.items(), ('\\', VALUE_MARK)]}
_MARK_SEPARATORS = str.maketrans({c: MARKS[c] for c in SEPARATORS})
_RESERVED = re.compile('[\ufdd0-\ufdef]')


def _plain(text):
    return text if text.isascii() else text.translate(_UNMARK)


def _is_marked(text):
    return not text.isascii() and _RESERVED.search(text) is not None


# Values

class FieldError(AttributeError):
    """The field ``field`` of the model ``model`` is not for templates."""

    def __init__(self, field, model):
        super().__init__(REASONS['field'].format(name=field, model=model))
        self.field = field
        self.model = model


class RecordView:
    """A read-only view of the fields ``allowed`` of a record.

    ``allowed`` gives the names of the fields that may be read per model
    (``record.__name__``). Texts, numbers, booleans, dates and None are
    returned as they are, records of models in ``allowed`` as views, lists
    of these as tuples. All else raises `FieldError`.
    """
    __slots__ = ('_record', '_allowed')

    def __init__(self, record, allowed):
        _SET_RECORD(self, record)
        _SET_ALLOWED(self, allowed)

    def __getattribute__(self, name):
        record, allowed = _GET_RECORD(self), _GET_ALLOWED(self)
        model = _model(record)
        if name.startswith('_') or name not in allowed.get(model, ()):
            raise FieldError(name, model)
        value = getattr(record, name)
        if not _is_open(value, allowed):
            raise FieldError(name, model)
        return _view(value, allowed)

    def __setattr__(self, name, value):
        raise AttributeError("Templates cannot change records.")

    def __delattr__(self, name):
        raise AttributeError("Templates cannot change records.")

    def __eq__(self, other):
        return (type(other) is RecordView
            and _GET_RECORD(self) == _GET_RECORD(other))

    def __hash__(self):
        return hash(RecordView)

    def __repr__(self):
        return f'<RecordView of {_model(_GET_RECORD(self))}>'


_GET_RECORD = RecordView._record.__get__
_GET_ALLOWED = RecordView._allowed.__get__
_SET_RECORD = RecordView._record.__set__
_SET_ALLOWED = RecordView._allowed.__set__

_NUMBERS = (int, float, Decimal)
_DATES = (dt.date, dt.time, dt.timedelta)
_SCALARS = (type(None), str, *_NUMBERS, *_DATES)


def _model(record):
    return getattr(record, '__name__', type(record).__name__)


def _is_open(value, allowed):
    if isinstance(value, (list, tuple)):
        return all(_is_open(item, allowed) for item in value)
    return isinstance(value, _SCALARS) or (
        not isinstance(value, type) and _model(value) in allowed)


def _view(value, allowed):
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_view(item, allowed) for item in value)
    return RecordView(value, allowed)


def admit(value, separators=False):
    """Return ``value`` as expressions may use it: texts cleaned, sequences
    as tuples. With ``separators`` the ``^`` and ``=`` of texts are those
    of a PN. Raises TypeError for what templates must not have."""
    if isinstance(value, str):
        return _admit_text(value, separators)
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, (*_SCALARS, RecordView)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(admit(item, separators) for item in value)
    if isinstance(value, dict):
        return {
            _plain(key) if isinstance(key, str) else key:
            admit(item, separators)
            for key, item in value.items() if isinstance(key, _SCALARS)}
    raise TypeError(type(value).__name__)


def _admit_text(value, separators):
    if len(value) > _MAX_DATA:
        raise LimitError('limit_text')
    text = clean(str.__str__(value), lines=True)
    if separators and ('^' in text or '=' in text):
        text = text.translate(_MARK_SEPARATORS)
    if '\\' in text and (isinstance(value, MultiValue) or is_charset(text)):
        text = text.replace('\\', VALUE_MARK)
    return text


def _number(value):
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError("not a number")
    if isinstance(value, Decimal):
        too_large = abs(value.adjusted()) > 30
    else:
        too_large = isinstance(value, int) and abs(value) > _MAX_NUMBER
    if too_large:
        raise LimitError('limit_number')
    return value


_KINDS = {
    str: 'text', bool: 'boolean', int: 'number', float: 'number',
    Decimal: 'number', tuple: 'list', list: 'list', dict: 'dictionary',
    type(None): 'nothing', dt.date: 'date', dt.datetime: 'datetime',
    dt.time: 'time', dt.timedelta: 'timedelta', RecordView: 'record',
    }


def kind(value):
    """Return what ``value`` is, among `KINDS`."""
    return _KINDS.get(type(value), 'other')


@lru_cache(maxsize=1024)
def _may_be_names(variable):
    # Variables that are no DICOM keywords may be names as well.
    tag = tag_for_keyword(variable)
    return tag is None or dictionary_VR(tag) == 'PN'


class State:
    """What one evaluation knows and has used up so far."""
    __slots__ = (
        'names', 'variables', 'limits', 'memory', 'rounds', 'deadline')

    def __init__(self, variables, limits=LIMITS):
        self.names = {}
        self.variables = variables
        self.limits = limits
        self.memory = limits.memory
        self.rounds = limits.rounds
        self.deadline = time.monotonic() + limits.seconds

    def fetch(self, name):
        """Return the variable ``name``, admitted."""
        try:
            value = admit(self.variables[name], _may_be_names(name))
        except (KeyError, TypeError):
            raise UnknownVariableError('variable', name=name) from None
        self.names[name] = value
        return value

    def tick(self):
        """Count one round or call."""
        self.rounds -= 1
        if self.rounds < 0:
            raise LimitError('limit_rounds')
        if time.monotonic() > self.deadline:
            raise LimitError('limit_seconds')

    def spend(self, size):
        """Count ``size`` characters or items that are about to be made."""
        if size > self.limits.text:
            raise LimitError('limit_text')
        self.memory -= size
        if self.memory < 0:
            raise LimitError('limit_memory')

    def made(self, value):
        """Count the text or the sequence of texts ``value``; return it."""
        if isinstance(value, str):
            self.spend(len(value))
        elif isinstance(value, (list, tuple)):
            self.spend(len(value) + sum(map(len, value)))
            return tuple(value)
        return value


# Operators

def _add(state, left, right):
    if type(left) is type(right) and type(left) in {str, list, tuple}:
        state.spend(len(left) + len(right))
    elif not _are_numbers(left, right) and not isinstance(
            right, dt.timedelta):
        raise _unsupported('+', left, right)
    return left + right


def _subtract(state, left, right):
    if not _are_numbers(left, right) and not isinstance(left, dt.date):
        raise _unsupported('-', left, right)
    return left - right


def _multiply(state, left, right):
    if isinstance(left, str) != isinstance(right, str):
        text, times = (left, right) if isinstance(left, str) else (
            right, left)
        if isinstance(times, int):
            state.spend(len(text) * max(times, 0))
            return text * times
    if not _are_numbers(left, right):
        raise _unsupported('*', left, right)
    return left * right


def _divide(state, left, right):
    if not _are_numbers(left, right):
        raise _unsupported('/', left, right)
    return left / right


def _floor_divide(state, left, right):
    if not _are_numbers(left, right):
        raise _unsupported('//', left, right)
    return left // right


def _modulo(state, left, right):
    if isinstance(left, str):
        return _format(state, left, right)
    if not _are_numbers(left, right):
        raise _unsupported('%', left, right)
    return left % right


def _are_numbers(left, right):
    return isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS)


def _unsupported(sign, left, right):
    return EvaluationError(
        'operands', left=kind(left), sign=sign, right=kind(right))


_CONVERSION = re.compile(
    r'%(?:\(\w{1,60}\))?[-0 +]{0,4}(\d{0,4})(?:\.(\d{0,4}))?[sdiufFeEgGxX%]')
_NAMED = re.compile('%' + MARKS['('])


def _format(state, text, values):
    text = _NAMED.sub('%(', text)
    found = list(_CONVERSION.finditer(text))
    if _CONVERSION.sub('', text).count('%'):
        raise EvaluationError('format')
    if isinstance(values, dict):
        items = list(values.values())
    else:
        items = list(values) if isinstance(values, tuple) else [values]
    for item in items:
        if not isinstance(item, _SCALARS):
            raise ForbiddenError('forbidden_value', kind=kind(item))
    widths = [int(n or 0) for m in found for n in m.groups()]
    if max(widths, default=0) > _MAX_WIDTH:
        raise LimitError('limit_text')
    longest = max(
        (len(i) if isinstance(i, str) else 400 for i in items), default=0)
    state.spend(len(text) + len(found) * (longest + 2 * _MAX_WIDTH))
    return text % values


_BINARY = {
    ast.Add: _add,
    ast.Sub: _subtract,
    ast.Mult: _multiply,
    ast.Div: _divide,
    ast.FloorDiv: _floor_divide,
    ast.Mod: _modulo,
    }
_UNARY = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    }
_COMPARE = {
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


def _comparable(value, depth=1):
    # Sequences within sequences are refused: a few of them can hold more
    # items than could ever be compared.
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, (*_SCALARS, RecordView)):
        return value
    if depth and isinstance(value, (list, tuple, dict)):
        return tuple(_comparable(item, depth - 1) for item in value)
    raise EvaluationError('not_comparable', kind=kind(value))


def equal(left, right):
    """Tell if two values are equal, as ``==`` does in expressions."""
    return _comparable(left) == _comparable(right)


# Functions and methods. Each gets the state first.

def _items(value):
    if isinstance(value, (str, list, tuple, dict)):
        return value
    if value is None:
        return ()
    raise EvaluationError('not_list', kind=kind(value))


def _collect(state, items):
    items = tuple(items)
    state.spend(len(items))
    return items


def _defined(state, name):
    return name in state.names or name in state.variables


def _value_of(state, name, default=None):
    if name in state.names:
        return state.names[name]
    return state.fetch(name) if name in state.variables else default


def _str(state, value=''):
    if not isinstance(value, _SCALARS):
        raise ForbiddenError('forbidden_value', kind=kind(value))
    return value if isinstance(value, str) else state.made(str(value))


def _int(state, value=0):
    if isinstance(value, str) and len(value) > 40:
        raise LimitError('limit_number')
    return _number(int(value))


def _float(state, value=0):
    if isinstance(value, str) and len(value) > 40:
        raise LimitError('limit_number')
    return float(value)


def _len(state, value):
    if isinstance(value, (str, list, tuple, dict)):
        return len(value)
    raise EvaluationError('not_list', kind=kind(value))


def _range(state, *values):
    numbers = range(*values)
    state.spend(len(numbers))
    return tuple(numbers)


def _sorted(state, items, reverse=False):
    return _collect(
        state, sorted(_items(items), key=_comparable, reverse=bool(reverse)))


def _extreme(function):
    def extreme(state, *values, default=_MISSING):
        if len(values) == 1:
            values = tuple(_items(values[0]))
        if not values and default is not _MISSING:
            return default
        return function(values, key=_comparable)
    return extreme


def _sum(state, items, start=0):
    for item in [*_items(items), start]:
        if not isinstance(item, _NUMBERS):
            raise EvaluationError('not_number', kind=kind(item))
    return _number(sum(_items(items), start))


def _round(state, value, ndigits=None):
    if not isinstance(value, _NUMBERS):
        raise EvaluationError('not_number', kind=kind(value))
    if abs(ndigits or 0) > 30:
        raise LimitError('limit_number')
    return round(value, ndigits)


def _abs(state, value):
    if not isinstance(value, (*_NUMBERS, dt.timedelta)):
        raise EvaluationError('not_number', kind=kind(value))
    return abs(value)


FUNCTIONS = {
    'abs': _abs,
    'all': lambda state, items: all(_items(items)),
    'any': lambda state, items: any(_items(items)),
    'bool': lambda state, value=False: bool(value),
    'defined': _defined,
    'enumerate': lambda state, items, start=0: _collect(
        state, enumerate(_items(items), start)),
    'float': _float,
    'int': _int,
    'len': _len,
    'list': lambda state, items=(): _collect(state, _items(items)),
    'max': _extreme(max),
    'min': _extreme(min),
    'range': _range,
    'reversed': lambda state, items: _collect(
        state, tuple(_items(items))[::-1]),
    'round': _round,
    'sorted': _sorted,
    'str': _str,
    'sum': _sum,
    'tuple': lambda state, items=(): _collect(state, _items(items)),
    'value_of': _value_of,
    'zip': lambda state, *items: _collect(state, zip(*map(_items, items))),
    }


def _needle(text, value):
    # What is looked for in a text is taken as the text has it: "^" in a
    # name is a separator, "=" in a comment is not.
    if isinstance(value, tuple):
        return tuple(_needle(text, item) for item in value)
    if not isinstance(value, str):
        return value
    return _plain(value).translate(_MARK) if _is_marked(text) else _plain(
        value)


def _text_method(name):
    method = getattr(str, name)

    def call(state, text, *args, **kwargs):
        args = [_needle(text, arg) for arg in args]
        kwargs = {key: _needle(text, arg) for key, arg in kwargs.items()}
        return state.made(method(text, *args, **kwargs))
    return call


def _padding_method(name):
    method = getattr(str, name)

    def call(state, text, width, *fill):
        state.spend(width)
        return method(text, width, *map(_plain, fill))
    return call


def _replace(state, text, old, new, count=-1):
    for old in dict.fromkeys([_plain(old), _needle(text, old)]):
        found = text.count(old)
        state.spend(len(text) + found * max(len(new) - len(old), 0))
        text = text.replace(old, new, count)
    return text


def _join(state, text, items):
    items = tuple(_items(items))
    for item in items:
        if not isinstance(item, str):
            raise EvaluationError('not_text', kind=kind(item))
    state.spend(sum(map(len, items)) + len(text) * len(items))
    return text.join(items)


_DIRECTIVE_OF_DATE = re.compile('%(?![-_0^#]?[A-Za-z%])')


def _strftime(state, value, format_):
    format_ = _plain(format_)
    if len(format_) > _MAX_WIDTH or _DIRECTIVE_OF_DATE.search(format_):
        raise EvaluationError('format')
    return state.made(clean(value.strftime(format_), lines=True))


def _date_method(name):
    def call(state, value, *args, **kwargs):
        return getattr(value, name)(*args, **kwargs)
    return call


_TEXT_METHODS = {
    'join': _join,
    'replace': _replace,
    **{name: _padding_method(name)
        for name in ['center', 'ljust', 'rjust', 'zfill']},
    **{name: _text_method(name) for name in [
            'capitalize', 'casefold', 'count', 'endswith', 'find', 'index',
            'isalnum', 'isalpha', 'isascii', 'isdecimal', 'isdigit',
            'islower', 'isnumeric', 'isspace', 'istitle', 'isupper', 'lower',
            'lstrip', 'partition', 'removeprefix', 'removesuffix', 'rfind',
            'rindex', 'rpartition', 'rsplit', 'rstrip', 'split',
            'splitlines', 'startswith', 'strip', 'swapcase', 'title',
            'upper']},
    }
_DATE_METHODS = {
    'strftime': _strftime,
    **{name: _date_method(name) for name in [
            'isoformat', 'isoweekday', 'replace', 'weekday']},
    }
_DICT_METHODS = {
    'get': lambda state, value, key, default=None: value.get(
        _comparable(key, 0), default),
    'items': lambda state, value: _collect(state, value.items()),
    'keys': lambda state, value: _collect(state, value),
    'values': lambda state, value: _collect(state, value.values()),
    }
_METHODS = {
    str: _TEXT_METHODS,
    dict: _DICT_METHODS,
    dt.date: _DATE_METHODS,
    dt.datetime: {
        **_DATE_METHODS,
        'date': _date_method('date'),
        'time': _date_method('time'),
        },
    dt.time: {
        'isoformat': _DATE_METHODS['isoformat'],
        'replace': _DATE_METHODS['replace'],
        'strftime': _strftime,
        },
    dt.timedelta: {'total_seconds': _date_method('total_seconds')},
    }
_DATE_FIELDS = ('year', 'month', 'day')
_TIME_FIELDS = ('hour', 'minute', 'second', 'microsecond')
_FIELDS = {
    dt.date: _DATE_FIELDS,
    dt.datetime: _DATE_FIELDS + _TIME_FIELDS,
    dt.time: _TIME_FIELDS,
    dt.timedelta: ('days', 'seconds'),
    }


def _attribute(value, name):
    if type(value) is RecordView:
        try:
            return admit(getattr(value, name))
        except FieldError as error:
            raise ForbiddenError(
                'field', name=name, model=error.model) from None
    if value is None:
        raise EvaluationError('no_value', name=name)
    if isinstance(value, dict) and name in value:
        return value[name]
    if name in _FIELDS.get(type(value), ()):
        return getattr(value, name)
    raise ForbiddenError('forbidden_attribute', name=name, kind=kind(value))


def _item(value, key):
    if isinstance(key, str) and type(value) is RecordView:
        return _attribute(value, key)
    if isinstance(value, dict):
        return value[_comparable(key, 0)]
    if isinstance(value, (str, list, tuple)):
        return value[key]
    raise ForbiddenError('forbidden_attribute', name=key, kind=kind(value))


def _method(value, name):
    methods = _METHODS.get(type(value), {})
    if name in methods:
        return methods[name]
    if value is None:
        raise EvaluationError('no_value', name=name)
    raise ForbiddenError('forbidden_method', name=name, kind=kind(value))


# Building

def parse(source, line=1, bound=()):
    """Return the `Expression` of the Python expression ``source`` that
    stands on the line ``line``, where the names ``bound`` are set by the
    template itself.

    Raises TemplateSyntaxError, ForbiddenError or LimitError.
    """
    node = _parse(source, 'eval', line).body
    return build(node, line, bound)


def parse_target(source, line):
    """Return what `build_target` makes of the text ``source``."""
    return build_target(_parse(source, 'eval', line).body, line)


def parse_assignments(source, line):
    """Return the nodes of ``name = value; name = value``."""
    nodes = _parse(source, 'exec', line).body
    if not nodes or not all(isinstance(node, ast.Assign) for node in nodes):
        raise TemplateSyntaxError('with', line)
    return nodes


def _parse(source, mode, line):
    source = source.strip()
    if len(source) > _MAX_EXPRESSION:
        raise LimitError('limit_expression', line)
    try:
        return ast.parse(source, mode=mode)
    except SyntaxError as error:
        line += (error.lineno or 1) - 1
    except (ValueError, RecursionError, MemoryError, SystemError):
        pass
    raise TemplateSyntaxError('syntax', line, name=source)


def build(node, line, bound=()):
    """Return the `Expression` of an ast ``node``; see `parse`."""
    builder = _Builder(line, bound)
    try:
        evaluate = builder.build(node)
    except TemplateError as error:
        error.line = error.line or line
        raise
    return Expression(
        evaluate, frozenset(builder.names), frozenset(builder.guarded))


def build_target(node, line):
    """Return the name, or the tuple of these, that a value is set to."""
    if isinstance(node, ast.Name):
        if node.id.startswith('_'):
            raise ForbiddenError('forbidden_name', line, name=node.id)
        return node.id
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(build_target(item, line) for item in node.elts)
    raise ForbiddenError('forbidden_construct', line, name=_excerpt(node))


def target_names(target):
    """Return the names in what `build_target` returned."""
    if isinstance(target, str):
        return {target}
    return set().union(*map(target_names, target))


def assign(names, target, value):
    """Set ``target`` in the dictionary ``names`` to ``value``."""
    if isinstance(target, str):
        names[target] = value
        return
    values = tuple(_items(value))
    if len(values) != len(target):
        raise ValueError(
            f'{len(values)} values cannot be set to {len(target)} names')
    for part, item in zip(target, values):
        assign(names, part, item)


def loop(state, target, items, body):
    """Call ``body`` for each of ``items`` set to ``target``; the names have
    their former values afterwards."""
    former = remember(state, target_names(target))
    for item in _items(items):
        state.tick()
        assign(state.names, target, item)
        body()
    restore(state, former)


def remember(state, names):
    """Return the present values of ``names``, for `restore`."""
    return {name: state.names.get(name, _MISSING) for name in names}


def restore(state, former):
    """Give names the values that they had."""
    names = state.names
    for name, value in former.items():
        if value is _MISSING:
            names.pop(name, None)
        else:
            names[name] = value


#: ``evaluate(state)`` returns the value, ``names`` are the variables used,
#: ``guarded`` those it asks for with "defined" or "value_of".
Expression = namedtuple('Expression', 'evaluate names guarded')


class _Builder:
    """Makes functions of a `State` from the nodes of one expression."""

    def __init__(self, line, bound):
        self.line = line
        self.bound = [*bound]
        self.depth = 0
        self.names = set()
        self.guarded = set()

    def build(self, node):
        method = getattr(self, f'_build_{type(node).__name__}', None)
        if method is None:
            self._refuse('forbidden_construct', name=_excerpt(node))
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise LimitError('limit_depth', self._line(node))
        evaluate = method(node)
        self.depth -= 1
        return evaluate

    def _line(self, node):
        return self.line + getattr(node, 'lineno', 1) - 1

    def _refuse(self, code, **values):
        raise ForbiddenError(code, self.line, **values)

    def _build_Constant(self, node):
        value = node.value
        if isinstance(value, str):
            value = _RESERVED.sub('', value).translate(_MARK)
        elif isinstance(value, (int, float)):
            value = _number(value)
        elif value is not None:
            self._refuse('forbidden_construct', name=_excerpt(node))
        return lambda state: value

    def _build_Name(self, node):
        name = node.id
        if name.startswith('_'):
            self._refuse('forbidden_name', name=name)
        if name not in self.bound:
            if name in FUNCTIONS:
                self._refuse('forbidden_construct', name=name)
            self.names.add(name)

        def evaluate(state):
            try:
                return state.names[name]
            except KeyError:
                return state.fetch(name)
        return evaluate

    def _build_Attribute(self, node):
        name = node.attr
        if name.startswith('_'):
            self._refuse('forbidden_name', name=name)
        value = self.build(node.value)
        return lambda state: _attribute(value(state), name)

    def _build_Subscript(self, node):
        value = self.build(node.value)
        if isinstance(node.slice, ast.Slice):
            return self._build_slice(value, node.slice)
        key = self.build(node.slice)
        return lambda state: _item(value(state), key(state))

    def _build_slice(self, value, node):
        parts = [
            part and self.build(part)
            for part in (node.lower, node.upper, node.step)]

        def evaluate(state):
            sequence = value(state)
            if not isinstance(sequence, (str, list, tuple)):
                raise EvaluationError('not_list', kind=kind(sequence))
            part = sequence[slice(*(p and p(state) for p in parts))]
            state.spend(len(part))
            return part
        return evaluate

    def _build_Call(self, node):
        args = [self.build(arg) for arg in node.args]
        kwargs = {}
        for keyword in node.keywords:
            if not keyword.arg or keyword.arg.startswith('_'):
                self._refuse('forbidden_construct', name=_excerpt(node))
            kwargs[keyword.arg] = self.build(keyword.value)
        if isinstance(node.func, ast.Attribute):
            return self._build_method(node.func, args, kwargs)
        return self._build_function(node, args, kwargs)

    def _build_function(self, node, args, kwargs):
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in FUNCTIONS:
            self._refuse('forbidden_function', name=_excerpt(node.func))
        function = FUNCTIONS[name]
        if name in {'defined', 'value_of'}:
            self.guarded.update(
                arg.value for arg in node.args[:1]
                if isinstance(arg, ast.Constant))

        def evaluate(state):
            state.tick()
            return function(
                state, *[arg(state) for arg in args],
                **{key: arg(state) for key, arg in kwargs.items()})
        return evaluate

    def _build_method(self, node, args, kwargs):
        name = node.attr
        if name.startswith('_'):
            self._refuse('forbidden_name', name=name)
        if name in {'format', 'format_map'}:
            self._refuse('forbidden_format', name=name)
        value = self.build(node.value)

        def evaluate(state):
            state.tick()
            owner = value(state)
            return _method(owner, name)(
                state, owner, *[arg(state) for arg in args],
                **{key: arg(state) for key, arg in kwargs.items()})
        return evaluate

    def _build_BinOp(self, node):
        operate = _BINARY.get(type(node.op))
        if operate is None:
            self._refuse('forbidden_construct', name=_excerpt(node))
        left, right = self.build(node.left), self.build(node.right)

        def evaluate(state):
            value = operate(state, left(state), right(state))
            return _number(value) if isinstance(value, _NUMBERS) else value
        return evaluate

    def _build_UnaryOp(self, node):
        operate = _UNARY.get(type(node.op))
        if operate is None:
            self._refuse('forbidden_construct', name=_excerpt(node))
        value = self.build(node.operand)
        return lambda state: operate(value(state))

    def _build_BoolOp(self, node):
        values = [self.build(value) for value in node.values]
        stop = isinstance(node.op, ast.Or)

        def evaluate(state):
            for value in values:
                result = value(state)
                if bool(result) is stop:
                    break
            return result
        return evaluate

    def _build_Compare(self, node):
        first = self.build(node.left)
        rest = [
            (_COMPARE[type(op)], self.build(value))
            for op, value in zip(node.ops, node.comparators)]

        def evaluate(state):
            state.tick()
            left = _comparable(first(state))
            for compare, value in rest:
                right = _comparable(value(state))
                if not compare(left, right):
                    return False
                left = right
            return True
        return evaluate

    def _build_IfExp(self, node):
        test, body, orelse = map(
            self.build, (node.test, node.body, node.orelse))
        return lambda state: (body if test(state) else orelse)(state)

    def _build_Tuple(self, node):
        values = [self.build(value) for value in node.elts]

        def evaluate(state):
            return _collect(state, [value(state) for value in values])
        return evaluate

    _build_List = _build_Tuple

    def _build_Dict(self, node):
        if None in node.keys:
            self._refuse('forbidden_construct', name=_excerpt(node))
        items = [
            (self.build(key), self.build(value))
            for key, value in zip(node.keys, node.values)]

        def evaluate(state):
            state.spend(len(items))
            return {
                _comparable(key(state), 0): value(state)
                for key, value in items}
        return evaluate

    def _build_ListComp(self, node):
        bound = len(self.bound)
        loops = [self._build_loop(g) for g in node.generators]
        element = self.build(node.elt)
        del self.bound[bound:]

        def evaluate(state):
            result = []
            _run_loops(state, loops, lambda: result.append(element(state)))
            return _collect(state, result)
        return evaluate

    _build_GeneratorExp = _build_ListComp

    def _build_loop(self, generator):
        if generator.is_async:
            self._refuse('forbidden_construct', name='async')
        items = self.build(generator.iter)
        target = build_target(generator.target, self.line)
        self.bound.extend(target_names(target))
        conditions = [self.build(test) for test in generator.ifs]
        return target, items, conditions


def _run_loops(state, loops, body):
    if not loops:
        return body()
    (target, items, conditions), *inner = loops

    def round_():
        if all(condition(state) for condition in conditions):
            _run_loops(state, inner, body)
    loop(state, target, items(state), round_)


def _excerpt(node):
    try:
        text = ast.unparse(node)
    except (ValueError, RecursionError):
        return type(node).__name__
    return text if len(text) <= 60 else text[:57] + '...'
