# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""States that move along their transitions only, and values that are kept."""
from sql import For, Literal

from trytond.i18n import gettext
from trytond.model import Workflow
from trytond.model.exceptions import SQLConstraintError
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from .calls import CheckedCalls
from .exceptions import KeptValueError, StateError
from .tables import execute


class GuardedWorkflow(CheckedCalls, Workflow):
    """Workflow whose state moves along its transitions only.

    A button or a wizard may move the state. A plain create or write by a user
    may not, and nobody may leave the transitions.
    """
    __slots__ = ()

    # What buttons and wizards fill in, a user's create or write does not.
    _stamped = frozenset()
    # What a user may give to a new record, and not change later.
    _fixed = frozenset()

    @classmethod
    def _stamps(cls, state):
        """Return the values to write with a new state (who and when)."""
        return {}

    @classmethod
    def create(cls, vlist):
        initial = cls.default_state()
        vlist = [{**v, 'state': v.get('state') or initial} for v in vlist]
        if Transaction().check_access:
            cls._check_user_create(vlist, initial)
        return super().create(cls._completed(vlist))

    @classmethod
    def _completed(cls, vlist):
        """Return the values of new records with those that only the server
        gives. Other modules extend this."""
        return vlist

    @classmethod
    def _check_user_create(cls, vlist, initial):
        for values in vlist:
            if values['state'] != initial:
                raise StateError(gettext(
                        'health_imaging.msg_state_create',
                        **cls.__names__()))
            cls._check_kept(n for n in cls._stamped if values.get(n))

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        args = []
        for records, values in zip(actions, actions):
            if Transaction().check_access:
                cls._check_user_write(records, values)
            if 'state' in values:
                moved = cls._check_move(records, values['state'])
                args.extend(
                    (moved, {**values, **cls._stamps(values['state'])}))
                records = [r for r in records if r not in moved]
            args.extend((records, values))
        super().write(*args)

    @classmethod
    def _check_user_write(cls, records, values):
        names = (cls._stamped | cls._fixed) & values.keys()
        cls._check_kept(n for n in names
            if any(differs(r, n, values[n]) for r in records))

    @classmethod
    def _check_kept(cls, names):
        for name in names:
            raise KeptValueError(gettext(
                    'health_imaging.msg_kept_value', **cls.__names__(name)))

    @classmethod
    def _check_move(cls, records, state):
        """Return the records that a write moves to a state."""
        moved = [r for r in records if r.state != state]
        for record in moved:
            if (Transaction().check_access
                    or (record.state, state) not in cls._transitions):
                raise StateError(gettext(
                        'health_imaging.msg_state_move',
                        record=record.rec_name))
        return moved


@without_check_access
def check_unique(records, name, message, domain=()):
    """Raise SQLConstraintError when a value is in two records.

    The database refuses it as well, but SQLite knows no constraints.

    :param records: records of one model
    :param str name: the field
    :param str message: id of the message, without parameters
    :param domain: which records count
    """
    values = {getattr(r, name) for r in records} - {None, ''}
    for some in grouped_slice(values):
        found = type(records[0]).search([
                (name, 'in', list(some)), *domain], order=[])
        if len(found) != len({getattr(r, name) for r in found}):
            raise SQLConstraintError(gettext(message))


def differs(record, name, value):
    """Return whether a value to write differs from what a record has.

    :param value: as in write, the id for a Many2One
    """
    current = getattr(record, name)
    current = getattr(current, 'id', current)
    return (current or None) != (getattr(value, 'id', value) or None)


def hold(records):
    """Keep others from changing records until the transaction ends.

    Unlike Model.lock it waits for its turn. When the records changed in the
    meantime the database ends the transaction, and trytond tries it again
    with what is there by then.

    :param records: records of one model
    """
    records = sorted(records)
    if not records or not Transaction().database.has_select_for():
        return
    table = type(records[0]).__table__()
    for ids in grouped_slice([r.id for r in records]):
        execute(table.select(
                Literal(1), where=reduce_ids(table.id, ids),
                order_by=table.id, for_=For('UPDATE')))
