# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A view of a record that shows some of its fields, and changes nothing."""
import datetime as dt
from decimal import Decimal

from .reasons import REASONS


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
SCALARS = (type(None), str, *_NUMBERS, *_DATES)


def _model(record):
    return getattr(record, '__name__', type(record).__name__)


def _is_open(value, allowed):
    if isinstance(value, (list, tuple)):
        return all(_is_open(item, allowed) for item in value)
    return isinstance(value, SCALARS) or (
        not isinstance(value, type) and _model(value) in allowed)


def _view(value, allowed):
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_view(item, allowed) for item in value)
    return RecordView(value, allowed)
