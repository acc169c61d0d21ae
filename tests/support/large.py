# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a database on PostgreSQL with the years of a large hospital: rows as
the modules make them are made once and repeated inside the database."""
from psycopg2 import sql

from support.archive_rows import make_rows
from support.records import (
    make_exam, make_patient, make_professional, make_request, settle)
from support.synchronizing import new_server

from trytond.modules.health_orthanc.sync import storage
from trytond.modules.health_orthanc.sync.transactions import now
from trytond.pool import Pool
from trytond.transaction import Transaction

#: How many images a study has, all of one series.
IMAGES = 4
# The years that requests are spread over.
_MINUTES = 10 * 365 * 24 * 60


def repeat(model, id_, times, **columns):
    """Insert copies of a row, inside the database.

    :param str model: name of the model
    :param int id_: of the row
    :param int times: how many copies
    :param columns: SQL expressions of what differs, of n (from 1), the
        alias c of the row, and placeholders {base} for its id
    :return: the ids of the first and last copy are id_ + 1 and id_ + times
    """
    Model = Pool().get(model)
    transaction = Transaction()
    cursor = transaction.connection.cursor()
    table = sql.Identifier(Model._table)
    cursor.execute(sql.SQL('SELECT * FROM {} LIMIT 0').format(table))
    names = [column.name for column in cursor.description]
    columns = {'id': f'{id_} + n', **columns}
    unknown = set(columns) - set(names)
    assert not unknown, unknown
    cursor.execute(sql.SQL(
            'INSERT INTO {table} ({names}) SELECT {values} FROM {table} AS c, '
            'generate_series(1, %s) AS n WHERE c.id = %s').format(
            table=table,
            names=sql.SQL(', ').join(map(sql.Identifier, names)),
            values=sql.SQL(', ').join(
                sql.SQL(columns[name].replace('%', '%%')) if name in columns
                else sql.SQL('c.{}').format(sql.Identifier(name))
                for name in names)),
        [times, id_])
    transaction.database.setnextid(
        transaction.connection, Model._table, id_ + times)


class Large:
    """A hospital of many years.

    :param int patients: how many
    :param int requests: how many; four of five are done and have a result
    :param int studies: how many, each with the IMAGES
    """

    def __init__(self, patients, requests, studies):
        self.patients, self.requests, self.studies = (
            patients, requests, studies)
        self.server = new_server('http://large.invalid')
        self.exam, self.doctor = make_exam("Head CT"), make_professional()
        self._make_patients()
        self._make_requests()
        self._make_studies()
        Transaction().commit()
        connection = Transaction().database.get_connection(autocommit=True)
        try:
            connection.cursor().execute('VACUUM ANALYZE')
        finally:
            Transaction().database.put_connection(connection)

    def _make_patients(self):
        self.patient = make_patient("Given", "Family", 'f', ref='PUID0')
        party = self.patient.party.id
        # A birthday is shared by about ten.
        repeat('party.party', party, self.patients,
            ref="'PUID' || n", name="'Given' || n % 2000",
            lastname="'Family' || n / 7",
            dob="date '1925-01-01' + n % 36500",
            code="'L' || n", federation_account="'F' || n")
        repeat('gnuhealth.patient', self.patient.id, self.patients,
            party=f'{party} + n')

    def _make_requests(self):
        self.request = make_request(self.patient, self.exam, self.doctor)
        type(self.request).requested([self.request])
        settle()
        result, = type(self.request).make_results([self.request])
        done = self.requests * 4 // 5
        of = f'{self.patient.id} + n % {self.patients}'
        at = f"interval '1 minute' * (n * {_MINUTES / self.requests}::float)"
        repeat('gnuhealth.imaging.test.request', self.request.id,
            self.requests, patient=of,
            request="'R' || n", request_line="'R' || n || '-01'",
            date=f'c.date - {at}',
            state=f"CASE WHEN n <= {done} THEN 'done' ELSE 'requested' END",
            merge_id="'2.25.' || n", step_id="'S' || n",
            accession_number="'R' || n")
        repeat('gnuhealth.imaging.test.result', result.id, done,
            patient=of, request=f'{self.request.id} + n',
            number="'T' || n", date=f'c.date - {at}', state="'final'",
            signed_at=f'c.date - {at}')

    def _make_studies(self):
        tree = storage.Tree(self.server, now())
        tree.store([make_rows(0, [1])])
        study, = tree.touched
        row, = Pool().get('gnuhealth.imaging_orthanc.study').browse([study])
        patient, (series,) = row.orthanc_patient.id, row.series
        instance, = series.instances
        request, n = self.request.id, self.studies
        of = f'(n % {self.patients})'
        repeat('gnuhealth.orthanc.patient', patient, self.patients,
            uuid="'p' || n", ident="'PUID' || n")
        repeat('gnuhealth.imaging_orthanc.study', study, n,
            orthanc_patient=f'{patient} + 1 + {of}', orthanc_UID="'s' || n",
            study_instance_UID="'2.999.1.' || n",
            patient=f'{self.patient.id} + {of}', request=f'{request} + n',
            patient_id=f"'PUID' || {of}", link_state="'linked'",
            study_date="c.study_date - (n % 3650)::int")
        repeat('gnuhealth.imaging_orthanc.study_series', series.id, n,
            study=f'{study} + n', orthanc_UID="'r' || n",
            series_UID="'2.999.2.' || n")
        repeat('gnuhealth.imaging_orthanc.series_instances', instance.id,
            n * IMAGES, series=f'{series.id} + 1 + (n - 1) / {IMAGES}',
            orthanc_UID="'i' || n", sop_instance_UID="'2.999.3.' || n")
