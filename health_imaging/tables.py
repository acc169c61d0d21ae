# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL in the current transaction."""
import datetime as dt
from contextlib import nullcontext

from trytond.transaction import Transaction


def execute(query):
    """Run a python-sql query in the current transaction.

    :param query: of python-sql
    :return: list of rows, empty when the query returns none
    """
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor.fetchall() if cursor.description else []


def moment(value):
    """Return a datetime that a query computed: SQLite gives it as a text.

    :param value: datetime.datetime, str in ISO format, or None
    :rtype: datetime.datetime or None
    """
    return dt.datetime.fromisoformat(value) \
        if isinstance(value, str) else value


def writing():
    """Return a context manager for writing: what is written in a read-only
    transaction, such as that of a report, gets one of its own."""
    transaction = Transaction()
    return transaction.new_transaction() if transaction.readonly \
        else nullcontext()
