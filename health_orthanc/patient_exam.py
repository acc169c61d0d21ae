# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the list of a patient's exams gains: images, and studies that nobody
requested here."""
import datetime as dt

from sql import Literal, Null
from sql.operators import Concat

from trytond import backend
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.direction import plain
from trytond.modules.health_imaging.institution import institution_timezone
from trytond.modules.health_imaging.rights import check_read
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval

from . import acquired
from .archive import texts

STUDY = 'gnuhealth.imaging_orthanc.study'


class PatientExam(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.patient_exam'

    study = fields.Many2One(STUDY, "Study",
        help="A study that belongs to no request and no result.")
    number_of_images = fields.Function(
        fields.Integer("Images"), 'get_number_of_images')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'open_images': {
                    'invisible': ~Eval('number_of_images'),
                    'depends': ['number_of_images'],
                    },
                })

    @classmethod
    def _queries(cls):
        study = Pool().get(STUDY).__table__()
        return [*super()._queries(), study.select(
                *cls._columns(
                    'study', study.id, patient=study.patient,
                    date=_during(study.study_date), study=study.id,
                    state=Literal('images')),
                where=(study.patient != Null) & (study.request == Null)
                & (study.imaging_test == Null)
                & (study.missing_since == Null))]

    @classmethod
    def get_title(cls, exams, name):
        titles = super().get_title(exams, name)
        titles.update({
                e.id: plain(texts.described(
                        e.study.modalities, e.study.description))
                for e in exams if e.study})
        return titles

    def get_rec_name(self, name):
        return self.study.rec_name if self.study else super().get_rec_name(
            name)

    @classmethod
    def get_number_of_images(cls, exams, name):
        "Count the pictures that are on the servers, as requests do."
        found = cls._studies(exams)
        counts = acquired.count(
            [s.id for studies in found.values() for s in studies], 'id')
        return {
            id_: sum(counts[s.id] for s in studies)
            for id_, studies in found.items()}

    @classmethod
    def _studies(cls, exams):
        """Return the studies of exams that are on their server, the newest
        first.

        :rtype: dict from the id of the exam to a list of records
        """
        Study = Pool().get(STUDY)
        owners = {
            'request': {e.request.id: e.id for e in exams if e.request},
            'imaging_test': {e.result.id: e.id for e in exams if e.result},
            'id': {e.study.id: e.id for e in exams if e.study},
            }
        found = {e.id: [] for e in exams}
        for study in Study.search([
                    ('missing_since', '=', None),
                    ['OR', *((name, 'in', list(ids))
                            for name, ids in owners.items())],
                    ]):
            keys = [study.request, study.imaging_test, study]
            exam, *_ = [
                ids[key.id] for key, ids in zip(keys, owners.values())
                if key and key.id in ids]
            found[exam].append(study)
        return found

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_images(cls, exams):
        """Open the latest study of the first exam in the best viewer that its
        server has.

        :raises NoViewerError: there is none
        """
        Study = Pool().get(STUDY)
        check_read(exams[:1])
        studies, = cls._studies(exams[:1]).values()
        return Study.open_latest(studies, exams[0])


def _during(day):
    """Return the SQL expression of a time in UTC that is on a local day.

    :param day: SQL column of a date
    """
    noon = dt.datetime.combine(
        dt.date.today(), dt.time(12), institution_timezone())
    hour = max(12 - int(noon.utcoffset().total_seconds() // 3600), 0)
    if backend.name == 'sqlite':
        return Concat(day, f' {hour:02}:00:00')
    return day + dt.time(hour)
