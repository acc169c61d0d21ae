# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the rows of former releases into those of this one.

Nothing that people entered is lost: rows that stand for the same thing are
merged, and each decision is logged.  Each step can run again and then changes
nothing.  The steps are called by ``__register__`` of the models.
"""
from .images import complete_studies, migrate_instances, migrate_series
from .reports import (
    find_studies_of_pictures, mark_misplaced_reports, try_reports_again)
from .servers import (
    adopt_schedule, adopt_sync_button, keep_last_index, unify_servers)
from .studies import clear_odd_dates, migrate_studies, orthanc_id
