# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What trytond checks of every module, for health_imaging_worklist."""
from trytond.tests.test_tryton import ModuleTestCase


class HealthImagingWorklistTestCase(ModuleTestCase):
    "Test health_imaging_worklist module"
    module = 'health_imaging_worklist'


del ModuleTestCase
