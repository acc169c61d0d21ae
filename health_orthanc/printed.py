# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps who printed the report of a result."""
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

from .links.access_log import note_results


class ImagingReport(metaclass=PoolMeta):
    __name__ = 'patient.imaging_report_results'

    @classmethod
    def execute(cls, ids, data):
        "Print results and log who printed them."
        Result = Pool().get('gnuhealth.imaging.test.result')
        report = super().execute(ids, data)
        if Transaction().check_access:
            # Others print it to keep it with the result or on a server.
            note_results('print', Result.browse(ids))
        return report
