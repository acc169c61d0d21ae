# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital with its servers, and a user for each role, for tests of the
clients."""
import os
from contextlib import contextmanager
from pathlib import Path

import seed
from modality import Modality
from proteus import Model
from proteus.config import set_xmlrpc_session
from pydicom.uid import generate_uid
from services import HOST, Orthanc, Trytond
from story import Story

ROOT = Path(__file__).parents[2]
#: The ways through the menu.
IMAGING = ["Health", "Medical Imaging"]
CONFIGURATION = ["Health", "Configuration", "Medical Imaging"]
#: Users beside those of the seed, each with the group of the role only.
ROLES = {
    'imaging_admin': 'health_imaging.group_health_imaging_admin',
    'it': 'health_orthanc.group_imaging_orthanc_admin',
    'pacs_user': 'health_orthanc.group_imaging_orthanc',
    }


class World:
    """The servers and what machines do at them.

    :ivar server: services.Trytond
    :ivar orthanc: services.Orthanc
    :ivar folder: for what is written on the way
    """

    def __init__(self, server, orthanc, folder):
        self.server = server
        self.orthanc = orthanc
        self.folder = folder

    def session(self, login='admin'):
        "Return a context manager with the proteus configuration of a user."
        return set_xmlrpc_session(
            f'{self.server.url}/{self.server.database}/', login,
            seed.PASSWORD)

    def modality(self, exam):
        "Return the machine of an exam."
        return Modality(exam.aetitle, HOST, self.orthanc.dicom_port,
            self.orthanc.aet, self.folder / exam.aetitle)

    def examine(self):
        """Publish the worklist and let two machines send images of whom they
        find: one study is of a person who is not quite the patient of the
        request."""
        Story(self.server, self.orthanc, self.folder).run_script()
        for exam in [seed.CT_HEAD, seed.CHEST]:
            modality = self.modality(exam)
            entry, = modality.worklist()
            if exam is seed.CHEST:
                entry.StudyInstanceUID = generate_uid()
                entry.PatientBirthDate = '19700101'
            modality.send(modality.acquire(entry, 2))


def fill_server(person, world, password):
    "Type in what Add Orthanc Server asks a person for."
    for label, text in [
            ("Label", "PACS"), ("URL", world.orthanc.url),
            ("User", world.orthanc.user), ("Password", password)]:
        person.fill(label, text)


def shots_folder(client):
    """Return the folder for screenshots, from IMAGING_..._SHOTS or that of
    the tox environment.

    :param client: 'web' or 'desktop'
    """
    folder = Path(os.environ.get(f'IMAGING_{client.upper()}_SHOTS')
        or ROOT / '.tox' / client / 'shots')
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def running(database, folder, web_root=None, orthanc_options=None):
    """Start the servers on a seeded database and give the world.

    :param database: support.databases.Copy
    :param folder: for what the servers write
    :param web_root: the folder of the web client
    :param orthanc_options: options that win over those of services.Orthanc
    """
    orthanc = Orthanc(
        folder / 'orthanc', users={'gnuhealth': seed.PASSWORD},
        modalities={exam.aetitle: exam.aetitle for exam in seed.EXAMS},
        extra=orthanc_options)
    # LibreOffice keeps a profile in its home.
    server = Trytond(
        folder / 'trytond', **database.options, web_root=web_root,
        environment={'HOME': str(folder)})
    with orthanc, server:
        yield World(server, orthanc, folder)


def make_roles(world):
    "Make the users of the roles, who are health professionals too."
    with world.session() as config:
        company, = Model.get('company.company', config).find([])
        institution, = Model.get('gnuhealth.institution', config).find([])
        for login, group in ROLES.items():
            person = seed.Person(
                login.title(), "Tamang", None, 'f', login.upper(), 'pgfs')
            user = seed.make_user(
                config, seed.Login(login, person, [group]), company)
            seed.make_professional(config, person, institution, user)


def speak_arabic(world, login):
    """Take Arabic into use as the documentation says.

    :param world: World
    :param login: of the user who speaks it
    """
    with world.session() as config:
        Language = Model.get('ir.lang', config)
        language = Language(
            code='ar', name="العربية", direction='rtl', date='%d/%m/%Y')
        language.save()
        language.click('load_translations')
        user, = Model.get('res.user', config).find([('login', '=', login)])
        user.language = language
        user.save()
