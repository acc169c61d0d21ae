# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL in the current transaction."""
from trytond.transaction import Transaction


def execute(query):
    """Run a query of python-sql in the current transaction.

    :return: list of rows, empty for what is no select
    """
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor.fetchall() if cursor.description else []
