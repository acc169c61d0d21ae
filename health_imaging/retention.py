# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long what only grows is kept: scheduled tasks delete it, in blocks and
for a limited time; users cannot.  trytond's configuration says how long,
which those whose work is logged cannot change."""
import logging
import time

from dateutil.relativedelta import relativedelta
from sql import Column

from trytond import backend
from trytond.config import config
from trytond.i18n import gettext
from trytond.model import Index
from trytond.pool import Pool
from trytond.tools import reduce_ids
from trytond.transaction import Transaction

from .minute import in_words, now
from .tables import execute, forget

logger = logging.getLogger(__name__)

#: How many lines are deleted in a transaction, and for how many seconds a task
#: goes on; the next day goes on where it ended.
BLOCK, SECONDS = 1000, 300
# How far back the calendar goes, about.
_MOST_YEARS = 1000


def unlocked():
    """Return the clause of a select that locks rows, and leaves out those that
    another worker locks; None for SQLite, which has one writer."""
    database = Transaction().database
    if not database.has_select_for():
        return None
    return database.get_select_for_skip_locked()('UPDATE')


class Forgotten:
    """Mixin of logs whose old lines are deleted.

    :cvar str _dated: name of the field with the age of a line
    :cvar tuple _years: section and option of the configuration that says for
        how many years they are kept, and what it is without
    """
    __slots__ = ()

    _dated = 'at'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(
                table, (Column(table, cls._dated), Index.Range(order='DESC'))))

    @classmethod
    def years_kept(cls):
        """Return for how many years lines are kept, 0: for ever, as where the
        configuration has no such number."""
        section, option, default = cls._years
        try:
            years = config.getint(section, option, default=default)
        except ValueError:
            logger.error("%s in [%s] of the configuration is no number of "
                "years: nothing is deleted", option, section)
            return 0
        return years if 0 < years < _MOST_YEARS else 0

    @classmethod
    def forget(cls):
        """Delete the lines that are too old, in blocks.

        Commits after each block. Called by the scheduled task.
        """
        years, end = cls.years_kept(), time.monotonic() + SECONDS
        before, count = now() - relativedelta(years=years), BLOCK
        while years > 0 and count == BLOCK and time.monotonic() < end:
            try:
                count = cls._forget_before(before)
                Transaction().commit()
            except backend.DatabaseOperationalError as error:
                logger.info("another worker deletes lines of %s: %s",
                    cls.__name__, type(error).__name__)
                Transaction().rollback()
                break

    @classmethod
    def _forget_before(cls, moment):
        "Delete one block of lines, return how many."
        table = cls.__table__()
        at = Column(table, cls._dated)
        ids = [id_ for id_, in execute(table.select(
                    table.id, where=at < moment, order_by=at, limit=BLOCK,
                    for_=unlocked()))]
        if ids:
            execute(table.delete(where=reduce_ids(table.id, ids)))
            forget(cls, ids)
        return len(ids)


def kept_lines():
    """Return for how long each log is kept, a line each, as the settings show
    it."""
    lines = []
    for _, Model in Pool().iterobject():
        if issubclass(Model, Forgotten):
            years = Model.years_kept()
            lines.append(gettext('health_imaging.msg_kept',
                    log=Model.__names__()['model'],
                    time=in_words(years, 'year') if years > 0
                    else gettext('health_imaging.msg_for_ever')))
    return sorted(lines)
