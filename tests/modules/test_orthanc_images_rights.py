# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what with images: the table of the documentation, each cell over
RPC by a user who has that one group."""
import csv
from pathlib import Path

import pytest
from support.images import (
    INSTANCE, SERIES, STUDY, Hospital, context_of, ct_series, variant)
from support.records import PASSWORD, Rpc, RpcError, make_user

DOC = Path(__file__).parents[2] / 'health_orthanc/doc/usage.rst'
GROUPS = {
    "Doctor": 'health.group_health_doctor',
    "Health Imaging": 'health_imaging.group_health_imaging',
    "Health Imaging Administration":
        'health_imaging.group_health_imaging_admin',
    "Health Imaging Orthanc": 'health_orthanc.group_imaging_orthanc',
    "Health Imaging Orthanc Administration":
        'health_orthanc.group_imaging_orthanc_admin',
    "Health Administration": 'health.group_health_admin',
    "Front Desk": 'health.group_health_frontdesk',
    "Nursing": 'health.group_health_nursing',
    "No group": None,
    }
WIZARD = 'gnuhealth.imaging_orthanc'


def cells():
    "Return row, group and whether it is allowed, of the table."
    lines = DOC.read_text(encoding='utf-8').split(
        '.. csv-table:: Images: who may\n')[1].splitlines()
    (_, *groups), *rows = csv.reader(
        [lines[0].partition(':header:')[2], *map(str.strip, lines[2:8])],
        skipinitialspace=True)
    for row, *values in rows:
        allowed = {g for g, value in zip(groups, values) if value == 'yes'}
        for group in GROUPS:
            yield pytest.param(
                row, group, group in allowed, id=f'{row}-{group}')


@pytest.fixture(scope='module')
def hospital(activated, tmp_path_factory):
    hospital = Hospital(tmp_path_factory.mktemp('orthanc'))
    with hospital.transaction():
        for number, group in enumerate(GROUPS.values()):
            make_user(
                f'user{number}', *filter(None, [group]), password=PASSWORD)
    hospital.linked = hospital.store(*ct_series(1))
    hospital.link(hospital.linked)
    yield hospital
    hospital.close()


@pytest.fixture(scope='module')
def users(hospital):
    return {name: Rpc(f'user{number}') for number, name in enumerate(GROUPS)}


def preview(hospital, rpc):
    study = hospital.linked
    for model, id_ in [
            (STUDY, study), (SERIES, hospital.series(study)[0]),
            (INSTANCE, hospital.instances(study)[0])]:
        yield lambda: rpc(f'model.{model}.preview', [id_])
        yield lambda: rpc.run_wizard(
            f'{WIZARD}.preview', [('open_', {})], **context_of(model, id_))
    for name in ['image', 'thumbnail', 'in_report']:
        yield lambda: rpc(
            f'model.{INSTANCE}.read', hospital.instances(study), [name])


def add(hospital, rpc):
    instance, = hospital.instances(hospital.linked)
    yield lambda: rpc(
        f'model.{INSTANCE}.attach_image_to_imaging_test_report', [instance])
    yield lambda: rpc.run_wizard(f'{WIZARD}.preview', [
            ('attach', {'show': {'instance': instance}}),
            ], **context_of(INSTANCE, instance))


def upload(hospital, rpc):
    yield lambda: rpc.run_wizard(f'{WIZARD}.upload_image_data', [
            ('upload', {'start': {
                        'data_to_upload': variant('MR_small.dcm'),
                        'server_config': hospital.server}})])


def delete(hospital, rpc):
    study = hospital.store(*ct_series(1))
    series, = hospital.series(study)
    for model, id_ in [(SERIES, series), (STUDY, study)]:
        kind = 'study' if model == STUDY else 'series'
        yield lambda: rpc(f'model.{model}.delete_{kind}', [id_])
        yield lambda: rpc.run_wizard(f'{WIZARD}.delete', [
                ('remove', {'start': {'reason': "A test"}}),
                ], **context_of(model, id_))


def read_log(hospital, rpc):
    name = 'model.gnuhealth.orthanc.access_log'
    yield lambda: rpc(f'{name}.search_read', [], 0, 1, None, ['details'])
    yield lambda: rpc(f'{name}.export_data', [1], ['details'])


def read_reports(hospital, rpc):
    name = 'model.gnuhealth.orthanc.report'
    yield lambda: rpc(f'{name}.search_read', [], 0, 1, None, ['error'])


ACTIONS = {
    "Preview": preview,
    "Add to Report": add,
    "Upload DICOM Files": upload,
    "Delete on the Server": delete,
    "Access Log": read_log,
    "Reports on Servers": read_reports,
    }


@pytest.mark.parametrize('row, group, allowed', list(cells()))
def test_who_may(hospital, users, row, group, allowed):
    for action in ACTIONS[row](hospital, users[group]):
        if allowed:
            action()
        else:
            with pytest.raises(RpcError) as error:
                action()
            assert any(text in error.value.message for text in [
                    "not allowed", "is for members of"]), error.value.message
