# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Medical imaging for GNU Health: exams, orders, requests and results."""
from trytond.cache import BaseCache
from trytond.pool import Pool

from . import (
    asking, attachment, cancel_reason, catalog, configuration, critical,
    critical_call, critical_configuration, critical_statistics, ir, macro,
    modality_tabs, mrrt_import, notices, order, order_sheet, party,
    patient_exam, patient_exam_read, release, report_template, report_text,
    request, reschedule, result, result_report, safety_finding, sign_check,
    sign_next, statistics)

__all__ = ['register']

# What methods pass on in the context says nothing about models and views.
# Without this trytond would keep those once for each order, and what was
# passed with them.
BaseCache.context_ignored_keys.update({
        '_exams', '_imaging_answered', '_imaging_order',
        '_imaging_request_ids', '_imaging_reschedule'})


def register():
    """Register the models, wizards and reports of the module."""
    Pool.register(
        ir.View,
        ir.Cron,
        ir.Rule,
        ir.Note,
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
        report_text.PickStart,
        report_text.PickLine,
        sign_check.SignCheck,
        sign_check.SideWord,
        report_template.ReportTemplate,
        report_template.ReportTemplateExam,
        mrrt_import.ImportTemplateStart,
        mrrt_import.ImportTemplateDone,
        macro.Macro,
        critical_configuration.ImagingConfiguration,
        critical_configuration.Escalation,
        critical.CriticalFinding,
        critical.ReportCriticalStart,
        critical_call.CriticalCall,
        critical_call.LogCallStart,
        notices.User,
        attachment.Attachment,
        patient_exam.PatientExam,
        patient_exam_read.ReadExamStart,
        statistics.StatisticsContext,
        statistics.StatisticsRequests,
        statistics.StatisticsTurnaround,
        critical_statistics.StatisticsCritical,
        module='health_imaging', type_='model')
    asking.close('health_imaging')
    Pool.register(
        order.Order,
        safety_finding.SendRequest,
        party.Replace,
        patient_exam.ExamReport,
        patient_exam_read.ReadExam,
        release.ReleaseResult,
        cancel_reason.CancelRequest,
        critical.ReportCritical,
        critical_call.LogCall,
        request.GenerateResult,
        reschedule.Reschedule,
        result.AmendResult,
        report_text.Pick,
        sign_next.SignNext,
        mrrt_import.ImportTemplate,
        module='health_imaging', type_='wizard')
    Pool.register(
        result_report.ImagingReport,
        order_sheet.OrderSheet,
        order_sheet.OrderLabel,
        module='health_imaging', type_='report')
