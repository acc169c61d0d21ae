# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deletes studies and series on their servers, and then here."""
from sql import Null

from trytond.i18n import gettext
from trytond.model import Index, ModelView, fields
from trytond.modules.health_imaging.doors import given_reason
from trytond.modules.health_imaging.minute import Minute, now
from trytond.modules.health_imaging.told import label, tell
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, Id
from trytond.transaction import Transaction
from trytond.wizard import Button, StateTransition, StateView, Wizard

from . import tables
from .archive import orthanc
from .connection import connect
from .exceptions import error_text
from .image_wizard import ImageWizard
from .links import effects, ledger
from .links.access_log import KEEPERS, note
from .sync.storage import mark_patients
from .sync.transactions import roll_back, transact

_FOR_KEEPERS = {
    'invisible': ~Id(*KEEPERS[0].split('.')).in_(
        Eval('context', {}).get('groups', [])),
    # Whose id it is, the database knows later.
    'depends': [],
    }
# More are not asked about by name.
MAX_LISTED = 20
# With these the server has done nothing.
_REFUSALS = (
    orthanc.BadRequest, orthanc.Conflict, orthanc.ConnectionRefused,
    orthanc.ConnectTimeout, orthanc.Forbidden, orthanc.HostNotFound,
    orthanc.InvalidURL, orthanc.MethodNotAllowed, orthanc.Redirected,
    orthanc.TLSError, orthanc.Unauthorized, orthanc.Unreachable)


class Deletable:
    """Mixin of what can be deleted on a server: a study or a series. It has
    lines for the access log (_kept) and deletes its rows (_delete_rows)."""
    __slots__ = ()

    deleting_since = Minute("Deletion Asked at", readonly=True,
        states={'invisible': ~Eval('deleting_since')},
        help="When the server was asked to delete this. It did not confirm "
        "it yet, the next synchronization shows whether it did.")
    deleting_by = fields.Many2One(
        'res.user', "Deletion Asked by", readonly=True,
        states={'invisible': ~Eval('deleting_since')})
    deleting_reason = fields.Text("Reason for Deletion", readonly=True,
        states={'invisible': ~Eval('deleting_since')})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({cls._delete_button: _FOR_KEEPERS})
        table = cls.__table__()
        cls._sql_indexes.add(Index(
                table, (table.deleting_since, Index.Range()),
                where=table.deleting_since != Null))

    def delete_on_server(self, reason):
        """Ask the server to delete this, and delete it here when it did. It
        ends transactions.

        :param str reason: why, for the access log
        :return: the translated sentence on what happened
        """
        record, server = self.rec_name, self.of_study.orthanc_server.label
        # What was asked before may still be done.
        asked = bool(type(self)(self.id).deleting_since)
        outcome, problem = 'final', None
        if transact(lambda: self._announce(reason)):
            try:
                outcome = self._ask_server()
            except orthanc.OrthancError as error:
                problem = error_text(error, server)
                outcome = 'unknown'
                if not asked and isinstance(error, _REFUSALS):
                    transact(lambda: self._forget([self]))
                    outcome = 'refused'
            else:
                transact(lambda: self._drop(outcome))
        return gettext(f'health_orthanc.msg_delete_{outcome}',
            record=record, server=server, problem=problem)

    def _announce(self, reason):
        "Keep that the server is asked, or return False: it must not be."
        current = type(self)(self.id)
        result = current.of_study.imaging_test
        if result and result.state == 'final':
            return False
        tables.set_values(type(self), [self.id],
            deleting_since=now(), deleting_by=Transaction().user,
            deleting_reason=reason)
        return True

    def _ask_server(self):
        """Return done, or absent when the server did not have it."""
        server = self.of_study.orthanc_server
        level, uid = self._orthanc_level, self.orthanc_UID
        with connect(server) as client:
            roll_back()
            try:
                client.delete(level, uid)
            except (orthanc.NotFound, ValueError):
                # Where its id is no id of Orthanc, it is not there either.
                return 'absent'
        return 'done'

    @classmethod
    def _forget(cls, records):
        """Forget that servers were asked to delete records."""
        tables.set_values(cls, [r.id for r in records],
            deleting_since=None, deleting_by=None, deleting_reason=None)

    @classmethod
    def settle_deletions(cls, server, since, believed):
        """Finish what was left open, after the server was compared: what it
        does not list was deleted, what it lists was not.

        :param int server: id of the server
        :param since: when the comparison began, datetime
        :param bool believed: whether what is not marked as missing is there
        """
        found = cls.search([
                (cls._to_server, '=', server),
                ('deleting_since', '<=', since),
                ])
        gone = [r for r in found
            if r.missing_since or r.of_study.missing_since]
        if believed:
            cls._forget(set(found) - set(gone))
        for record in gone:
            by = record.deleting_by
            with Transaction().set_user(
                    by.id if by else Transaction().user):
                record._drop('absent')

    def _drop(self, outcome):
        "Delete the record here, and keep in the access log what it was."
        record = type(self)(self.id)
        note('delete', [record.of_study], [
                tell(f'health_orthanc.msg_deleted_{outcome}',
                    record=record.rec_name),
                *filter(None, [record.deleting_reason]), *record._kept()])
        record._delete_rows()


def _labelled(record, *names):
    """Return lines with the values of fields that are not empty."""
    return [label(record, name) for name in names if getattr(record, name)]


def _delete_series(series):
    """Delete series with their instances, a few statements for thousands."""
    pool = Pool()
    Series = pool.get('gnuhealth.imaging_orthanc.study_series')
    Instance = pool.get('gnuhealth.imaging_orthanc.series_instances')
    instances = [i.id for i in Instance.search(
            [('series', 'in', [s.id for s in series])], order=[])]
    tables.delete(Instance, instances)
    Series.delete(series)


class DeletableStudy(Deletable):
    """Mixin of studies that can be deleted on their server."""
    __slots__ = ()
    _delete_button = 'delete_study'
    _orthanc_level = 'studies'

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_delete_study')
    def delete_study(cls, studies):
        "Ask before the studies are deleted on their servers."

    def _kept(self):
        return [
            *_labelled(
                self, 'study_instance_UID', 'orthanc_UID', 'request',
                'imaging_test', 'link_rule', 'merge_comment', 'notes'),
            *(f'{series.rec_name}: {series.notes}'
                for series in self.series if series.notes)]

    def _delete_rows(self):
        """Delete the study, and leave a note with its result."""
        pool = Pool()
        Attachment = pool.get('ir.attachment')
        Note = pool.get('ir.note')
        if self.imaging_test:
            Note.create([{
                        'resource': str(self.imaging_test),
                        'message': tell(
                            'health_orthanc.msg_note_study_deleted',
                            study=self.rec_name,
                            reason=self.deleting_reason),
                        }])
        id_, patient = self.id, self.orthanc_patient
        ledger.let_go(
            ledger.CHOICES, lambda table: table.id == id_, 'deletion')
        _delete_series(list(self.series))
        if Attachment.search([
                    ('imaging_study', '=', id_),
                    ('resource.state', '=', 'final',
                        'gnuhealth.imaging.test.result'),
                    ], limit=1):
            # It tells which picture goes when signed results are amended.
            tables.set_values(
                type(self), [id_], missing_since=self.missing_since or now())
            self._forget([self])
        else:
            type(self).delete([self])
        if patient:
            mark_patients([patient.id])


class DeletableSeries(Deletable):
    """Mixin of series that can be deleted on their server."""
    __slots__ = ()
    _delete_button = 'delete_series'
    _orthanc_level = 'series'

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_delete_series')
    def delete_series(cls, series):
        "Ask before the series are deleted on their servers."

    def _kept(self):
        return _labelled(self, 'series_UID', 'orthanc_UID', 'notes')

    def _delete_rows(self):
        """Delete the series, and correct the totals of its study.

        The server deletes a study with its last series, here it stays."""
        study = self.study
        _delete_series([self])
        left = [s for s in type(study)(study.id).series
            if not s.missing_since]
        values = {
            'number_of_series': len(left),
            'number_of_instances': sum(
                s.number_of_instances or 0 for s in left),
            'modalities': ', '.join(sorted({s.modality for s in left})),
            }
        if not left and not study.missing_since:
            values['missing_since'] = now()
        tables.set_values(type(study), [study.id], **values)
        effects.count_images_of([study.id])
        if study.orthanc_patient:
            mark_patients([study.orthanc_patient.id])


class DeleteStart(ModelView):
    "Delete on the Server"
    __name__ = 'gnuhealth.imaging_orthanc.delete.start'

    question = fields.Text("Question", readonly=True)
    reason = fields.Text("Reason", required=True,
        help="Why it is deleted, kept in the access log.")


class DeleteDone(ModelView):
    "Deleted on the Server"
    __name__ = 'gnuhealth.imaging_orthanc.delete.done'

    outcome = fields.Text("Outcome", readonly=True)


class Delete(ImageWizard, Wizard):
    "Delete on the Server"
    __name__ = 'gnuhealth.imaging_orthanc.delete'
    _groups = KEEPERS
    _models = {
        'gnuhealth.imaging_orthanc.study',
        'gnuhealth.imaging_orthanc.study_series'}

    start = StateView('gnuhealth.imaging_orthanc.delete.start',
        'health_orthanc.delete_start_view_form', [
            Button("Keep", 'end', 'tryton-cancel', default=True),
            Button("Delete", 'remove', 'tryton-delete',
                states={'readonly': ~Bool(Eval('question'))}),
            ])
    remove = StateTransition()
    done = StateView('gnuhealth.imaging_orthanc.delete.done',
        'health_orthanc.delete_done_view_form', [
            Button("Close", 'end', 'tryton-ok', default=True),
            ])

    def default_start(self, field_names):
        records = self._selected()
        lines = [_question(r) for r in records[:MAX_LISTED]]
        if len(records) > MAX_LISTED:
            lines.append(gettext('health_orthanc.msg_delete_more',
                    count=len(records) - MAX_LISTED))
        lines.append(gettext('health_orthanc.msg_delete_for_ever'))
        return {'question': '\n'.join(lines)}

    def transition_remove(self):
        records = self._selected()
        reason = given_reason(self.start)
        self.done.outcome = '\n'.join(
            r.delete_on_server(reason) for r in records)
        return 'done'

    def default_done(self, field_names):
        return self.done._default_values


def _question(record):
    """Return the line that says what would be deleted."""
    study = record.of_study
    result = study.imaging_test
    kind = 'study' if record == study else 'series'
    text = gettext(f'health_orthanc.msg_delete_question_{kind}',
        record=record.rec_name, study=study.rec_name,
        server=study.orthanc_server.label,
        images=record.number_of_instances or 0)
    if result:
        linked = 'linked_final' if result.state == 'final' else 'linked'
        text += ' ' + gettext(
            f'health_orthanc.msg_delete_{linked}', result=result.rec_name)
    return text
