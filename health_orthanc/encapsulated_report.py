# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores the PDF of final results in their studies on the servers."""
import datetime as dt
import logging
import uuid
from collections import defaultdict
from contextlib import ExitStack

from sql import Null
from sql.conditionals import Coalesce

from trytond.exceptions import UserError
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.modules.health_imaging.institution import local_datetime
from trytond.modules.health_imaging.kept import Kept
from trytond.modules.health_imaging.minute import Minute, now
from trytond.modules.health_imaging.told import Told, tell
from trytond.pool import Pool
from trytond.pyson import Eval, If
from trytond.transaction import Transaction, without_check_access

from . import blocks, migration, tables
from .archive import orthanc
from .connection import connect
from .exceptions import error_text
from .links.access_log import note
from .links.link import Change
from .sync.transactions import roll_back, transact

logger = logging.getLogger(__name__)

# How long one attempt may take before another process tries.
CLAIMED = dt.timedelta(minutes=15)
# After so many refusals of one report a person has to look.
MAX_REFUSALS = 20
# After so many troubles of the server in a row the rest waits for another run.
MAX_TROUBLES = 3
# How long ago a study was linked that each run looks at again; the full runs
# look at all.
LATELY = dt.timedelta(days=7)
SERIES_NUMBER = 9000
_WAITING = {'state': 'waiting', 'attempts': 0, 'refusals': 0}


def _uid(name):
    "Return the UID that a name has (DICOM PS3.5, B.2)."
    return f'2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}'


class StoredReport(Kept, ModelSQL, ModelView):
    "Report on an Orthanc Server"
    __name__ = 'gnuhealth.orthanc.report'

    result = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", required=True,
        readonly=True, ondelete='CASCADE')
    revision = fields.Integer("Revision", required=True, readonly=True)
    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='CASCADE')
    state = fields.Selection([
            ('waiting', "Waiting"),
            ('stored', "Stored"),
            ('superseded', "Superseded"),
            ('misplaced', "In the Wrong Study"),
            ('failed', "Failed"),
            ], "State", required=True, readonly=True, sort=False)
    orthanc_UID = fields.Char("Orthanc ID", readonly=True)
    stored_at = Minute("Stored at", readonly=True)
    attempts = fields.Integer("Attempts", readonly=True)
    refusals = fields.Integer("Refusals", readonly=True)
    claimed_until = fields.DateTime("Claimed until", readonly=True)
    error = Told("Error", readonly=True,
        states={'invisible': ~Eval('error')})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('once', Unique(table, table.result, table.revision, table.study),
                'health_orthanc.msg_report_once'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.study, Index.Equality())),
                Index(table, (table.orthanc_UID, Index.Equality())),
                Index(table, (table.state, Index.Range()),
                    where=table.state.in_(['waiting', 'failed', 'misplaced'])),
                })
        cls._order = [('id', 'DESC')]
        cls._buttons['retry'] = {'invisible': Eval('state') != 'failed'}

    @classmethod
    def __register__(cls, module):
        counted = cls.__table_handler__(module).column_exist('refusals')
        super().__register__(module)
        if not counted:
            migration.try_reports_again(cls)
            migration.mark_misplaced_reports(cls)

    @staticmethod
    def default_state():
        return 'waiting'

    def get_rec_name(self, name):
        return self.title

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree/field[@name="state"]', 'visual',
                If(Eval('state').in_(['failed', 'misplaced']), 'danger',
                    If(Eval('state') == 'waiting', 'warning', ''))),
            ]

    @property
    def title(self):
        """The name of the report on the server, in ASCII (VR LO), which tells
        it from all others of its study."""
        number = self.result.number or ''
        if not (number.isascii() and number.isprintable()):
            number = str(self.result.id)
        return f'Imaging report {number[:32]} revision {self.revision}'

    @classmethod
    @ModelView.button
    def retry(cls, reports):
        """Try again to store reports, in the background."""
        cls.write(reports, _WAITING)
        cls.__queue__.send(reports)

    @classmethod
    @without_check_access
    def announce(cls, results):
        """Store the reports of final results, records, where they shall be, in
        the background."""
        reports = cls._prepare(results)
        if reports:
            cls.__queue__.send(reports)

    @classmethod
    def _prepare(cls, results):
        """Return the records of reports of results that shall be stored: new
        ones, and those that seemed out of date."""
        wanted = {
            (result.id, result.revision or 0, study.id)
            for result in results for study in result.orthanc_studies
            if study.takes_report_of(result)}
        known = {
            (r.result.id, r.revision, r.study.id): r for r in cls.search([
                    ('result', 'in', [result.id for result in results])])}
        again = [
            r for key, r in known.items()
            if key in wanted and r.state == 'superseded']
        tables.set_values(cls, [r.id for r in again], **_WAITING)
        return again + cls.create([{
                    'result': result, 'revision': revision, 'study': study,
                    **_WAITING,
                    } for result, revision, study in sorted(
                        wanted - known.keys())])

    @classmethod
    @without_check_access
    def follow_links(cls, changes):
        """Mark the reports that are stored in studies which do not belong to
        their results any more, and take the mark back when they do. What
        was not stored in the meantime waits again.

        :param changes: list of links.link.Change
        """
        table, pairs = cls.__table__(), {
            of: {(c.study, of(c, 'imaging_test')) for c in changes
                if of(c, 'imaging_test')}
            for of in [Change.left, Change.gained]}
        found = blocks.rows(
            table, [table.id, table.state, table.study, table.result],
            table.study, {s for some in pairs.values() for s, _ in some})
        for state, marked, of in [
                ('stored', 'misplaced', Change.left),
                ('misplaced', 'stored', Change.gained),
                ('superseded', 'waiting', Change.gained),
                # Who stores one at this moment has to look again.
                ('waiting', 'waiting', Change.left),
                ('waiting', 'waiting', Change.gained)]:
            tables.set_values(cls, [
                    id_ for id_, at, *pair in found
                    if at == state and tuple(pair) in pairs[of]],
                state=marked)

    @classmethod
    @without_check_access
    def catch_up(cls, server, whole=False):
        """Store the reports that a server does not have yet, those of studies
        that were linked late among them. It ends transactions.

        :param whole: whether to look at all studies, not only at those that
            were linked lately
        """
        late = cls._late_results(server, whole)
        if late:
            transact(lambda: cls._prepare(late))
        # One that the server cannot take keeps no other one waiting.
        cls.send(cls.search([
                    ('study.orthanc_server', '=', server.id),
                    ('state', '=', 'waiting'),
                    ], order=[('attempts', 'ASC'), ('id', 'ASC')]))

    @classmethod
    def _late_results(cls, server, whole):
        """Return final results without a record for one of their studies, or
        with one that seemed out of date."""
        pool = Pool()
        log = pool.get('gnuhealth.orthanc.link_log').__table__()
        Result = pool.get('gnuhealth.imaging.test.result')
        study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
        result, report = Result.__table__(), cls.__table__()
        query = study.join(
            result, condition=study.imaging_test == result.id).join(
            report, 'LEFT', condition=(report.study == study.id)
            & (report.result == result.id)
            & (report.revision == Coalesce(result.revision, 0)))
        where = (
            (study.orthanc_server == server.id)
            & (study.missing_since == Null)
            & (result.state == 'final')
            & (result.signed_at >= server.store_reports_since)
            & ((report.id == Null) | (report.state == 'superseded')))
        if not whole:
            where &= study.id.in_(
                log.select(log.study, where=log.at >= now() - LATELY))
        rows = tables.execute(query.select(result.id, where=where))
        return Result.browse(sorted({id_ for id_, in rows}))

    @classmethod
    @without_check_access
    def send(cls, reports):
        "Store the reports that wait, of records. It ends transactions."
        by_server = defaultdict(list)
        for report in reports:
            if report.state == 'waiting':
                by_server[report.study.orthanc_server].append(report.id)
        for server, ids in by_server.items():
            cls._send_to(server, ids)

    @classmethod
    def _send_to(cls, server, ids):
        """Store reports on one server, as long as it answers."""
        label = server.label
        try:
            with connect(server) as client:
                roll_back()
                client.system()
                troubles = 0
                for id_ in ids:
                    troubles = 0 if cls(id_)._send(client, label) else (
                        troubles + 1)
                    if troubles == MAX_TROUBLES:
                        break
        except orthanc.OrthancError as error:
            logger.info("no reports for server %s: %s",
                server.id, error.reason)
            text = error_text(error, label)
        except UserError as error:
            text = error.message
        else:
            return
        roll_back()
        transact(lambda: tables.set_values(cls,
                [r.id for r in cls.search([
                            ('id', 'in', ids), ('state', '=', 'waiting')])],
                error=text, claimed_until=None))

    def _send(self, client, label):
        """Store the report, unless it need not be stored now; return False
        when the server has trouble of its own, raise OrthancError when it
        does not answer any more or does not allow it."""
        if not transact(lambda: type(self)(self.id)._claim()):
            return True
        refused, values = False, {'claimed_until': None, 'error': None}
        try:
            values['orthanc_UID'] = self._store(client)
        except (orthanc.BadRequest, orthanc.Conflict, orthanc.NotFound,
                orthanc.ServerError, orthanc.UploadTooLarge) as error:
            # Of this one report, by Orthanc itself, and not of all
            refused = isinstance(error, orthanc.UploadTooLarge) or (
                error.own and isinstance(
                    error, (orthanc.BadRequest, orthanc.NotFound)))
            values['error'] = error_text(error, label)
        except UserError as error:
            refused = True
            values['error'] = error.message
        roll_back()
        transact(lambda: type(self)(self.id)._finish(values, refused))
        return refused or not values['error']

    def _claim(self):
        """Take the report for this process; return False when it is another's
        or need not be stored any more."""
        if not self.study.takes_report_of(self.result, self.revision):
            if not self.study.missing_since:
                tables.set_values(
                    type(self), [self.id], state='superseded')
            return False
        table = self.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [table.claimed_until, table.attempts],
                [now() + CLAIMED, table.attempts + 1],
                where=(table.id == self.id) & (table.state == 'waiting')
                & ((table.claimed_until == Null)
                    | (table.claimed_until < now()))))
        return cursor.rowcount == 1

    def _store(self, client):
        """Return the Orthanc id of the stored instance."""
        content, values = self._render(), self._dicom_values()
        title, study = self.title, self.study.orthanc_UID
        roll_back()
        # It may be there since an attempt whose answer never came.
        for series in client.series([study], source='studies'):
            if series and series.columns['series_description'] == title:
                return next(iter(series.children), None)
        return client.store_pdf(study, content, values)

    def _dicom_values(self):
        """Return what DICOM tells of the report, str by keyword; the same UIDs
        in each attempt: what is there is not stored twice."""
        signed = local_datetime(self.result.signed_at)
        name = ' '.join([
                self.study.study_instance_UID, self.title,
                self.result.signed_at.isoformat()])
        return {
            'SeriesDescription': self.title,
            'SeriesNumber': str(SERIES_NUMBER + self.revision),
            'SeriesInstanceUID': _uid(f'series {name}'),
            'SOPInstanceUID': _uid(name),
            'DocumentTitle': self.title,
            'ContentDate': f'{signed:%Y%m%d}',
            'ContentTime': f'{signed:%H%M%S}',
            }

    def _render(self):
        "Return the PDF, in the language of who signed it, or raise UserError."
        pool = Pool()
        Report = pool.get('patient.imaging_report_results', type='report')
        User = pool.get('res.user')
        professional = self.result.signed_by
        user = professional.party.internal_user if professional else None
        with ExitStack() as stack:
            transaction = Transaction()
            if user:
                stack.enter_context(transaction.set_user(user.id))
                stack.enter_context(transaction.set_context(
                        User.get_preferences(context_only=True)))
            stack.enter_context(without_check_access())
            try:
                _, content, _, _ = Report.execute([self.result.id], {})
            except UserError:
                raise
            except Exception as error:
                # What LibreOffice and a changed template may raise.
                logger.error("report %s was not made: %s",
                    self.id, type(error).__name__)
                content = b''
        content = bytes(content)
        if not content.startswith(b'%PDF-'):
            raise UserError(tell('health_orthanc.msg_report_no_pdf'))
        return content

    def _finish(self, values, refused):
        if values.get('orthanc_UID'):
            values.update(stored_at=now(), state=(
                    'stored' if self.study.imaging_test == self.result
                    else 'misplaced'))
            note('report', [self.study], self.title)
        elif refused:
            values['refusals'] = (self.refusals or 0) + 1
            if values['refusals'] >= MAX_REFUSALS:
                values['state'] = 'failed'
        tables.set_values(type(self), [self.id], **values)


class ReportedStudy:
    """Mixin of studies that take the reports of their results."""
    __slots__ = ()

    def takes_report_of(self, result, revision=None):
        """Return whether the report of a result belongs into this study.

        :param revision: of the report, None: that of the result
        """
        server, signed_at = self.orthanc_server, result.signed_at
        since = server.store_reports and server.store_reports_since
        return bool(
            result.state == 'final'
            and self.imaging_test == result
            and self.patient == result.patient
            and not self.missing_since
            and since and signed_at and signed_at >= since
            and revision in {None, result.revision or 0})


class ReportsServer:
    """Mixin of servers that store the reports of results."""
    __slots__ = ()

    store_reports = fields.Boolean("Store Reports",
        help="Store the PDF of final results in their studies on this "
        "server, from now on.")
    store_reports_since = Minute("Store Reports since",
        readonly=True, states={'invisible': ~Eval('store_reports')})

    @staticmethod
    def default_store_reports():
        return False

    @classmethod
    def create(cls, vlist):
        servers = super().create(vlist)
        cls._begin_storing([
                s for s in servers
                if s.store_reports and not s.store_reports_since])
        return servers

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        new = {
            s for servers, values in zip(actions, actions) for s in servers
            if values.get('store_reports') and not s.store_reports}
        super().write(*args)
        cls._begin_storing(new)

    @classmethod
    def _begin_storing(cls, servers):
        tables.set_values(
            cls, [s.id for s in servers], store_reports_since=now())
