# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orthanc PACS servers for GNU Health: their studies, kept in step."""
from trytond.pool import Pool

from . import (
    access_log, add_server, candidate, full_synchronize, get_new_studies,
    legacy, link_log, patient, request, result, server, study)

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
        request.Request,
        result.Result,
        add_server.AddServerStart,
        add_server.AddServerDone,
        add_server.AddServerFailed,
        full_synchronize.FullSynchronizeStart,
        get_new_studies.GetNewStudiesStart,
        module='health_orthanc', type_='model')
    Pool.register(
        add_server.AddServer,
        full_synchronize.FullSynchronize,
        get_new_studies.GetNewStudies,
        module='health_orthanc', type_='wizard')
