# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values for DICOM attributes: always valid for their VR, whatever comes in,
and the right ones."""
import datetime as dt
import re
import shutil
import subprocess
import unicodedata
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import pydicom
import pytest
import pytz
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes

from trytond.modules.health_imaging_worklist import attributes
from trytond.modules.health_imaging_worklist.attributes import Name

DATE = dt.date
AT = dt.datetime(2026, 1, 31, 13, 30, 5)
CONTROLS = ''.join(map(chr, [*range(32), *range(127, 160), 0x2028, 0x2029]))
# Names as hospitals have them, and what each character set is for.
SAMPLES = {
    'ISO_IR 100': 'Müller^José',
    'ISO_IR 101': 'Dvořák^Łukasz',
    'ISO_IR 109': 'Ĉapelo',
    'ISO_IR 110': 'Šķēle',
    'ISO_IR 126': 'Διονυσίου',
    'ISO_IR 127': 'قباني^لنزار',
    'ISO_IR 138': 'שרון^דבורה',
    'ISO_IR 144': 'Люксембург',
    'ISO_IR 148': 'Çavuşoğlu',
    'ISO_IR 166': 'นามสกุล',
    'ISO_IR 13': 'ﾔﾏﾀﾞ^ﾀﾛｳ',
    '\\ISO 2022 IR 87': 'Yamada^Tarou=山田^太郎=やまだ^たろう',
    '\\ISO 2022 IR 87\\ISO 2022 IR 159': 'Müller^30°=山田^丂',
    'ISO 2022 IR 13\\ISO 2022 IR 87': 'ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう',
    '\\ISO 2022 IR 149': 'Hong^Gildong=洪^吉洞=홍^길동',
    '\\ISO 2022 IR 58': 'Zhang^XiaoDong=张^小东=',
    'ISO 2022 IR 100\\ISO 2022 IR 144': 'Müller^Люкс',
    'ISO 2022 IR 6\\ISO 2022 IR 101': 'Novák^Ł',
    'GB18030': 'Wang^XiaoDong=王^小东誠',
    'GBK': 'Wang^XiaoDong=王^小东誠',
    'ISO_IR 192': 'Müller^Люкс=王^小东=홍',
    }

names = st.builds(
    Name, *[st.one_of(st.text(), st.text('Aé王かＡ한^=\\\u0301 \n'))] * 5)


# Texts

@settings(deadline=None)
@given(st.text())
def test_texts_of_one_line_hold_no_control_and_no_backslash(text):
    value = attributes.long_string(text)
    assert len(value) <= 64
    assert not set(value) & set(CONTROLS + '\\')
    assert value == value.strip()
    value.encode('utf-8')
    assert attributes.is_identifier(value, 'LO') == bool(value)


@pytest.mark.parametrize('text, vr, valid', [
        ('ORDER-1', 'SH', True), ('A' * 16, 'SH', True), ('Å 1', 'SH', True),
        ('A' * 17, 'SH', False), ('A' * 64, 'LO', True),
        ('A' * 65, 'LO', False), ('', 'SH', False), ('  ', 'SH', False),
        (' A', 'SH', False), ('A\\B', 'SH', False), ('A\tB', 'SH', False),
        ('A\x7f', 'SH', False), ('A\u200e', 'SH', False),
        ('A\ud800', 'SH', False)])
def test_identifiers(text, vr, valid):
    assert attributes.is_identifier(text, vr) is valid


@pytest.mark.parametrize('keyword, identifies', [
        ('AccessionNumber', True), ('PatientID', True), ('StudyID', True),
        ('IssuerOfPatientID', True), ('AdmissionID', True),
        ('RequestedProcedureID', True), ('ScheduledProcedureStepID', True),
        ('OtherPatientIDs', True), ('CodeValue', True),
        ('PlacerOrderNumberImagingServiceRequest', True),
        ('PatientName', False), ('InstitutionName', False),
        ('RequestedProcedureDescription', False), ('CodeMeaning', False),
        ('PatientComments', False), ('', False)])
def test_what_identifies(keyword, identifies):
    assert attributes.identifies(keyword) is identifies


@pytest.mark.parametrize('text, value', [
        (None, ''),
        (42, '42'),
        ("  Head  CT ", "Head  CT"),
        ("a\\b", "a/b"),
        ("a\r\nb\tc\x00", "a b c"),
        ("e\u0301", "é"),
        ("\u1112\u1161\u11ab", "한"),
        ("\ufeffa\u200bb\u202e\xadc", "abc"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\ufa19", "\ufa19"),
        ("a\ud800", "a\ufffd"),
        ("x" * 70, "x" * 64),
        ])
def test_long_string(text, value):
    assert attributes.long_string(text) == value


@pytest.mark.parametrize('text, length, value', [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("ab cd", 3, "ab"),
        ("abx\u0323\u0307", 4, "ab"),
        ("ab\U0001f469\u200d\U0001f52c", 4, "ab"),
        ("\u0301" * 5, 3, "\u0301" * 3),
        ])
def test_cut_between_letters(text, length, value):
    assert attributes.cut(text, length) == value


@pytest.mark.parametrize('title, value', [
        ("CT1", "CT1"), (" CT 1 ", "CT 1"), (None, ''), ("a\\b\n", "ab"),
        ("STATION_é", "STATION_"), ("A" * 20, "A" * 16)])
def test_application_entity(title, value):
    assert attributes.application_entity(title) == value


@pytest.mark.parametrize('text, value', [
        ("ct", "CT"), (None, ''), ("x-ray", "X_RAY"), ("A" * 20, "A" * 20)])
def test_code_string(text, value):
    assert attributes.code_string(text) == value


def test_multi_value():
    value = attributes.multi_value(["a\\b", None, "", "x" * 70])
    assert value == "a/b\\" + "x" * 64
    assert isinstance(value, attributes.MultiValue)


# Names

@pytest.mark.parametrize('name, value', [
        (Name("Doe", "Jane"), "Doe^Jane"),
        (Name("Doe", "Jane", "Ann", "Dr", "PhD"), "Doe^Jane^Ann^Dr^PhD"),
        (Name("Doe", prefix="Dr"), "Doe^^^Dr"),
        (Name("", "Jane"), "^Jane"),
        (Name("Doe"), "Doe"),
        (Name(""), ""),
        (Name(None, None), ""),
        (Name("O^Neil=x", "a\\b\n c"), "O Neil x^a b c"),
        (Name("Иванов", "Иван"), "Иванов^Иван"),
        (Name("王", "小东"), "王^小东"),
        (Name("홍", "길동"), "홍^길동"),
        (Name("x" * 70, "Jane"), "x" * 64),
        (Name("x" * 63, "Jane"), "x" * 63),
        ])
def test_person_name(name, value):
    assert attributes.person_name(name) == value


@pytest.mark.parametrize('official, others, value', [
        (Name("王", "小东"), [Name("Wang", "XiaoDong")],
            "Wang^XiaoDong=王^小东"),
        (Name("Yamada", "Tarou"), [
            Name("やまだ", "たろう"), Name("山田", "太郎")],
            "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (Name("山田", "太郎"), [Name("やまだ", "たろう")],
            "山田^太郎=山田^太郎=やまだ^たろう"),
        (Name("山田", "太郎"), [Name("ﾔﾏﾀﾞ", "ﾀﾛｳ")],
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"),
        (Name("홍", "길동"), [Name("Hong", "Gildong"), Name("洪", "吉洞")],
            "Hong^Gildong=洪^吉洞=홍^길동"),
        (Name("Sato"), [Name("さとう")], "Sato==さとう"),
        (Name("Doe", "Jane"), [Name("Roe", "Jane")], "Doe^Jane"),
        (Name("さくら木"), [Name("さくらぎ")],
            "さくら木=さくら木=さくらぎ"),
        (Name(""), [Name("Doe")], "Doe"),
        ])
def test_person_name_groups(official, others, value):
    assert attributes.person_name(official, others) == value


def test_person_name_leaves_out_what_the_character_set_has_not():
    official, other = Name("Müller"), Name("王")
    make = attributes.person_name
    assert make(official, [other], 'ISO_IR 100') == "Müller"
    assert make(official, [other], 'ISO_IR 192') == "Müller=王"
    assert make(other, [official], 'ISO_IR 100') == "Müller"
    assert make(official, [other], 'nonsense') == "Müller=王"


@settings(deadline=None)
@given(names, st.lists(names, max_size=3))
def test_person_name_is_always_valid(official, others):
    value = attributes.person_name(official, others)
    groups = value.split('=')
    assert len(groups) <= 3
    assert value == value.rstrip('^= ')
    for group in groups:
        assert len(group) <= 64
        assert group.count('^') <= 4
        assert not set(group) & set(CONTROLS + '\\')
    if len(groups) > 1:
        assert groups[0]


# People

@pytest.mark.parametrize('birth, at, age', [
        (DATE(2026, 1, 31), DATE(2026, 1, 31), '000D'),
        (DATE(2026, 1, 4), DATE(2026, 1, 31), '027D'),
        (DATE(2026, 1, 3), DATE(2026, 1, 31), '004W'),
        (DATE(2025, 11, 1), DATE(2026, 1, 31), '013W'),
        (DATE(2025, 10, 31), DATE(2026, 1, 31), '003M'),
        (DATE(2024, 2, 1), DATE(2026, 1, 31), '023M'),
        (DATE(2024, 1, 31), DATE(2026, 1, 31), '002Y'),
        (DATE(2023, 2, 1), DATE(2026, 1, 31), '002Y'),
        (DATE(2020, 2, 29), DATE(2026, 2, 28), '005Y'),
        (DATE(2020, 2, 29), DATE(2026, 3, 1), '006Y'),
        (DATE(2020, 2, 29), DATE(2024, 2, 29), '004Y'),
        (DATE(1920, 5, 5), DATE(2026, 1, 31), '105Y'),
        (DATE(2026, 2, 1), DATE(2026, 1, 31), ''),
        (DATE(1, 1, 1), DATE(1000, 12, 31), '999Y'),
        (DATE(1, 1, 1), DATE(1001, 1, 1), ''),
        (None, DATE(2026, 1, 31), ''),
        (DATE(2026, 1, 31), None, ''),
        ])
def test_patient_age(birth, at, age):
    assert attributes.patient_age(birth, at) == age


@settings(deadline=None)
@given(st.dates(), st.dates())
def test_patient_age_is_always_valid(birth, at):
    assert re.fullmatch(
        r'(\d{3}[DWMY])?', attributes.patient_age(birth, at))


@pytest.mark.parametrize('gender, biological, sex', [
        ('m', None, 'M'), ('f', None, 'F'), ('nb', None, 'O'),
        ('other', None, 'O'), ('nd', None, ''), ('u', None, ''),
        (None, None, ''), ('m-f', None, 'M'), ('f-m', None, 'F'),
        ('f', 'm', 'M'), ('other', 'f', 'F'), ('', 'm', 'M'),
        ('strange', None, '')])
def test_patient_sex(gender, biological, sex):
    assert attributes.patient_sex(gender, biological) == sex


@pytest.mark.parametrize('weight, value', [
        (70.5, '70.5'), (Decimal('70.50'), '70.5'), (3, '3'), (100, '100'),
        (0.85, '0.85'), (None, ''), (0, ''), (-1, ''), ('x', ''),
        (float('nan'), ''), (float('inf'), ''), (1e30, ''), (0.0001, '')])
def test_patient_weight(weight, value):
    assert attributes.patient_weight(weight) == value


# Dates and times

@pytest.mark.parametrize('timezone, date, time, offset', [
        (ZoneInfo('America/Lima'), '20260131', '083005', '-0500'),
        (ZoneInfo('Asia/Kolkata'), '20260131', '190005', '+0530'),
        (ZoneInfo('Pacific/Auckland'), '20260201', '023005', '+1300'),
        (ZoneInfo('Asia/Kathmandu'), '20260131', '191505', '+0545'),
        (pytz.timezone('America/St_Johns'), '20260131', '100005', '-0330'),
        (dt.timezone.utc, '20260131', '133005', '+0000'),
        ])
def test_local_dates_and_times(timezone, date, time, offset):
    assert attributes.dicom_date(AT, timezone) == date
    assert attributes.dicom_time(AT, timezone) == time
    assert attributes.timezone_offset(AT, timezone) == offset


def test_daylight_saving_time():
    summer, madrid = dt.datetime(2026, 7, 1, 23, 0), ZoneInfo('Europe/Madrid')
    assert attributes.timezone_offset(AT, madrid) == '+0100'
    assert attributes.timezone_offset(summer, madrid) == '+0200'
    assert attributes.dicom_date(summer, madrid) == '20260702'


def test_dates_and_times_of_other_kinds():
    tokyo = ZoneInfo('Asia/Tokyo')
    assert attributes.dicom_time(AT) == '133005'
    assert attributes.dicom_date(DATE(980, 2, 9), tokyo) == '09800209'
    for function in [attributes.dicom_date, attributes.dicom_time,
            attributes.timezone_offset]:
        assert function(None, tokyo) == ''


def test_offsets_of_seconds_are_rounded():
    zone = pytz.timezone('Europe/Amsterdam')
    at = dt.datetime(1930, 1, 1)
    assert re.fullmatch(
        r'[+-]\d{4}', attributes.timezone_offset(at, zone))


# Unique identifiers

@pytest.mark.parametrize('root', [
        '2.25', '1.2.826.0.1', attributes.LEGACY_UID_ROOT, '2.' + '2' * 37])
def test_generate_uid(root):
    made = {attributes.generate_uid(root) for _ in range(100)}
    assert len(made) == 100
    for uid in made:
        assert attributes.is_uid(uid)
        assert pydicom.uid.UID(uid).is_valid
        assert uid.startswith(root.rstrip('.') + '.')


def test_generate_uid_of_a_uuid():
    value = uuid.UUID('f81d4fae-7dec-11d0-a765-00a0c91e6bf6')
    # The example of PS3.5 annex B.2.
    assert attributes.generate_uid(value=value) == (
        '2.25.329800735698586629295641978511506172918')
    assert attributes.generate_uid(value='a') == attributes.generate_uid(
        value='a')
    assert attributes.generate_uid(value='a') != attributes.generate_uid(
        value='b')


@pytest.mark.parametrize('root', [
        '', '.', '1', 'abc', '1.02', '1..2', '3.1', '1.40', '1.2.' + '3' * 40,
        '1.2\n', '١.٢'])
def test_generate_uid_of_a_wrong_root(root):
    with pytest.raises(ValueError):
        attributes.generate_uid(root)


@pytest.mark.parametrize('uid, valid', [
        ('1.2.3', True), ('2.25.0', True), ('1.0.1', True),
        ('2.999', True), ('1.2.' + '3' * 60, True),
        ('1.2.' + '3' * 61, False), ('1.2.', False), ('1.02', False),
        ('', False), (None, False), (12, False), ('1.2.3 ', False),
        ('1.2.3\n', False), ('0.40', False), ('a.b', False), ('1.٢', False)])
def test_is_uid(uid, valid):
    assert attributes.is_uid(uid) is valid


# Character sets

def test_character_sets_are_valid():
    for charset in [*attributes.CHARSETS, *SAMPLES]:
        assert attributes.is_charset(charset)
        assert attributes.repair_charset(charset) == charset
    for charset in attributes.CHARSETS:
        assert charset == 'ISO 2022 IR 6' or charset in SAMPLES


@pytest.mark.parametrize('charset', [
        '', None, 'IS0_IR 192', 'ISO_IR 6', 'ISO_IR 87', 'utf-8', '\\',
        'ISO_IR 192\\ISO 2022 IR 87', 'ISO_IR 100\\ISO 2022 IR 87',
        'ISO 2022 IR 87', 'ISO 2022 IR 87\\ISO 2022 IR 6', 'ISO_IR 192 '])
def test_what_is_no_character_set(charset):
    assert not attributes.is_charset(charset)


@pytest.mark.parametrize('written, meant', [
        ('IS0_IR 192', 'ISO_IR 192'),
        ('IS0_IR 100', 'ISO_IR 100'),
        ('iso_ir 192', 'ISO_IR 192'),
        ('ISO IR 192', 'ISO_IR 192'),
        ('ISO-IR-100', 'ISO_IR 100'),
        ('ISO_IR192', 'ISO_IR 192'),
        (' ISO_IR 100 ', 'ISO_IR 100'),
        ('ISO_IR 6', 'ISO 2022 IR 6'),
        ('utf-8', 'ISO_IR 192'),
        ('latin1', 'ISO_IR 100'),
        ('iso-8859-5', 'ISO_IR 144'),
        ('gb18030', 'GB18030'),
        ('gb2312', 'GB18030'),
        ('ISO 2022 IR 87', '\\ISO 2022 IR 87'),
        ('IS0 2022 IR 6\\IS0 2022 IR 149', 'ISO 2022 IR 6\\ISO 2022 IR 149'),
        ('ISO_IR 100\\ISO_IR 144', 'ISO 2022 IR 100\\ISO 2022 IR 144'),
        ('ISO_IR 999', None),
        ('ISO_IR 192\\ISO 2022 IR 87', None),
        ('', None),
        (None, None),
        ('\\', None),
        ])
def test_repair_charset(written, meant):
    assert attributes.repair_charset(written) == meant


@pytest.mark.parametrize('charset', SAMPLES)
def test_encode(charset):
    text = SAMPLES[charset]
    data = attributes.encode(text, charset, 'PN')
    if charset.endswith('IR 58'):
        # pydicom leaves the escape sequences of this set in the text.
        assert data == (
            b'Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=')
    else:
        encodings = convert_encodings(charset.split('\\'))
        assert decode_bytes(data, encodings, {*b'\\^='}) == text


@pytest.mark.parametrize('charset, data', [
        # PS3.5 annexes H.3 and I.2.
        ('\\ISO 2022 IR 87',
            b'Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B='
            b'\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B'),
        ('ISO 2022 IR 13\\ISO 2022 IR 87',
            b'\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:'
            b'\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J'),
        ('\\ISO 2022 IR 149',
            b'Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7='
            b'\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf'),
        ])
def test_encode_like_the_standard(charset, data):
    assert attributes.encode(SAMPLES[charset], charset, 'PN') == data


@pytest.mark.parametrize('text, charset, missing', [
        ("Müller", 'ISO 2022 IR 6', "ü"),
        ("王小王", 'ISO_IR 100', "王小"),
        ("é", '\\ISO 2022 IR 87', "é"),
        ("山\u00a5", 'ISO 2022 IR 13\\ISO 2022 IR 87', "\u00a5"),
        ("\u00a5", 'ISO_IR 13', "\u00a5"),
        ("山", 'ISO_IR 13', "山"),
        ("\ub620", '\\ISO 2022 IR 149', "\ub620"),
        ("a\ud800", 'ISO_IR 192', "\ud800"),
        ])
def test_what_cannot_be_encoded(text, charset, missing):
    with pytest.raises(attributes.EncodingError) as raised:
        attributes.encode(text, charset)
    assert raised.value.characters == missing
    assert charset in str(raised.value)
    assert not attributes.is_encodable(text, charset)


def test_encode_in_no_character_set():
    with pytest.raises(ValueError, match='"IS0_IR 192"'):
        attributes.encode("é", 'IS0_IR 192')


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_characters='\x1b', exclude_categories=['Cs',
                'Cc'])),
    st.sampled_from([*SAMPLES]), st.sampled_from(['PN', 'LO']))
def test_encoded_texts_are_never_damaged(text, charset, vr):
    try:
        data = attributes.encode(text, charset, vr)
    except attributes.EncodingError as error:
        assert set(error.characters) <= set(text)
        return
    if not charset.endswith('IR 58'):
        encodings = convert_encodings(charset.split('\\'))
        delimiters = {*b'\\^='} if vr == 'PN' else {*b'\\'}
        assert decode_bytes(data, encodings, delimiters) == text


def test_nothing_is_normalised_without_need():
    for code in range(0x20, 0x30000):
        text = chr(code)
        if unicodedata.category(text) in {'Lo', 'Ll', 'Lu'}:
            assert attributes.clean(text) == text


@pytest.mark.dcmtk
@pytest.mark.parametrize('charset', [
        # dcmtk on glibc knows no kanji.
        c for c in SAMPLES if 'IR 87' not in c])
def test_dcmtk_reads_the_same_text(charset, tmp_path):
    from support.worklist import from_dump

    from trytond.modules.health_imaging_worklist import dataset
    entry = from_dump(f'(0010,0010) PN [{SAMPLES[charset]}]')
    source, target = tmp_path / 'a.dcm', tmp_path / 'b.dcm'
    source.write_bytes(dataset.to_bytes(entry, charset))
    subprocess.run(
        [shutil.which('dcmconv'), '+U8', source, target], check=True)
    read = str(pydicom.dcmread(target).PatientName)
    assert read == SAMPLES[charset].rstrip('=')
