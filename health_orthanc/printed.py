# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps who printed the report of a result, and who fetched pictures and
former reports that are attached to results."""
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction, without_check_access

from .links.access_log import note, note_results


class ImagingReport(metaclass=PoolMeta):
    __name__ = 'patient.imaging_report_results'

    @classmethod
    def execute(cls, ids, data):
        Result = Pool().get('gnuhealth.imaging.test.result')
        report = super().execute(ids, data)
        if Transaction().check_access:
            # Others print it to keep it with the result or on a server.
            note_results('print', Result.browse(ids))
        return report


class Attachment(metaclass=PoolMeta):
    __name__ = 'ir.attachment'

    @classmethod
    def read(cls, ids, fields_names):
        rows = super().read(ids, fields_names)
        if 'data' in fields_names and Transaction().check_access:
            cls._note_download(ids)
        return rows

    @classmethod
    def export_data(cls, attachments, fields_names):
        rows = super().export_data(attachments, fields_names)
        if 'data' in fields_names:
            cls._note_download([a.id for a in attachments])
        return rows

    @classmethod
    @without_check_access
    def _note_download(cls, ids):
        if Transaction().context.get(f'{cls.__name__}.data') == 'size':
            return
        Result = Pool().get('gnuhealth.imaging.test.result')
        attachments = cls.browse(ids)
        studies = {a.imaging_study for a in attachments} - {None}
        if studies:
            note('download', sorted(studies), once=True)
        results = {
            a.resource for a in attachments
            if a.imaging_revision is not None
            and isinstance(a.resource, Result)}
        if results:
            note_results('download', sorted(results), once=True)
