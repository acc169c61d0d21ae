# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modalities are told: DICOM worklist entries made from templates."""
from trytond.modules.health_imaging import asking
from trytond.pool import Pool

from . import catalog, request, result, sequence, template

__all__ = ['register']


def register():
    Pool.register(
        template.WorklistTemplate,
        catalog.Test,
        request.Request,
        result.Result,
        sequence.Sequence,
        sequence.RequestSequence,
        module='health_imaging_worklist', type_='model')
    asking.close('health_imaging_worklist')
