# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Orthanc that gives notice to a GNU Health, and how long it takes from the
last image of a study until the study is at its request."""
import datetime as dt
import itertools
import time
from contextlib import closing
from pathlib import Path

from services import Orthanc
from support import archive
from support.link_invariant import opened
from support.records import make_exam, make_patient, make_request

from trytond.modules.health_orthanc.notice import PATH, renew_secret
from trytond.pool import Pool
from trytond.transaction import Transaction

SCRIPT = (Path(__file__).parents[2] / 'his-utils' / 'orthanc' / 'notify.lua')


def write_script(path, address, secret):
    """Write notify.lua with the two values that a person types into it.

    :param path: of the new script
    :param address, secret: as New Secret of the server shows them
    """
    text = SCRIPT.read_text()
    for name, value in [('URL', address), ('SECRET', secret)]:
        line, = [
            one for one in text.splitlines()
            if one.startswith(f'local {name} =')]
        text = text.replace(line, f"local {name} = '{value}'")
    path.write_text(text)


class Notifying:
    """A GNU Health and an Orthanc that gives it notice, which is started.

    :param database: a Copy with the three modules
    :param trytond: a services.Trytond on it
    :param folder: of the Orthanc
    :param extra: see services.Orthanc
    """

    def __init__(self, database, trytond, folder, **extra):
        self.database, self.trytond = database, trytond
        self._numbers = itertools.count(1)
        script = folder / 'notify.lua'
        # The ports are known when it runs.
        script.touch()
        self.orthanc = Orthanc(folder, extra={
                'LuaScripts': [str(script)], **extra})
        with opened(database):
            self.orthanc.start()
            self.exam = make_exam("CT of notices", type_='ctscan').id
            server, = Pool().get('gnuhealth.orthanc.config').create([{
                        'label': "PACS of notices", 'domain': self.orthanc.url,
                        'user': self.orthanc.user,
                        'password': self.orthanc.password,
                        'validated': True}])
            self.server, self.secret = server.id, renew_secret(server)
            Transaction().tasks.clear()
        self.address = f'{trytond.url}/{database.name}/{PATH}'
        write_script(script, self.address, self.secret)
        self.orthanc.stop()
        self.orthanc.start()

    def send(self, pause=0, **values):
        """Make a request and send its study to the PACS.

        :param pause: seconds after each image
        :param values: see archive.study
        :return: id of the request
        """
        number = 600_000 + next(self._numbers)
        born = dt.date(1970, 1, 2)
        with opened(self.database):
            patient = make_patient(
                "Ana", "Betz", 'f', born, ref=f'NOTICE{number}')
            request = make_request(
                patient, Pool().get('gnuhealth.imaging.test')(self.exam))
            type(request).requested([request])
            id_, accession = request.id, request.request
        study = archive.study(number, **{
                'patient_id': f'NOTICE{number}', 'patient_name': 'Betz^Ana',
                'sex': 'F', 'birth_date': f'{born:%Y%m%d}', 'charset': '',
                'encoding': 'ascii', 'omitted': frozenset(),
                'date': f'{dt.date.today():%Y%m%d}',
                'accession_number': accession, 'series': 1, 'instances': 2,
                **values})
        for number, data in enumerate(archive.files(study)):
            time.sleep(pause if number else 0)
            self.orthanc.rest('POST', '/instances', data)
        return id_

    def query(self, text, *parameters):
        "Return the rows of a query on a connection of its own."
        with closing(self.database.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(text, parameters)
            found = cursor.fetchall() if cursor.description else None
            connection.commit()
            return found

    def wait_for(self, request, images=2, seconds=60):
        """Wait until the study of a request is there with all its images.

        :return: seconds
        """
        start = time.monotonic()
        while time.monotonic() < start + seconds:
            if self.query(
                    'SELECT id FROM gnuhealth_imaging_orthanc_study '
                    f'WHERE request = {request:d} '
                    f'AND number_of_instances = {images:d}'):
                return time.monotonic() - start
            time.sleep(0.05)
        raise AssertionError("the study did not come")
