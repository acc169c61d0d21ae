# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of synchronization: what each of them did."""
import datetime as dt

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.health_imaging.kept import Ledger
from trytond.pyson import Eval, If, PYSONEncoder


class SyncRun(Ledger, ModelSQL, ModelView):
    "Orthanc Synchronization"
    __name__ = 'gnuhealth.orthanc.sync_run'

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
    skipped_reasons = fields.Text("Reasons", readonly=True,
        states={'invisible': ~Eval('skipped_reasons')})
    calls = fields.Integer("HTTP Calls", readonly=True)
    error = fields.Text("Error", readonly=True,
        states={'invisible': ~Eval('error')})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('start', 'DESC'), ('id', 'DESC')]
        latest = (table.start, Index.Range(order='DESC'))
        cls._sql_indexes.update({
                Index(table, (table.server, Index.Equality()), latest),
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

    def summary(self):
        """Return state, error and counts, for scripts."""
        counts = {
            name: getattr(self, name) for name, field in self._fields.items()
            if field._type == 'integer' and name not in {'id', 'done'}}
        return {'state': self.state, 'error': self.error, 'run': counts}
