# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PACS lists as the rows of whole studies."""
from operator import itemgetter

import pytest

from trytond.modules.health_orthanc.archive import values
from trytond.modules.health_orthanc.sync.rows import Converter, cut


@pytest.fixture
def skipped():
    return []


@pytest.fixture
def converter(skipped):
    return Converter(lambda *reason: skipped.append(reason))


def study(**changes):
    return values.study({
        'ID': 'st', 'ParentPatient': 'pa', 'Type': 'Study',
        'Series': ['s1', 's2'],
        'MainDicomTags': {
            'StudyInstanceUID': '1.2', 'StudyDate': '20260102'},
        'PatientMainDicomTags': {
            'PatientID': 'P1', 'PatientName': 'Doe^Jane',
            'PatientBirthDate': '19800101', 'PatientSex': 'F'},
        **changes})


def series(number, **tags):
    return values.series({
            'ID': f's{number}', 'ParentStudy': 'st', 'Instances': ['a', 'b'],
            'MainDicomTags': {
                'SeriesInstanceUID': f'1.2.{number}', **tags}})


def test_study_and_its_patient(converter, skipped):
    item = converter.study(study(), [
            series(1, Modality='MR'), series(2, Modality='CT'),
            series(3, Modality='MR', PerformingPhysicianName='House^G')])
    assert item.uid == 'st'
    assert item.patient['uuid'] == 'pa'
    assert (item.patient['name'], item.patient['ident']) == ('Doe^Jane', 'P1')
    assert item.patient['sex'] == item.study['patient_sex'] == 'F'
    assert item.study['modalities'] == 'CT, MR'
    assert item.study['performing_physician_name'] == 'House^G'
    assert len(item.series) == 3
    names = {name for row, _ in item.series for name in row}
    assert 'performing_physician_name' not in names
    assert not skipped


def test_totals(converter):
    item = converter.study(study(), [series(1), series(2)])
    item.series[0][1].extend([{}, {}, {}])
    item.add_totals()
    assert [row['number_of_instances'] for row, _ in item.series] == [3, 0]
    assert item.study['number_of_series'] == 2
    assert item.study['number_of_instances'] == 3
    item.count({'s2': 7})
    assert item.study['number_of_instances'] == 7


def test_study_without_patient(converter):
    item = converter.study(study(ParentPatient=None), [])
    assert item.patient is None
    assert item.study['modalities'] is None


def test_what_cannot_be_stored_is_told(converter, skipped):
    assert converter.study(study(MainDicomTags={}), []) is None
    item = converter.study(study(), [
            series(1), series(9, SeriesInstanceUID='')])
    assert len(item.series) == 1
    assert converter.instances([
            values.instance({'ID': 'i1', 'ParentSeries': 's1'})]) == {}
    assert skipped == [
        ('st', 'no_uid'), ('s9', 'no_uid'), ('i1', 'no_uid')]


@pytest.mark.parametrize('order', [1, -1])
def test_of_two_with_one_uid_always_the_same_stays(
        converter, skipped, order):
    rows = [(id_, 'x') for id_ in ['b', 'a', 'c']][::order]
    assert converter.unique([*rows, ('d', 'y')]) == [('a', 'x'), ('d', 'y')]
    assert {uid for uid, _ in skipped} == {'b', 'c'}


def test_one_told_twice_is_one(converter, skipped):
    row = {'id': 'a', 'uid': 'x'}
    assert converter.unique(
        [row, dict(row)], itemgetter('id', 'uid')) == [row]
    assert not skipped


@pytest.mark.parametrize('weights, blocks', [
        ([], []),
        ([1, 1, 1], [[1, 1, 1]]),
        ([4, 1, 5], [[4, 1], [5]]),
        ([9, 1, 9], [[9], [1], [9]]),
        ([0, 0, 5, 1], [[0, 0, 5], [1]]),
        ])
def test_blocks(weights, blocks):
    assert list(cut(weights, int, 5)) == blocks
