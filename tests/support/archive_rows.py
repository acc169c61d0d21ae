# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of studies as a synchronization stores them, for tests that need a
large archive and no server."""
import datetime as dt

from trytond.modules.health_imaging.minute import now
from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_orthanc.archive.values import InstanceValues
from trytond.modules.health_orthanc.sync import storage
from trytond.modules.health_orthanc.sync.rows import StudyRows
from trytond.modules.health_orthanc.sync.storing import Keeper
from trytond.pool import Pool
from trytond.transaction import without_check_access


def make_rows(number, shape):
    """Return the rows of a study.

    :param int number: of the study, two of them belong to one patient
    :param shape: the number of images of each series
    """
    item = StudyRows(
        {
            'uuid': f'p{number // 2}', 'name': f'Family{number // 2}^Given',
            'bd': dt.date(1970, 1, 1), 'sex': 'F', 'ident': f'I{number // 2}',
            },
        {
            'orthanc_UID': f's{number}',
            'study_instance_UID': f'2.999.{number}',
            'patient_name': f'Family{number // 2}^Given',
            'patient_id': f'I{number // 2}',
            'study_date': (
                dt.date(2020, 1, 1) + dt.timedelta(days=number)),
            'description': f'Study {number}', 'modalities': 'CT',
            'link_state': 'unlinked',
            },
        [({
                'orthanc_UID': f'r{number}-{s}',
                'series_UID': f'2.999.{number}.{s}',
                'series_number': str(s), 'modality': 'CT',
                'series_description': f'Series {s}',
                }, [InstanceValues(
                    f'i{number}-{s}-{i}', f'2.999.{number}.{s}.{i}', i,
                    None, None, f'r{number}-{s}')
                    for i in range(size)])
            for s, size in enumerate(shape)])
    item.add_totals()
    item.set_classes({})
    return item


def store_studies(servers, number, shape):
    """Store studies, fifty of each server in turn.

    :param servers: list of ids
    :param int number: how many studies there shall be
    :param shape: the number of images of each series
    """
    for start in range(0, number, 50):
        tree = storage.Tree(servers[start // 50 % len(servers)], now())
        tree.store([
                make_rows(n, shape)
                for n in range(start, min(start + 50, number))])


@without_check_access
def send_study(server, number, shape, study=None, **series):
    """Have a server send a study, as the synchronization stores it.

    :param server: gnuhealth.orthanc.config record
    :param int number: see make_rows
    :param shape: see make_rows
    :param dict study: columns of the study, beside those of the number
    :param series: columns of all series but the first
    """
    class Run:
        commit = skip = review = full = None
    run = Run()
    run.server = server
    item = make_rows(number, shape)
    item.study.update(study or {})
    for row, _ in item.series[1:]:
        row.update(series)
    Keeper(run)._stored([item])


def have_images(request):
    "Insert a study with pictures of a request."
    pool = Pool()
    server, = pool.get('gnuhealth.orthanc.config').create([{
                'label': f"PACS {request.id}",
                'domain': f'http://pacs{request.id}.invalid',
                'user': "user", 'password': "password"}])
    study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    values = {
        'orthanc_server': server.id, 'orthanc_UID': f's{request.id}',
        'study_instance_UID': f'2.999.{request.id}', 'request': request.id,
        'number_of_instances': 3, 'link_state': 'linked'}
    execute(study.insert(
            [getattr(study, name) for name in values],
            [list(values.values())]))
