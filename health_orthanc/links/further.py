# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The requests to which a study belongs beside its own: one examination may
be done for several (PS3.17, group case). Only the ledger writes them."""
from sql import Null, Union

from trytond.model import Index, ModelSQL, Unique, fields
from trytond.modules.health_imaging.kept import Ledger
from trytond.pool import Pool

#: Name of the model.
NAME = 'gnuhealth.imaging_orthanc.study-request'
# The columns of studies that are asked for together with their requests.
_COLUMNS = [
    'id', 'create_date', 'imaging_test', 'modalities', 'missing_since',
    'number_of_instances']


class StudyRequest(Ledger, ModelSQL):
    "Further Request of a Study"
    __name__ = 'gnuhealth.imaging_orthanc.study-request'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        ondelete='CASCADE')
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request", required=True,
        ondelete='CASCADE')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('study_request_unique', Unique(table, table.study, table.request),
                'health_orthanc.msg_study_request_unique'),
            ]
        cls._sql_indexes.add(Index(table, (table.request, Index.Equality())))


def studies_with_requests(among=None):
    """Return the query for studies with each of their requests: a row for
    each, with the columns of the study and its ``request``.

    :param among: query of the ids of the requests that count, None: all.
        The database finds a few of them only where each part asks for them
    """
    pool = Pool()
    own, study = [
        pool.get('gnuhealth.imaging_orthanc.study').__table__() for _ in 'ab']
    link = pool.get(NAME).__table__()
    has_request, is_further = own.request != Null, None
    if among:
        has_request &= own.request.in_(among)
        is_further = link.request.in_(among)
    return Union(
        own.select(
            *(getattr(own, name) for name in _COLUMNS), own.request,
            where=has_request),
        link.join(study, condition=link.study == study.id).select(
            *(getattr(study, name) for name in _COLUMNS), link.request,
            where=is_further),
        all_=True)
