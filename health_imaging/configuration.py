# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequences of orders and results, chosen in the GNU Health sequences."""
from trytond.i18n import gettext
from trytond.model import ModelSQL, ValueMixin, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Id
from trytond.transaction import without_check_access

from .exceptions import MissingSequenceError

imaging_req_seq = fields.Many2One(
    'ir.sequence', "Imaging Order Sequence", required=True,
    domain=[('sequence_type', '=', Id(
                'health_imaging', 'seq_type_gnuhealth_imaging_test_request'))])
imaging_test_sequence = fields.Many2One(
    'ir.sequence', "Imaging Result Sequence", required=True,
    domain=[('sequence_type', '=', Id(
                'health_imaging', 'seq_type_gnuhealth_imaging_test'))])


class Sequences(metaclass=PoolMeta):
    __name__ = 'gnuhealth.sequences'

    imaging_req_seq = fields.MultiValue(imaging_req_seq)
    imaging_test_sequence = fields.MultiValue(imaging_test_sequence)

    @classmethod
    def default_imaging_req_seq(cls, **pattern):
        return cls._imaging_sequence('seq_gnuhealth_imaging_test_request')

    @classmethod
    def default_imaging_test_sequence(cls, **pattern):
        return cls._imaging_sequence('seq_gnuhealth_imaging_test')

    @classmethod
    def _imaging_sequence(cls, fs_id):
        ModelData = Pool().get('ir.model.data')
        try:
            return ModelData.get_id('health_imaging', fs_id)
        except KeyError:
            return None


class RequestSequence(ModelSQL, ValueMixin):
    "Imaging Order Sequence"
    __name__ = 'gnuhealth.sequences.imaging_req_seq'
    imaging_req_seq = imaging_req_seq


class ResultSequence(ModelSQL, ValueMixin):
    "Imaging Result Sequence"
    __name__ = 'gnuhealth.sequences.imaging_test_sequence'
    imaging_test_sequence = imaging_test_sequence


@without_check_access
def next_numbers(name, count):
    """Return the next numbers of a sequence of the configuration.

    :param str name: field of gnuhealth.sequences
    :param int count: how many numbers
    :rtype: list of str
    :raises MissingSequenceError: when no sequence is chosen
    """
    Sequences = Pool().get('gnuhealth.sequences')
    sequence = Sequences(1).get_multivalue(name)
    if not sequence:
        raise MissingSequenceError(gettext(
                'health_imaging.msg_sequence_missing',
                **Sequences.__names__(name)))
    return [sequence.get() for _ in range(count)]
