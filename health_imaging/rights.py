# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the user's rights."""
from trytond.pool import Pool
from trytond.transaction import check_access


def check_rights(model, *modes):
    """Raise AccessError unless the user has rights on a model.

    Also works where trytond checks no access: in buttons and wizards.

    :param str model: name of the model
    :param str modes: among 'read', 'write', 'create' and 'delete'
    :raises AccessError: a right is missing
    """
    ModelAccess = Pool().get('ir.model.access')
    with check_access():
        for mode in modes:
            ModelAccess.check(model, mode)


def check_read(records):
    """Raise AccessError unless the user may read each of the records.

    :param records: at least one record, all of one model
    :raises AccessError: one may not be read
    """
    with check_access():
        type(records[0]).read([r.id for r in records], ['id'])
