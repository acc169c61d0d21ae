# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that the server writes, whatever the clients of people send."""
from trytond.transaction import Transaction

from .calls import CheckedCalls
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
