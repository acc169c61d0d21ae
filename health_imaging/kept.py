# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that the server writes, whatever the clients of people send."""
from trytond.i18n import gettext
from trytond.transaction import Transaction

from .calls import CheckedCalls
from .exceptions import LedgerError
from .rights import check_rights
from .workflow import refuse_changed, refuse_given


class Kept(CheckedCalls):
    "Mixin of models of which people write a few fields, whatever they send."
    __slots__ = ()

    # What a person may change.
    _for_people = frozenset()

    @classmethod
    def create(cls, vlist):
        cls._check_given(vlist)
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        cls._check_changed(args)
        super().write(*args)

    @classmethod
    def _check_given(cls, vlist):
        if Transaction().check_access:
            check_rights(cls.__name__, 'create')
            refuse_given(cls, vlist, cls._fields.keys() - cls._for_people)

    @classmethod
    def _check_changed(cls, args):
        if Transaction().check_access:
            check_rights(cls.__name__, 'write')
            refuse_changed(cls, args, cls._fields.keys() - cls._for_people)


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
                    'health_imaging.msg_ledger', **cls.__names__()))
