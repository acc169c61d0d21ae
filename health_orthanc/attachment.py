# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What attachments gain: their study, and a trace of who fetched them."""
from collections import defaultdict

from sql import Null

from trytond.model import Index, fields
from trytond.modules.health_imaging.told import tell
from trytond.modules.health_imaging.workflow import (
    refuse_changed, refuse_given)
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction, without_check_access

from . import migration, tables
from .links.access_log import note, note_results

# Pictures are kept out of the reports of others by their study.
_KEPT = {'imaging_study'}


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
        refuse_given(cls, vlist, _KEPT)
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        refuse_changed(cls, args, _KEPT)
        super().write(*args)

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
    def leaving(cls, pairs):
        """Yield the pictures of studies in draft results, each with the study
        of the result that was sent again in place of its own, or None.

        :param pairs: id of the study and id of the result, each
        """
        Result = Pool().get('gnuhealth.imaging.test.result')
        if not pairs:
            return
        resources = {f'{Result.__name__},{result}' for _, result in pairs}
        for picture in cls.search([
                    ('imaging_study', 'in', sorted({s for s, _ in pairs})),
                    ('resource', 'in', sorted(resources))]):
            study, result = picture.imaging_study, picture.resource
            if (study.id, result.id) in pairs and result.state == 'draft':
                yield picture, next((
                        s for s in result.orthanc_studies if s != study
                        and s.study_instance_UID == study.study_instance_UID),
                    None)

    @classmethod
    @without_check_access
    def take_out(cls, pairs):
        """Take the pictures of studies out of draft results to which they do
        not belong any more, and leave a note with the results.

        A study that was sent again keeps its pictures.

        :param pairs: id of the study and id of the result, each
        """
        Note = Pool().get('ir.note')
        gone = defaultdict(list)
        for picture, twin in cls.leaving(pairs):
            if twin:
                cls.write([picture], {'imaging_study': twin.id})
            else:
                gone[picture.resource, picture.imaging_study].append(picture)
        # Nobody has read it, not even who caused it.
        tables.insert(Note, [{
                    'resource': str(result),
                    'message': tell(
                        'health_orthanc.msg_note_pictures_taken_out',
                        pictures=len(pictures), study=study.rec_name),
                    } for (result, study), pictures in gone.items()])
        cls.delete([p for some in gone.values() for p in some])
