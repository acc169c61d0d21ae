# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs, which the server alone writes."""
from trytond.i18n import gettext
from trytond.modules.health_imaging.calls import CheckedCalls
from trytond.transaction import Transaction

from .exceptions import LedgerError


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
