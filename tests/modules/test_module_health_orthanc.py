# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What trytond checks of every module, for health_orthanc."""
from trytond.tests.test_tryton import ModuleTestCase


class HealthOrthancTestCase(ModuleTestCase):
    "Test health_orthanc module"
    module = 'health_orthanc'


del ModuleTestCase
