# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the list of a patient's exams gains: images, and studies that nobody
requested here."""
import datetime as dt

from sql import Literal, Null
from sql.functions import Upper
from sql.operators import Concat

from trytond import backend
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.calls import is_id
from trytond.modules.health_imaging.direction import plain
from trytond.modules.health_imaging.institution import institution_timezone
from trytond.modules.health_imaging.rights import check_read
from trytond.modules.health_imaging.tables import execute
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from . import acquired
from .archive import texts
from .links.further import NAME

STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'


class PatientExam(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.patient_exam'

    study = fields.Many2One(STUDY, "Study",
        help="A study that belongs to no request and no result.")
    number_of_images = fields.Function(
        fields.Integer("Images"), 'get_images')
    comparable = fields.Function(fields.Boolean("Comparable",
            help="Whether a viewer shows the exam beside the images of the "
            "report that is written."), 'get_images')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._sources = [*cls._sources, 'study']
        cls._buttons.update({
                'open_images': {'invisible': ~Eval('number_of_images')},
                'compare': {'invisible': ~Eval('comparable')},
                })

    @classmethod
    def _queries(cls):
        Study = Pool().get(STUDY)
        study = Study.__table__()
        return [*super()._queries(), study.select(
                *cls._columns(
                    'study', study.id, patient=study.patient,
                    date=_during(study.study_date), study=study.id,
                    state=Literal('images')),
                where=Study.is_alone(study))]

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
    def get_images(cls, exams, names):
        "Count the pictures that are on the servers, as requests do."
        studies = cls._studies(exams)
        counts = acquired.count(
            [s.id for some in studies.values() for s in some], 'id')
        found = {'number_of_images': {
                id_: sum(counts[s.id] for s in some)
                for id_, some in studies.items()}}
        if 'comparable' in names:
            servers = cls._comparing_servers(studies)
            found['comparable'] = {
                id_: bool(servers & {s.orthanc_server.id for s in some})
                for id_, some in studies.items()}
        return {name: found[name] for name in names}

    @classmethod
    def _comparing_servers(cls, studies):
        """Return the ids of servers that show other studies beside those of
        the report in whose form the exams are listed."""
        result = cls._result_of_form()
        return set() if not result else {
            s.orthanc_server.id for s in result.orthanc_studies
            if not s.missing_since
            and any(v.compare_url for v in s.orthanc_server.all_viewers)}

    @staticmethod
    def _result_of_form():
        """Return the result in whose form exams are listed, or None."""
        Result = Pool().get('gnuhealth.imaging.test.result')
        id_ = Transaction().context.get('imaging_result')
        if not is_id(id_) or id_ < 0:
            return None
        with without_check_access():
            return next(iter(Result.search([('id', '=', id_)])), None)

    @classmethod
    def kinds(cls, exams):
        """Return the modalities and the body parts of exams, as their images
        say them."""
        pool = Pool()
        kinds = super().kinds(exams)
        series = pool.get(SERIES).__table__()
        study = pool.get(STUDY).__table__()
        of_study = series.join(study, condition=series.study == study.id)
        owners = {
            name: {row[name]: row['id'] for row in exams if row[name]}
            for name in ['request', 'result', 'study']}
        patients = {row['patient'] for row in exams}
        further = pool.get(NAME).__table__()
        of_study = of_study.join(
            further, 'LEFT', condition=further.study == study.id)
        columns = [
            study.request, study.imaging_test, study.id, series.modality,
            Upper(series.body_part), further.request]
        for some in grouped_slice(list(patients)):
            for *keys, modality, part, other in execute(of_study.select(
                        *columns, where=(study.missing_since == Null)
                        & reduce_ids(study.patient, list(some)),
                        group_by=columns)):
                found = {
                    ids[key] for ids, key in zip(owners.values(), keys)
                    if key in ids}
                if other in owners['request']:
                    found.add(owners['request'][other])
                for id_ in found:
                    modalities, parts = kinds[id_]
                    modalities.add(modality)
                    parts |= {part} - {None, ''}
        return kinds

    @classmethod
    def _studies(cls, exams):
        """Return the studies on their server by id of exam, newest first."""
        Study = Pool().get(STUDY)
        owners = {
            'requests': {e.request.id: e.id for e in exams if e.request},
            'imaging_test': {e.result.id: e.id for e in exams if e.result},
            'id': {e.study.id: e.id for e in exams if e.study},
            }
        found = {e.id: [] for e in exams}
        for study in Study.search([
                    ('missing_since', '=', None),
                    ['OR', *((name, 'in', list(ids))
                            for name, ids in owners.items())],
                    ]):
            of = [
                owners['requests'][r.id] for r in study.requests
                if r.id in owners['requests']]
            of = of or [
                ids[key.id] for key, ids in [
                    (study.imaging_test, owners['imaging_test']),
                    (study, owners['id'])]
                if key and key.id in ids][:1]
            for exam in of:
                found[exam].append(study)
        return found

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_images(cls, exams):
        """Open the latest study of the first exam in a viewer."""
        Study = Pool().get(STUDY)
        check_read(exams[:1])
        studies, = cls._studies(exams[:1]).values()
        return Study.open_latest(studies, exams[0])

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def compare(cls, exams):
        """Open the images of the first exam beside those of the report in
        whose form it is listed.

        :raises NoViewerError: no viewer shows both
        """
        Study = Pool().get(STUDY)
        check_read(exams[:1])
        result = cls._result_of_form()
        studies = []
        if result and result.patient == exams[0].patient:
            check_read([result])
            studies = list(result.orthanc_studies)
        others, = cls._studies(exams[:1]).values()
        return Study.open_compared(studies, others, exams[0])


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
