# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The link of a study to patient, request and result: matching, writing, and
the effects of a change."""
