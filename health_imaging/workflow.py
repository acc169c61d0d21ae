# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workflow with guarded states and read-only fields."""
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
    """Workflow whose state changes along its transitions only.

    Buttons and wizards change the state; a create or write by a user does not.
    """
    __slots__ = ()

    # Fields written by buttons and wizards, never by a user's create or write.
    _stamped = frozenset()
    # Fields that a user may set on create, but not write.
    _fixed = frozenset()
    # Other fields that a copy does not take over, such as what follows.
    _not_copied = frozenset()

    @classmethod
    def _stamps(cls, state):
        """Return the values to write with a new state (who and when)."""
        return {}

    @classmethod
    def create(cls, vlist):
        initial = cls.default_state()
        vlist = [{**v, 'state': v.get('state') or initial} for v in vlist]
        if Transaction().check_access and any(
                v['state'] != initial for v in vlist):
            raise StateError(gettext(
                    'health_imaging.msg_state_create', **cls.__names__()))
        refuse_given(cls, vlist, cls._stamped)
        return super().create(cls._completed(vlist))

    @classmethod
    def _completed(cls, vlist):
        """Return the values of new records with those set by the server.

        Other modules extend this.
        """
        return vlist

    @classmethod
    def write(cls, *args):
        refuse_changed(cls, args, cls._stamped | cls._fixed)
        actions = iter(args)
        args = []
        for records, values in zip(actions, actions):
            if 'state' in values:
                moved = cls._check_move(records, values['state'])
                args.extend(
                    (moved, {**values, **cls._stamps(values['state'])}))
                records = [r for r in records if r not in moved]
            args.extend((records, values))
        super().write(*args)

    @classmethod
    def copy(cls, records, default=None):
        anew = {
            name: getattr(cls, f'default_{name}', lambda: None)()
            for name in cls._stamped | cls._fixed | cls._not_copied}
        return super().copy(records, default={**anew, **(default or {})})

    @classmethod
    def _check_move(cls, records, state):
        """Return the records whose state changes, or raise StateError."""
        moved = [r for r in records if r.state != state]
        for record in moved:
            if (Transaction().check_access
                    or (record.state, state) not in cls._transitions):
                record._refuse_move()
        return moved

    def _refuse_move(self):
        """Raise StateError because the state cannot change like this."""
        raise StateError(gettext(
                'health_imaging.msg_state_move', record=self.rec_name))


def refuse_given(Model, vlist, kept):
    """Refuse what a person gives to new records and may not.

    :param vlist: as for create
    :param kept: set of the names of fields that no person writes
    :raises KeptValueError: one of them has a value
    """
    for values in vlist if Transaction().check_access else ():
        refuse_kept(
            Model, [n for n in kept & values.keys() if values[n]])


def refuse_changed(Model, args, kept):
    """Refuse what a person changes and may not.

    :param args: as for write
    :param kept: set of the names of fields that no person writes
    :raises KeptValueError: one of them changes
    """
    actions = iter(args if Transaction().check_access else ())
    for records, values in zip(actions, actions):
        refuse_kept(Model, [n for n in kept & values.keys()
                if any(differs(r, n, values[n]) for r in records)])


def refuse_kept(Model, names):
    """Refuse fields that a person may not write.

    :param names: their names
    :raises KeptValueError: there are such fields
    """
    for name in sorted(names):
        raise KeptValueError(gettext(
                'health_imaging.msg_kept_value', **Model.__names__(name)))


@without_check_access
def check_unique(records, name, message, domain=()):
    """Raise SQLConstraintError when two records have the same value.

    PostgreSQL checks it as well, SQLite does not.

    :param records: records of one model
    :param str name: name of the field
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
    """Return whether a value to write differs from the stored one.

    :param str name: name of the field
    :param value: as in write, the id for a Many2One
    """
    current = getattr(record, name)
    current = getattr(current, 'id', current)
    return (current or None) != (getattr(value, 'id', value) or None)


def hold(records):
    """Lock rows until the transaction ends.

    Unlike Model.lock it waits. When the rows were changed meanwhile,
    PostgreSQL ends the transaction and trytond repeats it.

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
