# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short transactions for long work."""
import logging
import time

from trytond import backend
from trytond.transaction import Transaction

logger = logging.getLogger(__name__)

ATTEMPTS = 6
PAUSE = 0.1


def transact(work):
    """Call a function and commit, and return its result.

    It is called again when another transaction was in its way or the
    connection broke, so it may change nothing but the database."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            result = work()
            Transaction().commit()
            return result
        except Exception as error:
            passing = _is_passing(error)
            roll_back()
            if not passing or attempt == ATTEMPTS:
                raise
            logger.info("transaction repeated: %s", type(error).__name__)
        time.sleep(PAUSE * 2 ** attempt)


def roll_back():
    """Undo what is not committed, on a new connection if the old one broke.
    """
    transaction = Transaction()
    try:
        transaction.rollback()
    except Exception as error:
        logger.info("connection replaced: %s", type(error).__name__)
        database = transaction.database
        database.put_connection(transaction.connection, close=True)
        transaction.connection = database.get_connection()


def forget_plans():
    """Let PostgreSQL plan anew: it goes on to check the foreign keys of new
    rows as was best when the tables were empty, by reading whole tables."""
    if backend.name == 'postgresql':
        Transaction().connection.cursor().execute('DISCARD PLANS')


def _is_passing(error):
    connection = Transaction().connection
    return (
        isinstance(error, backend.DatabaseOperationalError)
        or bool(getattr(connection, 'closed', False)))
