# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health professional of the user."""
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from .tables import once


@once
@without_check_access
def own_health_professional():
    """Return the id of the user's health professional, or None.

    Front desk, nurses and technicians have none: they order on behalf of a
    doctor.
    """
    HealthProfessional = Pool().get('gnuhealth.healthprofessional')
    user = Transaction().user
    if not user:
        return None
    professionals = HealthProfessional.search([
            ('party.internal_user', '=', user),
            ], limit=1)
    return professionals[0].id if professionals else None
