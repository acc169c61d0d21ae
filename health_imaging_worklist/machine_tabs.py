# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tabs of the calendar, one for each machine."""
from trytond.pool import Pool, PoolMeta
from trytond.pyson import PYSONEncoder
from trytond.transaction import without_check_access


class ActWindow(metaclass=PoolMeta):
    __name__ = 'ir.action.act_window'

    @without_check_access
    def get_domains(self, name):
        """Return the tabs of a list; the calendar has one for each machine."""
        pool = Pool()
        Machine = pool.get('gnuhealth.imaging_worklist.machine')
        ModelData = pool.get('ir.model.data')
        domains = super().get_domains(name)
        if self.id != ModelData.get_id(
                'health_imaging_worklist', 'act_calendar'):
            return domains
        encoder = PYSONEncoder()
        return domains + [
            (m.name, encoder.encode([('machine', '=', m.id)]), False)
            for m in Machine.search([])]
