# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the ids and arguments that RPC calls pass."""
import functools
import inspect
import re

from trytond.i18n import gettext
from trytond.model.fields import get_eval_fields
from trytond.rpc import RPC
from trytond.tools import is_instance_method
from trytond.transaction import Transaction

from .exceptions import ArgumentsError, SearchTooLongError

#: The largest id of a record, as databases store it.
MAX_ID = 2 ** 31 - 1
#: Limits of words and characters in a search: each word adds conditions to
#: the query.
MAX_WORDS, MAX_TEXT = 30, 1000
# Largest length of a list.
_MOST = 1000
_ODD = (
    AttributeError, IndexError, KeyError, OverflowError, RecursionError,
    TypeError, ValueError)


class CheckedCalls:
    """Mixin of models that check ids and arguments of RPC calls.

    Repeated ids are passed once; values that are no ids are refused with a
    translated error.  Clients get the fields that hide buttons.
    """
    __slots__ = ()

    @classmethod
    def __post_setup__(cls):
        # trytond finds the fields in the conditions of fields, not of buttons.
        for states in getattr(cls, '_buttons', {}).values():
            if 'depends' not in states:
                states['depends'] = sorted(
                    get_eval_fields(states.get('invisible')) - {'context'})
        super().__post_setup__()
        for name, rpc in cls.__rpc__.items():
            if rpc.instantiate is not None and type(rpc) is RPC:
                cls.__rpc__[name] = _CheckedRPC(name, rpc)

    @classmethod
    def search(cls, domain, *args, **kwargs):
        if Transaction().check_access:
            check_texts(domain)
            domain = with_whole_patterns(domain)
        return super().search(domain, *args, **kwargs)


class _CheckedRPC(RPC):
    """RPC of a method that takes records."""
    __slots__ = ('name',)

    def __init__(self, name, rpc):
        super().__init__(**{
                option: getattr(rpc, option) for option in RPC.__slots__})
        self.name = name

    def convert(self, obj, *args, **kwargs):
        """Return the call with checked records, or raise ArgumentsError."""
        try:
            args = list(args)
            where = self.instantiate
            if isinstance(where, slice):
                # The last argument is the context.
                places = range(len(args) - 1)[where]
            else:
                places = [where]
            for place in places:
                args[place] = self._records(obj, args[place])
            return super().convert(obj, *args, **kwargs)
        except _ODD:
            refuse(self.name)

    def _records(self, obj, value):
        """Return ids without duplicates, or the values of one record."""
        if isinstance(value, (list, tuple)):
            if not all(is_id(id_) for id_ in value):
                raise ValueError("no ids")
            return list(dict.fromkeys(value)) if self.unique else value
        if (not isinstance(value, (int, dict))
                or not is_instance_method(obj, self.name)):
            raise ValueError("no records")
        return value


def is_id(value):
    """Return whether a value may be the id of a record.

    New records have negative ids.
    """
    return (isinstance(value, int) and not isinstance(value, bool)
        and abs(value) <= MAX_ID)


def check_texts(domain):
    """Check that a domain has no longer text than a person types.

    The database compares texts in a time that grows with their length.

    :param domain: a search domain
    :raises SearchTooLongError: a text has more than MAX_TEXT characters
    """
    parts = [domain]
    while parts:
        part = parts.pop()
        if isinstance(part, (list, tuple)):
            parts.extend(part)
        elif isinstance(part, str) and len(part) > MAX_TEXT:
            refuse_search()


def with_whole_patterns(domain):
    r"""Return a domain in which no pattern ends with half an escape.

    PostgreSQL refuses such a pattern: "\" escapes the character after it.

    :param domain: a search domain, or a part of one
    """
    if not isinstance(domain, (list, tuple)):
        return domain
    if (len(domain) > 2 and all(isinstance(d, str) for d in domain[:3])
            and 'like' in domain[1]):
        name, operator, pattern, *more = domain
        end = len(pattern) - len(pattern.rstrip('\\'))
        return (name, operator, pattern + '\\' * (end % 2), *more)
    return type(domain)(map(with_whole_patterns, domain))


def check_words(words):
    """Check that a search has at most MAX_WORDS words.

    :param words: collection of str
    :raises SearchTooLongError: there are more
    """
    if len(words) > MAX_WORDS:
        refuse_search()


def refuse_search():
    """Raise SearchTooLongError."""
    raise SearchTooLongError(gettext(
            'health_imaging.msg_search_long',
            words=MAX_WORDS, characters=MAX_TEXT))


def is_texts(value):
    """Return whether a value is None or a list of at most 1000 texts."""
    return value is None or (
        isinstance(value, (list, tuple)) and len(value) <= _MOST
        and all(isinstance(v, str) and '\0' not in v for v in value))


def checked(**checks):
    """Return a decorator that checks the arguments of an RPC class method.

    :param checks: function of the value that returns whether it is valid, by
        the name of the parameter
    :raises ArgumentsError: when called with an invalid argument
    """
    def decorate(method):
        @functools.wraps(method)
        def call(*args, **kwargs):
            try:
                given = inspect.signature(method).bind(*args, **kwargs)
            except TypeError:
                refuse(method.__name__)
            for name, value in given.arguments.items():
                if not checks[name](value):
                    refuse(method.__name__)
            return method(*args, **kwargs)
        return call
    return decorate


def refuse(method):
    """Raise ArgumentsError for a call of a method, given by its name."""
    raise ArgumentsError(gettext(
            'health_imaging.msg_arguments', method=method)) from None


def search_words(names, clause):
    """Return a domain that searches typed words in several fields.

    Each word may be in another field, so that the text of rec_name, or a part
    of it, finds the record.

    :param names: names of the fields
    :param clause: clause on rec_name
    """
    _, operator, value, *_ = clause
    values = [value]
    typed = re.fullmatch('%(.*)%', str(value), re.DOTALL)
    if operator == 'ilike' and typed:
        words = [w.strip(',;-') for w in typed[1].split()]
        words = dict.fromkeys(w for w in words if w)
        check_words(words)
        values = [f'%{w}%' for w in words] or values
    logic = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
    return [
        [logic, *((name, operator, value) for name in names)]
        for value in values]
