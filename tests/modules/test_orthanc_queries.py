# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists and pages of studies take as many queries for many rows as for few,
in an archive of 2 000 studies and 150 000 images."""
import pytest
from support.archive_rows import make_rows, store_studies
from support.records import make_patient, make_user
from support.statements import columns, counted
from support.synchronizing import new_server, transaction

from trytond.modules.health_imaging.minute import now
from trytond.modules.health_orthanc import tables
from trytond.modules.health_orthanc.sync import storage
from trytond.pool import Pool
from trytond.transaction import Transaction

STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
INSTANCE = 'gnuhealth.imaging_orthanc.series_instances'
PATIENT = 'gnuhealth.orthanc.patient'
SERVER = 'gnuhealth.orthanc.config'
# The form of an image asks its server for a picture.
NOWHERE = 'http://127.0.0.1:1'
STUDIES, SHAPE = 2000, [25, 25, 25]
LARGE = [20] * 60


@pytest.fixture(scope='module')
def archive(activated):
    "The id of a user who may see the archive."
    with transaction():
        Server = Pool().get(SERVER)
        servers = [
            new_server(f'{NOWHERE}/{n}') for n in range(3)]
        Server.write(Server.browse(servers), {
                'viewers': ['explorer', 'ohif', 'stone']})
        store_studies(servers, STUDIES, SHAPE)
        storage.Tree(servers[0], now()).store(
            [make_rows(STUDIES, LARGE)])
        Study = Pool().get(STUDY)
        newest = Study.search([], limit=120)
        for number, study in enumerate(newest[::2]):
            patient = make_patient(lastname=f"Linked{number}")
            tables.set_values(Study, [study.id], patient=patient.id,
                link_state='linked', link_rule='patient_id')
        user = make_user('reader', 'health.group_health_doctor',
            'health_orthanc.group_imaging_orthanc')
        Transaction().commit()
        assert Pool().get(INSTANCE).search_count([]) == 151_200
        return user.id


def count(Model, names, ids):
    "Return the statements that reading records takes."
    for cache in Transaction().cache.values():
        cache.clear()
    with counted() as statements:
        assert len(Model.read(ids, names)) == len(ids)
    return statements


@pytest.mark.parametrize('kind, rows', [('tree', 100), ('form', 7)])
@pytest.mark.parametrize('name', [STUDY, SERIES, INSTANCE, PATIENT, SERVER])
def test_queries_do_not_depend_on_rows(archive, name, kind, rows):
    with transaction(archive, _check_access=True):
        Model = Pool().get(name)
        names = columns(name, kind)
        assert len(names) >= 3
        ids = [r.id for r in Model.search([], limit=rows)]
        few = ids[-2:]
        # The first time fills what trytond keeps for all transactions.
        count(Model, names, few)
        before, after = count(Model, names, few), count(Model, names, ids)
        assert len(after) <= len(before), '\n'.join(sorted(after))
        assert len(after) < 40


def test_pages_do_not_depend_on_their_content(archive):
    "A study of three series is read with the queries of one with sixty."
    with transaction(archive, _check_access=True):
        Study, Series = Pool().get(STUDY), Pool().get(SERIES)
        numbers = []
        for uid in [f's{STUDIES - 2}', f's{STUDIES}'] * 2:
            study, = Study.search([('orthanc_UID', '=', uid)])
            page = count(Study, columns(STUDY, 'form'), [study.id])
            rows = count(
                Series, columns(SERIES, 'tree'), [s.id for s in study.series])
            numbers.append((len(page), len(rows)))
        assert numbers[2] == numbers[3]


def test_search_takes_one_query(archive):
    with transaction(archive, _check_access=True):
        Study = Pool().get(STUDY)
        for domain in [
                [], [('rec_name', 'ilike', '%Family7%')],
                [('link_state', '=', 'review')],
                [('missing_since', '!=', None)],
                [('server', '=', f'{NOWHERE}/1')]]:
            Study.search(domain, limit=100)
            with counted() as statements:
                Study.search(domain, limit=100)
            assert len(statements) <= 2
