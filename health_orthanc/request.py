# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What imaging requests gain: their studies, also those that came first."""
import datetime as dt
import operator as op
from collections import defaultdict

from sql import Null
from sql.aggregate import Min
from sql.conditionals import Coalesce

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.modules.health_imaging import request_list
from trytond.modules.health_imaging.dashboard import today
from trytond.modules.health_imaging.institution import (
    institution_timezone, utc_datetime)
from trytond.modules.health_imaging.professional import own_health_professional
from trytond.modules.health_imaging.reading import opened
from trytond.modules.health_imaging.rights import check_rights
from trytond.modules.health_imaging.tables import moment, once
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval, PYSONEncoder
from trytond.tools import grouped_slice

from . import acquired, blocks, tables
from .arrived import ArrivedMixin
from .links import events, ledger
from .links.further import NAME, studies_with_requests

# What of a request says whether a study may be its own.
_DECISIVE = {
    'state', 'patient', 'requested_test', 'date', 'request', 'request_line',
    'merge_id'}


# How a request without images compares.
_COMPARE = {
    '=': op.eq, '!=': op.ne, '<': op.lt, '<=': op.le, '>': op.gt,
    '>=': op.ge,
    'in': lambda number, values: number in values,
    'not in': lambda number, values: number not in values,
    }


class Request(ArrivedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.request'

    orthanc_studies = fields.Function(
        fields.One2Many(
            'gnuhealth.imaging_orthanc.study', 'request', "Studies",
            readonly=True, states={'invisible': ~Eval('orthanc_studies', [])}),
        'get_orthanc_studies', searcher='search_orthanc_studies')
    candidates = fields.One2Many(
        'gnuhealth.imaging_orthanc.link_candidate', 'request',
        "Studies to Choose from", readonly=True,
        states={'invisible': ~Eval('candidates', [])},
        help="Studies that may belong to this request. Link the right ones.")
    offer = fields.Function(
        fields.Char("Studies without Request", states={
                'invisible': ~Eval('offer'),
                }),
        'get_offer')
    number_of_images = fields.Function(
        fields.Integer("Images"),
        'get_number_of_images', searcher='search_number_of_images')

    new_images = fields.Function(
        fields.Boolean("New Images since the Signature",
            help="Whether you signed its report before all images came."),
        'get_new_images', searcher='search_new_images')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._not_copied |= {'candidates'}
        cls._buttons.update({
                'show_images': {},
                'open_images': {'invisible': ~Eval('number_of_images')},
                })

    @classmethod
    def get_orthanc_studies(cls, requests, name):
        "Return the studies of requests, those of several requests too."
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        found, studies = {r.id: [] for r in requests}, defaultdict(list)
        for request, study in acquired.studies_of(tuple(sorted(found))):
            studies[study].append(request)
        for some in grouped_slice(list(studies)):
            for study in Study.search([('id', 'in', list(some))]):
                for request in studies[study.id]:
                    found[request].append(study.id)
        return found

    @classmethod
    def search_orthanc_studies(cls, name, clause):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        of, (name, operator, value, *_) = studies_with_requests(), clause
        if value is None:
            return [('id', 'not in' if operator == '=' else 'in',
                    of.select(of.request))]
        *_, name = name.split('.', 1) if '.' in name else [
            'rec_name' if isinstance(value, str) else 'id']
        query = Study.search([(name, *clause[1:])], order=[], query=True)
        return [('id', 'in', of.select(of.request, where=of.id.in_(query)))]

    @classmethod
    def get_offer(cls, requests, name):
        "Return a question about studies of the patients without request."
        pool = Pool()
        study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
        candidate = pool.get(
            'gnuhealth.imaging_orthanc.link_candidate').__table__()
        found = defaultdict(list)
        for id_, day, modalities in blocks.rows(
                candidate.join(study, condition=candidate.study == study.id),
                [candidate.request, study.study_date, study.modalities],
                candidate.request, [r.id for r in requests],
                (study.patient == candidate.patient)
                & (study.request == Null)):
            found[id_].append((day, modalities))
        return {r.id: _question(found[r.id]) for r in requests}

    @classmethod
    def get_number_of_images(cls, requests, name):
        "Count the pictures that are on the servers."
        return acquired.count([r.id for r in requests], 'request')

    @classmethod
    def search_number_of_images(cls, name, clause):
        "Search by the number of pictures; without a study there are none."
        _, operator, value, *_ = clause
        if value is None:
            # Each request has a number.
            return [] if operator == '!=' else [('id', '<', 0)]
        compare = fields.SQL_OPERATORS[operator]
        counted = acquired.series_of_requests(
            lambda study, _: [study.request],
            group_by=lambda study, _: study.request,
            having=lambda study, series: compare(
                acquired.number(study, series), value))
        domain = ['OR', ('id', 'in', counted)]
        if _COMPARE[operator](0, value):
            domain.append(('has_images', '=', False))
        return domain

    @staticmethod
    def _of_signer():
        """Return the domain of requests of which the user is to look at a
        report again."""
        return [('results', 'where', [
                    ('new_images_at', '!=', None),
                    ('signed_by', '=', own_health_professional() or -1)])]

    @classmethod
    @once
    def _ids_of_signer(cls):
        return [r.id for r in cls.search(cls._of_signer(), order=[])]

    @classmethod
    def get_new_images(cls, requests, name):
        found = set(cls.search([
                    ('id', 'in', [r.id for r in requests]),
                    cls._of_signer()]))
        return {r.id: r in found for r in requests}

    @classmethod
    def search_new_images(cls, name, clause):
        found = cls._ids_of_signer()
        wanted = request_list.wanted(clause, {True, False})
        return ['OR', ('id', '<', 0), *(
                ('id', 'in' if one else 'not in', found) for one in wanted)]

    @classmethod
    @ModelView.button_action('health_imaging.act_imaging_test_result_view')
    def report(cls, requests):
        """Open the reports of requests, signed ones to look at new images.

        :raises RequestNotReadyError: a request is not to be reported
        """
        results = [r for q in requests for r in q.results]
        if results and all(r.new_images_at for r in results):
            return opened(results)
        return super().report(requests)

    @classmethod
    @ModelView.button_action('health_orthanc.act_request_images')
    def show_images(cls, requests):
        """Open the studies of requests, and the others of their patients."""
        check_rights('gnuhealth.imaging_orthanc.study', 'read')
        return {
            'pyson_domain': PYSONEncoder().encode(['OR',
                    ('requests', 'in', [r.id for r in requests]),
                    ('patient', 'in', sorted({
                                r.patient.id for r in requests}))]),
            }

    @classmethod
    def waiting_times(cls, requests):
        """Return since when requests wait: since the first of their images
        was known here, where there are images."""
        since = super().waiting_times(requests)
        for sub in grouped_slice(list(since)):
            since.update(
                (id_, moment(at)) for id_, at in tables.execute(_arrivals(
                        lambda study: study.request.in_(list(sub)))) if at)
        return since

    @classmethod
    def order_waiting_since(cls, tables):
        date, = super().order_waiting_since(tables)
        table, _ = tables[None]
        query = _arrivals(lambda study: study.request == table.id)
        query.columns = query.columns[1:]
        return [Coalesce(query, date)]

    @classmethod
    def exam_dates(cls, requests):
        """Return when the exams of requests were done: what the first of
        their studies says, in the institution's time zone."""
        dates = super().exam_dates(requests)
        zone = institution_timezone()
        for request in requests:
            begins = [
                dt.datetime.combine(s.study_date, s.study_time or dt.time())
                for s in request.orthanc_studies
                if s.study_date and not s.missing_since]
            if begins:
                dates[request.id] = utc_datetime(min(begins), zone)
        return dates

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_images(cls, requests):
        """Open the latest study of the first request in a viewer."""
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        for request in requests[:1]:
            return Study.open_latest(request.orthanc_studies, request)

    @classmethod
    def together(cls, requests):
        """Return requests with those that share a study with them: one report
        serves them."""
        of, other = studies_with_requests(), studies_with_requests()
        further = Pool().get(NAME).__table__()
        requests = super().together(requests)
        found = blocks.rows(
            further.join(of, condition=of.id == further.study).join(
                other, condition=other.id == further.study),
            [of.request, other.request], of.request, [r.id for r in requests])
        for id_, mate in sorted(set(found)):
            if id_ != mate:
                requests.setdefault(cls(id_), []).append(cls(mate))
        return requests

    @classmethod
    def settle_steps(cls, requests):
        """As health_imaging_worklist; what a machine says of several requests
        may be said of their study."""
        super().settle_steps(requests)
        link, other = [
            Pool().get('gnuhealth.imaging_worklist.performed_step-request')
            .__table__() for _ in 'ab']
        ids = {r.id for r in requests}
        others = blocks.ids(
            link.join(other, condition=(other.step == link.step)
                & (other.request != link.request)),
            other.request, link.request, ids)
        if others:
            events.requests_changed(ids | others)

    @classmethod
    def create(cls, vlist):
        requests = super().create(vlist)
        events.requests_changed([r.id for r in requests])
        return requests

    @classmethod
    def write(cls, *args):
        super().write(*args)
        actions = iter(args)
        changed, moved = set(), {}
        for requests, values in zip(actions, actions):
            if _DECISIVE & values.keys():
                changed.update(r.id for r in requests)
            if 'patient' in values:
                moved.update((r.id, values['patient']) for r in requests)
        for id_, patient in moved.items():
            ledger.let_requests_go([id_], 'request', moved_to=patient)
        events.requests_changed(changed)

    @classmethod
    def delete(cls, requests):
        ids = [r.id for r in requests]
        offered = events.among_candidates('request', ids)
        lost = ledger.let_requests_go(ids, 'request')
        super().delete(requests)
        events.studies_let_go(lost, 'request', offered)

    @classmethod
    def _has_images(cls, request):
        return acquired.of_request(request)


def _question(studies):
    """Ask whether studies, pairs of date and modalities, are of a request."""
    if len(studies) != 1:
        return studies and gettext(
            'health_orthanc.msg_offer_several', count=len(studies)) or ''
    (day, modalities), = studies
    day = gettext('health_orthanc.msg_offer_today') \
        if str(day) == str(today()) else str(day)
    return gettext('health_orthanc.msg_offer_one',
        date=day, modalities=modalities)


def _arrivals(where):
    """Return the query for request and time of its first image known here."""
    return acquired.series_of_requests(
        lambda study, series: [
            study.request,
            Min(Coalesce(series.create_date, study.create_date))],
        lambda study, _: where(study),
        group_by=lambda study, _: study.request)
