# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist entries as data sets: read as dcmtk reads them, checked, and
written as files that everybody can read."""
import io
import json
import shutil
import subprocess

import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.worklist import (
    check, convert, from_dump, from_json, read_back, said)

from trytond.modules.health_imaging_worklist import (
    attributes, dataset, rendering)
from trytond.modules.health_imaging_worklist.dataset import DatasetError

CORRECT = """\
(0008,0005) CS [ISO_IR 192]
(0010,0010) PN [Doe^Jane]
(0010,0020) LO [P1]
(0020,000d) UI [1.2.3]
(0032,1060) LO [Head CT]
(0040,1001) SH [ORDER-1]
(0040,0100) SQ
  (fffe,e000) na
    (0008,0060) CS [CT]
    (0040,0001) AE [CT1]
    (0040,0002) DA [20260131]
    (0040,0003) TM [083005]
    (0040,0009) SH [ORDER-1]
  (fffe,e00d) na
(fffe,e0dd) na
"""


def dump2dcm(folder, text, *options):
    """Return the data set that the real dump2dcm makes of a dump."""
    source, target = folder / 'entry.dump', folder / 'entry.dcm'
    source.write_text(text, encoding='utf-8', newline='')
    target.unlink(missing_ok=True)
    subprocess.run(
        [shutil.which('dump2dcm'), '-q', '+te', *options, source, target],
        check=True)
    entry = pydicom.dcmread(target)
    for element in entry.iterall():
        str(element.value)
    return entry


def plain(entry):
    return json.loads(pydicom.dataset.Dataset(entry).to_json())


def codes(entry):
    return [(f.code, f.attribute, f.line) for f in dataset.validate(entry)]


def correct(old, new):
    assert old in CORRECT
    return CORRECT.replace(old, new)


# Dumps

@pytest.mark.dcmtk
@pytest.mark.parametrize('line', [
        '(0010,0020) LO [a]',
        '(0010,0020)LO[a]',
        '( 10 , 20 ) LO [a]',
        '(10,20) LO [a]',
        '\t(0010,0020)\tLO\t[a]\t ',
        '(0010,0020) LO [a]\r',
        '(0010,0020) [a]',
        '(0010,0020) ?? [a]',
        '(0010,0020) a',
        '(0010,0020) LO a',
        '(0010,0020) LO a # comment',
        '(0010,0020) LO # comment',
        '(0010,0020) LO [a] # 2, 1 PatientID',
        '(0010,0020) LO [a]b]',
        '(0010,0020) LO [[a]',
        '(0010,0020) LO []a]',
        '(0010,0020) LO [a # b]',
        '(0010,0020) LO [a]  # with [brackets]',
        '(0010,0020) LO [ a ]',
        '(0010,0020) LO []',
        '(0010,0020) LO',
        '(0010,0020)',
        '(0010,0020) LO (no value available)',
        '(0010,0020) LO (a) b',
        '(0010,0020) LO [(no value available)]',
        '(0010,0020) LO =a',
        '(0010,0020) LO ]a',
        '(0010,2110) LO [a\\b]',
        '(0010,2110) LO a\\b',
        '(0010,4000) LT [a\\b ]',
        '(0008,0005) CS [ISO_IR 192]\n(0010,0010) PN [Doe^Jane=王^小]',
        '(0010,21c0) US 4',
        '(0010,21c0) US [4]',
        '(0010,21c0) US',
        '(0010,21c0) US []',
        '(0010,1030) DS [70.5]',
        '(0010,1030) DS 70.5 ',
        '(0010,9431) FL 1.5',
        '(0020,000d) UI =FINDModalityWorklistInformationModel',
        '(0020,000d) UI [1.2.3]',
        '(0020,000d) UI 1.2.3',
        '(0028,0009) AT (0018,1063)',
        '(0028,0009) AT (0018,1063)\\(0018,1065)',
        '(0040,a13a) DT [20260131]',
        '(0042,0011) OB 00\\01\\ff',
        '(0011,0010) LO [OURS]\n(0011,1001) SH [x]',
        '# only a comment', '  # (0010,0020) LO [x]', '', '\n\n',
        '(0002,0010) UI =LittleEndianExplicit\n(0010,0020) LO [a]',
        '(0010,0000) UL 4\n(0010,0020) LO [a]',
        '(0008,1110) SQ\n(fffe,e0dd) na',
        '(0008,1110) SQ (Sequence with explicit length #=1) # 20, 1 x\n'
        '(fffe,e000) na (Item with explicit length #=1) # 10, 1 Item\n'
        '(0008,1155) UI [1.2]\n(fffe,e00d) na (end)\n'
        '(fffe,e000) na\n(0008,1155) UI [1.3]\n(fffe,e00d) na\n'
        '(fffe,e0dd) na (end)\n(0010,0020) LO [a]',
        '(0032,1064) SQ\n(fffe,e000) -\n(0008,1110) SQ\n(fffe,e000) -\n'
        '(0008,0104) LO [a]\n(fffe,e00d) -\n(fffe,e0dd) -\n'
        '(0008,0104) LO [b]\n(fffe,e00d) -\n(fffe,e0dd) -\n',
        '(0040,0002) DA [20260131]\n(0008,0060) CS [CT]', CORRECT])
def test_dumps_as_dump2dcm_reads_them(line, tmp_path):
    theirs = dump2dcm(tmp_path, line)
    theirs.pop('LengthToEnd', None)
    theirs = [
        e for e in plain(theirs).items() if not e[0].endswith('0000')]
    ours = plain(read_back(dataset.to_bytes(
                from_dump(line), 'ISO_IR 192')))
    if '(0008,0005)' not in line:
        ours.pop('00080005')
    assert ours == dict(theirs)


@pytest.mark.parametrize('text, line, reason', [
        ('x', 1, 'A line of a dump is written as "(gggg,eeee) VR [value]".'),
        ('\n\nPatientName [x]', 3, None),
        ('0010,0020 LO [a]', 1, None),
        ('(0010,0020) LO [a', 1,
            'PatientID: A value that begins with "[" must end with "]".'),
        ('(0010,0020) LO [a]\n(0010,0020) LO [b]', 2,
            'PatientID: It is there twice.'),
        ('(0010,21c0) US x', 1,
            'PregnancyStatus: "x" is not a value of the kind US.'),
        ('(0010,1030) DS [abc]', 1, None),
        ('(0010,1030) DS [1.23456789012345678]', 1, None),
        ('(0010,1030) DS [nan]', 1, None),
        ('(0020,0013) IS [1.5]', 1, None),
        ('(0020,0013) IS [99999999999]', 1, None),
        ('(0042,0011) OB xyz', 1, None),
        ('(0042,0011) OB 100', 1, None),
        ('(0028,0009) AT 12', 1, None),
        ('(7fe0,0010) OW 1234', 1, None),
        ('(0020,000d) UI =Nothing', 1,
            'StudyInstanceUID: There is no UID with the name "nothing".'),
        ('(0011,1001) [x]', 1,
            '(0011,1001): Its kind of value (VR) must be written.'),
        ('(0011,1001) ZZ [x]', 1, None),
        ('(0040,0100) SQ\n(fffe,e000) na', 2,
            'Sequences and items are not opened and closed in turn.'),
        ('(0040,0100) SQ\n(0010,0020) LO [x]', 2, None),
        ('\n(fffe,e000) na', 2, None),
        ('(fffe,e00d) na', 1, None),
        ('(fffe,e0dd) na', 1, None),
        ('(0040,0100) SQ\n(fffe,e00d) na', 2, None),
        ('(0040,0100) SQ\n(fffe,e000) na\n(fffe,e000) na', 3, None),
        ('(0040,0100) SQ\n(fffe,e000) na\n(fffe,e0dd) na', 3, None),
        ('(fffe,1234) na', 1, None),
        ])
def test_what_is_no_dump(text, line, reason):
    with pytest.raises(DatasetError) as raised:
        from_dump(text)
    assert raised.value.findings[0].line == line
    assert reason is None or said(raised.value) == reason
    assert str(raised.value).startswith(f"Line {line}: ")


@pytest.mark.parametrize('line, reason', [
        ('(0008,0005) SH [ISO_IR 100]',
            'SpecificCharacterSet: Its kind of value (VR) is CS, and "SH" is '
            'written.'),
        ('(0010,0020) XX [a]', None),
        ('(0040,1400) OB 00', None),
        ('(0028,0106) CS [1]',
            'SmallestImagePixelValue: Its kind of value (VR) is US / SS, and '
            '"CS" is written.'),
        ])
def test_other_kinds_of_values_than_those_of_the_dictionary(line, reason):
    with pytest.raises(DatasetError) as raised:
        from_dump(line)
    assert [f.code for f in raised.value.findings] == ['vr_other']
    assert reason is None or said(raised.value) == reason


# JSON

def test_flat_json():
    entry = from_json(json.dumps({
                'PatientName': 'Doe^Jane', 'PatientID': 'P1',
                'StudyInstanceUID': '1.2.3', 'PatientWeight': 70.5,
                'PregnancyStatus': 4, 'Allergies': ['a', 'b'],
                'PatientSex': None, 'ReferencedStudySequence': [],
                '0010,0021': 'x', '00104000': 'a\\b', 'Modality': 'CT',
                'ScheduledStationAETitle': 'CT1',
                'ScheduledProcedureStepStartDate': '20260131',
                'ScheduledProcedureStepStartTime': '083005'}))
    assert plain(entry) == plain(from_dump("""
(0010,0010) PN [Doe^Jane]
(0010,0020) LO [P1]
(0020,000d) UI [1.2.3]
(0010,1030) DS [70.5]
(0010,21c0) US 4
(0010,2110) LO [a\\b]
(0010,0040) CS
(0010,0021) LO [x]
(0010,4000) LT [a\\b]
(0008,1110) SQ
(fffe,e0dd) na
(0040,0100) SQ
(fffe,e000) na
(0008,0060) CS [CT]
(0040,0001) AE [CT1]
(0040,0002) DA [20260131]
(0040,0003) TM [083005]
(fffe,e00d) na
(fffe,e0dd) na"""))
    assert [code for code, *_ in codes(entry)] == ['expected'] * 3


def test_nested_json():
    entry = from_json(json.dumps({
                'ScheduledProcedureStepSequence': [{
                        'ScheduledStationAETitle': 'CT1',
                        'ScheduledProtocolCodeSequence': [
                            {'CodeValue': 'a'}, {'CodeValue': 'b'}]}],
                'Modality': 'CT',
                'RequestedProcedureCodeSequence': {'CodeValue': 'c'},
                }))
    step = entry.ScheduledProcedureStepSequence[0]
    assert (step.Modality, step.ScheduledStationAETitle) == ('CT', 'CT1')
    assert [c.CodeValue for c in step.ScheduledProtocolCodeSequence] == [
        'a', 'b']
    assert entry.RequestedProcedureCodeSequence[0].CodeValue == 'c'
    assert 'Modality' not in entry


def test_unknown_keywords_are_left_out():
    entry = from_json(
        '{"MergeID": "1",\n "PatientID": "x",\n "99999999": 1}')
    assert [*entry.keys()] == [0x00100020]
    notes = [f for f in dataset.validate(entry) if f.code == 'keyword']
    assert [(f.attribute, f.line) for f in notes] == [
        ('MergeID', 1), ('99999999', 3)]
    assert not notes[0].is_error


@pytest.mark.parametrize('text, line, reason', [
        ('{\n"PatientID": "x",\n}', 3, None),
        ('{"PatientID": "a\nb"}', 1, None),
        ('', 1, None),
        ('[]', 1, 'The text must be one JSON object.'),
        ('"x"', 1, 'The text must be one JSON object.'),
        ('{} {}', 1, 'This is not JSON: Extra data.'),
        ('{"PatientWeight": NaN}', None,
            'This is not JSON: "NaN" is not a value.'),
        ('{"PatientWeight": 1e999}', 1, None),
        ('{"PatientWeight": ' + '9' * 5000 + '}', None, None),
        ('[' * 100000, None, None),
        ('{"PatientID": "a",\n"PatientID": "b"}', 1,
            'PatientID: It is there twice.'),
        ('{"Modality": "CT",\n"Modality": "MR"}', 1,
            'Modality: It is there twice.'),
        ('{"Modality": "CT", "ScheduledProcedureStepSequence":'
            '[{"Modality": "MR"}]}', 1, 'Modality: It is there twice.'),
        ('{"Modality": "CT", "ScheduledProcedureStepSequence": []}', 1,
            'ScheduledProcedureStepSequence: '
            'It must have exactly one item, not 0.'),
        ('{\n"PatientID": true}', 2, None),
        ('{\n"PatientID": {"a": 1}}', 2, None),
        ('{"PatientID": [["a"]]}', 1, None),
        ('{"PatientID": ["a", {}]}', 1, None),
        ('{"ReferencedStudySequence": "x"}', 1, None),
        ('{"ReferencedStudySequence": ["x"]}', 1, None),
        ('{"ReferencedStudySequence": 5}', 1, None),
        ('{"PregnancyStatus": "x"}', 1,
            'PregnancyStatus: "x" is not a value of the kind US.'),
        ])
def test_what_is_no_json(text, line, reason):
    with pytest.raises(DatasetError) as raised:
        from_json(text)
    assert raised.value.findings[0].line == line
    assert reason is None or said(raised.value) == reason


# Checking

def test_a_correct_entry():
    assert codes(from_dump(CORRECT)) == []
    assert check(CORRECT, 'dump2dcm') == []


@pytest.mark.parametrize('old, new, found', [
        ('(0010,0010) PN [Doe^Jane]\n', '', ('missing', 'PatientName', None)),
        ('[Doe^Jane]', '[]', ('empty', 'PatientName', 2)),
        ('[P1]', '[]', ('empty', 'PatientID', 3)),
        ('[1.2.3]', '[]', ('empty', 'StudyInstanceUID', 4)),
        ('(0008,0060) CS [CT]\n', '\n', ('missing', 'Modality', None)),
        ('[20260131]', '',
            ('empty', 'ScheduledProcedureStepStartDate', 11)),
        ('[CT1]', '[]', ('expected', 'ScheduledStationAETitle', 10)),
        ('(0040,0009) SH [ORDER-1]\n', '',
            ('expected', 'ScheduledProcedureStepID', None)),
        ('[Head CT]', '[]',
            ('expected', 'RequestedProcedureDescription', 5)),
        ('[ISO_IR 192]', '[ISO_IR 999]',
            ('charset', 'SpecificCharacterSet', 1)),
        ('[ISO_IR 192]', '[ISO_IR 192\\ISO 2022 IR 87]',
            ('charset', 'SpecificCharacterSet', 1)),
        ('[Doe^Jane]', '[a=b=c=d]', ('name', 'PatientName', 2)),
        ('[Doe^Jane]', '[a^b^c^d^e^f]', ('name', 'PatientName', 2)),
        ('[Doe^Jane]', '[a=' + 'b' * 65 + ']', ('length', 'PatientName', 2)),
        ('[Doe^Jane]', '[a\x07]', ('characters', 'PatientName', 2)),
        ('[Doe^Jane]', '[a\\b]', ('values', 'PatientName', 2)),
        ('[P1]', '[' + 'x' * 65 + ']', ('length', 'PatientID', 3)),
        ('[P1]', '[a\x1bb]', ('characters', 'PatientID', 3)),
        ('[P1]', '[a\\b]', ('values', 'PatientID', 3)),
        ('(0040,1001) SH [ORDER-1]', '(0040,1001) SH [12345678901234567]',
            ('length', 'RequestedProcedureID', 6)),
        ('[1.2.3]', '[1.02]', ('value', 'StudyInstanceUID', 4)),
        ('[1.2.3]', '[abc]', ('value', 'StudyInstanceUID', 4)),
        ('[1.2.3]', '[' + '1.2' * 30 + ']',
            ('length', 'StudyInstanceUID', 4)),
        ('[CT]', '[ct]', ('value', 'Modality', 9)),
        ('[CT]', '[CT\\MR]', ('values', 'Modality', 9)),
        ('[CT]', '[ABCDEFGHIJKLMNOPQ]', ('length', 'Modality', 9)),
        ('[CT1]', '[é]', ('value', 'ScheduledStationAETitle', 10)),
        ('[CT1]', '[ABCDEFGHIJKLMNOPQ]',
            ('length', 'ScheduledStationAETitle', 10)),
        ('[20260131]', '[20260231]',
            ('value', 'ScheduledProcedureStepStartDate', 11)),
        ('[20260131]', '[2026-01-31]',
            ('length', 'ScheduledProcedureStepStartDate', 11)),
        ('[20260131]', '[٢٠٢٦٠١٣١]',
            ('value', 'ScheduledProcedureStepStartDate', 11)),
        ('[083005]', '[250000]',
            ('value', 'ScheduledProcedureStepStartTime', 12)),
        ('[083005]', '[08:30]',
            ('value', 'ScheduledProcedureStepStartTime', 12)),
        ])
def test_what_is_wrong_with_an_entry(old, new, found):
    assert codes(from_dump(correct(old, new))) == [found]


@pytest.mark.parametrize('line', [
        '(0010,1010) AS [45Y]', '(0010,1010) AS [045y]',
        '(0010,1010) AS [45 years]', '(0010,0030) DA [19800230]',
        '(0010,4000) LT [' + 'x' * 10241 + ']',
        '(0008,0081) ST [a\x01]',
        '(0040,a13a) DT [x]'])
def test_wrong_values_of_other_attributes(line):
    findings = dataset.validate(from_dump(CORRECT + line))
    assert len(findings) == 1 and findings[0].is_error


@pytest.mark.parametrize('line', [
        '(0010,1010) AS [045Y]', '(0010,0032) TM [0830]',
        '(0010,0032) TM [083000.123456]', '(0040,a13a) DT [20260131+0100]',
        '(0010,2110) LO [a\\b]', '(0010,4000) LT [' + 'é' * 10240 + ']',
        '(0010,2297) PN', '(0008,0054) AE [A B\\C]'])
def test_right_values_of_other_attributes(line):
    assert dataset.validate(from_dump(CORRECT + line)) == []


def test_an_entry_has_one_step():
    no_step = CORRECT[:CORRECT.index('(0040,0100)')]
    assert codes(from_dump(no_step)) == [
        ('missing', 'ScheduledProcedureStepSequence', None)]
    assert codes(from_dump(
            no_step + '(0040,0100) SQ\n(fffe,e0dd) na')) == [
        ('items', 'ScheduledProcedureStepSequence', 7)]
    item = CORRECT[CORRECT.index('  (fffe,e000)'):CORRECT.index('(fffe,e0dd)')]
    two = CORRECT.replace(item, item * 2)
    assert codes(from_dump(two)) == [
        ('items', 'ScheduledProcedureStepSequence', 7)]


def test_lines_of_json():
    entry = from_json('{"Modality": "ct",\n"PatientID":\n"a\\\\b"}')
    assert ('value', 'Modality', 1) in codes(entry)
    assert ('values', 'PatientID', 2) in codes(entry)


def test_check_tells_what_cannot_be_read_or_written():
    assert [f.code for f in check('x', 'dump2dcm')] == ['dump_line']
    assert [f.code for f in check('x', 'json')] == ['json_syntax']
    text = correct('ISO_IR 192', 'ISO_IR 100').replace('Doe', 'Иванов')
    finding, = check(text, 'dump2dcm')
    assert finding.line == 2
    assert said(finding) == (
        'PatientName: "Ивано" cannot be written in the character '
        'set "ISO_IR 100".')


def test_texts_that_are_too_long_are_cut():
    text = correct('Doe^Jane', 'a' * 70 + '=王' + '^小' * 2 + 'x' * 70)
    text = text.replace('[CT1]', '[' + 'C' * 20 + ']')
    entry = dataset.fit(from_dump(
            text + '(0010,2110) LO [c\\' + 'd' * 70 + ']'))
    assert entry.PatientName == (
        'a' * 64 + '=王^小^小' + 'x' * 59)
    assert entry.Allergies == ['c', 'd' * 64]
    # Not what names a machine.
    assert [code for code, *_ in codes(entry)] == ['length']


@pytest.mark.parametrize('line, limit', [
        ('(0008,0050) SH [{}]', 16), ('(0010,0020) LO [{}]', 64),
        ('(0010,0021) LO [{}]', 64), ('(0020,0010) SH [{}]', 16),
        ('(0038,0010) LO [{}]', 64), ('(0040,1001) SH [{}]', 16),
        ('(0010,1000) LO [A\\{}]', 64), ('(0040,2016) LO [{}]', 64)])
def test_identifiers_are_never_cut(line, limit):
    kept = '\n'.join(
        old for old in CORRECT.split('\n') if old[:11] != line[:11])
    for size in [limit, limit + 1]:
        text = line.format('b' * size) + '\n' + kept
        try:
            data = convert(text, 'dump2dcm', 'ISO_IR 192')
        except DatasetError as error:
            assert size > limit
            assert [f.code for f in error.findings] == ['length']
        else:
            assert size == limit
            assert 'b' * limit in str(read_back(data))


def test_identifiers_with_a_backslash_are_wrong():
    with pytest.raises(DatasetError) as raised:
        convert(correct('[P1]', '[P\\1]'), 'dump2dcm')
    assert [f.code for f in raised.value.findings] == ['values']


def test_the_step_gets_an_id():
    text = correct('(0040,0009) SH [ORDER-1]\n', '')
    entry = dataset.fit(from_dump(text))
    step, = entry.ScheduledProcedureStepSequence
    assert step.ScheduledProcedureStepID == 'ORDER-1'
    empty = dataset.fit(from_dump(correct('SH [ORDER-1]', 'SH []')))
    step, = empty.ScheduledProcedureStepSequence
    assert not step.ScheduledProcedureStepID
    assert not dataset.fit(from_dump('')).keys()


# Files

def test_a_file():
    data = convert(CORRECT, 'dump2dcm')
    assert data[:132] == b'\0' * 128 + b'DICM'
    entry = pydicom.dcmread(io.BytesIO(data))
    meta = entry.file_meta
    assert meta.MediaStorageSOPClassUID == '1.2.840.10008.5.1.4.31'
    assert attributes.is_uid(meta.MediaStorageSOPInstanceUID)
    assert meta.TransferSyntaxUID == '1.2.840.10008.1.2.1'
    assert meta.ImplementationClassUID == dataset.IMPLEMENTATION_CLASS_UID
    assert attributes.is_uid(dataset.IMPLEMENTATION_CLASS_UID)
    assert len(meta.ImplementationVersionName) <= 16
    assert plain(entry) == plain(from_dump(CORRECT))


def test_files_change_with_their_content_only():
    first = convert(CORRECT, 'dump2dcm')
    assert convert(CORRECT, 'dump2dcm') == first
    assert convert('# x\n' + CORRECT + '\n', 'dump2dcm') == first
    other = convert(correct('P1', 'P2'), 'dump2dcm')
    assert other != first
    uids = {
        read_back(data).file_meta.MediaStorageSOPInstanceUID
        for data in (first, other)}
    assert len(uids) == 2


def test_pydicom_writes_the_same():
    text = correct('Doe^Jane', 'Müller=王') + (
        '(0010,2110) LO [a\\bc]\n(0010,21c0) US 4\n(0010,1030) DS [70.5]\n'
        '(0010,4000) LT [odd]\n(0028,0009) AT (0018,1063)\n'
        '(0042,0011) OB 00\\01\n(0008,1110) SQ\n(fffe,e0dd) na\n'
        '(0010,9431) FL 1.5\n(0018,9073) FD 2.5\n')
    entry = from_dump(text)
    ours = dataset.to_bytes(entry)
    theirs = io.BytesIO()
    plain_entry = pydicom.dataset.Dataset(entry)
    plain_entry.file_meta = pydicom.dcmread(io.BytesIO(ours)).file_meta
    pydicom.dcmwrite(theirs, plain_entry, enforce_file_format=True)
    assert ours == theirs.getvalue()


@pytest.mark.parametrize('written, given_, used', [
        ('ISO_IR 100', 'ISO_IR 192', 'ISO_IR 100'),
        ('', 'ISO_IR 192', 'ISO_IR 192'),
        ('IS0_IR 192', None, 'ISO_IR 192'),
        ('', 'utf-8', 'ISO_IR 192'),
        ('', '\\ISO 2022 IR 87', ['', 'ISO 2022 IR 87']),
        ('', None, None),
        ('', '', None),
        ])
def test_the_character_set_of_a_file(written, given_, used):
    entry = from_dump(correct('ISO_IR 192', written))
    read = read_back(dataset.to_bytes(entry, given_))
    assert read.get('SpecificCharacterSet') == used


def test_misspelled_character_set():
    data = convert(correct('ISO_IR 192', 'IS0_IR 192'), 'dump2dcm')
    assert read_back(data).SpecificCharacterSet == 'ISO_IR 192'


def test_unknown_character_set():
    with pytest.raises(DatasetError) as raised:
        convert(correct('ISO_IR 192', 'ISO_IR 999'), 'dump2dcm')
    assert raised.value.findings[0].line == 1
    assert said(raised.value) == (
        'SpecificCharacterSet: "ISO_IR 999" is not a DICOM character '
        'set.')


@pytest.mark.parametrize('text, told', [
        ("Müller", "Müller"), ("王", "Wang"), ("Łódź", "Lódz"), ("’", "'")])
def test_what_cannot_be_written_is_the_nearest_form(text, told):
    dump = correct('ISO_IR 192', 'ISO_IR 100').replace('Doe', text)
    dump += f'(0008,0080) LO [{text}]\n'
    entry = read_back(convert(dump, 'dump2dcm'))
    assert entry.PatientName == f'{told}^Jane'
    assert entry.InstitutionName == told


@pytest.mark.parametrize('text, characters', [("王", "王"), ("Łódź", "Łź")])
def test_identifiers_that_cannot_be_written(text, characters):
    dump = correct('ISO_IR 192', 'ISO_IR 100').replace('[P1]', f'[{text}]')
    with pytest.raises(DatasetError) as raised:
        convert(dump, 'dump2dcm')
    finding, = raised.value.findings
    assert finding.values == {
        'characters': characters, 'charset': 'ISO_IR 100'}
    assert finding.attribute == 'PatientID' and finding.line == 3


def test_all_that_is_wrong_is_told():
    with pytest.raises(DatasetError) as raised:
        convert('(0010,0020) LO []', 'dump2dcm')
    assert [f.code for f in raised.value.findings] == [
        'missing', 'empty', 'missing', 'missing']
    assert said(raised.value).startswith(
        'PatientName: It is not there, and modalities need it. PatientID: ')


# Round trips

texts = st.text(st.characters(exclude_categories=['Cs']), max_size=80)
names = st.builds(attributes.Name, texts, texts, texts)
TEMPLATES = {
    'dump2dcm': rendering.compile("""\
(0010,0010) PN [${PatientName}]
(0010,0020) LO [${PatientID}] # ${my.comment}
(0010,2110) LO [${Allergies}]
(0010,4000) LT [${my.comment}]
(0032,1060) LO [${RequestedProcedureDescription}]
(0032,1032) PN [${my.comment}]
(0020,000d) UI [1.2.3]
(0040,1001) SH ${RequestedProcedureID}
(0040,0100) SQ
(fffe,e000) na
(0008,0060) CS [CT]
(0040,0001) AE [CT1]
(0040,0002) DA [20260131]
(0040,0003) TM [083005]
(0040,0007) LO [${my.comment[:64]}]
(fffe,e00d) na
(fffe,e0dd) na
"""),
    'json': rendering.compile("""\
{"PatientName": "${PatientName}", "PatientID": "${PatientID}",
"Allergies": "${Allergies}", "PatientComments": "${my.comment}",
"RequestedProcedureDescription": "${RequestedProcedureDescription}",
"RequestingPhysician": "${my.comment}",
"StudyInstanceUID": "1.2.3", "RequestedProcedureID":
"${RequestedProcedureID}", "Modality": "CT",
"ScheduledStationAETitle": "CT1",
"ScheduledProcedureStepStartDate": "20260131",
"ScheduledProcedureStepStartTime": "083005",
"ScheduledProcedureStepDescription": "${my.comment[:64]}"}
"""),
    }


# pydicom counts the blank that makes the bytes of a value even.
@pytest.mark.filterwarnings('ignore:The value length')
@settings(deadline=None)
@given(names, st.lists(names, max_size=2), texts, st.lists(texts, max_size=3),
    st.text(max_size=300), st.sampled_from([*TEMPLATES]))
@example(attributes.Name('a]\n(0010,0020) LO [b'), [], '"', ['"\\'],
    '", "PatientID": "EVIL', 'json')
@example(attributes.Name('a]'), [], ']', ['[#'],
    ']\n(0010,0020) LO [EVIL] # ]', 'dump2dcm')
def test_values_come_back(name, others, text, several, comment, kind):
    values = {
        'PatientName': attributes.person_name(name, others) or 'x',
        'PatientID': attributes.long_string(text) or 'x',
        'Allergies': attributes.multi_value(several),
        'RequestedProcedureDescription': attributes.long_string(text),
        'RequestedProcedureID': 'ORDER-1',
        'my': rendering.RecordView(
            Request(comment), {'request': {'comment'}}),
        }
    rendered = rendering.render(TEMPLATES[kind], values)
    data = convert(rendered, kind, 'ISO_IR 192')
    entry = read_back(data)
    step, = entry.ScheduledProcedureStepSequence
    assert entry.PatientName == values['PatientName']
    assert entry.PatientID == values['PatientID']
    assert '\\'.join(as_list(entry.Allergies)) == values['Allergies']
    assert (entry.RequestedProcedureDescription or ''
        ) == values['RequestedProcedureDescription']
    assert entry.RequestedProcedureID == 'ORDER-1'
    assert not {'^', '='} & {*str(entry.RequestingPhysician or '')}
    assert step.Modality == 'CT'
    assert step.ScheduledStationAETitle == 'CT1'
    assert len(entry) == 10
    comment = attributes.clean(comment, lines=True)
    comment = comment.replace('\n', '\r\n' if kind == 'json' else ' ')
    assert (entry.PatientComments or '') == comment
    assert len(step.ScheduledProcedureStepDescription or '') <= 64


class Request:
    __name__ = 'request'

    def __init__(self, comment):
        self.comment = comment


def as_list(value):
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


@pytest.mark.dcmtk
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, st.text(max_size=100)), max_size=40))
def test_dump2dcm_reads_what_it_gets(tmp_path_factory, values):
    # One run of dump2dcm for many values, each in an item of its own.
    template = rendering.compile("""\
(0040,0100) SQ
{% for value, comment in values %}\\
(fffe,e000) na
(0010,0020) LO [${value}] # ${comment}
(0010,4000) LT [${comment}]
(0010,0010) PN [${comment}]
(fffe,e00d) na
{% end %}\\
(fffe,e0dd) na
""")
    text = rendering.render(template, {
            'values': [
                (attributes.long_string(value), comment)
                for value, comment in values]})
    folder = tmp_path_factory.mktemp('dump')
    entry = dataset.fit(from_dump(text))
    ours = read_back(dataset.to_bytes(entry, 'ISO_IR 192'))
    theirs = dump2dcm(folder, dataset.to_dump(entry))
    for our, their, (value, comment) in zip(
            ours.ScheduledProcedureStepSequence,
            theirs.ScheduledProcedureStepSequence, values):
        assert plain(our) | {'00100010': 0} == plain(their) | {'00100010': 0}
        assert (our.PatientID or '') == attributes.long_string(value)
        assert str(their.PatientName or '').startswith(
            str(our.PatientName or ''))


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    for template_type in TEMPLATES:
        findings = check(text, template_type)
        assert any(finding.is_error for finding in findings)


@settings(deadline=None)
@given(st.lists(st.sampled_from([
                '(0010,0020) LO [a]', '(fffe,e000) na', '(fffe,e00d) na',
                '(fffe,e0dd) na', '(0040,0100) SQ', '(0008,1110) SQ', '#',
                '(0010,21c0) US 1', '(0010,0010) PN [x^y', ']', '(0011,0010)',
                '(7fe0,0010) OW 12', '(0008,0005) CS [GBK]'])))
def test_any_lines_are_read_or_refused(lines):
    for finding in check('\n'.join(lines), 'dump2dcm'):
        assert said(finding)


@settings(deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            'PatientID', 'Modality', 'ScheduledProcedureStepSequence',
            'ReferencedStudySequence', 'PregnancyStatus', 'PatientWeight',
            'PixelData', '0010,0010', 'x']), inner, max_size=5)))
def test_any_json_is_read_or_refused(value):
    for finding in check(json.dumps(value), 'json'):
        assert said(finding)


def test_many_values_are_read_fast():
    text = '(0040,0100) SQ\n' * 2000
    assert check(text, 'dump2dcm')
    deep = ('(0040,0100) SQ\n(fffe,e000) na\n' * 3000
        + '(fffe,e00d) na\n(fffe,e0dd) na\n' * 3000)
    assert check(deep, 'dump2dcm')[0].code == 'depth'
