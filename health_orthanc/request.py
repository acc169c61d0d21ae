# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What imaging requests gain: their studies, also those that came first."""
from trytond.model import fields
from trytond.pool import PoolMeta
from trytond.pyson import Eval

from . import linking


class Request(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.request'

    orthanc_studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'request', "Studies",
        readonly=True, states={'invisible': ~Eval('orthanc_studies', [])})
    number_of_images = fields.Function(
        fields.Integer("Images"), 'get_number_of_images')

    @classmethod
    def get_number_of_images(cls, requests, name):
        return {
            r.id: sum(s.number_of_instances or 0 for s in r.orthanc_studies
                if not s.missing_since)
            for r in requests}

    @classmethod
    def write(cls, *args):
        super().write(*args)
        actions = iter(args)
        changed = [
            request for requests, values in zip(actions, actions)
            if 'state' in values for request in requests]
        linking.relink_requests(cls.browse(changed))

    @classmethod
    def copy(cls, requests, default=None):
        default = {} if default is None else default.copy()
        default.setdefault('orthanc_studies', None)
        return super().copy(requests, default=default)

    @classmethod
    def _without_images(cls):
        return [*super()._without_images(), ('orthanc_studies', '=', None)]
