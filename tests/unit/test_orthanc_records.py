# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"Orthanc's JSON as row values: right for what is right, harmless for the rest."
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.archive import records

ID = '8a8cf898-ca27c490-d0c7058c-929d0581-2bbf104d'
OTHER = 'fa558bce-587a86d3-ad0da9b3-9d043d9d-4f5c5718'
UNITS = [
    (records.study_values, 'StudyInstanceUID', 'study_instance_UID'),
    (records.series_values, 'SeriesInstanceUID', 'series_UID'),
    (records.instance_values, 'SOPInstanceUID', 'sop_instance_UID'),
    ]
each_unit = pytest.mark.parametrize('read, tag, field', UNITS)


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
        'MainDicomTags': {'SeriesInstanceUID': '1.2.3', **tags},
        }


def instance(**tags):
    return {'ID': ID, 'MainDicomTags': {'SOPInstanceUID': '1.2.3', **tags}}


def test_study_values():
    assert records.study_values(study({
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
            ParentPatient=OTHER)) == {
        'orthanc_UID': ID,
        'orthanc_patient_UID': OTHER,
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
    values = records.study_values(
        {'ID': ID, 'MainDicomTags': {'StudyInstanceUID': '1.2.3'}})
    assert values.pop('orthanc_UID') == ID
    assert values.pop('study_instance_UID') == '1.2.3'
    assert values.pop('patient_name') == ''
    assert set(values.values()) == {None}


def test_series_values():
    assert records.series_values(series(
            SeriesNumber='04', SeriesDescription='5/5mm Plain', Modality='ct',
            BodyPartExamined='NECK', ProtocolName='T1',
            PerformingPhysicianName='House^Gregory',
            InstitutionName='Princeton')) == {
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
    assert records.series_values(series(Modality=modality))[
        'modality'] == 'OT'


def test_instance_values():
    assert records.instance_values(instance(
            InstanceNumber='12', NumberOfFrames='30',
            ImagePositionPatient=['-1.5', '2', 3])) == {
        'orthanc_UID': ID,
        'sop_instance_UID': '1.2.3',
        'instance_number': 12,
        'image_position_patient': '-1.5\\2\\3',
        'number_of_frames': 30,
        }


@pytest.mark.parametrize('frames', ['0', '-1', '1A', '', None, [], '2.5'])
def test_number_of_frames_is_positive_or_unknown(frames):
    assert records.instance_values(instance(NumberOfFrames=frames))[
        'number_of_frames'] is None


@each_unit
@pytest.mark.parametrize('record', [None, [], 'text', 3, True])
def test_what_is_no_object_is_refused(read, tag, field, record):
    with pytest.raises(records.UnusableRecord) as error:
        read(record)
    assert error.value.reason == 'not_an_object'
    assert error.value.orthanc_id is None


@each_unit
@pytest.mark.parametrize(
    'id_', [None, '', 3, [], '../system', 'a\0b', 'a' * 65, 'a\n'])
def test_what_has_no_orthanc_id_is_refused(read, tag, field, id_):
    with pytest.raises(records.UnusableRecord) as error:
        read({'ID': id_, 'MainDicomTags': {tag: '1.2.3'}})
    assert error.value.reason == 'no_orthanc_id'


@each_unit
@pytest.mark.parametrize('uid', [None, '', ' \0 ', [], {}, True])
def test_what_has_no_uid_is_refused_by_its_id(read, tag, field, uid):
    with pytest.raises(records.UnusableRecord) as error:
        read({'ID': ID, 'MainDicomTags': {tag: uid}})
    assert (error.value.reason, error.value.orthanc_id) == ('no_uid', ID)


@each_unit
@pytest.mark.parametrize('tags', [None, [], 'text', 3])
def test_what_has_no_tags_is_refused_by_its_id(read, tag, field, tags):
    with pytest.raises(records.UnusableRecord) as error:
        read({'ID': ID, 'MainDicomTags': tags})
    assert error.value.orthanc_id == ID


@each_unit
def test_uid_is_never_cut(read, tag, field):
    uid = '1' * records.MAX_UID
    values = read({'ID': ID, 'MainDicomTags': {tag: f' {uid}\0'}})
    assert values[field] == uid
    with pytest.raises(records.UnusableRecord) as error:
        read({'ID': ID, 'MainDicomTags': {tag: uid + '1'}})
    assert error.value.reason == 'uid_too_long'


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
    assert records.clean_text(value) == text


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
    assert records.parse_date(value) == (dt.date(*date) if date else None)


def test_no_date_is_after_next_year():
    year = dt.date.today().year
    assert records.parse_date(f'{year + 1}1231') == dt.date(year + 1, 12, 31)
    assert records.parse_date(f'{year + 2}0101') is None


@pytest.mark.parametrize('text', ['00010101', '19801399', 'about 1950'])
def test_what_is_no_birth_date_stays_as_text(text):
    values = records.study_values(study({}, {'PatientBirthDate': text}))
    assert values['patient_birth_date'] is None
    assert values['patient_birth_date_text'] == text


@pytest.mark.parametrize('control', '\u202a\u202b\u202c\u202d\u202e'
    '\u2066\u2067\u2068\u2069')
def test_no_text_turns_around_what_stands_beside_it(control):
    name = f'{control}Doe^{control}Jane{control}'
    assert records.readable_name(name) == 'Doe, Jane'
    values = records.study_values(study(
            {'StudyDescription': f'Tho{control}rax'},
            {'PatientName': name, 'PatientID': f'1{control}7'}))
    assert values['patient_name'] == 'Doe^Jane'
    assert values['patient_id'] == '17'
    assert values['description'] == 'Thorax'


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
    assert records.parse_time(value) == (dt.time(*time) if time else None)


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
    assert records.parse_integer(value) == number
    assert records.instance_values(instance(InstanceNumber=value))[
        'instance_number'] == number


@pytest.mark.parametrize('value, sex', [
        ('M', 'M'), ('f', 'F'), ('O ', 'O'), ('male', None), ('', None),
        (None, None), (['M'], 'M'), (1, None)])
def test_parse_sex(value, sex):
    assert records.parse_sex(value) == sex


def test_family():
    record = study(ParentPatient=OTHER, Series=[ID, OTHER, ID, None, '../x'])
    assert records.parent(record) == OTHER
    assert records.children(record) == [ID, OTHER]
    assert records.parent({'ParentStudy': ['x']}) is None
    assert records.parent({'ParentSeries': OTHER}) == OTHER
    assert records.children({'Instances': 'x'}) == []
    assert records.children({'Instances': [ID]}) == [ID]
    assert records.children({'Studies': [ID]}) == [ID]


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
    assert records.readable_name(name) == readable


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
        'MainDicomTags': any_tags,
        'PatientMainDicomTags': any_tags,
        'ParentPatient': anything,
        'Series': anything,
        'LastUpdate': anything,
        'IsStable': anything,
        })


def storable(value):
    "Whether PostgreSQL stores and indexes a value."
    if isinstance(value, tuple):
        return all(map(storable, value))
    if not isinstance(value, str):
        return value is None or type(value) in {
            bool, int, dt.date, dt.time, dt.datetime}
    return (len(value.encode('utf-8')) <= 4 * records.MAX_TEXT
        and not any(c < ' ' for c in value))


@given(record=any_record)
def test_anything_is_stored_or_refused(record):
    # It must survive the way through JSON as an answer does.
    record = json.loads(json.dumps(record))
    for read in [
            records.study_values, records.series_values,
            records.instance_values]:
        try:
            values = read(record)
        except records.UnusableRecord as error:
            assert storable(error.orthanc_id)
        else:
            assert all(map(storable, values.values()))


@given(value=anything)
def test_what_is_shown_is_one_clean_line(value):
    text = records.readable_name(value)
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
            tuple(map(str, range(records.MAX_REQUESTED)))),
        ])
def test_requested_ids(tags, expected):
    assert records.requested_ids(tags) == expected


@pytest.mark.parametrize('value, expected', [
        (None, None), ('', None), (' Other ', 'Other'), (5, '5'), ({}, None),
        (['A', 'B'], 'A\\B')])
def test_issuer(value, expected):
    assert records.issuer({'IssuerOfPatientID': value}) == expected


def test_details():
    assert records.details({}) == {'requested_ids': None, 'issuer': None}
    assert records.details({
            **sequence({'ScheduledProcedureStepID': 'A'},
                {'ScheduledProcedureStepID': 'B'}),
            'IssuerOfPatientID': 'X'}) == {
        'requested_ids': 'A\\B', 'issuer': 'X'}


def test_listed_details():
    item = {'ScheduledProcedureStepID': 'A'}
    other = {'ScheduledProcedureStepID': 'B'}
    assert records.listed_details(study(), [series()]) == {}
    assert records.listed_details(
        study({'IssuerOfPatientID': 'X'}), []) == {'issuer': 'X'}
    assert records.listed_details(
        study(patient={'IssuerOfPatientID': 'X'}), [
            series(**sequence(item)), series(), series(**sequence(other)),
            {'MainDicomTags': None}]) == {
        'issuer': 'X', 'requested_ids': 'A\\B'}
    assert records.listed_details(study(), [series(**sequence())]) == {
        'requested_ids': None}


@given(anything)
def test_any_json_has_details(value):
    tags = {'RequestAttributesSequence': value, 'IssuerOfPatientID': value}
    for text in records.requested_ids(tags):
        assert text and '\\' not in text
    records.details(tags)
    records.listed_details(study(tags, tags), [series(**tags)])


@pytest.mark.parametrize('metadata, expected', [
        ({'SopClassUid': '1.2.3'}, '1.2.3'), ({'SopClassUid': ' 1.2 '}, '1.2'),
        ({'SopClassUid': None}, None), ({'SopClassUid': '1' * 129}, None),
        ({}, None), (None, None), ([5], None)])
def test_sop_class(metadata, expected):
    assert records.sop_class({**instance(), 'Metadata': metadata}) == expected


@pytest.mark.parametrize('value, level, expected', [
        (study(), 'Study', True), (study(), 'Series', False),
        ({'ID': ID}, 'Study', True), ({'ID': ID}, 'Series', False),
        ({'ID': ID, 'ParentStudy': OTHER}, 'Series', True),
        ({'ID': ID, 'ParentStudy': '../x'}, 'Series', False),
        ({'ID': '../x'}, 'Study', False), ({'ID': None}, 'Study', False),
        ({}, 'Study', False), (None, 'Study', False), ([], 'Study', False),
        ('x', 'Study', False), (5, 'Study', False)])
def test_what_can_be_a_record(value, level, expected):
    assert records.is_record(value, level) == expected
