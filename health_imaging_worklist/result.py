# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a result adds for the worklist: the UID of its study."""
from trytond.model import fields
from trytond.pool import Pool, PoolMeta


class Result(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.result'

    merge_id = fields.Char("Study Instance UID", readonly=True,
        help="The Study Instance UID that the request gave to the modality.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._stamped |= {'merge_id'}

    @classmethod
    def _completed(cls, vlist):
        Request = Pool().get('gnuhealth.imaging.test.request')
        vlist = super()._completed(vlist)
        ids = {v['request'] for v in vlist if v.get('request')}
        merge_ids = {r.id: r.merge_id for r in Request.browse(ids)}
        return [
            {'merge_id': merge_ids.get(values.get('request')), **values}
            for values in vlist]
