# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthanc PACS servers for GNU Health: their studies, kept in step."""
from trytond.modules.health_imaging import asking
from trytond.pool import Pool

from . import (
    add_server, attachment, deletion, encapsulated_report, ir, legacy, notice,
    open_viewer, patient, patient_exam, preview, printed, request, result,
    server, statistics, study, sync_run, synchronize, upload, viewer, viewing,
    viewing_routes)
from .links import access_log, candidate, events, further, link_log

__all__ = ['register', 'viewing_routes']


def register():
    """Register the models, wizards and reports of the module."""
    Pool.register(
        server.Server,
        viewer.OwnViewer,
        viewing.Viewing,
        sync_run.SyncRun,
        ir.Cron,
        ir.Session,
        patient.OrthancPatient,
        patient.Patient,
        patient_exam.PatientExam,
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
        further.StudyRequest,
        events.LinkEvent,
        request.Request,
        result.Result,
        attachment.Attachment,
        encapsulated_report.StoredReport,
        statistics.StatisticsTurnaround,
        *VIEWS,
        module='health_orthanc', type_='model')
    asking.close('health_orthanc')
    Pool.register(*WIZARDS, module='health_orthanc', type_='wizard')
    Pool.register(
        printed.ImagingReport,
        module='health_orthanc', type_='report')


#: What wizards show.
VIEWS = [
    add_server.AddServerStart,
    add_server.AddServerDone,
    add_server.AddServerFailed,
    notice.NoticeSecretStart,
    notice.NoticeSecretMade,
    synchronize.FullSynchronizeStart,
    synchronize.GetNewStudiesStart,
    result.LinkStudiesStart,
    open_viewer.OpenViewerStart,
    preview.PreviewShow,
    upload.UploadStart,
    upload.UploadFile,
    upload.UploadDone,
    deletion.DeleteStart,
    deletion.DeleteDone,
    ]
WIZARDS = [
    add_server.AddServer,
    notice.NoticeSecret,
    candidate.ChooseCandidate,
    synchronize.FullSynchronize,
    synchronize.GetNewStudies,
    open_viewer.OpenViewer,
    preview.Preview,
    upload.UploadImageData,
    deletion.Delete,
    patient.Replace,
    result.LinkStudies,
    ]
