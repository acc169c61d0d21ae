# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What attachments gain: the study that a picture in a report is from, and a
trace of who fetched pictures and former reports."""
from collections import defaultdict

from sql import Null

from trytond.i18n import gettext
from trytond.model import Index, fields
from trytond.modules.health_imaging.workflow import differs, refuse_kept
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction, without_check_access

from . import migration, tables
from .links.access_log import note, note_results


class Attachment(metaclass=PoolMeta):
    __name__ = 'ir.attachment'

    imaging_study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", readonly=True,
        ondelete='SET NULL', help="The study that the picture is from.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(
                table, (table.imaging_study, Index.Equality()),
                where=table.imaging_study != Null))

    @classmethod
    def __register__(cls, module):
        table_h = cls.__table_handler__(module)
        is_new = not table_h.column_exist('imaging_study')
        super().__register__(module)
        if is_new:
            migration.find_studies_of_pictures(cls)

    @classmethod
    def create(cls, vlist):
        if any(values.get('imaging_study') for values in vlist):
            cls._refuse_study()
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        for attachments, values in zip(actions, actions):
            if 'imaging_study' in values and any(
                    differs(a, 'imaging_study', values['imaging_study'])
                    for a in attachments):
                cls._refuse_study()
        super().write(*args)

    @classmethod
    def _refuse_study(cls):
        """Raise KeptValueError for what a person does: pictures are kept out
        of the reports of others by their study."""
        if Transaction().check_access:
            refuse_kept(cls, ['imaging_study'])

    @classmethod
    def copy(cls, attachments, default=None):
        copies = super().copy(
            attachments, default={**(default or {}), 'imaging_study': None})
        with without_check_access():
            for attachment, copy in zip(attachments, copies):
                if attachment.imaging_study:
                    cls.write([copy], {
                            'imaging_study': attachment.imaging_study.id})
        return copies

    @classmethod
    def read(cls, ids, fields_names):
        rows = super().read(ids, fields_names)
        if 'data' in fields_names and Transaction().check_access:
            cls._note_download(ids)
        return rows

    @classmethod
    def export_data(cls, attachments, fields_names):
        rows = super().export_data(attachments, fields_names)
        if 'data' in fields_names:
            cls._note_download([a.id for a in attachments])
        return rows

    @classmethod
    @without_check_access
    def _note_download(cls, ids):
        if Transaction().context.get(f'{cls.__name__}.data') == 'size':
            return
        Result = Pool().get('gnuhealth.imaging.test.result')
        attachments = cls.browse(ids)
        studies = {a.imaging_study for a in attachments} - {None}
        if studies:
            note('download', sorted(studies), once=True)
        results = {
            a.resource for a in attachments
            if a.imaging_revision is not None
            and isinstance(a.resource, Result)}
        if results:
            note_results('download', sorted(results), once=True)

    @classmethod
    @without_check_access
    def take_out(cls, pairs):
        """Take the pictures of studies out of draft results to which they do
        not belong any more, and leave a note with the results.

        A study that was sent again keeps its pictures. A signed result keeps
        what was signed.

        :param pairs: id of the study and id of the result, each
        """
        Result = Pool().get('gnuhealth.imaging.test.result')
        if not pairs:
            return
        resources = {f'{Result.__name__},{result}' for _, result in pairs}
        pictures = [
            a for a in cls.search([
                    ('imaging_study', 'in', sorted({s for s, _ in pairs})),
                    ('resource', 'in', sorted(resources))])
            if (a.imaging_study.id, a.resource.id) in pairs]
        drafts = {
            r.id: r for r in Result.browse(
                sorted({a.resource.id for a in pictures}))
            if r.state == 'draft'}
        gone = defaultdict(list)
        for picture in pictures:
            result = drafts.get(picture.resource.id)
            twin = result and picture._same_study_of(result)
            if twin:
                cls.write([picture], {'imaging_study': twin.id})
            elif result:
                gone[result, picture.imaging_study].append(picture)
        cls._note_taken_out(gone)
        cls.delete([p for some in gone.values() for p in some])

    def _same_study_of(self, result):
        """Return the study of a result that is the same as that of the
        picture, under another Orthanc id, or None."""
        study = self.imaging_study
        return next((
                other for other in result.orthanc_studies
                if other.study_instance_UID == study.study_instance_UID
                and other != study), None)

    @staticmethod
    def _note_taken_out(gone):
        Note = Pool().get('ir.note')
        # Nobody has read it, not even who caused it.
        tables.insert(Note, [{
                    'resource': str(result),
                    'message': gettext(
                        'health_orthanc.msg_note_pictures_taken_out',
                        pictures=len(pictures), study=study.rec_name),
                    } for (result, study), pictures in gone.items()])
