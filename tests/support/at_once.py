# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets several connections to PostgreSQL come for the same row at the same
moment: a third one holds it until all have come."""
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

from .records import RpcError


class Row:
    """A row that nobody else changes for a while."""

    def __init__(self, database, model, id_):
        self.database = database
        self.table = model.replace('.', '_')
        self.id = id_

    def __enter__(self):
        self.connection = self.database.connect()
        self._execute(
            f'SELECT id FROM {self.table} WHERE id = %s FOR UPDATE', self.id)
        return self

    def _execute(self, query, *parameters):
        with self.connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchall() if cursor.description else None

    def wait_for(self, count):
        """Wait until so many connections wait for a lock."""
        wait_for_locks(self.database, count)

    def __exit__(self, *exception):
        self.connection.rollback()
        self.connection.close()


def wait_for_locks(database, count):
    """Wait until so many connections wait for a lock."""
    end = time.monotonic() + 30
    with closing(database.connect()) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            while time.monotonic() < end:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE "
                    "wait_event_type = 'Lock' AND datname = %s",
                    [database.name])
                if cursor.fetchone()[0] >= count:
                    return
                time.sleep(0.05)
    pytest.fail(f"{count} connections do not wait")


def attempt(action):
    """Return None, or what the server refused."""
    try:
        action()
    except RpcError as error:
        return error


def at_once(database, model, id_, *actions):
    """Run actions that come for the same row at the same moment.

    :param id_: id of the row, or those of several, for which the actions
        come in any order
    :return: what the server refused of each, None where it went well
    """
    ids = [id_] if isinstance(id_, int) else id_
    with ThreadPoolExecutor(len(actions)) as pool:
        with ExitStack() as rows:
            for one in ids:
                rows.enter_context(Row(database, model, one))
            running = [pool.submit(attempt, action) for action in actions]
            wait_for_locks(database, len(actions))
        return [future.result() for future in running]


def commit_while_waiting(database, statement, parameters, action):
    """Return what is refused of an action that waits for another program.

    :param statement: what the other program does before it commits
    """
    with ThreadPoolExecutor(1) as pool:
        with closing(database.connect()) as connection:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
            waiting = pool.submit(attempt, action)
            wait_for_locks(database, 1)
            connection.commit()
        return waiting.result()
