# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the user may read or change records."""
from trytond.pool import Pool
from trytond.transaction import check_access


def check_rights(model, *modes):
    """Raise AccessError unless the user has the rights on a model.

    It checks also where code runs without checks, as buttons and states of
    wizards do.

    :param str model: name of the model
    :param str modes: among 'read', 'write', 'create' and 'delete'
    """
    ModelAccess = Pool().get('ir.model.access')
    with check_access():
        for mode in modes:
            ModelAccess.check(model, mode)


def check_read(records):
    """Raise AccessError unless the user may read each of the records.

    :param records: at least one record, of one model
    """
    with check_access():
        type(records[0]).read([r.id for r in records], ['id'])
