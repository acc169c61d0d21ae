# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modality worklist: DICOM entries made from templates."""
from trytond.cache import BaseCache
from trytond.modules.health_imaging import asking
from trytond.pool import Pool

from . import (
    assign_step, catalog, changes, machine, machine_tabs, machine_unknown,
    move_requests, order, performed_step, request, result, sequence,
    statistics, template)

__all__ = ['register']

BaseCache.context_ignored_keys.add('_worklist_batch')


def register():
    """Register the models, wizards and reports of the module."""
    Pool.register(
        template.WorklistTemplate,
        machine.Machine,
        machine.Hours,
        machine_unknown.UnknownMachine,
        catalog.Test,
        request.Request,
        machine.ExamMachine,
        performed_step.PerformedStep,
        performed_step.StepRequest,
        move_requests.MoveStart,
        move_requests.MoveDone,
        assign_step.AssignStart,
        order.OrderStart,
        statistics.StatisticsTurnaround,
        machine_tabs.ActWindow,
        result.Result,
        sequence.Sequence,
        sequence.RequestSequence,
        changes.Patient,
        changes.Party,
        changes.PersonName,
        changes.Evaluation,
        changes.Disease,
        changes.Medication,
        changes.Pathology,
        changes.Medicament,
        module='health_imaging_worklist', type_='model')
    Pool.register(
        changes.Lab,
        module='health_imaging_worklist', type_='model',
        depends=['health_lab'])
    Pool.register(
        changes.Pregnancy,
        changes.MenstrualHistory,
        module='health_imaging_worklist', type_='model',
        depends=['health_gyneco'])
    asking.close('health_imaging_worklist')
    Pool.register(
        move_requests.MoveRequests,
        assign_step.AssignStep,
        order.Order,
        module='health_imaging_worklist', type_='wizard')
