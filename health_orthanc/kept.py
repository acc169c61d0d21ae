# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that the synchronization writes, and of which people may change some
fields only, whatever their client sends."""
from trytond.i18n import gettext
from trytond.modules.health_imaging.common import differs
from trytond.modules.health_imaging.exceptions import KeptValueError
from trytond.transaction import Transaction


class Kept:
    """Mixin of models of which people change a few fields.

    Clients do not change read-only fields, other programs may try.
    """
    __slots__ = ()

    # What a person may change.
    _for_people = frozenset()

    @classmethod
    def write(cls, *args):
        check_kept(cls, args)
        super().write(*args)


def check_kept(Model, args):
    """Raise KeptValueError when a person changes what is not for people.

    Buttons and the synchronization run without access checks and may.

    :param Model: with the names of the fields in _for_people
    :param args: as for write
    """
    if not Transaction().check_access:
        return
    actions = iter(args)
    for records, values in zip(actions, actions):
        for name in sorted(values.keys() - Model._for_people):
            if any(differs(r, name, values[name]) for r in records):
                raise KeptValueError(gettext(
                        'health_imaging.msg_kept_value',
                        **Model.__names__(name)))
