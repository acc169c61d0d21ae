# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizards about studies, series and images."""
from trytond.modules.health_imaging.doors import (
    CheckedWizard, selected_records)
from trytond.modules.health_imaging.rights import check_read
from trytond.pool import Pool

from .links.access_log import USERS, check_group


class ImageWizard(CheckedWizard):
    """Wizard for some groups: its states run without access checks, and a
    right on a model is not always enough."""
    _groups = USERS

    @classmethod
    def check_user(cls):
        "Raise an error unless the user is in the groups of the wizard."
        check_group(*cls._groups)
        super().check_user()

    def _selected(self):
        "Return the records that it was started on, if its user may see them."
        records = selected_records(self, *map(Pool().get, self._models))
        check_read(records)
        return records
