# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who viewed, uploaded, deleted, linked or reported which images, and when;
and the check that a person may do so."""
import datetime as dt
from contextlib import nullcontext

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.health_imaging.direction import isolated
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from .. import tables
from ..archive import texts
from ..exceptions import NotAllowedError
from .link import PERSON, Change, ids_of

#: Who works with images, and who may delete them.
USERS = (
    'health.group_health_doctor',
    'health_imaging.group_health_imaging',
    'health_imaging.group_health_imaging_admin',
    'health_orthanc.group_imaging_orthanc',
    'health_orthanc.group_imaging_orthanc_admin',
    )
KEEPERS = ('health_orthanc.group_imaging_orthanc_admin',)


def note(action, studies, details=None):
    """Add a line to the access log for each study.

    Where nothing may be written, as when a client reads, the lines are
    written and committed in a transaction of their own.

    :param str action: view, upload, delete, link, unlink or report
    :param studies: records of studies; none makes a line without study, such
        as for an upload whose studies are not known here yet
    :param str details: what else shall be kept
    """
    Log = Pool().get('gnuhealth.orthanc.access_log')
    transaction = Transaction()
    with without_check_access():
        lines = [
            Log.line(action, study, details) for study in studies or [None]]
        own = transaction.new_transaction() if transaction.readonly \
            else nullcontext()
        with own:
            Log.create(lines)


def note_links(changes, cause):
    """Add lines to the access log for links that people changed, by choosing
    or by what they did elsewhere; and for what rules took from a patient.

    Who loses a study and who gets it have a line each.

    :param changes: list of link.Change
    :param str cause: of link.CAUSES
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
                    'link', study, result.rec_name if result else None))
        elif cause == PERSON and not lost:
            lines.append(Log.line('unlink', study))
    tables.insert(Log, lines)


def check_group(*groups):
    """Raise NotAllowedError unless the user is a member of one of the groups.

    Wizard states run without access checks, so those for which a right on a
    model says too little call this.

    :param str groups: XML ids with their module
    """
    pool = Pool()
    Group = pool.get('res.group')
    ModelData = pool.get('ir.model.data')
    User = pool.get('res.user')
    ids = [ModelData.get_id(*group.split('.')) for group in groups]
    if Transaction().user and not set(ids) & set(User.get_groups()):
        raise NotAllowedError(gettext(
                'health_orthanc.msg_not_allowed',
                groups=', '.join(g.rec_name for g in Group.browse(ids))))


class AccessLog(ModelSQL, ModelView):
    "Orthanc Access Log"
    __name__ = 'gnuhealth.orthanc.access_log'

    at = fields.DateTime("Date", required=True, readonly=True)
    user = fields.Many2One(
        'res.user', "User", required=True, readonly=True,
        ondelete='RESTRICT')
    action = fields.Selection([
            ('view', "Viewed"),
            ('upload', "Uploaded"),
            ('delete', "Deleted"),
            ('link', "Linked"),
            ('unlink', "Unlinked"),
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
        for name in ['create', 'write', 'delete', 'copy', 'import_data']:
            cls.__rpc__.pop(name, None)
        cls._order = [('at', 'DESC'), ('id', 'DESC')]
        cls._sql_indexes.update({
                Index(table, (table.at, Index.Range(order='DESC'))),
                Index(table, (table.study, Index.Equality())),
                Index(table, (table.patient, Index.Equality())),
                })

    def get_rec_name(self, name):
        return f'{self.at:%Y-%m-%d %H:%M} {self.user.rec_name}'

    @classmethod
    def line(cls, action, study, details=None):
        """Return the values of a line.

        What they tell of study and patient outlives both.

        :param study: record, or None
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
        """Return what a line tells of a patient.

        :param study: record, whose DICOM name stands in for no patient
        :param patient: record, or None
        """
        dicom = ' '.join(filter(None, [
                    isolated(texts.readable_name(study.patient_name)),
                    f'[{study.patient_id}]' if study.patient_id else None]))
        return {
            'patient': patient.id if patient else None,
            'patient_text': (
                f'{isolated(patient.rec_name)} [{patient.puid}]'
                if patient else dicom),
            }
