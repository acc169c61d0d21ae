# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records shipped as a start for hospitals to change.

Former releases reset them with each update."""
from sql import Table

from .migration import set_where

# Names of models or XML ids.
SHIPPED = [
    'gnuhealth.imaging.test.type', 'ir.sequence', 'product.category',
    'product.product', 'product.template', 'product.template-product.category',
    'user_demo_group_health_imaging', 'user_demo_imaging']


def free_shipped_records(module, names):
    """Let hospitals change records that former releases kept in sync.

    :param str module: name of the module that ships them
    :param names: their ids in its files, or the names of their models
    """
    table = Table('ir_model_data')
    set_where(table, (table.module == module)
        & (table.fs_id.in_(names) | table.model.in_(names)), noupdate=True)
