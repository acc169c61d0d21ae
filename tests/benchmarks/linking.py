# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long it takes to link new studies, half of them with a request, a
quarter of a patient without one, a quarter nobody's, and to decide on them
again.  The floor is to store the same studies, without their links."""
import datetime as dt
import gc
import itertools
import time
from contextlib import contextmanager

import pytest
from support.archive_rows import make_rows
from support.benchmarks import show
from support.records import (
    make_exam, make_institution, make_patient, make_professional, make_request,
    settle)
from support.statements import counted
from support.synchronizing import new_server, transaction

from trytond.modules.health_imaging.minute import now
from trytond.modules.health_orthanc.links import deciding
from trytond.modules.health_orthanc.sync import storage
from trytond.pool import Pool
from trytond.transaction import Transaction

# As one run stores them in one transaction.
BLOCK = 100
SHAPE = [10]
TIMES = 3
BORN = dt.date(1930, 1, 1)

_numbers = itertools.count(1)


@pytest.fixture
def hospital(activated):
    "A server in a hospital with an exam and a doctor."
    with transaction():
        company = make_institution()
        make_exam("Head CT")
        make_professional()
        with Transaction().set_context(company=company.id):
            yield new_server('http://127.0.0.1:9')


class Took:
    "Seconds and statements of some work; the work may be done in parts."

    def __init__(self):
        self.seconds = self.statements = 0

    @contextmanager
    def more(self):
        gc.collect()
        with counted() as statements:
            begin = time.perf_counter()
            yield
            self.seconds += time.perf_counter() - begin
        self.statements += len(statements)


def best(times):
    "Return which work took the least time."
    return min(times, key=lambda took: took.seconds)


def person():
    "Make a patient who shares name and birth date with nobody."
    number = next(_numbers)
    return make_patient(f"Given{number}", f"Family{number}", 'f',
        BORN + dt.timedelta(days=number), ref=f'PUID{number}')


def rows_of(patient, request=None):
    "Return the rows of a study of a patient."
    number = next(_numbers)
    item, party = make_rows(number, SHAPE), patient.party
    item.patient.update(uuid=f'p{number}', ident=party.ref)
    item.study.update(
        patient_id=party.ref, patient_sex='F',
        patient_name=f'{party.lastname}^{party.name}',
        patient_birth_date=party.dob,
        study_date=dt.date.today(),
        study_instance_UID=(
            request.merge_id if request else f'1.2.3.{number}'),
        accession_number=request.request if request else None)
    return item


def nobodys_rows():
    "Return the rows of a study of somebody who was never registered."
    number = next(_numbers)
    item = make_rows(number, SHAPE)
    item.patient.update(uuid=f'p{number}', ident=f'X{number}')
    item.study.update(
        patient_id=f'X{number}', patient_name=f'Nobody{number}^X',
        patient_birth_date=BORN - dt.timedelta(days=number),
        patient_sex='M', study_date=dt.date.today(),
        study_instance_UID=f'1.2.3.{number}', accession_number=None)
    return item


def new_day(count):
    "Return the rows of new studies, in the order in which they come."
    Request = Pool().get('gnuhealth.imaging.test.request')
    patients = [person() for _ in range(count * 3 // 4)]
    requests = [make_request(p) for p in patients[:count // 2]]
    Request.requested(requests)
    settle()
    items = [rows_of(r.patient, r) for r in requests]
    items += [rows_of(p) for p in patients[count // 2:]]
    items += [nobodys_rows() for _ in range(count - len(items))]
    Transaction().commit()
    return items[::2] + items[1::2]


def store_and_link(server, items):
    """Store and link studies as a run does.

    :return: how long each took, and the ids of the studies
    """
    storing, linking, ids = Took(), Took(), set()
    for start in range(0, len(items), BLOCK):
        tree = storage.Tree(server, now())
        with storing.more():
            tree.store(items[start:start + BLOCK])
        with linking.more():
            deciding.link_studies(tree.touched, new=tree.new_studies())
        ids |= tree.touched
        Transaction().commit()
    return storing, linking, ids


def test_new_studies(hospital, full):
    count, storing, linking, again = 200 if full else 20, [], [], []
    for _ in range(TIMES):
        stored, linked, ids = store_and_link(hospital, new_day(count))
        storing.append(stored)
        linking.append(linked)
        again.append(Took())
        with again[-1].more():
            deciding.link_studies(ids)
        Transaction().commit()
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    assert Study.search_count(
        [('id', 'in', list(ids)), ('request', '!=', None)]) == count // 2
    assert Study.search_count(
        [('id', 'in', list(ids)), ('patient', '=', None)]) == count // 4
    floor = best(storing).seconds
    for what, times in [("new studies stored", storing),
            ("new studies linked", linking),
            ("studies decided again without change", again)]:
        took = best(times)
        show(what, count, took.seconds, f'{took.statements} SQL', floor)
    # A block takes as many statements however many studies it has.
    assert best(linking).statements <= 42 * -(-count // BLOCK)
    if full:
        assert best(linking).seconds <= 10 * floor
