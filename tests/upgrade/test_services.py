# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of GNU Health 5.0.4 that build on health_imaging run on top of this
one: orders with a health service, its invoice, surgeries with results."""


def test_services_and_surgery_run_on_top(
        released, make_database, tmp_path):
    database = make_database(seeded=False)
    with released.environment_of_services(tmp_path) as programs:
        released.activate(programs, database,
            ['health_services_imaging', 'health_surgery'])
        seen = released.run(programs, 'order_with_service.py', database)
    first, second, single = seen['numbers']
    assert first.endswith('-02-01') and second.endswith('-02-02')
    assert single.endswith('-01-01')
    assert len(set(seen['services'])) == 1 and seen['services'][0]
    assert seen['updated'] == ['yes', 'yes', 'yes']
    assert seen['merge_ids'] == 3
    assert len(seen['lines']) == 3
    assert (seen['amount'], seen['service_state']) == ('280.00', 'invoiced')
    assert seen['surgery'] and seen['assessed']
    assert seen['views'] > 5
