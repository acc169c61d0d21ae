# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast worklist entries are made: texts, and all that the script fetches
in one call.

    python tests/benchmarks/worklist.py [--requests 1000]

The floor is the same texts from values that are at hand, without a database.
"""
import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tests'))
os.environ.setdefault('DB_NAME', ':memory:')

from support.records import (  # noqa: E402
    make_exam, make_institution, make_patient, make_professional)

from trytond.modules.health_imaging_worklist import rendering  # noqa: E402
from trytond.pool import Pool  # noqa: E402
from trytond.tests.test_tryton import (  # noqa: E402
    activate_module, with_transaction)
from trytond.transaction import Transaction  # noqa: E402


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--requests', type=int, default=1000)
    return parser.parse_args(arguments)


def measure(what, rows, action):
    "Run an action, print seconds and rows per second, return the seconds."
    begin = time.perf_counter()
    action()
    seconds = time.perf_counter() - begin
    print(f"{what:42} {seconds:8.3f} s {rows / seconds:10.0f} rows/s")
    return seconds


def make_requests(size):
    Request = Pool().get('gnuhealth.imaging.test.request')
    exam, doctor = make_exam(aetitle='CT1'), make_professional()
    requests = Request.create([{
                'patient': make_patient(f"Given {i}", f"Family {i}").id,
                'requested_test': exam.id,
                'doctor': doctor.id,
                } for i in range(size)])
    Request.requested(requests)
    return [r.id for r in requests]


@with_transaction()
def run(size):
    Request = Pool().get('gnuhealth.imaging.test.request')
    company = make_institution()
    with Transaction().set_context(company=company.id):
        ids = make_requests(size)
        Transaction().commit()
        template = Request(ids[0]).worklist_template
        variables = Request(ids[0]).get_worklist_template_data()
        compiled = template.compiled()
        print(f"{size} requests, template {template.name}")
        floor = measure("floor: render values at hand", size, lambda: [
                rendering.render(compiled, variables) for _ in ids])
        Transaction().commit()
        seconds = measure("worklist_text", size,
            lambda: Request.read(ids, ['worklist_text']))
        print(f"ratio to the floor {seconds / floor:.1f}")
        Transaction().commit()
        measure("get_worklist_entries, all", size,
            lambda: Request.get_worklist_entries())
        Transaction().commit()
        later = '2999-01-01T00:00:00'
        measure("get_worklist_entries, nothing new", 1,
            lambda: Request.get_worklist_entries(later))


def main():
    options = parse()
    activate_module(['health_imaging_worklist'])
    run(options.requests)


if __name__ == '__main__':
    main()
