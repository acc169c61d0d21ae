# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tryton's desktop client opens, with the work of two months, what each role
has in its menu: each tab of each list, its graphs, the first record with its
pages, the dashboard."""
import re

import pytest
from support.hospital import CONFIGURATION, IMAGING

#: What has records for a role, in the tab that has the most of them.
FULL = {
    'doctor': {"My Orders", "Requests", "Results"},
    'radiologist': {"Reading List", "Worklist", "Requests", "Results"},
    'radiographer': {"Worklist", "Requests", "Orthanc / Studies"},
    'frontdesk': {"Requests"},
    'imaging_admin': {"Requests", "Exams"},
    'it': {"Orthanc / Studies", "Orthanc / Servers"},
    }


@pytest.fixture(scope='module')
def world(busy_world):
    return busy_world


@pytest.mark.parametrize('login', FULL)
def test_each_role_opens_its_lists(person, login):
    someone = person(login)
    rows = {}
    for way in [IMAGING, CONFIGURATION]:
        for entry in someone.entries(*way):
            someone.menu(*entry)
            name = ' / '.join(entry[len(way):])
            rows[name] = someone.look().get('rows')
            if name in FULL[login]:
                someone.menu(*entry)
                someone.shoot(
                    'busy-' + re.sub(r'\W+', '-', name.lower()))
                someone.close()
    assert not {name for name in FULL[login] if not rows[name]}, rows
