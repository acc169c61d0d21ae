# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access log: who viewed, uploaded, deleted or reported which images."""
import datetime as dt
from contextlib import nullcontext

from dateutil.relativedelta import relativedelta

from trytond.config import config
from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.health_imaging.direction import isolated
from trytond.modules.health_imaging.rights import groups_of
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from .. import tables
from ..archive import texts
from ..exceptions import NotAllowedError
from ..kept import Ledger
from ..sync.transactions import transact
from .link import PERSON, Change, ids_of

#: Groups that work with images, and that may delete them.
USERS = (
    'health.group_health_doctor',
    'health_imaging.group_health_imaging',
    'health_imaging.group_health_imaging_admin',
    'health_orthanc.group_imaging_orthanc',
    'health_orthanc.group_imaging_orthanc_admin',
    )
#: For how long one line stands for all views of a study by a user.
SEEN = dt.timedelta(minutes=15)
# Lines deleted per transaction.
_BLOCK = 1000
KEEPERS = ('health_orthanc.group_imaging_orthanc_admin',)


def note(action, studies, details=None, once=False):
    """Add a line to the access log for each study.

    :param str action: value of AccessLog.action
    :param studies: records; None adds a line without study, for an upload
        whose studies are not stored here yet
    :param str details: free text to keep
    :param bool once: add no second line of the user for a study within SEEN
    """
    Log = Pool().get('gnuhealth.orthanc.access_log')
    with without_check_access():
        _add([
                Log.line(action, study, details)
                for study in studies or [None]], once)


def note_results(action, results, once=False):
    """Add a line to the access log for each study of results.

    A result without studies gets one line without study.

    :param str action: value of AccessLog.action
    :param results: records
    :param bool once: see note
    """
    Log = Pool().get('gnuhealth.orthanc.access_log')
    with without_check_access():
        lines = []
        for result in dict.fromkeys(type(results[0]).browse(results)):
            for study in result.orthanc_studies or [None]:
                line = Log.line(action, study, result.number)
                if not study:
                    line.update(Log.patient_values(None, result.patient))
                lines.append(line)
        _add(lines, once)


def _add(lines, once=False):
    """Add lines to the access log.

    In a read-only transaction they are committed in a transaction of their
    own.

    :param lines: list of dict, all of one action
    :param bool once: see note
    """
    Log = Pool().get('gnuhealth.orthanc.access_log')
    transaction = Transaction()
    own = transaction.new_transaction() if transaction.readonly \
        else nullcontext()
    with own:
        # Only the new transaction sees lines added meanwhile.
        lines = Log.not_noted(lines) if once else lines
        if lines:
            Log.create(lines)


def note_links(changes, cause, action=None):
    """Add lines to the access log for changed links.

    Logged are the choices of people, and studies that rules took from a
    patient. The former and the new patient get a line each.

    :param changes: list of link.Change
    :param str cause: one of link.CAUSES
    :param str action: undo when a person took a change back
    """
    pool = Pool()
    Log = pool.get('gnuhealth.orthanc.access_log')
    Patient = pool.get('gnuhealth.patient')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    lines, lost_by = [], {
        p.id: p for p in Patient.browse(
            sorted(ids_of(changes, 'patient', Change.left)))}
    studies = Study.browse([c.study for c in changes])
    for change, study in zip(changes, studies):
        lost = change.left('patient')
        got = cause != 'sync' and any(
            change.gained(name)
            for name in ['patient', 'request', 'imaging_test'])
        if lost:
            lines.append({
                    **Log.line('unlink', study),
                    **Log.patient_values(study, lost_by[lost])})
        if got:
            result = study.imaging_test
            lines.append(Log.line(
                    'undo' if action == 'undo' else 'link', study,
                    result.rec_name if result else None))
        elif cause == PERSON and not lost:
            lines.append(Log.line('unlink', study))
    tables.insert(Log, lines)


def check_group(*groups):
    """Raise NotAllowedError unless the user is in one of the groups.

    States of wizards run without access checks; a right on a model is not
    always enough.

    :param str groups: XML ids with their module
    :raises NotAllowedError: the user is in none of them
    """
    allowed, inside = groups_of(*groups)
    if not inside:
        raise NotAllowedError(gettext(
                'health_orthanc.msg_not_allowed',
                groups=', '.join(g.rec_name for g in allowed)))


class AccessLog(Ledger, ModelSQL, ModelView):
    "Orthanc Access Log"
    __name__ = 'gnuhealth.orthanc.access_log'

    at = fields.DateTime("Date", required=True, readonly=True)
    user = fields.Many2One(
        'res.user', "User", required=True, readonly=True,
        ondelete='RESTRICT')
    action = fields.Selection([
            ('view', "Viewed"),
            ('viewer', "Opened in a Viewer"),
            ('attach', "Added to a Report"),
            ('print', "Report Printed"),
            ('download', "Downloaded"),
            ('upload', "Uploaded"),
            ('delete', "Deleted"),
            ('link', "Linked"),
            ('unlink', "Unlinked"),
            ('undo', "Link Restored"),
            ('report', "Report Stored"),
            ], "Action", required=True, readonly=True, sort=False)
    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", readonly=True,
        ondelete='SET NULL')
    study_text = fields.Char("Study as It Was", readonly=True)
    study_instance_UID = fields.Char("Study Instance UID", readonly=True)
    patient = fields.Many2One(
        'gnuhealth.patient', "Patient", readonly=True, ondelete='SET NULL')
    patient_text = fields.Char("Patient as It Was", readonly=True)
    server = fields.Char("Server", readonly=True)
    details = fields.Text("Details", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('at', 'DESC'), ('id', 'DESC')]
        cls._sql_indexes.update({
                Index(table, (table.at, Index.Range(order='DESC'))),
                Index(table, (table.study, Index.Equality())),
                Index(table, (table.patient, Index.Equality())),
                })

    def get_rec_name(self, name):
        return f'{self.at:%Y-%m-%d %H:%M} {self.user.rec_name}'

    @classmethod
    def not_noted(cls, lines):
        """Return the lines that no recent line repeats.

        :param lines: list of dict, all of one action
        :rtype: list of dict
        """
        since = dt.datetime.now() - SEEN
        noted = {
            line.study.id
            for some in grouped_slice([
                    v for v in lines if v.get('study')])
            for line in cls.search([
                    ('user', '=', Transaction().user),
                    ('action', '=', lines[0]['action']),
                    ('study', 'in', [v['study'] for v in some]),
                    ('at', '>', since)])}
        return [v for v in lines if v.get('study') not in noted]

    @classmethod
    def forget(cls):
        """Delete lines older than the configured age, in blocks.

        Commits after each block. Called by the scheduled task.
        """
        years = config.getint(
            'health_orthanc', 'access_log_years', default=0)
        if years <= 0:
            return
        before = dt.datetime.now() - relativedelta(years=years)
        while transact(lambda: cls._forget_before(before)):
            pass

    @classmethod
    def _forget_before(cls, moment):
        """Delete one block of lines.

        :param datetime.datetime moment: UTC
        :return: whether there may be more
        """
        table = cls.__table__()
        ids = [id_ for id_, in tables.execute(table.select(
                    table.id, where=table.at < moment, limit=_BLOCK))]
        tables.delete(cls, ids)
        return len(ids) == _BLOCK

    @classmethod
    def line(cls, action, study, details=None):
        """Return the values of a line.

        Names and identifiers are copied: the line outlives study and patient.

        :param str action: value of AccessLog.action
        :param study: record, or None
        :param str details: free text to keep
        :rtype: dict
        """
        values = {
            'at': dt.datetime.now().replace(microsecond=0),
            'user': Transaction().user,
            'action': action,
            'details': details,
            }
        return {**values, **cls._study_values(study)} if study else values

    @classmethod
    def _study_values(cls, study):
        return {
            'study': study.id,
            'study_text': study.rec_name,
            'study_instance_UID': study.study_instance_UID,
            'server': study.orthanc_server.label,
            **cls.patient_values(study, study.patient),
            }

    @classmethod
    def patient_values(cls, study, patient):
        """Return the columns of a line that identify a patient.

        :param study: record or None; its DICOM name is used without a patient
        :param patient: record or None
        :rtype: dict
        """
        dicom = study and ' '.join(filter(None, [
                    isolated(texts.readable_name(study.patient_name)),
                    f'[{study.patient_id}]' if study.patient_id else None]))
        return {
            'patient': patient.id if patient else None,
            'patient_text': (
                f'{isolated(patient.rec_name)} [{patient.puid}]'
                if patient else dicom),
            }
