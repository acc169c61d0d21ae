# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What scheduled tasks gain: what is done about servers by the clock; and
sessions: no viewer stays open behind them."""
from trytond.pool import Pool, PoolMeta

from . import migration


class Cron(metaclass=PoolMeta):
    __name__ = 'ir.cron'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.method.selection.extend([
                ('gnuhealth.orthanc.config|sync', "Sync Orthanc servers"),
                ('gnuhealth.orthanc.config|full_sync',
                    "Compare Orthanc servers"),
                ('gnuhealth.orthanc.access_log|forget',
                    "Forget old lines of the access log"),
                ('gnuhealth.orthanc.link_log|forget',
                    "Forget old links of studies"),
                ('gnuhealth.orthanc.sync_run|tidy',
                    "Fold and forget old runs of Orthanc servers"),
                ])

    @classmethod
    def __register__(cls, module):
        super().__register__(module)
        migration.adopt_schedule()


class Session(metaclass=PoolMeta):
    __name__ = 'ir.session'

    @classmethod
    def delete(cls, sessions):
        """End the viewers of users, too, who log out, or are logged out by a
        new password or because they are not active any more."""
        Viewing = Pool().get('gnuhealth.orthanc.viewing')
        users = {s.create_uid.id for s in sessions if s.create_uid}
        super().delete(sessions)
        Viewing.end(users)
