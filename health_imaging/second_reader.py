# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second reader, where the exam asks for one: who signs first leaves the
result preliminary, and another one makes it final."""
from sql import Literal, Null

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool
from trytond.pyson import Eval

from .exceptions import SameReaderError
from .minute import Minute, now
from .professional import own_health_professional

_read_only = {'invisible': ~Eval('first_read_by')}


class SecondReaderMixin:
    """Mixin of results: who read them first."""
    __slots__ = ()

    first_read_by = fields.Many2One(
        'gnuhealth.healthprofessional', "Read by", readonly=True,
        ondelete='RESTRICT', states=_read_only,
        help="Who signed it first. Another one makes it final.")
    first_read_at = Minute("Read at", readonly=True,
        states=_read_only)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._stamped |= {'first_read_by', 'first_read_at'}

    def _question(self):
        question = super()._question()
        if self.requested_test.second_reader and not self.first_read_by:
            question += ' ' + gettext('health_imaging.msg_sign_first')
        return question

    @classmethod
    def _split_readers(cls, results, professional):
        """Return the results to read a second time, and those to sign.

        :param professional: id of who signs
        :raises SameReaderError: he read one first
        """
        first = [
            r for r in results if r.state == 'draft'
            and r.requested_test.second_reader and not r.first_read_by]
        for result in results:
            if (result.state == 'draft' and result.first_read_by
                    and result.requested_test.second_reader
                    and result.first_read_by.id == professional):
                raise SameReaderError(gettext(
                        'health_imaging.msg_same_reader',
                        result=result.rec_name))
        return first, [r for r in results if r not in first]

    @classmethod
    def _read_first(cls, results, professional):
        """Note the first reader of results, which others read again."""
        cls._end_reading(results)
        cls.write(results, {
                'first_read_by': professional,
                'first_read_at': now()})


class SecondReadMixin:
    """Mixin of requests: whose reading waits for another."""
    __slots__ = ()

    read_by = fields.Function(fields.Char("Read by",
            help="Who read the exam first. It waits for a second reader."),
        'get_read_by')

    @classmethod
    def get_read_by(cls, requests, name):
        """Return the names of the first readers, by id."""
        return {
            q.id: next((
                    r.first_read_by.rec_name for r in q.results
                    if r.state == 'draft' and r.first_read_by), None)
            for q in requests}

    @classmethod
    def _begun(cls):
        """Return the domain of requests whose report was begun, without those
        that the user read first."""
        domain = super()._begun()
        own = own_health_professional()
        if not own:
            return domain
        pool = Pool()
        result = pool.get('gnuhealth.imaging.test.result').__table__()
        exam = pool.get('gnuhealth.imaging.test').__table__()
        return [domain, ('id', 'not in', result.join(exam,
                    condition=exam.id == result.requested_test).select(
                    result.request, where=(result.state == 'draft')
                    & (result.first_read_by == own)
                    & (exam.second_reader == Literal(True))
                    & (result.request != Null)))]
