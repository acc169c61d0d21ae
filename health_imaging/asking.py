# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access checks of the RPC methods that forms call, such as on_change.

trytond itself answers every user, and reads without access checks for it.
"""
import copy
from collections import defaultdict
from functools import wraps

from trytond.model import Model, ModelStorage
from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.transaction import check_access
from trytond.wizard import StateView

# These describe forms and contain nothing of records.
_OPEN = {'fields_get', 'fields_view_get', 'view_toolbar_get'}
# The right on the model, read by default. Errors of records are shown only to
# users who may write them.
_RIGHTS = {
    'copy': 'create', 'create': 'create', 'delete': 'delete',
    'import_data': 'create', 'write': 'write'}
# These call a method for each field that they name.
_NAMING = {
    'default_get': 'default_', 'on_change': 'on_change_',
    'on_change_with': 'on_change_with_'}


def close(module):
    """Let the models of a module answer only users who may read them.

    Models that this module only extends keep answering for the fields of other
    modules.

    :param str module: name of a module whose models are registered
    """
    Pool.register_mixin(
        Answering, tuple(Pool.classes['model'][module]), module=module)


class Answering:
    """Mixin of models whose form methods answer only users who may read."""
    __slots__ = ()

    def __init_subclass__(cls):
        super().__init_subclass__()
        # trytond adds this mixin after __setup__, when __rpc__ is complete.
        brought = _brought(cls)
        cls.__rpc__ = {
            name: _closed(cls, name, rpc, brought)
            if _is_asked(cls, name, brought) else rpc
            for name, rpc in cls.__rpc__.items()}


class _Everything:
    def __contains__(self, name):
        return True


def _brought(cls):
    """Return the names that closed modules add to a model.

    :return: all names where a closed module defines the model, else a set of
        str
    """
    modules = [
        module for module, mixins in Pool.classes_mixin.items()
        if any(mixin is Answering for _, mixin in mixins)]
    classes = [
        c for module in modules for c in Pool.classes['model'][module]
        if issubclass(cls, c)]
    if any(issubclass(c, Model) for c in classes):
        return _Everything()
    # trytond exports without checking rules and resources.
    return {'export_data'}.union(*map(dir, classes))


def _is_asked(cls, name, brought):
    """Return whether a method of a model needs a check of the reader."""
    # Buttons check access themselves.
    if name in _OPEN or name in getattr(cls, '_buttons', {}):
        return False
    return name in _NAMING or name in brought


def _closed(cls, name, rpc, brought):
    """Return how a method is called over RPC by those who may read."""
    closed = copy.copy(rpc)
    closed.decorator = lambda method: _checked(
        cls, name, rpc, brought, rpc.decorate(method))
    closed.result = lambda value: hide_names(cls, rpc.result(value))
    return closed


def _checked(cls, name, rpc, brought, method):
    """Return a method that checks the user's rights before it answers."""
    @wraps(method)
    def checked(*args, **kwargs):
        asked = [name]
        if name in _NAMING:
            names = args[0] if rpc.instantiate is None else args[-1]
            asked = [f'{_NAMING[name]}{n}' for n in names]
        if not isinstance(brought, _Everything) and not any(
                a in brought for a in asked):
            return method(*args, **kwargs)
        check_user(cls, _RIGHTS.get(name, 'read'))
        if isinstance(rpc.instantiate, slice):
            check_records(_named(args[rpc.instantiate]))
        elif rpc.instantiate is not None:
            check_records(_named(args[:1]))
            if not all(_may_read_parents(cls, a) for a in asked):
                return {} if name.startswith('on_change_with_') else args[0]
        return method(*args, **kwargs)
    return checked


def check_user(cls, mode):
    """Raise AccessError unless the user has a right on a model.

    Views of wizards are open to users of at least one wizard that shows them.

    :param str mode: read, write, create or delete
    """
    ModelAccess = Pool().get('ir.model.access')
    if issubclass(cls, ModelStorage):
        with check_access():
            ModelAccess.check(cls.__name__, mode)
        return
    refusals = []
    for wizard in _wizards(cls):
        try:
            return wizard.check_user()
        except AccessError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def _wizards(cls):
    """Yield the checked wizards that have a view of a model."""
    for _, wizard in Pool().iterobject(type='wizard'):
        states = getattr(wizard, 'states', {}).values()
        names = {s.model_name for s in states if isinstance(s, StateView)}
        if hasattr(wizard, 'check_user') and cls.__name__ in names:
            yield wizard


def is_stored(Model):
    """Return whether a model has a table or a query of its own."""
    return issubclass(Model, ModelStorage)


def check_records(records):
    """Raise AccessError unless the user may read all records.

    :param records: iterable of pairs of model and id
    """
    ids = defaultdict(set)
    for Model_, id_ in records:
        if id_ is not None and id_ >= 0 and is_stored(Model_):
            ids[Model_.__name__].add(id_)
    with check_access():
        for name, some in ids.items():
            Pool().get(name).read(sorted(some), ['id'])


def _named(records):
    """Return pairs of model and id that a client named, also in values."""
    found, seen, left = [], set(), list(records)
    while left:
        record = left.pop()
        if isinstance(record, (list, tuple)):
            left.extend(record)
        elif isinstance(record, Model) and id(record) not in seen:
            seen.add(id(record))
            found.append((type(record), record.id))
            if record._values:
                left.extend(value for _, value in record._values._items())
    return found


def _may_read_parents(cls, asked):
    """Return whether the user may read the parent fields of a method."""
    FieldAccess = Pool().get('ir.model.field.access')
    kind = 'on_change_with' if asked.startswith('on_change_with_') \
        else 'on_change'
    field = cls._fields.get(asked[len(kind) + 1:])
    with check_access():
        return all(
            FieldAccess.check(Target.__name__, [name], raise_exception=False)
            for depend in getattr(field, kind, None) or ()
            for Target, name in _parents(cls, depend))


def _parents(cls, depend):
    """Return model and field behind a dependency, a list of one or none."""
    *path, name = depend.split('.')
    for part in path:
        cls = cls._fields[part.removeprefix('_parent_')].get_target()
    return [(cls, name)] if path else []


def hide_names(cls, values):
    """Remove the names of records that the user may not read.

    :param cls: the model of the values
    :param dict values: what a method returns to the client, changed in place
    :return: the values
    """
    if not isinstance(values, dict):
        return values
    for key in [k for k in values if k.endswith('.')]:
        if not _may_read(cls._fields.get(key[:-1]), values.get(key[:-1])):
            del values[key]
    for name, lines in values.items():
        field = cls._fields.get(name)
        if field and field._type == 'one2many' and isinstance(lines, dict):
            for _, line in lines.get('add', []):
                hide_names(field.get_target(), line)
            for line in lines.get('update', []):
                hide_names(field.get_target(), line)
    return values


def _may_read(field, value):
    """Return whether the user may read the record that a field names."""
    if field._type == 'reference':
        name, _, id_ = (value or '').partition(',')
        Target = Pool().get(name)
    else:
        Target, id_ = field.get_target(), value
    try:
        check_records([(Target, int(id_))])
    except AccessError:
        return False
    return True
