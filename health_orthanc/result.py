# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What imaging results gain: the studies with their images."""
from trytond.model import fields
from trytond.pool import Pool, PoolMeta

from . import storage


class Result(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.result'

    studies = fields.One2Many(
        'gnuhealth.orthanc.study', 'imaging_test', "Former Studies",
        readonly=True)
    orthanc_studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'imaging_test', "Studies",
        readonly=True)

    @classmethod
    def create(cls, vlist):
        results = super().create(vlist)
        cls._link_waiting_studies(results)
        return results

    @classmethod
    def _link_waiting_studies(cls, results):
        """Give results the studies that arrived for their requests before.
        """
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        by_request = {r.request.id: r.id for r in results if r.request}
        if not by_request:
            return
        studies = Study.search([
                ('request', 'in', list(by_request)),
                ('imaging_test', '=', None),
                ])
        for study in studies:
            storage.set_values(Study, [study.id],
                imaging_test=by_request[study.request.id])

    @classmethod
    def copy(cls, results, default=None):
        default = {} if default is None else default.copy()
        default.setdefault('studies', None)
        default.setdefault('orthanc_studies', None)
        return super().copy(results, default=default)
