# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences of orders, whose numbers modalities and servers must be able to
hold whole."""
import datetime as dt
import time

from trytond.i18n import gettext
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

from .attributes import LENGTHS, is_identifier
from .exceptions import OrderNumberError

# How many numbers must fit, and for how many seconds those that are made of
# the time.
NEXT_NUMBERS = 1000
NEXT_SECONDS = 365 * 24 * 3600

_MAKES_NUMBERS = {
    'prefix', 'suffix', 'type', 'number_next', 'number_increment', 'padding',
    'timestamp_rounding', 'timestamp_offset', 'sequence_type'}


class Sequence(metaclass=PoolMeta):
    __name__ = 'ir.sequence'

    @classmethod
    def create(cls, vlist):
        sequences = super().create(vlist)
        cls.check_order_numbers(sequences)
        return sequences

    @classmethod
    def write(cls, *args):
        # Not validate_fields: the next number is in the database later.
        super().write(*args)
        numbers = _MAKES_NUMBERS.copy()
        if Transaction().check_access:
            # Without rights it is what a sequence does at each number.
            numbers.add('number_next_internal')
        actions = iter(args)
        changed = [
            sequence for sequences, values in zip(actions, actions)
            if numbers & values.keys() for sequence in sequences]
        cls.check_order_numbers(cls.browse([s.id for s in changed]))

    @classmethod
    def check_order_numbers(cls, sequences):
        """Raise OrderNumberError when numbers of orders do not fit, with the
        ends of the lines of an order, into 16 characters (SH), or hold others
        than SH allows."""
        ModelData = Pool().get('ir.model.data')
        try:
            type_ = ModelData.get_id(
                'health_imaging', 'seq_type_gnuhealth_imaging_test_request')
        except KeyError:
            # The module of the type is not activated yet.
            return
        for sequence in sequences:
            if sequence.sequence_type.id == type_:
                sequence._check_order_number()

    def _check_order_number(self):
        Request = Pool().get('gnuhealth.imaging.test.request')
        number = self.longest_number()
        limit = LENGTHS['SH'] - len(Request.line_number('', 1, 1))
        if len(number) > limit:
            raise OrderNumberError(gettext(
                    'health_imaging_worklist.msg_sequence_long',
                    sequence=self.rec_name, number=number, limit=limit))
        if not is_identifier(number):
            raise OrderNumberError(gettext(
                    'health_imaging_worklist.msg_sequence_characters',
                    sequence=self.rec_name, number=number))

    def longest_number(self):
        """Return the longest of the numbers that come next, str: in names of
        days and months of any date."""
        days = [dt.date(2024, 1, 1) + dt.timedelta(n) for n in range(366)]
        prefix, suffix = (
            max((self._process(affix, day) for day in days), key=len)
            if '$' in (affix or '') else affix or ''
            for affix in (self.prefix, self.suffix))
        return ''.join([prefix, max(self._next_numbers(), key=len), suffix])

    def _next_numbers(self):
        if self.type == 'incremental':
            first = self.number_next or 0
            last = first + (self.number_increment or 0) * (NEXT_NUMBERS - 1)
            return [f'{n:0>{self.padding or 0}d}' for n in (first, last)]
        kind = 'd' if self.type == 'decimal timestamp' else 'X'
        return [
            format(int((moment - self.timestamp_offset)
                    / self.timestamp_rounding), kind)
            for moment in (time.time(), time.time() + NEXT_SECONDS)]


class RequestSequence(metaclass=PoolMeta):
    __name__ = 'gnuhealth.sequences.imaging_req_seq'

    @classmethod
    def validate_fields(cls, values, field_names):
        super().validate_fields(values, field_names)
        Sequence = Pool().get('ir.sequence')
        Sequence.check_order_numbers(
            [v.imaging_req_seq for v in values if v.imaging_req_seq])
