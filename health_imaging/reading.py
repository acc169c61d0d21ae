# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading list: requests whose images wait for a report."""
import datetime as dt
from itertools import chain

from sql import Literal, Null, Union
from sql.aggregate import Count

from trytond.i18n import gettext
from trytond.model import Index, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval, PYSONEncoder
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, check_access, without_check_access

from .claim import ClaimMixin
from .exceptions import NoImagesWarning, RequestNotReadyError
from .institution import AgedMixin
from .request_list import true_or_false
from .rights import check_rights
from .tables import LookUp, execute, once

_RESULT = 'gnuhealth.imaging.test.result'
# How many requests a statement names, rather than look for them again.
_MOST_NAMED = 10_000


def opened(results):
    """Return what an action that shows results opens: the form of one, the
    list of several.

    :rtype: dict
    """
    ModelData = Pool().get('ir.model.data')
    ids = [r.id for r in results]
    value = {'pyson_domain': PYSONEncoder().encode([('id', 'in', ids)])}
    if len(ids) == 1:
        value.update(res_id=ids, domains=[], views=[
                (ModelData.get_id(
                    'health_imaging', f'view_imaging_test_result_{kind}'),
                    kind) for kind in ['form', 'tree']])
    return value


class ReadingMixin(AgedMixin, ClaimMixin):
    """Mixin of requests: their row of the reading list."""
    __slots__ = ()

    to_read = fields.Function(
        fields.Boolean("To Read"), 'get_to_read')
    waiting_since = fields.Function(
        fields.DateTime("Waiting since", format='%H:%M'), 'get_waits')
    reading_wait = fields.Function(
        fields.Char("Waiting", help="For how long the exam waits for its "
            "report: since its images arrived, where that is known, else "
            "since its date."),
        'get_waits')
    reported_in = fields.Many2One(
        _RESULT, "Reported in", readonly=True, ondelete='SET NULL',
        states={'invisible': ~Eval('reported_in')},
        help="The report of another request that serves this one, because one "
        "exam was done for both.")
    priors = fields.Function(
        fields.Integer("Priors",
            help="How many other exams of the patient have a result."),
        'get_priors')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._stamped |= {'reported_in'}
        cls._sql_indexes.add(Index(
                table, (table.reported_in, Index.Equality()),
                where=table.reported_in != Null))
        cls._buttons['report'] = {
            'invisible': ~Eval('state').in_(['requested', 'done'])}

    @classmethod
    def _with_images(cls):
        """Return the domain of requests whose images are there.

        Without a PACS nothing is known of images.
        """
        return [] if cls._has_images(cls.__table__().id) is None \
            else [('has_images', '=', True)]

    @classmethod
    def examined(cls, ids, with_images):
        """Return which requests were examined: those with images, where no
        machine says more.

        :param ids: ids of requests
        :param set with_images: those of them that have images
        :rtype: set
        """
        return with_images

    @classmethod
    def made_images(cls, ids=None, since=None, until=None):
        """Return how many images machines say they made, by exam that ended.

        :param ids: ids of requests, None for all
        :param datetime.datetime since: when the exams ended, None for any
        :param datetime.datetime until: the same
        :return: list of pairs of number and set of ids of requests
        """
        return []

    @classmethod
    def _begun(cls):
        """Return the domain of requests whose report was begun and is to be
        finished, with images or without."""
        return [('state', '=', 'done'), ('results.state', '=', 'draft')]

    @classmethod
    def _domains_to_read(cls):
        """Return the domains of the requests that are to be read; an index
        serves each of them."""
        return [
            cls._begun(), [('state', '=', 'requested'), *cls._with_images()]]

    @classmethod
    def get_to_read(cls, requests, name):
        ids = [r.id for r in requests]
        found = {
            r.id for some in grouped_slice(ids)
            for r in cls.search(
                [('id', 'in', list(some)), ['OR', *cls._domains_to_read()]],
                order=[])}
        return {id_: id_ in found for id_ in ids}

    @classmethod
    def domain_to_read(cls, domain, tables):
        """Return the SQL condition of requests that are to be read, or not.

        :param domain: name, operator and value
        :param tables: of the search
        """
        table, _ = tables[None]
        ids = cls._ids_to_read()
        return true_or_false(domain,
            LookUp(table.id, ids) if len(ids) <= _MOST_NAMED
            else table.id.in_(cls._query_to_read()))

    @classmethod
    @without_check_access
    def _query_to_read(cls):
        return Union(*(
                cls.search(domain, order=[], query=True)
                for domain in cls._domains_to_read()))

    @classmethod
    @once
    def _ids_to_read(cls):
        """Return the ids of the requests that are to be read, of a few more
        than are named where they are too many."""
        query = cls._query_to_read()
        return [id_ for id_, in execute(
                query.select(query.id, limit=_MOST_NAMED + 1))]

    @classmethod
    def get_waits(cls, requests, names):
        """Return since when requests wait for their report, and how long that
        is, by name and id."""
        since, now = cls.waiting_times(requests), dt.datetime.now()
        return {
            name: since if name == 'waiting_since' else {
                id_: _duration(now - at) for id_, at in since.items()}
            for name in names}

    @classmethod
    def waiting_times(cls, requests):
        """Return since when requests wait for their report, by id."""
        return {r.id: r.date for r in requests}

    @staticmethod
    def order_waiting_since(tables):
        table, _ = tables[None]
        return [table.date]

    @classmethod
    def get_priors(cls, requests, name):
        request, result = cls.__table__(), Pool().get(_RESULT).__table__()
        priors = dict.fromkeys((r.id for r in requests), 0)
        for some in grouped_slice(list(priors)):
            priors.update(execute(request.join(result,
                        condition=(result.patient == request.patient)
                        & ((result.request == Null)
                            | (result.request != request.id))).select(
                        request.id, Count(Literal(1)), group_by=request.id,
                        where=reduce_ids(request.id, list(some)))))
        return priors

    @classmethod
    def exam_dates(cls, requests):
        """Return when the exams of requests were done, by id of the request:
        the date of the request, where nothing else is known.

        :return: dict of datetime, naive, UTC
        """
        return {r.id: r.date for r in requests}

    @classmethod
    @ModelView.button_action('health_imaging.act_imaging_test_result_view')
    def report(cls, requests):
        """Claim requests and open their results, which are made if there are
        none.

        :raises RequestNotReadyError: a request is not to be reported
        """
        requests = cls.reporting(requests)
        for request in requests:
            if not any(r.state == 'draft' for r in request.results):
                request.check_ready()
        return opened(cls.write_reports(requests))

    @classmethod
    def together(cls, requests):
        """Return what other requests share the exam of each request.

        Modules that know of exams extend this.

        :return: dict of lists of records by record
        """
        return {r: [] for r in requests}

    @classmethod
    def reporting(cls, requests):
        """Return the requests whose reports serve some requests: where one
        exam was done for several, one of them.

        :return: list of records
        """
        found = {}
        for request, others in cls.together(requests).items():
            if request.reported_in and request.reported_in.request:
                request = request.reported_in.request
            elif not request.results:
                request = next(
                    (r for r in others if r in found and not r.results),
                    request)
            found[request] = True
        return list(found)

    @classmethod
    def report_in(cls, results):
        """Note in whose results requests are reported, which are then done.
        Those that are no more are to be reported again.

        :param dict results: id of the result of another request, or None, by
            the id of the request
        """
        changed = [r for r in cls.browse(list(results))
            if getattr(r.reported_in, 'id', None) != results[r.id]]
        if changed:
            cls.write(*chain.from_iterable(
                    ([r], {'reported_in': results[r.id]}) for r in changed))
        changed = cls.browse(changed)
        cls.do([r for r in changed
                if r.reported_in and r.state == 'requested'])
        cls.reopen([
                r for r in changed if not (r.reported_in or r.results)])

    @classmethod
    def write_reports(cls, requests):
        """Claim requests for the user and return their results.

        :rtype: list of gnuhealth.imaging.test.result records
        :raises NoImagesWarning: of one no images arrived; may go on
        :raises ClaimedWarning: another user reports one; may go on
        """
        check_rights(_RESULT, 'create')
        new = [r for r in requests if not r.results]
        cls._warn_of_images([r for r in requests if r.state != 'done'])
        cls.claim(requests)
        cls.make_results(new)
        cls.do([r for r in requests if r not in new])
        return [r for q in cls.browse(requests) for r in q.results]

    @classmethod
    def drop_results(cls, requests):
        """Delete the empty results of requests that are canceled.

        :raises RequestNotReadyError: one has a text or images
        """
        results = [r for q in requests for r in q.results]
        for result in results:
            if not result.is_empty():
                raise RequestNotReadyError(gettext(
                        'health_imaging.msg_request_kept_result',
                        request=result.request.rec_name))
        if results:
            type(results[0]).delete(results)

    @classmethod
    def _warn_of_images(cls, requests):
        """Ask, by NoImagesWarning, before a report without images is begun."""
        Warning = Pool().get('res.user.warning')
        domain = cls._with_images()
        if not domain:
            return
        there = set(cls.search(
                [('id', 'in', [r.id for r in requests]), domain]))
        missing = [r for r in requests if r not in there]
        key = Warning.format('imaging_no_images', missing)
        if missing and Warning.check(key):
            raise NoImagesWarning(key, gettext(
                    'health_imaging.msg_no_images',
                    requests='\n'.join(r.rec_name for r in missing)))

    @classmethod
    def next_to_read(cls):
        """Return the first request of the reading list that nobody else
        reports, or None."""
        with check_access():
            found = cls.search([
                    ('to_read', '=', True),
                    ['OR',
                        ('claimed_by', '=', None),
                        ('claimed_by', '=', Transaction().user)],
                    ], limit=1, order=READING_ORDER)
        return found[0] if found else None


#: Urgent ones first, then those that wait longest.
READING_ORDER = [
    ('urgency', 'DESC'), ('waiting_since', 'ASC'), ('id', 'ASC')]


def _duration(delta):
    """Return a timedelta as text, empty when it is none yet."""
    if delta < dt.timedelta():
        return ''
    hours, seconds = divmod(delta.seconds, 3600)
    if delta.days:
        return gettext('health_imaging.msg_days_hours',
            days=delta.days, hours=hours)
    return gettext('health_imaging.msg_hours_minutes',
        hours=hours, minutes=f'{seconds // 60:02}')
