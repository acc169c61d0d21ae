# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"Orthanc's JSON as row values: right for what is right, harmless for the rest."
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.archive import texts, values

ID = '8a8cf898-ca27c490-d0c7058c-929d0581-2bbf104d'
OTHER = 'fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718'
PARENTS = {'ParentStudy': OTHER, 'ParentSeries': OTHER}
UNITS = [
    (values.study, 'StudyInstanceUID',
        lambda item: item.columns['study_instance_UID']),
    (values.series, 'SeriesInstanceUID',
        lambda item: item.columns['series_UID']),
    (values.instance, 'SOPInstanceUID', lambda item: item.uid),
    ]
each_unit = pytest.mark.parametrize('read, tag, uid_of', UNITS)


def study(tags=None, patient=None, **values):
    return {
        'ID': ID,
        'Type': 'Study',
        'MainDicomTags': {'StudyInstanceUID': '1.2.3', **(tags or {})},
        'PatientMainDicomTags': patient or {},
        **values,
        }


def series(**tags):
    return {
        'ID': ID,
        'ParentStudy': OTHER,
        'MainDicomTags': {'SeriesInstanceUID': '1.2.3', **tags},
        }


def instance(**tags):
    return {
        'ID': ID,
        'ParentSeries': OTHER,
        'MainDicomTags': {'SOPInstanceUID': '1.2.3', **tags},
        }


def test_study_values():
    found = values.study(study({
                'StudyDate': '20040119',
                'StudyTime': '072730.5',
                'StudyDescription': 'Thorax ',
                'StudyID': '1CT1',
                'AccessionNumber': 'ACC-1',
                'ReferringPhysicianName': 'House^Gregory',
                'RequestingPhysician': 'Wilson^James',
                'RequestedProcedureDescription': 'CT of the chest',
                'InstitutionName': 'Princeton',
                }, {
                'PatientName': 'Doe^Jane',
                'PatientID': 'GNU777ORG ',
                'PatientBirthDate': '19800229',
                'PatientSex': 'F ',
                },
            ParentPatient=OTHER))
    assert (found.id, found.patient, found.problem) == (ID, OTHER, None)
    assert found.columns == {
        'orthanc_UID': ID,
        'study_instance_UID': '1.2.3',
        'date': '20040119',
        'study_date': dt.date(2004, 1, 19),
        'study_time': dt.time(7, 27, 30),
        'description': 'Thorax',
        'study_id': '1CT1',
        'accession_number': 'ACC-1',
        'referring_physician_name': 'House^Gregory',
        'requesting_physician_name': 'Wilson^James',
        'performing_physician_name': None,
        'requested_procedure_description': 'CT of the chest',
        'institution': 'Princeton',
        'patient_name': 'Doe^Jane',
        'patient_id': 'GNU777ORG',
        'patient_birth_date': dt.date(1980, 2, 29),
        'patient_birth_date_text': None,
        'patient_sex': 'F',
        }


def test_study_with_nothing_but_its_identity():
    found = values.study(
        {'ID': ID, 'MainDicomTags': {'StudyInstanceUID': '1.2.3'}})
    assert found.patient is found.requested is found.problem is None
    assert found.issuer == {} and found.children == []
    assert found.columns.pop('orthanc_UID') == ID
    assert found.columns.pop('study_instance_UID') == '1.2.3'
    assert found.columns.pop('patient_name') == ''
    assert set(found.columns.values()) == {None}


def test_series_values():
    found = values.series(series(
            SeriesNumber='04', SeriesDescription='5/5mm Plain', Modality='ct',
            BodyPartExamined='NECK', ProtocolName='T1',
            PerformingPhysicianName='House^Gregory',
            InstitutionName='Princeton'))
    assert (found.id, found.study, found.problem) == (ID, OTHER, None)
    assert found.columns == {
        'orthanc_UID': ID,
        'series_UID': '1.2.3',
        'series_number': '04',
        'series_description': '5/5mm Plain',
        'modality': 'CT',
        'body_part': 'NECK',
        'protocol_name': 'T1',
        'performing_physician_name': 'House^Gregory',
        'institution': 'Princeton',
        }


@pytest.mark.parametrize('modality', [None, '', '  ', {}, []])
def test_series_without_modality_is_other(modality):
    assert values.series(series(Modality=modality)).columns[
        'modality'] == 'OT'


def test_instance_values():
    assert values.instance(instance(
            InstanceNumber='12', NumberOfFrames='30',
            ImagePositionPatient=['-1.5', '2', 3])) == (
        ID, '1.2.3', 12, '-1.5\\2\\3', 30, OTHER, None, None)


@pytest.mark.parametrize('frames', ['0', '-1', '1A', '', None, [], '2.5'])
def test_number_of_frames_is_positive_or_unknown(frames):
    assert values.instance(instance(NumberOfFrames=frames)).frames is None


@each_unit
@pytest.mark.parametrize('record', [None, [], 'text', 3, True])
def test_what_is_no_object_is_nothing(read, tag, uid_of, record):
    assert read(record) is None


@each_unit
@pytest.mark.parametrize(
    'id_', [None, '', 3, [], '../system', 'a\0b', 'a' * 65, 'a\n'])
def test_what_has_no_orthanc_id_is_nothing(read, tag, uid_of, id_):
    record = {**PARENTS, 'ID': ID, 'MainDicomTags': {tag: '1.2.3'}}
    assert read(record).problem is None
    assert read({**record, 'ID': id_}) is None


@each_unit
@pytest.mark.parametrize('uid', [None, '', ' \0 ', [], {}, True])
def test_what_has_no_uid_has_a_problem(read, tag, uid_of, uid):
    item = read({**PARENTS, 'ID': ID, 'MainDicomTags': {tag: uid}})
    assert (item.problem, item.id) == ('no_uid', ID)


@each_unit
@pytest.mark.parametrize('tags', [None, [], 'text', 3])
def test_what_has_no_tags_has_a_problem(read, tag, uid_of, tags):
    item = read({**PARENTS, 'ID': ID, 'MainDicomTags': tags})
    assert (item.problem, item.id) == ('no_uid', ID)


@each_unit
def test_uid_is_never_cut(read, tag, uid_of):
    uid = '1' * values.MAX_UID
    item = read({**PARENTS, 'ID': ID, 'MainDicomTags': {tag: f' {uid}\0'}})
    assert uid_of(item) == uid and item.problem is None
    item = read({**PARENTS, 'ID': ID, 'MainDicomTags': {tag: uid + '1'}})
    assert uid_of(item) is None and item.problem == 'uid_too_long'


@pytest.mark.parametrize('value, text', [
        (None, ''),
        ('', ''),
        (' padded \0', 'padded'),
        ('a\0b', 'ab'),
        ('two\r\nlines\tand\x1bmore', 'two  lines and more'),
        ('lone \ud800 surrogate', 'lone \ufffd surrogate'),
        ('a pair \ud83d\ude00', 'a pair \U0001f600'),
        ('\x85next\u2028line', 'next line'),
        ('\u3000洪\u3000', '洪'),
        (3, '3'),
        (3.5, '3.5'),
        (True, ''),
        ({'a': 'b'}, ''),
        (['a', None, 3, ['b'], {}, ' '], 'a\\3'),
        ('x' * 512, 'x' * 512),
        ('x' * 513, 'x' * 511 + '…'),
        ])
def test_clean_text(value, text):
    assert texts.clean_text(value) == text


@pytest.mark.parametrize('value, date', [
        ('20060102', (2006, 1, 2)),
        ('2006.01.02', (2006, 1, 2)),
        ('2006-01-02', (2006, 1, 2)),
        (' 20060102\0', (2006, 1, 2)),
        (20060102, (2006, 1, 2)),
        (['20060102'], (2006, 1, 2)),
        ('18500101', (1850, 1, 1)),
        ('18491231', None),
        ('00010101', None),
        ('14000101', None),
        ('25230506', None),
        ('9999.12.31', None),
        ('2006.01-02', None),
        ('2006.0102', None),
        ('2006', None),
        ('20060230', None),
        ('20061301', None),
        ('00000000', None),
        ('20060102-20070102', None),
        ('２００６０１０２', None),
        ('20060102T10', None),
        ('today', None),
        ('', None),
        (None, None),
        ({}, None),
        ])
def test_parse_date(value, date):
    assert texts.parse_date(value) == (dt.date(*date) if date else None)


def test_no_date_is_after_next_year():
    year = dt.date.today().year
    assert texts.parse_date(f'{year + 1}1231') == dt.date(year + 1, 12, 31)
    assert texts.parse_date(f'{year + 2}0101') is None


@pytest.mark.parametrize('text', ['00010101', '19801399', 'about 1950'])
def test_what_is_no_birth_date_stays_as_text(text):
    columns = values.study(study({}, {'PatientBirthDate': text})).columns
    assert columns['patient_birth_date'] is None
    assert columns['patient_birth_date_text'] == text


@pytest.mark.parametrize('control', '\u202a\u202b\u202c\u202d\u202e'
    '\u2066\u2067\u2068\u2069')
def test_no_text_turns_around_what_stands_beside_it(control):
    name = f'{control}Doe^{control}Jane{control}'
    assert texts.readable_name(name) == 'Doe, Jane'
    columns = values.study(study(
            {'StudyDescription': f'Tho{control}rax'},
            {'PatientName': name, 'PatientID': f'1{control}7'})).columns
    assert columns['patient_name'] == 'Doe^Jane'
    assert columns['patient_id'] == '17'
    assert columns['description'] == 'Thorax'


@pytest.mark.parametrize('value, time', [
        ('162253.7700', (16, 22, 53)),
        ('162253', (16, 22, 53)),
        ('162253.', (16, 22, 53)),
        ('1622', (16, 22)),
        ('16', (16,)),
        ('16:22:53', (16, 22, 53)),
        ('16:22', (16, 22)),
        ('000000', (0,)),
        ('235960', (23, 59, 59)),
        ('235961', None),
        ('246000', None),
        ('1', None),
        ('16225', None),
        ('162253+0100', None),
        ('noon', None),
        ('', None),
        (None, None),
        ])
def test_parse_time(value, time):
    assert texts.parse_time(value) == (dt.time(*time) if time else None)


@pytest.mark.parametrize('value, number', [
        ('3', 3),
        ('3.0', 3),
        ('3.', 3),
        (' +3 ', 3),
        ('-3', -3),
        ('007', 7),
        (3, 3),
        (3.0, 3),
        ('2147483647', 2147483647),
        ('2147483648', None),
        ('-2147483648', -2147483648),
        ('-2147483649', None),
        (10 ** 30, None),
        ('3.5', None),
        ('1e3', None),
        ('٣', None),
        ('3A', None),
        ('1\\2', None),
        ('nan', None),
        (float('nan'), None),
        (True, None),
        ('', None),
        (None, None),
        ])
def test_parse_integer(value, number):
    assert texts.parse_integer(value) == number
    assert values.instance(instance(InstanceNumber=value)).number == number


@pytest.mark.parametrize('value, sex', [
        ('M', 'M'), ('f', 'F'), ('O ', 'O'), ('male', None), ('', None),
        (None, None), (['M'], 'M'), (1, None)])
def test_parse_sex(value, sex):
    assert texts.parse_sex(value) == sex


@pytest.mark.parametrize('modality, description, text', [
        ('CT', "Thorax", "CT Thorax"),
        ('CT', "CT Thorax", "CT Thorax"),
        ('MR', "MRI knee, left", "MRI knee, left"),
        ('CR', "Cranium", "CR Cranium"),
        ('CT', None, "CT"),
        ])
def test_no_modality_is_said_twice(modality, description, text):
    assert texts.described(modality, description) == text


def test_family():
    found = values.study(study(
            ParentPatient=OTHER, Series=[ID, OTHER, ID, None, '../x']))
    assert (found.patient, found.children) == (OTHER, [ID, OTHER])
    assert values.study(study(ParentPatient=['x'])).patient is None
    found = values.series({**series(), 'Instances': [ID]})
    assert (found.study, found.children) == (OTHER, [ID])
    assert values.series({**series(), 'Instances': 'x'}).children == []
    assert values.instance(instance()).series == OTHER


def test_a_correction_counts_while_the_same_is_listed():
    found = values.study(study(
            {'StudyDate': '20040119', 'StudyID': '7'},
            {'PatientName': 'Doe^Jane', 'PatientID': 'P1'}))
    tags = values.instance_identity({
            'StudyDate': '20040120', 'StudyTime': '0910',
            'PatientName': 'Roe^Ann', 'PatientBirthDate': '1960',
            'PatientSex': 'f'})
    correction = {'identity': found.identity, 'tags': tags}
    corrected = found.corrected(correction)
    assert corrected.identity == found.identity
    assert corrected.columns == {
        **found.columns, 'date': '20040120',
        'study_date': dt.date(2004, 1, 20), 'study_time': dt.time(9, 10),
        'study_id': None, 'patient_name': 'Roe^Ann',
        'patient_birth_date_text': '1960', 'patient_sex': 'F'}
    assert found.corrected(None) is found
    other = values.study(study({'StudyDate': '20040118', 'StudyID': '7'}))
    assert other.corrected(correction) is other


@pytest.mark.parametrize('name, readable', [
        ('Doe^Jane', 'Doe, Jane'),
        ('Doe^Jane^Ann', 'Doe, Jane Ann'),
        ('Adams^John Robert Quincy^^Rev.^B.A. M.Div.',
            'Adams, Rev. John Robert Quincy, B.A. M.Div.'),
        ('Doe^^^^Jr.^odd', 'Doe, Jr. odd'),
        ('^Jane', 'Jane'),
        ('Doe', 'Doe'),
        ('Doe  Jane ', 'Doe Jane'),
        ('OB^^^^', 'OB'),
        ('^^^^', ''),
        ('Wang^XiaoDong=王^小東', 'Wang, XiaoDong (王 小東)'),
        ('Wang^XiaoDong=王^小東=', 'Wang, XiaoDong (王 小東)'),
        ('Yamada^Tarou=山田^太郎=やまだ^たろう', 'Yamada, Tarou (山田 太郎)'),
        ('Yamada^Tarou==やまだ^たろう', 'Yamada, Tarou (やまだ たろう)'),
        ('=山田^太郎', '山田 太郎'),
        ('==', ''),
        ('שרון^דבורה', 'שרון, דבורה'),
        ('Doe^Jane\\Roe^Ann', 'Doe, Jane; Roe, Ann'),
        (['Doe^Jane'], 'Doe, Jane'),
        ('', ''),
        (None, ''),
        (3, '3'),
        ])
def test_readable_name(name, readable):
    assert texts.readable_name(name) == readable


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats()
    | st.text(st.characters()) | st.sampled_from([
            '1.2.3', '20060102', ID, '\ud800', 'a\0', 'x' * 5000]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5)
TAGS = [
    'StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID', 'StudyDate',
    'StudyTime', 'PatientName', 'PatientBirthDate', 'Modality',
    'InstanceNumber', 'NumberOfFrames', 'StudyDescription']
any_tags = anything | st.dictionaries(st.sampled_from(TAGS), anything)
any_record = anything | st.fixed_dictionaries({}, optional={
        'ID': st.just(ID) | anything,
        'ParentStudy': st.just(ID) | anything,
        'ParentSeries': st.just(ID) | anything,
        'Metadata': anything,
        'MainDicomTags': any_tags,
        'PatientMainDicomTags': any_tags,
        'ParentPatient': anything,
        'Series': anything,
        'LastUpdate': anything,
        'IsStable': anything,
        })


def storable(value):
    "Whether PostgreSQL stores and indexes a value."
    if isinstance(value, (tuple, list)):
        return all(map(storable, value))
    if isinstance(value, dict):
        return all(map(storable, value.values()))
    if not isinstance(value, str):
        return value is None or type(value) in {
            bool, int, dt.date, dt.time, dt.datetime}
    return (len(value.encode('utf-8')) <= 4 * texts.MAX_TEXT
        and not any(c < ' ' for c in value))


@given(record=any_record)
def test_anything_is_stored_or_refused(record):
    # It must survive the way through JSON as an answer does.
    record = json.loads(json.dumps(record))
    for read in [values.study, values.series, values.instance]:
        assert storable(read(record))


@given(value=anything)
def test_what_is_shown_is_one_clean_line(value):
    text = texts.readable_name(value)
    assert storable(text)
    assert text == text.strip()


# What an instance tells beyond the main tags

def sequence(*items):
    return {'RequestAttributesSequence': list(items)}


@pytest.mark.parametrize('tags, expected', [
        ({}, ()),
        (sequence(), ()),
        (sequence({
                    'RequestedProcedureID': 'B', 'AccessionNumber': 'C ',
                    'ScheduledProcedureStepID': ' A',
                    'ScheduledProcedureStepDescription': 'Chest'}),
            ('A', 'B', 'C')),
        (sequence(
                {'ScheduledProcedureStepID': 'A', 'AccessionNumber': 'C'},
                {'ScheduledProcedureStepID': 'B', 'AccessionNumber': 'C'}),
            ('A', 'C', 'B')),
        # Odd ones
        ({'RequestAttributesSequence': {'ScheduledProcedureStepID': 'A'}},
            ('A',)),
        ({'RequestAttributesSequence': 'A'}, ()),
        ({'RequestAttributesSequence': None}, ()),
        ({'RequestAttributesSequence': 5}, ()),
        (sequence('A', 5, None, True, ['B'], {}), ()),
        (sequence([{'AccessionNumber': 'C'}], [[{'AccessionNumber': 'D'}]]),
            ('C',)),
        (sequence({'ScheduledProcedureStepID': ['A', ['B'], None, 7]}),
            ('A', 'B', '7')),
        (sequence({'ScheduledProcedureStepID': 17}), ('17',)),
        (sequence({'ScheduledProcedureStepID': {'A': 'B'}}), ()),
        (sequence({'ScheduledProcedureStepID': 'A\\B'}), ('A', 'B')),
        (sequence({'ScheduledProcedureStepID': 'A\0\n'}), ('A',)),
        (sequence({'ScheduledProcedureStepID': 'x' * 129}), ()),
        (sequence({'ScheduledProcedureStepID': 'x' * 128}), ('x' * 128,)),
        (sequence(*({'AccessionNumber': str(i)} for i in range(1000))),
            tuple(map(str, range(values.MAX_REQUESTED)))),
        ])
def test_requested_ids(tags, expected):
    assert values.requested_ids(tags) == expected


@pytest.mark.parametrize('value, expected', [
        (None, None), ('', None), (' Other ', 'Other'), (5, '5'), ({}, None),
        (['A', 'B'], 'A\\B')])
def test_issuer(value, expected):
    assert values.issuer({'IssuerOfPatientID': value}) == expected


def test_details():
    assert values.details({}) == {'requested_ids': None, 'issuer': None}
    assert values.details({
            **sequence({'ScheduledProcedureStepID': 'A'},
                {'ScheduledProcedureStepID': 'B'}),
            'IssuerOfPatientID': 'X'}) == {
        'requested_ids': 'A\\B', 'issuer': 'X'}


def listed_details(study, *series):
    return values.listed_details(
        values.study(study), list(map(values.series, series)))


def test_listed_details():
    item = {'ScheduledProcedureStepID': 'A'}
    other = {'ScheduledProcedureStepID': 'B'}
    assert listed_details(study(), series()) == {}
    assert listed_details(study({'IssuerOfPatientID': 'X'})) == {
        'issuer': 'X'}
    assert listed_details(
        study(patient={'IssuerOfPatientID': 'X'}), series(**sequence(item)),
        series(), series(**sequence(other)),
        {**series(), 'MainDicomTags': None}) == {
        'issuer': 'X', 'requested_ids': 'A\\B'}
    assert listed_details(study(), series(**sequence())) == {
        'requested_ids': None}


@given(anything)
def test_any_json_has_details(value):
    tags = {'RequestAttributesSequence': value, 'IssuerOfPatientID': value}
    for text in values.requested_ids(tags):
        assert text and '\\' not in text
    values.details(tags)
    listed_details(study(tags, tags), series(**tags))


@pytest.mark.parametrize('metadata, expected', [
        ({'SopClassUid': '1.2.3'}, '1.2.3'), ({'SopClassUid': ' 1.2 '}, '1.2'),
        ({'SopClassUid': None}, None), ({'SopClassUid': '1' * 129}, None),
        ({}, None), (None, None), ([5], None)])
def test_sop_class(metadata, expected):
    assert values.sop_class(metadata) == expected
    record = {**instance(), 'Metadata': metadata}
    assert values.instance(record).sop_class == expected


@pytest.mark.parametrize('value, read, expected', [
        (study(), values.study, True), (study(), values.series, False),
        ({'ID': ID}, values.study, True), ({'ID': ID}, values.series, False),
        ({'ID': ID, 'ParentStudy': OTHER}, values.series, True),
        ({'ID': ID, 'ParentStudy': OTHER}, values.instance, False),
        ({'ID': ID, 'ParentSeries': OTHER}, values.instance, True),
        ({'ID': ID, 'ParentStudy': '../x'}, values.series, False),
        ({'ID': '../x'}, values.study, False),
        ({'ID': None}, values.study, False),
        ({}, values.study, False), (None, values.study, False),
        ([], values.study, False), ('x', values.study, False),
        (5, values.study, False)])
def test_what_can_be_a_record(value, read, expected):
    assert (read(value) is not None) == expected
