# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the user's rights."""
from trytond.pool import Pool
from trytond.transaction import Transaction, check_access, without_check_access

ADMINISTRATION = 'health_imaging.group_health_imaging_admin'


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


def may_read(model):
    """Return whether the user may read a model.

    :param str model: name of the model
    :rtype: bool
    """
    ModelAccess = Pool().get('ir.model.access')
    with check_access():
        return ModelAccess.get_access([model])[model]['read']


@without_check_access
def groups_of(*names):
    """Return groups, and whether the user is in one of them.

    Also works where trytond checks no access: in buttons and wizards.

    :param str names: XML ids with their module
    :return: list of res.group records, and a bool
    """
    pool = Pool()
    Group = pool.get('res.group')
    ModelData = pool.get('ir.model.data')
    User = pool.get('res.user')
    ids = [ModelData.get_id(*name.split('.')) for name in names]
    # The server itself is in none.
    inside = not Transaction().user or bool(
        set(ids) & set(User.get_groups()))
    return Group.browse(ids), inside


def check_read(records):
    """Raise AccessError unless the user may read each of the records.

    :param records: at least one record, all of one model
    :raises AccessError: one may not be read
    """
    with check_access():
        type(records[0]).read([r.id for r in records], ['id'])
