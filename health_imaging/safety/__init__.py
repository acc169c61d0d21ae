# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an exam may harm a patient: facts in, findings out.

It needs no trytond.  Facts that are missing are unknown, which is never taken
for "no".
"""
