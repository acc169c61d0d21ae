# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital whose viewers are behind nginx: a PACS with studies of two
patients, known to a trytond, and the web server that they are opened by."""
import seed
from gateway import Gateway
from pydicom.uid import generate_uid

from .images import STUDY, ct_series
from .records import Rpc

SERVER = 'gnuhealth.orthanc.config'


class GuardedHospital:
    """Three studies, two of one patient, behind an nginx.

    :param folder: for what nginx writes
    :param trytond: services.Trytond on the seeded database
    :param orthanc: services.Orthanc, empty
    :param root: the folder in which OHIF is below ohif
    :ivar gateway: gateway.Gateway
    :ivar uids: of the studies
    """

    def __init__(self, folder, trytond, orthanc, root):
        self.trytond, self.orthanc = trytond, orthanc
        self.gateway = Gateway(folder, orthanc, trytond, root)
        self.uids = [generate_uid() for _ in range(3)]
        self.images = [
            ct_series(2, uid, PatientID=person.puid,
                PatientName=f'{person.family}^{person.given}',
                PatientBirthDate=f'{person.birth:%Y%m%d}',
                PatientSex=person.gender.upper(), SpecificCharacterSet=(
                    'ISO_IR 192'))
            for uid, person in zip(self.uids, [
                    seed.LATIN, seed.LATIN, seed.CHINESE])]

    def open(self):
        "Start nginx, and make all known to GNU Health."
        self.gateway.start()
        for image in sum(self.images, []):
            self.orthanc.rest('POST', '/instances', image)
        admin = self.user('admin')
        self.server, = admin(f'model.{SERVER}.create', [{
                    'label': "PACS", 'domain': self.orthanc.url,
                    'user': self.orthanc.user,
                    'password': self.orthanc.password,
                    'other_viewers': ['ohif'],
                    'viewer_address': self.gateway.url}])
        run, = admin(f'model.{SERVER}.sync_now', ["PACS"])
        assert run['state'] == 'done', run

    def user(self, login):
        "Return a user who comes over RPC."
        return Rpc(login, seed.PASSWORD,
            f'{self.trytond.url}/{self.trytond.database}/')

    def study(self, rpc, number):
        "Return the id of a study."
        found, = rpc(f'model.{STUDY}.search', [
                ('study_instance_UID', '=', self.uids[number])], 0, None, None)
        return found

    def ticket(self, rpc, number=0):
        "Return the address that opens a study for a user."
        return rpc(
            f'model.{STUDY}.open_viewer', [self.study(rpc, number)])['url']
