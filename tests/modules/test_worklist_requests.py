# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist templates and entries in the database: who may write templates,
what is refused, what machines are told of requests, and when."""
import datetime as dt
import itertools
from io import BytesIO
from types import SimpleNamespace

import pytest
from pydicom import dcmread
from support import plans
from support.polls import Caller, set_back
from support.records import (
    as_user, make_exam, make_institution, make_patient, make_professional,
    make_request, make_user)
from support.statements import counted
from support.worklist import GOOD

from trytond.config import config
from trytond.model.exceptions import AccessError
from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_imaging_worklist import (
    attributes, changes, migration)
from trytond.modules.health_imaging_worklist.exceptions import (
    ApplicationEntityError, CharsetError, MergeIDError, WorklistTemplateError)
from trytond.modules.health_imaging_worklist.variables import Variable
from trytond.pool import Pool
from trytond.transaction import Transaction


@pytest.fixture
def hospital(transaction):
    company = make_institution(timezone='America/Lima')
    with Transaction().set_context(company=company.id):
        yield company


@pytest.fixture
def exam(hospital):
    return make_exam("Head CT", type_='ctscan', aetitle='CT1')


@pytest.fixture
def request_(exam):
    Request = Pool().get('gnuhealth.imaging.test.request')
    request = make_request(
        make_patient("José María", "Ñúñez", 'm', dt.date(1984, 2, 29),
            ref='PUID-1'), exam, make_professional(),
        date=dt.datetime(2026, 3, 2, 2, 30))
    Request.requested([request])
    return request


def make_template(**values):
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    template, = Template.create([{
                'name': "Test", 'template_type': 'dump2dcm',
                'charset': 'ISO_IR 192', 'template': GOOD, **values}])
    return template


def entries(since=None, **filters):
    Request = Pool().get('gnuhealth.imaging.test.request')
    return Request.get_worklist_entries(since, filters)


def dataset(entry):
    return dcmread(BytesIO(entry['dicom']))


def test_a_new_exam_has_the_general_template(exam):
    assert exam.imaging_worklist_template.name.startswith("General")


@pytest.mark.parametrize('text, told', [
        (GOOD.replace('$PatientName', '$PatientNam'), ['3', 'PatientName']),
        (GOOD.replace('[$Modality]', '[]'), ['7', 'Modality']),
        ('{% python import os %}' + GOOD, ['1', 'python']),
        ('{% include /etc/passwd %}' + GOOD, ['1', 'include']),
        (GOOD.replace('$PatientID', '${my.__class__}'), ['4', '__class__']),
        (GOOD.replace('PN [$PatientName]', 'PN [$PatientName'), ['3']),
        (GOOD.replace('$PatientID', '${my.create_uid.password}'),
            ['4', 'create_uid']),
        ])
def test_a_wrong_template_is_refused_with_its_line(hospital, text, told):
    with pytest.raises(WorklistTemplateError) as refused:
        make_template(template=text)
    for word in told:
        assert word in refused.value.message


def test_what_is_wrong_is_said_in_one_language(hospital):
    pool = Pool()
    Message = pool.get('ir.message')
    Language = pool.get('ir.lang')
    language, = Language.search([('code', '=', 'de')])
    language.translatable = True
    language.save()
    with Transaction().set_context(language='de'):
        for name, text in [
                ('msg_kind_text', "ein Text"),
                ('msg_template_not_number', "Zahl erwartet: %(kind)s.")]:
            message = Message(pool.get('ir.model.data').get_id(
                    'health_imaging_worklist', name))
            with Transaction().set_user(0):
                Message.write([message], {'text': text})
        with pytest.raises(WorklistTemplateError) as refused:
            make_template(template=GOOD.replace(
                    '$PatientID', '${abs(PatientID)}'))
    assert "Zahl erwartet: ein Text." in refused.value.message


def test_a_new_template_begins_with_the_general_one(hospital):
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    template = Template(**Template.default_get(
            ['template_type', 'template', 'charset'],
            with_rec_name=False))
    assert '(0010,0010) PN' in template.template
    template.template_type = 'json'
    template.on_change_template_type()
    assert '"PatientName"' in template.template
    template.name = "Mine"
    template.save()
    template.template = '{"Mine": ""}'
    template.template_type = 'dump2dcm'
    template.on_change_template_type()
    assert template.template == '{"Mine": ""}'


@pytest.mark.parametrize('typed, first, count', [
        ('', 'ISO_IR 192', 20), ('ISO_IR 192', 'ISO_IR 192', 20),
        ('greek', 'ISO_IR 126', 1), ('gb1', 'GB18030', 1),
        ('iso_ir 14', 'ISO_IR 144', 2), ('klingon', None, 0)])
def test_character_sets_are_offered(hospital, typed, first, count):
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    offered = Template(charset=typed).autocomplete_charset()
    assert len(offered) == count
    assert not count or offered[0] == first


@pytest.mark.parametrize('name', [
        'my.computed_age', 'my.patient.blood_type', 'my.worklist_status',
        'my.requested_test.test_type.name', 'my.doctor.party.lastname',
        'my.patient.critical_info'])
def test_fields_that_templates_may_read(request_, name):
    template = make_template(
        template=GOOD + '(0032,4000) LT [${%s}]\n' % name)
    request_.requested_test.imaging_worklist_template = template
    request_.requested_test.save()
    assert entries()['entries'][0]['error'] is None


def test_kinds_of_values_of_former_templates(hospital):
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    template, table = make_template(), Template.__table__()
    others = [
        ('(0008,0005) CS', '(0008,0005) SH'), ('(0040,0001) AE', '(40,1)OB'),
        ('(0010,0010) PN', '{% if 1 %}{% end %}(0010,0010) UN')]
    text = GOOD
    for right, wrong in others:
        text = text.replace(right, wrong)
    text += '# (0010,0020) ID of the patient\n(0011,0010) LO [x]\n'
    execute(table.update(
            [table.template], [text], where=table.id == template.id))
    for _ in range(2):
        migration.repair_vrs(Template)
        (repaired,), = execute(table.select(
                table.template, where=table.id == template.id))
        assert '(40,1)AE [' in repaired and '%}(0010,0010) PN [' in repaired
        assert '(0008,0005) CS' in repaired
        assert repaired.endswith(
            '# (0010,0020) ID of the patient\n(0011,0010) LO [x]\n')
    Template.write([template], {'template': repaired})


def test_another_module_adds_a_variable(request_, monkeypatch):
    Request = Pool().get('gnuhealth.imaging.test.request')
    text = GOOD + '(0010,1020) DS [$PatientSize]\n'
    with pytest.raises(WorklistTemplateError, match='PatientSize'):
        make_template(template=text)
    ours = Request.worklist_variables
    monkeypatch.setattr(Request, 'worklist_variables', lambda: {
            **ours(), 'PatientSize': Variable(
                lambda request, batch: f'1.{request.id % 100}', '1.70')})
    request_.requested_test.imaging_worklist_template = make_template(
        template=text)
    request_.requested_test.save()
    entry, = entries()['entries']
    assert dataset(entry).PatientSize == float(f'1.{request_.id % 100}')


def test_a_slow_template_leaves_time_to_the_others(
        request_, monkeypatch):
    module = 'trytond.modules.health_imaging_worklist.batch'
    Request = Pool().get('gnuhealth.imaging.test.request')
    slow = make_exam("Slow", type_='ctscan', code='SLOW')
    slow.imaging_worklist_template = make_template(
        template='{% for x in range(100) %}{% if "b" in "a" * 20000 %}'
        '{% end %}{% end %}' + GOOD)
    slow.imaging_worklist_template.save()
    slow.save()
    patient = make_patient("A", "B")
    for _ in range(4):
        Request.requested([make_request(patient, slow, request_.doctor)])
    # Each entry takes a second, of the three that each template has.
    clock = SimpleNamespace(thread_time=itertools.count().__next__)
    monkeypatch.setattr(f'{module}.time', clock)
    monkeypatch.setattr(f'{module}.POLL_SECONDS', 6)
    monkeypatch.setattr(f'{module}.ENTRY_SECONDS', 0)
    fast, *others = entries()['entries']
    assert fast['error'] is None
    assert ["too long" in (e['error'] or '') for e in others] == [
        False, False, False, True]


def test_only_dicom_character_sets(hospital):
    with pytest.raises(CharsetError, match="ISO_IR 192"):
        make_template(charset='UTF-8')


def test_only_valid_ae_titles(hospital):
    with pytest.raises(ApplicationEntityError):
        make_exam(aetitle='A TITLE THAT IS TOO LONG')


@pytest.mark.parametrize('groups, reads, writes', [
        ([], False, False),
        (['health.group_health_frontdesk'], False, False),
        (['health.group_health_doctor'], True, False),
        (['health_imaging.group_health_imaging'], True, False),
        (['health_imaging.group_health_imaging_reporting'], True, False),
        (['health_imaging.group_health_imaging_front_desk'], False, False),
        (['health.group_health_nursing'], False, False),
        (['health_imaging_worklist.group_worklist_script'], False, False),
        (['health_imaging.group_health_imaging_admin'], True, True),
        ])
def test_rights_on_templates(hospital, groups, reads, writes):
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    template = make_template()

    def allowed(action):
        try:
            action()
        except AccessError:
            return False
        return True
    with as_user(make_user('someone', *groups)):
        assert allowed(
            lambda: Template.read([template.id], ['template'])) == reads
        assert allowed(lambda: Template.write(
                [Template(template.id)], {'comment': "x"})) == writes
        assert allowed(lambda: make_template(name="Other")) == writes
        assert allowed(
            lambda: Template.delete([Template(template.id)])) == writes


def test_the_entry_is_local_and_complete(request_):
    entry, = entries()['entries']
    assert entry['error'] is None
    told = dataset(entry)
    assert str(told.PatientName) == 'Ñúñez^José María'
    assert told.PatientID == 'PUID-1'
    assert told.PatientBirthDate == '19840229'
    assert told.PatientSex == 'M'
    assert told.StudyInstanceUID == request_.merge_id
    assert told.AccessionNumber == request_.request
    assert told.RequestedProcedureID == request_.request_line
    assert told.TimezoneOffsetFromUTC == '-0500'
    step, = told.ScheduledProcedureStepSequence
    # 02:30 UTC is still the day before in Lima.
    assert step.ScheduledProcedureStepStartDate == '20260301'
    assert step.ScheduledProcedureStepStartTime == '213000'
    assert step.ScheduledStationAETitle == 'CT1'
    assert step.Modality == 'CT'


def test_both_types_tell_the_same(request_):
    pool = Pool()
    ModelData = pool.get('ir.model.data')
    told = []
    for type_ in ['dump2dcm', 'json']:
        request_.requested_test.imaging_worklist_template = ModelData.get_id(
            'health_imaging_worklist', f'worklist_template_ct_{type_}')
        request_.requested_test.save()
        told.append(dataset(entries()['entries'][0]))
    assert told[0].to_json_dict() == told[1].to_json_dict()


def test_the_same_request_gives_the_same_bytes(request_):
    assert entries()['entries'] == entries()['entries']


@pytest.fixture
def recorded(request_):
    "The request, as if all was recorded an hour ago; with the cursor."
    for table, _, _ in changes.sources():
        execute(table.update(
                [table.create_date, table.write_date],
                [dt.datetime(2026, 1, 1), None]))
    return request_, entries()['cursor']


def test_nothing_new_gives_nothing(recorded):
    _, cursor = recorded
    answer = entries(cursor)
    assert not answer['full']
    assert answer['entries'] == answer['removed'] == []


def test_a_clock_that_went_back_gives_all(recorded):
    later = (dt.datetime.now() + dt.timedelta(hours=1)).isoformat()
    answer = entries(later)
    assert answer['full'] and len(answer['entries']) == 1


def change_weight(request):
    Pool().get('gnuhealth.patient.evaluation').create([{
                'patient': request.patient.id, 'weight': 71.5,
                'healthprof': request.doctor.id,
                'evaluation_start': dt.datetime(2026, 3, 1)}])


def change_allergy(request):
    pool = Pool()
    pathology, = pool.get('gnuhealth.pathology').create([
            {'name': "Iodine", 'code': 'X1'}])
    pool.get('gnuhealth.patient.disease').create([{
                'patient': request.patient.id, 'is_allergy': True,
                'pathology': pathology.id}])


def change_date(request):
    # Clinical content of a request that was sent stays, so it goes back.
    Request = Pool().get('gnuhealth.imaging.test.request')
    Request.cancel_for([request], "Other day")
    Request.draft([request])
    Request.write([request], {'date': dt.datetime(2026, 3, 9, 15)})
    Request.requested([request])


def change_name(request):
    name, = request.patient.party.person_names
    name.write([name], {'family': "Ruiz", 'given': "Ana"})


def change_template(request):
    template = request.requested_test.imaging_worklist_template
    template.write([template], {
            'template': template.template.replace(
                '[${AccessionNumber}]', '[N${AccessionNumber}]')})


def change_machine(request):
    exam = request.requested_test
    exam.write([exam], {'aetitle': 'CT9'})


def change_doctor(request):
    party = request.doctor.party
    party.write([party], {'lastname': "Renamed"})


@pytest.mark.parametrize('change, found', [
        (change_weight, 'PatientWeight: 71.5'),
        (change_allergy, 'Allergies: Iodine'),
        (change_date, 'StartDate: 20260309'),
        (change_name, 'PatientName: Ruiz^Ana'),
        (change_template, 'AccessionNumber: N'),
        (change_machine, 'ScheduledStationAETitle: CT9'),
        (change_doctor, 'RequestingPhysician: Renamed'),
        ])
def test_what_changes_is_told_at_the_next_poll(recorded, change, found):
    Request = Pool().get('gnuhealth.imaging.test.request')
    request, cursor = recorded
    change(Request(request.id))
    entry, = entries(cursor)['entries']
    keyword, value = found.split(': ')
    told = [str(element.value) for element in dataset(entry).iterall()
        if element.keyword.endswith(keyword)]
    assert told and told[0].startswith(value)


@pytest.mark.parametrize('change', [
        change_weight, change_allergy, change_date, change_name,
        change_template, change_machine, change_doctor])
def test_a_change_is_told_once(recorded, change):
    Request = Pool().get('gnuhealth.imaging.test.request')
    request, _ = recorded
    caller = Caller()
    caller()
    change(Request(request.id))
    # A transaction that began before the last poll is seen late.
    set_back(90)
    assert [e['id'] for e in caller()['entries']] == [request.id]
    for _ in range(2):
        answer = caller()
        assert caller.calls == 1 and not answer['full']
        assert not answer['entries'] and not answer['removed']


def change_nothing(requests):
    pass


def change_comment(requests):
    template = requests[0].requested_test.imaging_worklist_template
    template.write([template], {'comment': "Like the others"})


def change_text_for_one(requests):
    template = requests[0].requested_test.imaging_worklist_template
    template.write([template], {'template': template.template.replace(
                '[${AccessionNumber}]',
                '[{% if RequestedProcedureDescription == "Knee" %}N{% end %}'
                '${AccessionNumber}]')})


def change_type(requests):
    type_ = requests[0].requested_test.test_type
    type_.write([type_], {'name': "Tomography"})


def change_exam(requests):
    exam = requests[0].requested_test
    exam.write([exam], {'name': "Skull"})


def change_one_doctor(requests):
    change_doctor(requests[0])


def change_patient(requests):
    change_name(requests[0])


def change_other_machine(requests):
    change_machine(requests[1])


@pytest.mark.parametrize('change, sent', [
        (change_nothing, []), (change_comment, []), (change_type, []),
        (change_text_for_one, [1]), (change_exam, [0]),
        (change_one_doctor, [0]), (change_patient, [0, 2]),
        (change_other_machine, [1])])
def test_only_what_differs_is_sent(recorded, change, sent):
    """The requests have one template; two are of one patient."""
    Request = Pool().get('gnuhealth.imaging.test.request')
    requests = [Request(recorded[0].id)]
    other = make_patient("Other", "Person", ref='PUID-3')
    for patient, name in [
            (other, "Knee"), (requests[0].patient, "Ankle")]:
        requests.append(make_request(patient, make_exam(
                    name, type_='ctscan', aetitle='CT1'),
                make_professional(name=f"Doctor of {name}")))
    Request.requested(requests[1:])
    set_back(100)
    caller = Caller()
    assert len(caller()['entries']) == 3
    change(Request.browse(requests))
    set_back(10)
    answer = caller()
    assert [e['id'] for e in answer['entries']] == [
        requests[n].id for n in sent]
    assert not answer['removed'] and not answer['full']
    assert caller.calls == (1 if change == change_nothing else 2)
    # To compare all sends nothing either.
    caller.cursor = None
    answer = caller()
    assert answer['full'] and not answer['entries']
    assert answer['same'] == {r.id for r in requests}


@pytest.mark.postgresql
def test_a_poll_reads_no_table(recorded):
    """Indexes say what changed, however many patients there are."""
    request, cursor = recorded
    Request = Pool().get('gnuhealth.imaging.test.request')
    small = {changes.EXAM, changes.TYPE, changes.TEMPLATE, changes.MACHINE,
        changes.DOCTOR, changes.COMPANY, 'gnuhealth.institution',
        'gnuhealth.specialty', 'gnuhealth.hp_specialty'}
    large = {model._table for name, model in Pool().iterobject()
        if name in {source for source, _, _ in changes.SOURCES} - small}
    assert len(large) >= 7
    with counted() as statements:
        assert not entries(cursor, known={})['ask']
    assert not plans.unserved(statements, large)
    assert sum('UNION' in statement for statement in statements) == 1
    change_name(Request(request.id)), change_doctor(Request(request.id))
    with counted() as statements:
        assert entries(cursor, known={})['ask'] == [request.id]
    assert not plans.unserved(statements, large)


def test_an_exam_that_moves_leaves_the_other_machine(recorded):
    request, cursor = recorded
    change_machine(request)
    answer = entries(cursor, aetitles=['CT1'])
    assert answer['entries'] == []
    assert [r['id'] for r in answer['removed']] == [request.id]


def test_merged_patients_have_one_entry(recorded):
    pool = Pool()
    request, cursor = recorded
    other = make_patient("Real", "Person", ref='PUID-2')
    Replace = pool.get('party.replace', type='wizard')
    session, _, _ = Replace.create()
    replace = Replace(session)
    replace.ask.source = request.patient.party
    replace.ask.destination = other.party
    with Transaction().set_context(_skip_warnings=True):
        replace.transition_replace()
    entry, = entries(cursor)['entries']
    assert dataset(entry).PatientID == 'PUID-2'
    assert str(dataset(entry).PatientName) == 'Person^Real'


def test_odd_cursors_give_all(request_):
    for cursor in ['', 'x', '9999', 5, None, '2026-01-01T00:00:00+00:00']:
        assert entries(cursor)['full'], cursor


def test_a_new_name_changes_the_entry(request_):
    pool = Pool()
    Party = pool.get('party.party')
    before, = entries()['entries']
    Party.write([request_.patient.party], {'name': "Jaime"})
    after, = entries(
        (dt.datetime.now() - dt.timedelta(seconds=5)).isoformat())['entries']
    assert str(dataset(after).PatientName) == 'Ñúñez^Jaime'
    assert after['digest'] != before['digest']


def test_what_is_no_longer_requested_is_removed(request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    cursor = entries()['cursor']
    Request.cancel_for([request_], "Patient left")
    answer = entries(cursor)
    assert answer['entries'] == []
    assert {'id': request_.id, 'number': request_.request_line} \
        in answer['removed']
    assert Request(request_.id).worklist_status == 'canceled'
    Request.draft([Request(request_.id)])
    Request.requested([Request(request_.id)])
    assert Request(request_.id).worklist_status == 'todo'
    assert len(entries()['entries']) == 1


def test_filters(request_):
    assert len(entries(aetitles=['CT1'])['entries']) == 1
    assert entries(aetitles=['CT2'])['entries'] == []
    assert len(entries(modalities=['CT'])['entries']) == 1
    assert entries(modalities=['MR'])['entries'] == []


def test_what_is_done_can_be_told_again(request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    Request.make_results([request_])
    assert entries()['entries'] == []
    assert len(entries(done=True)['entries']) == 1


def test_a_request_without_template_says_so(request_):
    request_.requested_test.imaging_worklist_template = None
    request_.requested_test.save()
    entry, = entries()['entries']
    assert "Head CT" in entry['error']
    Request = Pool().get('gnuhealth.imaging.test.request')
    assert Request(request_.id).worklist_text == entry['error']


@pytest.mark.parametrize('names, told', [
        ([], 'Ñúñez^José María'),
        ([('official', "Official", "Ana", 'Dr', 'Jr', None, None)],
            'Official^Ana^^Dr^Jr'),
        ([('official', "Expired", "Ana", None, None, None, -1)],
            'Ñúñez^José María'),
        ([('official', "Future", "Ana", None, None, 1, None)],
            'Ñúñez^José María'),
        ([('official', "Today", "Ana", None, None, 0, 0)], 'Today^Ana'),
        ([('maiden', "Maiden", "Ana", None, None, None, None)],
            'Ñúñez^José María'),
        ([('usual', "王", "小东", None, None, None, None)],
            'Ñúñez^José María=王^小东'),
        ([('usual', "王", "小东", None, None, None, -1)],
            'Ñúñez^José María'),
        ])
def test_the_name_of_a_patient(request_, names, told):
    Name = Pool().get('gnuhealth.person_name')
    party = request_.patient.party
    Name.delete(Name.search([('party', '=', party.id)]))

    def day(offset):
        return offset is not None and (
            dt.date.today() + dt.timedelta(days=offset)) or None
    for use, family, given, prefix, suffix, begin, end in names:
        Name.create([{
                    'party': party.id, 'use': use, 'family': family,
                    'given': given, 'prefix': prefix, 'suffix': suffix,
                    'date_from': day(begin), 'date_to': day(end)}])
    assert str(dataset(entries()['entries'][0]).PatientName) == told


def test_free_text_breaks_nothing(request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    template = make_template(
        template=GOOD + '(0032,1060) LO [${my.comment}]\n')
    request_.requested_test.imaging_worklist_template = template
    request_.requested_test.save()
    Request.write([request_], {
            'comment': 'a]\n(0010,0020) LO [OTHER]\n"\\^='})
    told = dataset(entries()['entries'][0])
    assert told.PatientID == 'PUID-1'
    assert told.RequestedProcedureDescription.startswith('a]')


def test_uids_are_one_a_request_and_new_on_copies(request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    copy, = Request.copy([request_])
    assert copy.merge_id and copy.merge_id != request_.merge_id
    assert copy.worklist_status == 'todo'
    with pytest.raises(MergeIDError):
        Request.write([request_], {'merge_id': '1.2.3'})


@pytest.fixture
def uid_root():
    "Return a function that sets the root of UIDs."
    if not config.has_section('health_imaging_worklist'):
        config.add_section('health_imaging_worklist')
    yield lambda root: config.set(
        'health_imaging_worklist', 'uid_root', root)
    config.remove_section('health_imaging_worklist')


def test_the_root_of_uids(request_, uid_root):
    Request = Pool().get('gnuhealth.imaging.test.request')
    assert request_.merge_id.startswith('2.25.')
    uid_root('1.2.840.99999')
    copy, = Request.copy([request_])
    assert copy.merge_id.startswith('1.2.840.99999.')
    assert attributes.is_uid(copy.merge_id)
    for root in ['', 'x', '1.2.' + '9' * 60]:
        uid_root(root)
        with pytest.raises(MergeIDError, match='uid_root'):
            Request.copy([request_])


def test_uids_of_former_releases_stay(request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    uid = attributes.LEGACY_UID_ROOT + '4242'
    former, = Request.copy([request_], {'merge_id': uid})
    assert former.merge_id == uid and attributes.is_uid(uid)
    Request.requested([former])
    told = {entry['study_instance_uid'] for entry in entries()['entries']}
    assert told == {uid, request_.merge_id}


def test_the_preview_is_no_change(request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    Request.write([request_], {'urgent': request_.urgent})
    before = Request(request_.id).write_date
    Request.write([Request(request_.id)], {'show_worklist_text': True})
    assert Request(request_.id).write_date == before
    assert not Request(request_.id).show_worklist_text


def ask_for_entry(request, **values):
    "Return the entry as a client asks for it when the box is ticked."
    values = {'id': request.id, 'show_worklist_text': True, **values}
    form = type(request)(**values)
    form.on_change_with(['worklist_entry'])
    return form.worklist_entry


def test_the_form_makes_the_entry_on_demand(request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    form = Request.fields_view_get(None, 'form')['fields']
    assert 'worklist_entry' in form and 'worklist_text' not in form
    values, = Request.read([request_.id], ['worklist_entry'])
    assert values['worklist_entry'] == ''
    entry, = entries()['entries']
    assert ask_for_entry(request_) == entry['text']
    for values in [{'show_worklist_text': False}, {'id': None}, {'id': -1}]:
        assert ask_for_entry(request_, **values) == ''


@pytest.mark.parametrize('groups, allowed', [
        ([], False),
        (['health.group_health_frontdesk'], False),
        (['health.group_health_nursing'], False),
        (['health.group_health_doctor'], True),
        (['health_imaging.group_health_imaging'], True),
        (['health_imaging.group_health_imaging_reporting'], True),
        (['health_imaging.group_health_imaging_front_desk'], True),
        (['health_imaging.group_health_imaging_admin'], True),
        (['health_imaging_worklist.group_worklist_script'], True),
        ])
def test_rights_on_entries(request_, groups, allowed):
    Request = Pool().get('gnuhealth.imaging.test.request')
    with as_user(make_user('someone', *groups)):
        if allowed:
            assert len(entries()['entries']) == 1
            assert Request.get_worklist_exams()[0]['exam']
            assert Request.read([request_.id], ['worklist_text'])
            assert ask_for_entry(request_)
            return
        for ask in [
                entries, Request.get_worklist_exams,
                lambda: Request.read([request_.id], ['worklist_text']),
                lambda: ask_for_entry(request_)]:
            with pytest.raises(AccessError):
                ask()


def test_the_script_reads_only(request_):
    Request = Pool().get('gnuhealth.imaging.test.request')
    group = 'health_imaging_worklist.group_worklist_script'
    with as_user(make_user('script', group)):
        for change in [
                lambda: Request.write([request_], {'urgent': True}),
                lambda: Request.delete([request_]),
                lambda: Request.copy([request_]),
                lambda: Request.cancel_for([request_], "x")]:
            with pytest.raises(AccessError):
                change()


def test_what_the_check_is_told_of_exams(exam):
    Request = Pool().get('gnuhealth.imaging.test.request')
    told = {e['aetitle']: e for e in Request.get_worklist_exams()}
    assert told['CT1'] == {
        'exam': exam.rec_name, 'aetitle': 'CT1', 'modality': 'CT',
        'template': "General (dump)", 'charset': 'ISO_IR 192'}
    exam.imaging_worklist_template = None
    exam.save()
    told = {e['aetitle']: e for e in Request.get_worklist_exams()}
    assert told['CT1']['template'] == told['CT1']['charset'] == ''


def test_the_number_of_queries_does_not_grow(request_):
    Request = Pool().get('gnuhealth.imaging.test.request')

    def count(size):
        requests = Request.create([{
                    'patient': make_patient(f"A{i}", "B").id,
                    'requested_test': request_.requested_test.id,
                    'doctor': request_.doctor.id,
                    } for i in range(size)])
        Request.requested(requests)
        with counted() as statements:
            ids = [r.id for r in requests]
            Request.read(ids, ['worklist_text'])
        return len(statements)
    count(1)
    assert count(5) == count(40)


@pytest.mark.parametrize('codes, status', [
    ([], 4), (['Z33.1'], 3), (['O14.1'], 3), (['J45'], 4)])
def test_machine_is_told_of_a_pregnancy(hospital, codes, status):
    request = make_request(
        make_patient("Ada", "Poe", 'f', dt.date(1990, 1, 1)),
        make_exam(aetitle='CT1', unchecked_rules=[]), make_professional())
    with Transaction().set_context(_skip_warnings=True):
        type(request).requested([request])
    for code in codes:
        make_condition(request.patient, "Condition", code)
    entry, = entries()['entries']
    assert dataset(entry).PregnancyStatus == status
    assert (dataset(entry).MedicalAlerts or '') == (
        "Pregnant" if status == 3 else '')


def make_condition(patient, name, code, **values):
    pool = Pool()
    pathology, = pool.get('gnuhealth.pathology').create(
        [{'name': name, 'code': code}])
    pool.get('gnuhealth.patient.disease').create([{
                'patient': patient.id, 'pathology': pathology.id, **values}])


@pytest.mark.parametrize('name, alert', [
    ("Iohexol", "Contrast allergy"), ("Iodine", "Contrast allergy?"),
    ("Latex", '')])
def test_machine_is_told_of_an_allergy_found_later(
        request_, exam, name, alert):
    exam.contrast = 'iodinated'
    exam.save()
    since = entries()['cursor']
    make_condition(request_.patient, name, 'X1', is_allergy=True)
    entry, = entries(since)['entries']
    assert dataset(entry).Allergies == name
    assert (dataset(entry).MedicalAlerts or '') == alert


def test_machine_is_told_side_and_question(hospital):
    exam = make_exam("Hand " * 14, aetitle='CT1', side='ask')
    request = make_request(
        make_patient("Tom", "Poe", 'm'), exam, make_professional(),
        side='left', clinical_question="Fracture?\nOld \\ new?",
        comment="In the afternoon")
    type(request).requested([request])
    entry, = entries()['entries']
    told = dataset(entry)
    for name in [
            told.RequestedProcedureDescription,
            told.ScheduledProcedureStepSequence[0]
            .ScheduledProcedureStepDescription]:
        assert name.startswith("Hand Hand") and name.endswith("(left)")
        assert len(name) <= 64
    assert told.ReasonForTheRequestedProcedure == "Fracture? Old / new?"
    assert request.get_worklist_template_data()[
        'RequestedProcedureComments'] == (
            "Fracture? Old / new? - In the afternoon")
