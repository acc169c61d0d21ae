# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthanc PACS servers for GNU Health: their studies, kept in step."""
from trytond.modules.health_imaging import asking
from trytond.pool import Pool

from . import (
    add_server, deletion, encapsulated_report, full_synchronize,
    get_new_studies, legacy, patient, preview, printed, report_picture,
    request, result, server, statistics, study, upload, viewers)
from .links import access_log, candidate, events, link_log

__all__ = ['register']


def register():
    Pool.register(
        server.Server,
        server.SyncRun,
        server.Cron,
        patient.OrthancPatient,
        patient.Patient,
        patient.Party,
        patient.PersonName,
        patient.AlternativeID,
        study.Study,
        study.StudySeries,
        study.SeriesInstance,
        legacy.FormerStudy,
        candidate.LinkCandidate,
        access_log.AccessLog,
        link_log.LinkLog,
        events.LinkEvent,
        request.Request,
        result.Result,
        result.LinkStudiesStart,
        add_server.AddServerStart,
        add_server.AddServerDone,
        add_server.AddServerFailed,
        full_synchronize.FullSynchronizeStart,
        get_new_studies.GetNewStudiesStart,
        preview.Study,
        preview.StudySeries,
        preview.SeriesInstance,
        preview.PreviewShow,
        report_picture.SeriesInstance,
        report_picture.Attachment,
        printed.Attachment,
        upload.UploadStart,
        upload.UploadFile,
        upload.UploadDone,
        deletion.Study,
        deletion.StudySeries,
        deletion.Server,
        deletion.DeleteStart,
        deletion.DeleteDone,
        encapsulated_report.StoredReport,
        encapsulated_report.Study,
        encapsulated_report.Result,
        encapsulated_report.Server,
        statistics.StatisticsTurnaround,
        viewers.Server,
        module='health_orthanc', type_='model')
    asking.close('health_orthanc')
    Pool.register(
        add_server.AddServer,
        candidate.ChooseCandidate,
        full_synchronize.FullSynchronize,
        get_new_studies.GetNewStudies,
        preview.Preview,
        upload.UploadImageData,
        deletion.Delete,
        patient.Replace,
        result.LinkStudies,
        module='health_orthanc', type_='wizard')
    Pool.register(
        printed.ImagingReport,
        module='health_orthanc', type_='report')
