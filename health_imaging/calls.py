# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients send: ids that are repeated or none, and arguments of another
kind than a method takes."""
import functools
import inspect
import re

from trytond.i18n import gettext
from trytond.rpc import RPC
from trytond.tools import is_instance_method
from trytond.transaction import Transaction

from .exceptions import ArgumentsError, SearchTooLongError

#: The largest id of a record, as databases store it.
MAX_ID = 2 ** 31 - 1
#: How many words and characters are searched at once: the database joins
#: each word.
MAX_WORDS, MAX_TEXT = 30, 1000
# How many values a list may have.
_MOST = 1000
_ODD = (
    AttributeError, IndexError, KeyError, OverflowError, RecursionError,
    TypeError, ValueError)


class CheckedCalls:
    """Mixin of models whose records are called once when a client repeats
    them, and whose callers are told in a sentence what is no record."""
    __slots__ = ()

    @classmethod
    def __post_setup__(cls):
        super().__post_setup__()
        for name, rpc in cls.__rpc__.items():
            if rpc.instantiate is not None and type(rpc) is RPC:
                cls.__rpc__[name] = _CheckedRPC(name, rpc)

    @classmethod
    def search(cls, domain, *args, **kwargs):
        if Transaction().check_access:
            check_texts(domain)
        return super().search(domain, *args, **kwargs)


class _CheckedRPC(RPC):
    "The RPC of a method of records."
    __slots__ = ('name',)

    def __init__(self, name, rpc):
        super().__init__(**{
                option: getattr(rpc, option) for option in RPC.__slots__})
        self.name = name

    def convert(self, obj, *args, **kwargs):
        try:
            args = list(args)
            where = self.instantiate
            if isinstance(where, slice):
                # The context is the last one.
                places = range(len(args) - 1)[where]
            else:
                places = [where]
            for place in places:
                args[place] = self._records(obj, args[place])
            return super().convert(obj, *args, **kwargs)
        except _ODD:
            refuse(self.name)

    def _records(self, obj, value):
        "Return ids, each once, or what one record is made of."
        if isinstance(value, (list, tuple)):
            if not all(is_id(id_) for id_ in value):
                raise ValueError("no ids")
            return list(dict.fromkeys(value)) if self.unique else value
        if (not isinstance(value, (int, dict))
                or not is_instance_method(obj, self.name)):
            raise ValueError("no records")
        return value


def is_id(value):
    "Whether a value may be the id of a record, a new one has a negative one."
    return isinstance(value, int) and abs(value) <= MAX_ID


def check_texts(domain):
    """Raise SearchTooLongError when a domain has longer texts than anybody
    types: databases compare them in a time that grows with them."""
    parts = [domain]
    while parts:
        part = parts.pop()
        if isinstance(part, (list, tuple)):
            parts.extend(part)
        elif isinstance(part, str) and len(part) > MAX_TEXT:
            refuse_search()


def check_words(words):
    """Raise SearchTooLongError when there are too many words to search."""
    if len(words) > MAX_WORDS:
        refuse_search()


def refuse_search():
    "Raise SearchTooLongError."
    raise SearchTooLongError(gettext(
            'health_imaging.msg_search_long',
            words=MAX_WORDS, characters=MAX_TEXT))


def is_texts(value):
    "Whether a value is none, or a list of a bounded number of texts."
    return value is None or (
        isinstance(value, (list, tuple)) and len(value) <= _MOST
        and all(isinstance(v, str) and '\0' not in v for v in value))


def checked(**checks):
    """Return a decorator for the RPC of a class method: what does not fit is
    refused before the method is called.

    :param checks: function of the value that returns whether it fits, by the
        name of the parameter
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
    """Raise ArgumentsError.

    :param str method: name of the method that was called
    """
    raise ArgumentsError(gettext(
            'health_imaging.msg_arguments', method=method)) from None


def search_words(names, clause):
    """Return a domain that searches what a person typed in several fields.

    Each word may be in another field, so that what rec_name shows, or a part
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
