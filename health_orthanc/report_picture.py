# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of instances in the report: attached to the result of their
study."""
from collections import defaultdict

from sql import Null

from trytond.i18n import gettext
from trytond.model import Index, ModelView, fields
from trytond.modules.health_imaging.direction import plain
from trytond.modules.health_imaging.exceptions import (
    FinalResultError, KeptValueError)
from trytond.modules.health_imaging.rights import check_rights
from trytond.modules.health_imaging.workflow import differs
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction, without_check_access

from . import migration, tables
from .archive import orthanc
from .exceptions import NoPictureError, NoResultError
from .gallery import Gallery, sentence


class SeriesInstance(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.series_instances'

    in_report = fields.Function(
        fields.Boolean("In Report",
            help="The picture is attached to the result of the study."),
        'get_in_report')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({'attach_image_to_imaging_test_report': {}})

    @classmethod
    @without_check_access
    def get_in_report(cls, instances, name):
        Attachment = Pool().get('ir.attachment')
        wanted = {}
        for instance in instances:
            result = instance.series.study.imaging_test
            if result:
                wanted.setdefault(str(result), []).append(instance)
        found = dict.fromkeys((i.id for i in instances), False)
        for resource, some in wanted.items():
            names = {_stem(a.name) for a in Attachment.search([
                        ('resource', '=', resource)])}
            for instance in some:
                uid = instance.sop_instance_UID
                found[instance.id] = uid in names or any(
                    n.startswith(f'{uid}-') for n in names)
        return found

    @classmethod
    @ModelView.button
    def attach_image_to_imaging_test_report(cls, instances):
        """Attach pictures of instances to the results of their studies.

        Done again, it replaces what it attached before.
        """
        cls.attach_pictures([(i, None, None) for i in instances])

    @classmethod
    def attach_pictures(cls, shown):
        """Attach pictures to the results of their studies.

        :param shown: list of instance, number of the frame from 1 or None,
            and window (center and width) or None
        """
        Result = Pool().get('gnuhealth.imaging.test.result')
        check_rights(Result.__name__, 'write')
        for instance, *_ in shown:
            instance._check_draft()
        with Gallery() as gallery:
            values = [
                instance._attachment(gallery, frame, window)
                for instance, frame, window in shown]
        # This begins the transaction again, with the pictures in the cache.
        results = {i.series.study.imaging_test for i, *_ in shown}
        Result.lock(results)
        # The study may be leaving it.
        tables.touch(Result, [r.id for r in results])
        for value in values:
            cls._attach(value)
        cls.note_pictures('attach', [i for i, *_ in shown])

    def _check_draft(self):
        study = self.series.study
        result = study.imaging_test
        if not result:
            raise NoResultError(gettext(
                    'health_orthanc.msg_find_no_gnuhealth_imaging_test',
                    study=study.rec_name))
        if result.state == 'final':
            raise FinalResultError(gettext(
                    'health_orthanc.msg_result_is_final',
                    result=result.rec_name))

    def _attachment(self, gallery, frame, window):
        """Return the values of the attachment for the report."""
        study = self.series.study
        try:
            picture = gallery.picture(self, (frame or 1) - 1, window)
        except orthanc.OrthancError as error:
            raise NoPictureError(
                sentence(error, study.orthanc_server)) from None
        extension = picture.media_type.rpartition('/')[2]
        return {
            'name': f'{self._attachment_name(frame)}.{extension}',
            'description': self._caption(frame),
            'type': 'data',
            'data': fields.Binary.cast(picture.content),
            'resource': str(study.imaging_test),
            'imaging_study': study.id,
            }

    def _attachment_name(self, frame):
        if frame and (self.number_of_frames or 1) > 1:
            return f'{self.sop_instance_UID}-{frame}'
        return self.sop_instance_UID

    @classmethod
    def _attach(cls, values):
        Attachment = Pool().get('ir.attachment')
        stem = _stem(values['name'])
        # 5.0.4 added no ending.
        old = Attachment.search([
                ('resource', '=', values['resource']),
                ('name', 'in', [
                        stem, *(f'{stem}.{e}' for e in ['png', 'jpeg'])]),
                ], limit=1)
        if old:
            Attachment.write(old, values)
        else:
            Attachment.create([values])

    def _caption(self, frame):
        """Return what stands under the picture in the report."""
        series = self.series
        parts = [series.series_description or series.modality]
        if self.instance_number is not None:
            parts.append(gettext(
                    'health_orthanc.msg_label_instance_number',
                    number=self.instance_number))
        if frame and (self.number_of_frames or 1) > 1:
            parts.append(gettext(
                    'health_orthanc.msg_label_frame', number=frame))
        if self.image_position_patient:
            parts.append(gettext(
                    'health_orthanc.msg_label_image_position',
                    position=_millimetres(self.image_position_patient)))
        return plain(', '.join(parts))


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
            raise KeptValueError(gettext(
                    'health_imaging.msg_kept_value',
                    **cls.__names__('imaging_study')))

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


def _stem(name):
    "Return the SOP Instance UID, and the frame, by which a picture is named."
    stem, _, ending = name.rpartition('.')
    return stem if ending in {'png', 'jpeg'} else name


def _millimetres(position):
    """Return Image Position (Patient) (0020,0032) with whole millimetres."""
    try:
        return ' / '.join(
            f'{round(float(p))}' for p in position.split('\\')) + ' mm'
    except (ValueError, OverflowError):
        return position
