# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of synchronization: what each of them did."""
import datetime as dt
import time

from sql import Column, Null
from sql.conditionals import Coalesce

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.health_imaging.institution import (
    institution_timezone, local_datetime, utc_datetime)
from trytond.modules.health_imaging.kept import Ledger
from trytond.modules.health_imaging.minute import now
from trytond.modules.health_imaging.retention import (
    BLOCK, SECONDS, Forgotten, unlocked)
from trytond.modules.health_imaging.told import Told
from trytond.pool import Pool
from trytond.pyson import Eval, If, PYSONEncoder

from . import tables
from .sync.transactions import transact

#: After how many days runs that found nothing new are folded into one a day.
FOLD_DAYS = 7
# What a run counts, where something is new
_NEWS = ('skipped', *(
        f'{level}_{what}' for level in ['studies', 'series', 'instances']
        for what in ['new', 'changed', 'gone']),
    'studies_linked', 'studies_review', 'studies_undecided')
# What is read of runs to fold
_FOLDED = ['id', 'start', 'end', 'folded', 'calls', 'full']


class SyncRun(Forgotten, Ledger, ModelSQL, ModelView):
    "Orthanc Synchronization"
    __name__ = 'gnuhealth.orthanc.sync_run'
    _dated = 'start'
    _years = 'health_orthanc', 'sync_runs_years', 1

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='CASCADE')
    full = fields.Boolean("Full", readonly=True)
    started_by = fields.Selection([
            ('button', "Button"),
            ('cron', "Schedule"),
            ('nightly', "Nightly Comparison"),
            ('wizard', "Wizard"),
            ('script', "Script"),
            ('upload', "Upload"),
            ('notice', "Notice of the Server"),
            (None, ""),
            ], "Started by", readonly=True, sort=False)
    start = fields.DateTime("Start", readonly=True)
    end = fields.DateTime("End", readonly=True)
    state = fields.Selection([
            ('running', "Running"),
            ('done', "Done"),
            ('failed', "Failed"),
            ('interrupted', "Interrupted"),
            ], "State", readonly=True, sort=False)
    state_string = state.translated('state')
    done = fields.Integer("Studies Looked at", readonly=True)
    total = fields.Integer("Of", readonly=True)
    studies_new = fields.Integer("New Studies", readonly=True)
    studies_changed = fields.Integer("Changed Studies", readonly=True)
    studies_gone = fields.Integer("Missing Studies", readonly=True)
    series_new = fields.Integer("New Series", readonly=True)
    series_changed = fields.Integer("Changed Series", readonly=True)
    series_gone = fields.Integer("Missing Series", readonly=True)
    instances_new = fields.Integer("New Instances", readonly=True)
    instances_changed = fields.Integer("Changed Instances", readonly=True)
    instances_gone = fields.Integer("Missing Instances", readonly=True)
    studies_linked = fields.Integer("Linked Studies", readonly=True)
    studies_review = fields.Integer("To Review", readonly=True,
        help="Studies that came to be reviewed, and were when the run ended.")
    studies_undecided = fields.Integer("Not Decided", readonly=True,
        help="Studies on which an error kept the rules from deciding.")
    outcome = fields.Function(
        fields.Char("Outcome", states={'invisible': ~Eval('outcome')}),
        'get_outcome')
    skipped = fields.Integer("Skipped", readonly=True)
    skipped_reasons = Told("Reasons", readonly=True,
        states={'invisible': ~Eval('skipped_reasons')})
    calls = fields.Integer("HTTP Calls", readonly=True)
    folded = fields.Integer("Runs", readonly=True,
        states={'invisible': ~Eval('folded')},
        help="How many runs of a day found nothing new: start and end are "
        "those of the first and of the last.")
    error = Told("Error", readonly=True,
        states={'invisible': ~Eval('error')})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('start', 'DESC'), ('id', 'DESC')]
        latest = (table.start, Index.Range(order='DESC'))
        cls._sql_indexes.update({
                Index(table, (table.server, Index.Equality()), latest),
                Index(table, (table.server, Index.Equality()), latest,
                    where=table.folded != Null),
                Index(table, latest),
                })
        cls._buttons['show_studies'] = {
            'invisible': Eval('state') == 'running'}

    def get_rec_name(self, name):
        return f'{self.server.label} {self.start:%Y-%m-%d %H:%M}'

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="state"]', 'visual',
                If(Eval('state') == 'failed', 'danger',
                    If(Eval('state') == 'interrupted', 'warning',
                        If(Eval('state') == 'running', 'success', '')))),
            ]

    def get_outcome(self, name):
        """Return what became of the studies, in words."""
        if self.state == 'running':
            return ''
        if self.folded:
            return gettext('health_orthanc.msg_sync_folded', n=self.folded)
        return ', '.join(
            gettext(f'health_orthanc.msg_sync_{what}', n=count or 0)
            for what in ['new', 'linked', 'review', 'undecided']
            for count in [getattr(self, f'studies_{what}')]
            if count or what != 'undecided')

    @classmethod
    @ModelView.button_action('health_orthanc.act_imaging_orthanc_study_view')
    def show_studies(cls, runs):
        """Open the studies of the servers of runs, in tabs: what was new, and
        what is left to do."""
        encode = PYSONEncoder().encode
        new = ['OR', ('id', '<', 0), *([
                    ('orthanc_server', '=', r.server.id),
                    ('create_date', '>=', r.start),
                    # Runs are kept to the second.
                    ('create_date', '<', r.end + dt.timedelta(seconds=1)),
                    ] for r in runs if r.end)]
        return {
            'pyson_domain': encode([
                    ('orthanc_server', 'in', [r.server.id for r in runs])]),
            'domains': [
                (gettext(f'health_orthanc.msg_tab_{name}'), encode(domain),
                    True)
                for name, domain in [
                    ('new', new),
                    ('review', [('link_state', '=', 'review')]),
                    ('undecided', [('undecided_since', '!=', None)])]],
            }

    @classmethod
    def unfinished(cls, server):
        """Return the runs of a server, an id, after the last one that came to
        its end."""
        of_server, open_ = ('server', '=', server), ['running', 'interrupted']
        last = cls.search([of_server, ('state', 'not in', open_)],
            order=[('id', 'DESC')], limit=1)
        return cls.search([of_server, ('state', 'in', open_),
                ('id', '>', last[0].id if last else 0)])

    @classmethod
    def tidy(cls):
        """Fold old runs that found nothing into one a day, and delete those
        that are too old, in blocks. Called by the scheduled task.

        Commits after each block.
        """
        end = time.monotonic() + SECONDS
        before = utc_datetime(
            local_datetime(now()).replace(
                hour=0, minute=0, second=0, tzinfo=None)
            - dt.timedelta(days=FOLD_DAYS))
        server = Pool().get('gnuhealth.orthanc.config').__table__()
        for id_, in tables.execute(server.select(server.id)):
            while (transact(lambda: cls._fold(id_, before)) == BLOCK
                    and time.monotonic() < end):
                pass
        cls.forget()

    @classmethod
    def _fold(cls, server, before):
        """Fold a block of the runs of a server, an id, before a moment, return
        how many; none where another worker does it."""
        of = Pool().get('gnuhealth.orthanc.config').__table__()
        if not tables.execute(of.select(
                    of.id, where=of.id == server, for_=unlocked())):
            return 0
        newest, found = cls._to_fold(server, before)
        days, zone = {}, institution_timezone()
        for row in newest + found if found else ():
            run = cls(**dict(zip(_FOLDED, row)))
            days.setdefault(
                local_datetime(run.start, zone).date(), []).append(run)
        for runs in days.values():
            cls._fold_day(runs)
        return len(found)

    @classmethod
    def _to_fold(cls, server, before):
        """Return the last run of a server that is folded, as older days are,
        and a block of those that are not; rows of _FOLDED."""
        table = cls.__table__()
        columns = [Column(table, name) for name in _FOLDED]
        newest = tables.execute(table.select(*columns,
                where=(table.server == server) & (table.folded != Null),
                order_by=table.start.desc, limit=1))
        where = ((table.server == server) & (table.start < before)
            & (table.folded == Null) & cls._found_nothing(table))
        if newest:
            where &= table.start >= newest[0][1]
        return newest, tables.execute(table.select(
                *columns, where=where, order_by=table.start, limit=BLOCK))

    @classmethod
    def _found_nothing(cls, table):
        """Return the condition of runs that are done and found nothing new."""
        where = (table.state == 'done') & (table.error == Null)
        for name in _NEWS:
            where &= Coalesce(Column(table, name), 0) == 0
        return where

    @classmethod
    def _fold_day(cls, runs):
        """Make one row of the runs of a day, in their order."""
        if all(run.folded for run in runs):
            return
        # The last id says which open runs are older.
        *others, last = sorted(run.id for run in runs)
        tables.set_values(cls, [last],
            folded=sum(run.folded or 1 for run in runs),
            calls=sum(run.calls or 0 for run in runs),
            start=runs[0].start, end=max(run.end for run in runs),
            full=any(run.full for run in runs) or None, started_by=None)
        tables.delete(cls, others)

    def summary(self):
        """Return state, error and counts, for scripts."""
        counts = {
            name: getattr(self, name) for name, field in self._fields.items()
            if field._type == 'integer' and name not in {'id', 'done'}}
        return {'state': self.state, 'error': self.error, 'run': counts}
