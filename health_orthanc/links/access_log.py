# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access log: who viewed, uploaded, deleted or reported which images."""
import datetime as dt

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.health_imaging.direction import isolated
from trytond.modules.health_imaging.kept import Ledger
from trytond.modules.health_imaging.minute import Minute, now
from trytond.modules.health_imaging.retention import Forgotten
from trytond.modules.health_imaging.rights import groups_of
from trytond.modules.health_imaging.tables import writing
from trytond.modules.health_imaging.told import Told
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from .. import tables
from ..archive import texts
from ..exceptions import NotAllowedError
from .link import PERSON, Change, ids_of, requests_of

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
KEEPERS = ('health_orthanc.group_imaging_orthanc_admin',)


def note(action, studies, details=None, once=False):
    """Add a line to the access log for each study.

    :param str action: value of AccessLog.action
    :param studies: records; None adds a line without study, for an upload
        whose studies are not stored here yet
    :param details: what else to keep, see health_imaging.told.Told
    :param bool once: add no second line of the user for a study within SEEN
    """
    with without_check_access():
        _add([
                _line(action, study, details)
                for study in studies or [None]], once)


def note_results(action, results, once=False):
    """Add a line to the access log for each study of results, and one without
    study for those without.

    :param str action: value of AccessLog.action
    :param bool once: see note
    """
    with without_check_access():
        lines = []
        for result in dict.fromkeys(type(results[0]).browse(results)):
            for study in result.orthanc_studies or [None]:
                lines.append(_line(action, study, result.number))
                if not study:
                    lines[-1].update(_of_patient(None, result.patient))
        _add(lines, once)


def _add(lines, once):
    "Add lines, all of one action, to the access log."
    Log = Pool().get('gnuhealth.orthanc.access_log')
    with writing():
        # Only the new transaction sees lines added meanwhile.
        lines = _not_noted(lines) if once else lines
        if lines:
            Log.create(lines)


def _not_noted(lines):
    """Return the lines that no recent line repeats."""
    Log = Pool().get('gnuhealth.orthanc.access_log')
    noted = {
        line.study.id
        for some in grouped_slice([v for v in lines if v.get('study')])
        for line in Log.search([
                ('user', '=', Transaction().user),
                ('action', '=', lines[0]['action']),
                ('study', 'in', [v['study'] for v in some]),
                ('at', '>', now() - SEEN)])}
    return [v for v in lines if v.get('study') not in noted]


def _line(action, study, details=None, patient=None):
    """Return the values of a line, of the patient of the study by default.

    Names and identifiers are copied: the line outlives study and patient.
    """
    values = {
        'at': now(),
        'user': Transaction().user,
        'action': action,
        'details': details,
        }
    if study:
        values.update(
            study=study.id,
            study_text=study.rec_name,
            study_instance_UID=study.study_instance_UID,
            server=study.orthanc_server.label,
            **_of_patient(study, patient or study.patient))
    return values


def _of_patient(study, patient):
    """Return what of a line identifies a patient, or without one the DICOM
    name of the study."""
    if patient:
        text = f'{isolated(patient.rec_name)} [{patient.puid}]'
    else:
        text = study and ' '.join(filter(None, [
                    isolated(texts.readable_name(study.patient_name)),
                    f'[{study.patient_id}]' if study.patient_id else None]))
    return {'patient': patient and patient.id, 'patient_text': text}


def note_links(changes, cause, action=None):
    """Add lines to the access log for changed links.

    Logged are the choices of people, and studies that rules took from a
    patient. The former and the new patient get a line each.

    :param changes: list of link.Change
    :param str cause: one of link.CAUSES
    :param str action: undo when a person took a change back
    """
    pool = Pool()
    Patient = pool.get('gnuhealth.patient')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    lines, lost_by = [], {
        p.id: p for p in Patient.browse(
            sorted(ids_of(changes, 'patient', Change.left)))}
    studies = Study.browse([c.study for c in changes])
    for change, study in zip(changes, studies):
        lost = change.left('patient')
        if lost:
            lines.append(_line('unlink', study, patient=lost_by[lost]))
        if cause != 'sync' and (
                requests_of(change, Change.gained)
                or any(map(change.gained, ['patient', 'imaging_test']))):
            result = study.imaging_test
            lines.append(_line(
                    'undo' if action == 'undo' else 'link', study,
                    result.rec_name if result else None))
        elif cause == PERSON and not lost:
            lines.append(_line('unlink', study))
    tables.insert(pool.get('gnuhealth.orthanc.access_log'), lines)


def check_group(*groups):
    """Raise NotAllowedError unless the user is in one of the groups.

    States of wizards run without access checks; a right on a model is not
    always enough.

    :param str groups: XML ids with their module
    """
    allowed, inside = groups_of(*groups)
    if not inside:
        raise NotAllowedError(gettext(
                'health_orthanc.msg_not_allowed',
                groups=', '.join(g.rec_name for g in allowed)))


class AccessLog(Forgotten, Ledger, ModelSQL, ModelView):
    "Orthanc Access Log"
    __name__ = 'gnuhealth.orthanc.access_log'
    _years = 'health_orthanc', 'access_log_years', 0

    at = Minute("Date", required=True, readonly=True)
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
    details = Told("Details", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('at', 'DESC'), ('id', 'DESC')]
        cls._sql_indexes.update({
                Index(table, (table.study, Index.Equality())),
                Index(table, (table.patient, Index.Equality())),
                })

    def get_rec_name(self, name):
        return f'{self.at:%Y-%m-%d %H:%M} {self.user.rec_name}'
