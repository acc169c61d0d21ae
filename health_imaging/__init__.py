# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Medical imaging for GNU Health: exams, orders, requests and results."""
from trytond.pool import Pool

from . import (
    asking, attachment, cancel_reason, catalog, configuration, ir,
    modality_tabs, order, party, patient_exam, release, request, reschedule,
    result, result_report, safety_finding, sign_next, statistics)

__all__ = ['register']


def register():
    """Register the models, wizards and reports of the module."""
    Pool.register(
        ir.View,
        ir.Cron,
        modality_tabs.ActWindow,
        catalog.TestType,
        catalog.Test,
        configuration.Sequences,
        configuration.RequestSequence,
        configuration.ResultSequence,
        party.Patient,
        cancel_reason.CancelReason,
        request.Request,
        reschedule.RescheduleLog,
        reschedule.RescheduleStart,
        cancel_reason.CancelRequestStart,
        safety_finding.SafetyFinding,
        safety_finding.SafetyStart,
        order.OrderStart,
        order.OrderTest,
        result.Result,
        result.AmendResultStart,
        release.ReleaseResultStart,
        sign_next.SignNextEmpty,
        result.ReportTemplate,
        result.ReportTemplateExam,
        attachment.Attachment,
        patient_exam.PatientExam,
        statistics.StatisticsContext,
        statistics.StatisticsRequests,
        statistics.StatisticsTurnaround,
        module='health_imaging', type_='model')
    asking.close('health_imaging')
    Pool.register(
        order.Order,
        safety_finding.SendRequest,
        party.Replace,
        patient_exam.ExamReport,
        release.ReleaseResult,
        cancel_reason.CancelRequest,
        request.GenerateResult,
        reschedule.Reschedule,
        result.AmendResult,
        sign_next.SignNext,
        module='health_imaging', type_='wizard')
    Pool.register(
        result_report.ImagingReport,
        module='health_imaging', type_='report')
