# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules ship for a start and hospitals change: former releases
kept these records for themselves."""
from sql import Table

from .tables import execute

# Names of models, and ids in the files of the module.
SHIPPED = [
    'gnuhealth.imaging.test.type', 'ir.sequence', 'product.category',
    'product.product', 'product.template', 'product.template-product.category',
    'user_demo_group_health_imaging', 'user_demo_imaging']


def free_shipped_records(module, names):
    """Let hospitals change records that a module shipped before.

    :param str module: name of the module that ships them
    :param names: their ids in its files, or the names of their models
    """
    table = Table('ir_model_data')
    execute(table.update([table.noupdate], [True],
            where=(table.module == module)
            & (table.fs_id.in_(names) | table.model.in_(names))))
