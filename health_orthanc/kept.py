# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that the synchronization writes, and of which people may change some
fields only, whatever their client sends."""
from trytond.i18n import gettext
from trytond.modules.health_imaging.calls import CheckedCalls
from trytond.modules.health_imaging.exceptions import KeptValueError
from trytond.modules.health_imaging.rights import check_rights
from trytond.modules.health_imaging.workflow import differs
from trytond.transaction import Transaction

from .exceptions import LedgerError


class Kept(CheckedCalls):
    """Mixin of models of which people change a few fields.

    Clients do not change read-only fields, other programs may try.
    """
    __slots__ = ()

    # What a person may change.
    _for_people = frozenset()

    @classmethod
    def create(cls, vlist):
        check_given(cls, vlist)
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        check_kept(cls, args)
        super().write(*args)


class Ledger(CheckedCalls):
    """Mixin of logs: lines that the server alone adds, and that nobody
    changes or deletes, whatever rights an administrator gives him."""
    __slots__ = ()

    @classmethod
    def __setup__(cls):
        super().__setup__()
        for name in ['create', 'write', 'delete', 'copy', 'import_data']:
            cls.__rpc__.pop(name, None)

    @classmethod
    def create(cls, vlist):
        cls._refuse_people()
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        cls._refuse_people()
        super().write(*args)

    @classmethod
    def delete(cls, records):
        cls._refuse_people()
        super().delete(records)

    @classmethod
    def _refuse_people(cls):
        """Raise LedgerError when a person does it: through a field of another
        model, for these have no RPC."""
        if Transaction().check_access:
            raise LedgerError(gettext(
                    'health_orthanc.msg_ledger', **cls.__names__()))


def check_given(Model, vlist):
    """Raise KeptValueError when a person gives to new records what is not for
    people.

    :param Model: with the names of the fields in _for_people
    :param vlist: as for create
    """
    if not Transaction().check_access:
        return
    check_rights(Model.__name__, 'create')
    for values in vlist:
        for name in sorted(values.keys() - Model._for_people):
            if values[name]:
                _refuse(Model, name)


def check_kept(Model, args):
    """Raise KeptValueError when a person changes what is not for people.

    Buttons and the synchronization run without access checks and may.

    :param Model: with the names of the fields in _for_people
    :param args: as for write
    """
    if not Transaction().check_access:
        return
    check_rights(Model.__name__, 'write')
    actions = iter(args)
    for records, values in zip(actions, actions):
        for name in sorted(values.keys() - Model._for_people):
            if any(differs(r, name, values[name]) for r in records):
                _refuse(Model, name)


def _refuse(Model, name):
    raise KeptValueError(gettext(
            'health_imaging.msg_kept_value', **Model.__names__(name)))
