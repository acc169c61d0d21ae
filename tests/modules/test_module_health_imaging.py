# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What trytond checks of every module, for health_imaging."""
from trytond.tests.test_tryton import ModuleTestCase


class HealthImagingTestCase(ModuleTestCase):
    "Test health_imaging module"
    module = 'health_imaging'


del ModuleTestCase
