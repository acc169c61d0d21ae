# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a database of a state before the last landed one, as fill_landed.py
does, with what that state did not refuse yet."""
import sys

from fill_landed import EXAM, fill, made, order, order_together

PREFIX = 'RADIOLOGY-2026-'


def long_order(hospital):
    "Give orders numbers that are too long for modalities."
    sequence, = hospital.model('ir.sequence').find([
            ('sequence_type.name', '=', "Imaging Test Request")])
    sequence.prefix = PREFIX
    sequence.save()
    order_together(hospital, 'long', 'tom', 'CTHEAD', 'XRCHEST')


def leftovers(hospital):
    "A character set that is none, and a report that a server refused."
    from sql import Table

    from trytond.transaction import Transaction
    exam, = hospital.model(EXAM).find([('code', '=', 'USABDO')])
    made['templates']['odd'] = exam.imaging_worklist_template.id
    order(hospital, 'odd_template', 'karl', exam='USABDO')
    template = Table('gnuhealth_imaging_worklist_worklist_template')
    report = Table('gnuhealth_orthanc_report')
    with Transaction().start(hospital._database, 1) as transaction:
        cursor = transaction.connection.cursor()
        cursor.execute(*template.update([template.charset], ['cp1252'],
                where=template.id == made['templates']['odd']))
        cursor.execute(*report.select(
                report.result, report.id, where=report.state == 'stored'))
        made['stored_reports'] = dict(cursor.fetchall())
        cursor.execute(*report.insert([
                    report.result, report.revision, report.study,
                    report.state, report.attempts], [[
                        made['results']['of_result'], 0,
                        made['studies']['of_result'], 'failed', 20]]))
        cursor.execute(*report.select(
                report.id, where=report.state == 'failed'))
        (made['failed_report'],), = cursor.fetchall()


if __name__ == '__main__':
    fill([leftovers, long_order], *sys.argv[1:])
