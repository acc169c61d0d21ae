# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of instances in the report of their study."""
from collections import defaultdict

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.direction import plain
from trytond.modules.health_imaging.exceptions import FinalResultError
from trytond.modules.health_imaging.rights import check_rights
from trytond.pool import Pool
from trytond.transaction import without_check_access

from . import tables
from .exceptions import NoPictureError, NoResultError
from .gallery import Wanted, fetch, sentence


class ReportedInstance:
    """Mixin of instances: their pictures in the report."""
    __slots__ = ()

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
        results = {i.id: i.of_study.imaging_test for i in instances}
        names = defaultdict(set)
        for attachment in Attachment.search([
                    ('resource', 'in', sorted(
                            {str(r) for r in results.values() if r}))]):
            stem = _stem(attachment.name)
            names[attachment.resource] |= {stem, stem.rpartition('-')[0]}
        return {
            i.id: i.sop_instance_UID in names[results[i.id]]
            for i in instances}

    @classmethod
    @ModelView.button
    def attach_image_to_imaging_test_report(cls, instances):
        """Attach pictures of instances to the results of their studies, in the
        place of what was attached before."""
        cls.attach_pictures([(i, None, None) for i in instances])

    @classmethod
    def attach_pictures(cls, shown):
        """Attach pictures to the results of their studies.

        :param shown: list of instance, number of the frame from 1 or None,
            and window (center and width) or None
        """
        Result = Pool().get('gnuhealth.imaging.test.result')
        check_rights(Result.__name__, 'write')
        cls._check_drafts(i for i, *_ in shown)
        found = fetch([
                Wanted(instance, (frame or 1) - 1, window)
                for instance, frame, window in shown])
        # Of which results the studies are now
        instances = cls.browse([i.id for i, *_ in shown])
        cls._check_drafts(instances)
        values = [
            instance._attachment(picture, frame)
            for instance, picture, (_, frame, _) in zip(
                instances, found, shown)]
        # This begins the transaction again, with the pictures in the cache.
        results = {i.of_study.imaging_test for i in instances}
        Result.lock(results)
        # The study may be leaving it.
        tables.touch(Result, [r.id for r in results])
        # One may have been signed while the pictures were fetched.
        cls._check_drafts(instances)
        for value in values:
            cls._attach(value)
        cls.note_pictures('attach', instances)

    @classmethod
    def _check_drafts(cls, instances):
        "Raise an error unless instances, as they are now, have draft results."
        for instance in cls.browse([i.id for i in instances]):
            study = instance.of_study
            result = study.imaging_test
            if not result:
                raise NoResultError(gettext(
                        'health_orthanc.msg_find_no_gnuhealth_imaging_test',
                        study=study.rec_name))
            if result.state == 'final':
                raise FinalResultError(gettext(
                        'health_orthanc.msg_result_is_final',
                        result=result.rec_name))

    def _attachment(self, picture, frame):
        """Return the values of the attachment for the report."""
        study, stem = self.of_study, self.sop_instance_UID
        if isinstance(picture, Exception):
            raise NoPictureError(sentence(picture, self))
        if frame and (self.number_of_frames or 1) > 1:
            stem += f'-{frame}'
        extension = picture.media_type.rpartition('/')[2]
        return {
            'name': f'{stem}.{extension}',
            'description': self._caption(frame),
            'type': 'data',
            'data': fields.Binary.cast(picture.content),
            'resource': str(study.imaging_test),
            'imaging_study': study.id,
            }

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
            if old[0].description:
                # A person may have typed it.
                values = {
                    n: v for n, v in values.items() if n != 'description'}
            Attachment.write(old, values)
        else:
            Attachment.create([values])

    def _caption(self, frame):
        """Return what stands under the picture in the report."""
        series = self.series
        name = series.series_description or (
            series.series_number and gettext(
                'health_orthanc.msg_label_series',
                number=series.series_number))
        return plain(self.position_text(name or series.modality, frame))


def _stem(name):
    "Return the SOP Instance UID, and the frame, by which a picture is named."
    stem, _, ending = name.rpartition('.')
    return stem if ending in {'png', 'jpeg'} else name
