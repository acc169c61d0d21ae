# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A view of a record that shows some of its fields, and changes nothing."""
import datetime as dt
from decimal import Decimal

#: What views show as it is.
SCALARS = (
    type(None), str, int, float, Decimal, dt.date, dt.time, dt.timedelta)


class FieldError(AttributeError):
    """The field ``field`` of the model ``model`` is not for templates."""

    def __init__(self, field, model):
        super().__init__(f'"{field}" of "{model}" is not open to templates')
        self.model = model


class RecordView:
    """A read-only view of the fields ``allowed`` of a record.

    ``allowed`` gives the names of the fields that may be read per model
    (``record.__name__``). Scalars are returned as they are, records of models
    in ``allowed`` as views, lists of these as tuples. All else raises
    `FieldError`.
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
        try:
            return _view(value, allowed)
        except TypeError:
            raise FieldError(name, model) from None

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


def _model(record):
    return getattr(record, '__name__', type(record).__name__)


def _view(value, allowed):
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_view(item, allowed) for item in value)
    if isinstance(value, type) or _model(value) not in allowed:
        raise TypeError(type(value).__name__)
    return RecordView(value, allowed)
