# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script of the worklist is sent after something changed, whatever it
is and whenever it was committed: only what differs, once."""
import datetime as dt
import time
from io import BytesIO

import pytest
from pydicom import dcmread
from support.polls import Caller, set_back
from support.records import (
    make_exam, make_institution, make_patient, make_professional, make_request,
    merge)
from support.statements import counted

from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_imaging_worklist import (
    batch, changes, rendering, request, versions)
from trytond.pool import Pool
from trytond.transaction import Transaction

NAME = 'gnuhealth.person_name'
DISEASE = 'gnuhealth.patient.disease'


@pytest.fixture
def hospital(transaction):
    company = make_institution()
    with Transaction().set_context(company=company.id, _skip_warnings=True):
        yield company


def get(model):
    return Pool().get(model)


def make_machine(title, *exams):
    machine, = get(changes.MACHINE).create([{
                'name': f"Machine {title}", 'aetitle': title,
                'exams': [('add', [e.id for e in exams])]}])
    return machine


@pytest.fixture
def requests(hospital):
    """Two requests of a patient with an allergy, one of another one, at two
    machines, by two doctors, recorded some minutes ago."""
    head, knee = make_exam("Head CT"), make_exam("Knee MRI", type_='mri')
    make_machine('CT1', head), make_machine('MR1', knee)
    patient, other = (
        make_patient(name, "Betz", ref=name) for name in ["Ana", "Eva"])
    pathology, = get('gnuhealth.pathology').create(
        [{'name': "Iodine", 'code': 'X1'}])
    get(DISEASE).create([{
                'patient': patient.id, 'is_allergy': True,
                'pathology': pathology.id}])
    doctors = [make_professional(name=name) for name in ["Hugo", "Rosa"]]
    made = [
        make_request(*of, date=dt.datetime(2026, 3, 2, 9)) for of in [
            (patient, head, doctors[0]), (patient, knee, doctors[0]),
            (other, head, doctors[1])]]
    get(changes.REQUEST).requested(made)
    set_back(600)
    return made


@pytest.fixture
def made(monkeypatch):
    "The ids of the requests whose entries were made."
    made, make = [], request.Request._worklist_entry

    def noted(self, *args):
        made.append(self.id)
        return make(self, *args)
    monkeypatch.setattr(request.Request, '_worklist_entry', noted)
    return made


def write(record, **values):
    type(record).write([record], values)


def rename(party, family):
    write(party.person_names[0], family=family)


def dataset(entry):
    return dcmread(BytesIO(entry['dicom']))


def sent(answer):
    return [entry['id'] for entry in answer['entries']]


def test_all_are_compared_without_being_made(requests, made):
    caller = Caller()
    assert sent(caller()) == [r.id for r in requests]
    assert len(made) == 3
    answer = caller.all()
    assert answer['full'] and answer['same'] == {r.id for r in requests}
    assert len(made) == 3
    # Nothing is known to one whose files were lost or edited.
    del caller.digests[requests[0].id]
    caller.digests[requests[1].id] = 'f' * 16
    assert sent(caller.all()) == [r.id for r in requests[:2]]
    # A server that begins anew makes other entries perhaps.
    versions._digests._database_cache.clear()
    del made[:]
    assert not sent(caller.all()) and len(made) == 3


def test_dumps_are_for_those_who_want_them(requests):
    for filters, dumped in [({}, True), ({'text': False}, False)]:
        entries = Caller(**filters)()['entries']
        assert [bool(entry['text']) for entry in entries] == [dumped] * 3
        assert all(entry['dicom'] for entry in entries)


def test_comparing_all_costs_few_statements(requests):
    caller = Caller()
    caller()
    with counted() as few:
        caller.all()
    get(changes.REQUEST).copy(requests * 5)
    with counted() as many:
        caller.all()
    assert len(few) == len(many) <= 15


def remove_allergy(requests):
    get(DISEASE).delete(get(DISEASE).search([]))


def undo_behind_the_worklist(requests):
    # Committed after what began later.
    disease, = get(DISEASE).search([])
    write(disease, is_active=False)
    stamp(disease, dt.datetime(2026, 1, 2))


def stamp(record, at):
    table = type(record).__table__()
    execute(table.update(
            [table.write_date], [at], where=table.id == record.id))


@pytest.mark.parametrize('change', [remove_allergy, undo_behind_the_worklist])
def test_what_polls_do_not_see_is_found_by_comparing(
        requests, made, change):
    caller = Caller()
    caller(), made.clear()
    change(requests)
    assert not sent(caller())
    entries = caller.all()['entries']
    assert [entry['id'] for entry in entries] == [
        r.id for r in requests[:2]] == made
    assert all(not dataset(entry).get('Allergies') for entry in entries)
    assert not sent(caller.all())


def test_a_new_day_compares_what_it_makes(requests, made, monkeypatch):
    """Names are valid from a day on."""
    name, = requests[2].patient.party.person_names
    write(name, use='old', date_to=dt.date.today())
    get(NAME).create([{
                'party': name.party.id, 'use': 'official', 'family': "Ruiz",
                'given': "Eva", 'date_from': dt.date.today()
                + dt.timedelta(days=1)}])
    set_back(600)
    caller = Caller()
    caller(), made.clear()

    class Tomorrow(dt.date):
        today = classmethod(
            lambda cls, today=dt.date.today: today() + dt.timedelta(days=1))
    monkeypatch.setattr(dt, 'date', Tomorrow)
    entry, = caller.all()['entries']
    assert dataset(entry).PatientName == 'Ruiz^Eva' and len(made) == 3


def rename_institution(requests):
    write(get('company.company').search([])[0].party, name="Santa Ana")


def move_time(requests):
    write(get('company.company').search([])[0], timezone='Asia/Tokyo')


def rename_machine(requests):
    write(requests[0].machine, name="New")


def renumber_machine(requests):
    write(requests[1].machine, aetitle='MR9')


def rename_patient(requests):
    rename(requests[0].patient.party, "Ruiz")


def rename_doctor(requests):
    rename(requests[2].doctor.party, "Ruiz")


def identify(requests):
    get('gnuhealth.person_alternative_identification').create([{
                'party': requests[0].patient.party.id, 'code': 'X-1',
                'alternative_id_type': 'medical_record'}])


def rename_pathology(requests):
    write(get('gnuhealth.pathology').search(
            [('code', '=', 'X1')])[0], name="Gadolinium")


def choose_specialty(requests):
    specialty, = get('gnuhealth.specialty').create(
        [{'name': "Surgery", 'code': 'SU'}])
    get('gnuhealth.hp_specialty').create([{
                'healthprof': requests[2].doctor.id,
                'specialty': specialty.id}])


def merge_patients(requests):
    merge(requests[0].patient.party, requests[2].patient.party)


def reschedule(requests):
    type(requests[1]).reschedule_to(
        requests[1:2], dt.datetime(2026, 3, 9, 15), "Other day")


@pytest.mark.parametrize('change, numbers, calls', [
        (rename_institution, [0, 1, 2], 2), (move_time, [0, 1, 2], 2),
        (rename_machine, [], 2), (renumber_machine, [1], 2),
        (rename_patient, [0, 1], 2), (rename_doctor, [2], 2),
        (identify, [], None), (rename_pathology, [0, 1], 2),
        (choose_specialty, [2], 2), (merge_patients, [0, 1], None),
        (reschedule, [1], 1)])
def test_a_change_is_told_by_the_next_poll_once(
        requests, change, numbers, calls):
    caller = Caller()
    caller()
    with Transaction().set_context(_check_access=False):
        change(requests)
    set_back(30)
    answer = caller()
    assert sent(answer) == [requests[n].id for n in numbers]
    assert not answer['removed'] and calls in {None, caller.calls}
    for again in [caller, caller, caller.all]:
        assert not sent(again())


@pytest.mark.parametrize('seconds', [90, 700])
def test_a_transaction_that_is_committed_late(requests, seconds):
    """A name that was changed before another one is seen after it: at once
    within two minutes, by the next comparison of all else."""
    caller = Caller()
    caller()
    rename_doctor(requests)
    set_back(1)
    assert sent(caller()) == [requests[2].id]
    rename_patient(requests)
    set_back(seconds)
    both = [r.id for r in requests[:2]]
    assert sent(caller()) == (both if seconds < 120 else [])
    assert sent(caller.all()) == ([] if seconds < 120 else both)
    assert not sent(caller.all()) and not sent(caller())


def test_two_changes_within_a_second(requests):
    caller = Caller()
    caller()
    for seconds, family in [(.9, "Ruiz"), (.5, "Luna")]:
        rename_patient(requests)
        rename(requests[0].patient.party, family)
        set_back(seconds)
        first, second = caller()['entries']
        assert dataset(first).PatientName == f'{family}^Ana'
        assert not sent(caller()) and not sent(caller.all())


def test_a_clock_that_is_set_back(requests, monkeypatch):
    """What is stamped with a time that is still to come is sent once all the
    same, and what is changed before it, too."""
    caller = Caller()
    ahead = changes.database_time() + dt.timedelta(minutes=10)
    rename_patient(requests)
    stamp(requests[0].patient.party.person_names[0], ahead)
    with monkeypatch.context() as later:
        later.setattr(changes, 'database_time', lambda: ahead)
        assert len(sent(caller())) == 3
    # The cursor is of the future: all is compared, once.
    answer = caller()
    assert answer['full'] and not sent(answer) and caller.calls == 2
    assert not caller()['full']
    rename_doctor(requests)
    set_back(5)
    assert sent(caller()) == [requests[2].id]
    rename(requests[0].patient.party, "Luna")
    set_back(1)
    assert sent(caller()) == [r.id for r in requests[:2]]
    assert not sent(caller()) and not sent(caller.all())


def test_two_scripts_of_different_machines(requests):
    ct, mr = (Caller(aetitles=[title]) for title in ['CT1', 'MR1'])
    assert sent(ct()) == [requests[0].id, requests[2].id]
    assert sent(mr()) == [requests[1].id]
    rename_patient(requests)
    set_back(60)
    assert sent(ct()) == [requests[0].id] and sent(mr()) == [requests[1].id]
    assert not sent(ct()) and not sent(mr())
    # It goes to the other machine, as a file of this one it ends.
    machine, = get(changes.MACHINE).search([('aetitle', '=', 'MR1')])
    write(requests[2].requested_test, machines=[('add', [machine.id])])
    get(changes.REQUEST).give_machines({requests[2]: machine})
    set_back(30)
    answer = ct()
    assert not sent(answer)
    assert [r['id'] for r in answer['removed']] == [requests[2].id]
    assert sent(mr()) == [requests[2].id]
    for again in [ct, mr, ct.all, mr.all]:
        assert not sent(again())


def test_a_busy_computer_fails_no_entry(requests, monkeypatch):
    """With many templates each has little time: that others have the
    processor meanwhile does not count."""
    class Slow(dict):
        def __getitem__(self, name):
            time.sleep(.01)
            return super().__getitem__(name)
    monkeypatch.setattr(batch, 'POLL_SECONDS', .1)
    template, made = requests[0].worklist_template, batch.Batch(requests)
    with made.clocked(template) as limits:
        rendering.render(template.compiled(), Slow(
                template.get_sample_data()), limits)
    with made.clocked(template) as rest:
        assert rest.seconds > limits.seconds / 2


def test_two_hundred_templates(requests, made):
    Template = get(changes.TEMPLATE)
    template = requests[0].worklist_template
    copies = Template.copy([template] * 200)
    exams = [make_exam(f"Exam {n}", imaging_worklist_template=copy.id)
        for n, copy in enumerate(copies)]
    more = [make_request(requests[2].patient, exam, requests[2].doctor)
        for exam in exams]
    get(changes.REQUEST).requested(more)
    set_back(300)
    caller = Caller()
    assert len(sent(caller())) == 203
    made.clear()
    write(copies[7], template=copies[7].template.replace(
            '[${AccessionNumber}]', '[N${AccessionNumber}]'))
    set_back(30)
    with counted() as statements:
        assert sent(caller()) == [more[7].id] == made
    assert len(statements) < 60
    with counted() as statements:
        assert not sent(caller.all())
    assert len(statements) <= 15 and len(made) == 1
