# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of former releases, and the studies that carry their UIDs.

The worklist module separates UIDs that requests share without looking at
studies.  When the studies are there, the request whose images have a UID gets
it back.
"""
from collections import defaultdict

from sql import Column, Null

from trytond.modules.health_imaging.migration import set_by_id, set_where, warn
from trytond.pool import Pool

from ..tables import execute


def return_merge_ids():
    """Give each UID that requests shared to the request whose result has the
    images with it, then link the studies that came before a result.

    Nothing happens without the worklist module.
    """
    pool = Pool()
    Request = pool.get('gnuhealth.imaging.test.request')
    if 'merge_id' not in Request._fields:
        return
    study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    result = pool.get('gnuhealth.imaging.test.result').__table__()
    uids = _MergeIds(Request)
    query = study.join(
        result, condition=study.imaging_test == result.id)
    for request, uid in execute(query.select(
                result.request, result.merge_id,
                where=(result.request != Null)
                & ((study.study_instance_UID == result.merge_id)
                    | (study.merge_id == result.merge_id)),
                group_by=[result.request, result.merge_id],
                order_by=result.request)):
        uids.take(request, uid)
    _link_early_studies(Request, uids)


class _MergeIds:
    """The Study Instance UIDs of all requests, read at once because their
    column has no index yet.

    :ivar dict own: UID by id of the request
    """

    def __init__(self, Request):
        self._Request = Request
        table = Request.__table__()
        self.own = dict(execute(table.select(table.id, table.merge_id)))
        self._holder = {uid: id_ for id_, uid in self.own.items()}
        # Requests that have images with their own UID.
        self._settled = {
            request for _, request, of_study in _carried(Request)
            if request == of_study}

    def take(self, id_, uid):
        """Give a UID to a request, in exchange for its own, unless the
        request that has it has images with it."""
        own, holder = self.own.get(id_), self._holder.get(uid)
        if own == uid:
            self._settled.add(id_)
        if own == uid or id_ not in self.own or holder in self._settled:
            return
        # No two requests ever have the same UID, because of the constraint.
        if holder:
            self._set(holder, None)
        self._set(id_, uid)
        if holder:
            self._set(holder, own)
        self._settled.add(id_)
        warn(self._Request, id_, "it has the merge id again that it shared, "
            "there are images with it")

    def _set(self, id_, uid):
        table = self._Request.__table__()
        set_where(table, table.id == id_, merge_id=uid)
        self.own[id_], self._holder[uid] = uid, id_


def _carried(Request):
    """Return the studies that carry the UID of a request: sorted list of
    (study, request that has the UID, request of the study or 0)."""
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    table = Request.__table__()
    found = set()
    # Two joins: databases are slow at one with OR.
    for name in ['merge_id', 'study_instance_UID']:
        found.update(execute(study.join(table,
                    condition=Column(study, name) == table.merge_id).select(
                    study.id, table.id, study.request,
                    where=table.merge_id != Null)))
    return sorted((*key, of_study or 0) for *key, of_study in found)


def _link_early_studies(Request, uids):
    """Link to their request the studies that came before its result.

    Where several exams of an order may have brought a study, a person
    decides.
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    study, table = Study.__table__(), Request.__table__()
    orders = {id_: row for id_, *row in execute(
            table.select(table.id, table.patient, table.request))}
    early = dict(execute(study.select(study.id, study.patient,
                where=(study.request == Null)
                & (study.imaging_test == Null) & (study.patient != Null))))
    found = [
        (study_id, id_) for study_id, id_, _ in _carried(Request)
        if study_id in early and early[study_id] == orders[id_][0]]
    if not found:
        return
    exams, modalities = _exams_of_orders(Request), _modalities_of_studies()
    requests = {}
    for study_id, id_ in found:
        order = orders[id_][1]
        fitting = [id_]
        if len(exams.get(order, ())) > 1:
            fitting = [
                exam for exam, code in exams[order].items()
                if code in modalities[study_id]]
        if len(fitting) != 1:
            warn(Study, study_id, "it may be of several requests of order "
                "%s, it is linked to its patient only", order)
            continue
        requests[study_id], = fitting
        uids.take(requests[study_id], uids.own[id_])
    set_by_id(study, 'request', requests)


def _exams_of_orders(Request):
    """Return the modalities of the requests of each order, dicts by id of the
    request."""
    table = Request.__table__()
    exam, type_ = [
        Pool().get(name).__table__()
        for name in ['gnuhealth.imaging.test', 'gnuhealth.imaging.test.type']]
    exams = defaultdict(dict)
    for order, id_, code in execute(table.join(
                exam, condition=table.requested_test == exam.id).join(
                type_, condition=exam.test_type == type_.id).select(
                table.request, table.id, type_.code,
                where=(table.request != Null) & (table.request != ''),
                order_by=table.id)):
        exams[order][id_] = code
    return exams


def _modalities_of_studies():
    "Return the modalities of each study, dict of sets by id."
    series = Pool().get('gnuhealth.imaging_orthanc.study_series').__table__()
    modalities = defaultdict(set)
    for study, modality in execute(series.select(
                series.study, series.modality,
                group_by=[series.study, series.modality])):
        modalities[study].add(modality)
    return modalities
