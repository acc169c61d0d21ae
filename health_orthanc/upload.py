# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard "Upload DICOM Files"."""
import io
import logging
from collections import Counter

from trytond.config import config
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.rights import check_read
from trytond.modules.health_imaging.told import tell
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, PYSONEncoder
from trytond.transaction import Transaction, without_check_access
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from .archive import container, orthanc, structure
from .connection import connect
from .exceptions import UploadError, error_text
from .image_wizard import ImageWizard
from .links.access_log import note
from .server import user_errors

logger = logging.getLogger(__name__)

MB = 10 ** 6
# What of a request are files: the rest are base64 and its ends of lines.
IN_REQUEST = 0.73
# More are only counted, those with a problem come first.
MAX_LISTED = 500
# A server that fails on so many files in a row is ill.
MAX_FAILURES = 3
STATES = [
    ('stored', "Stored"),
    ('already', "Already There"),
    ('not_dicom', "Not DICOM"),
    ('refused', "Refused"),
    ]
# What is wrong with one file says nothing about the next one.
_OF_THE_FILE = (
    orthanc.BadRequest, orthanc.Conflict, orthanc.NotFound,
    orthanc.ServerError, orthanc.UnsupportedMedia, orthanc.UploadTooLarge)


def max_bytes():
    """Return how large an upload may be, in bytes: it is one request, which
    takes trytond six times the memory."""
    size = config.getint('health_orthanc', 'max_upload', default=100) * MB
    request = config.getint('request', 'max_size_authenticated')
    return min(size, int(request * IN_REQUEST)) if request else size


class Upload:
    """Sends the files of one upload to a server.

    :ivar files: list of dicts with name, state and reason
    :ivar studies: Orthanc ids of the studies, in order
    :ivar problem: the translated sentence on why it stopped, or None
    """

    def __init__(self, server):
        self.server = server
        self.files = []
        self.studies = {}
        self.problem = None
        self._failures = 0

    def send(self, file, name):
        """Send all files.

        :param file: binary file that can seek
        :param str name: its name, for people
        :raises UploadError: nothing was sent
        """
        with connect(self.server) as client:
            client.upload_timeout = self.server.read_timeout
            try:
                for part in container.parts(file, name):
                    self._send(client, part)
            except container.ContainerError as error:
                raise UploadError(gettext(
                        f'health_orthanc.msg_upload_all_{error.reason}',
                        files=container.MAX_FILES,
                        size=container.MAX_BYTES // 2 ** 30)) from None
            except orthanc.OrthancError as error:
                self._stop(error_text(error, self.server.label))
            except OSError:
                # What is unpacked is kept on the disk.
                self._stop(gettext('health_orthanc.msg_upload_no_room'))

    def _stop(self, problem):
        self.problem = gettext('health_orthanc.msg_upload_stopped',
            problem=problem, count=len(self.files))
        logger.info("upload to server %s stopped after %s files",
            self.server.id, len(self.files))

    def _send(self, client, part):
        """Send one file, and keep what the server said about it."""
        if part.reason:
            self._refuse(part.name, part.reason)
            return
        # What was said of the file before was translated.
        Transaction().commit()
        try:
            stored = client.upload(part.file)
        except _OF_THE_FILE as error:
            self._failures += 1
            if (isinstance(error, orthanc.StorageFull)
                    or self._failures >= MAX_FAILURES):
                raise
            self._add(
                part.name, 'refused', error_text(error, self.server.label))
            return
        self._failures = 0
        for one in stored:
            if one.study:
                self.studies[one.study] = None
            if one.status == 'refused':
                self._refuse(part.name, one.reason, one.details)
            else:
                self._add(part.name, one.status)

    def _refuse(self, name, reason, details=''):
        text = gettext(
            f'health_orthanc.msg_upload_{reason}', count=structure.MAX_DEPTH)
        self._add(
            name, 'not_dicom' if reason == 'not_dicom' else 'refused',
            f'{text} {details}'.strip())

    def _add(self, name, state, reason=''):
        self.files.append({'name': name, 'state': state, 'reason': reason})


class UploadStart(ModelView):
    "Upload DICOM Files"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.start'

    data_to_upload = fields.Binary("File", filename='file_name',
        required=True, help="A DICOM file, or a ZIP of DICOM files.")
    file_name = fields.Char("File Name", states={'invisible': True})
    server_config = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True,
        help="Where the files are stored.")
    hint = fields.Char("Hint", readonly=True)

    @staticmethod
    def default_hint():
        return gettext(
            'health_orthanc.msg_upload_hint', size=max_bytes() // MB)

    @staticmethod
    def default_server_config():
        Server = Pool().get('gnuhealth.orthanc.config')
        servers = Server.search([], limit=2)
        return servers[0].id if len(servers) == 1 else None


class UploadFile(ModelView):
    "Uploaded File"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.file'

    name = fields.Char("File", readonly=True)
    state = fields.Selection(STATES, "State", readonly=True, sort=False)
    reason = fields.Char("Reason", readonly=True)


class UploadDone(ModelView):
    "DICOM Files Uploaded"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data.done'

    summary = fields.Text("Summary", readonly=True)
    files = fields.One2Many(
        'gnuhealth.imaging_orthanc.upload_image_data.file', None, "Files",
        readonly=True)
    studies = fields.Many2Many(
        'gnuhealth.imaging_orthanc.study', None, None, "Studies",
        readonly=True)


class UploadImageData(ImageWizard, Wizard):
    "Upload DICOM Files"
    __name__ = 'gnuhealth.imaging_orthanc.upload_image_data'
    _models = {'gnuhealth.imaging_orthanc.study'}

    start = StateView('gnuhealth.imaging_orthanc.upload_image_data.start',
        'health_orthanc.upload_image_data_start_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Upload", 'upload', 'tryton-ok', default=True),
            ])
    upload = StateTransition()
    done = StateView('gnuhealth.imaging_orthanc.upload_image_data.done',
        'health_orthanc.upload_image_data_done_form', [
            Button("Close", 'end', 'tryton-cancel'),
            Button("Upload More", 'start', 'tryton-back'),
            Button("Open Studies", 'open_', 'tryton-ok', default=True,
                states={'invisible': ~Bool(Eval('studies'))}),
            ])
    open_ = StateAction('health_orthanc.act_imaging_orthanc_study_view')

    def transition_upload(self):
        data, name, server = [
            getattr(self.start, field, None)
            for field in ['data_to_upload', 'file_name', 'server_config']]
        if not server:
            raise UploadError(gettext('health_orthanc.msg_upload_no_server'))
        check_read([server])
        data = data if isinstance(data, (bytes, bytearray)) else b''
        if len(data) > max_bytes():
            raise UploadError(gettext('health_orthanc.msg_upload_all_over',
                    size=max_bytes() // MB))
        upload = Upload(server)
        with user_errors(server):
            upload.send(io.BytesIO(data), name or '')
        self._finish(upload)
        return 'done'

    def _save(self):
        # The session must not keep the file, whichever state it came with.
        self.start.data_to_upload = None
        super()._save()

    @without_check_access
    def _finish(self, upload):
        """Fetch the studies, and keep what happened."""
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        server = upload.server
        label = server.label
        notice = _fetch(server, upload.studies) if upload.studies else None
        studies = Study.search([
                ('orthanc_server', '=', server.id),
                ('orthanc_UID', 'in', list(upload.studies)),
                ])
        if not notice and len(studies) < len(upload.studies):
            notice = gettext('health_orthanc.msg_upload_later')
        counts = Counter(file['state'] for file in upload.files)
        summary = tell('health_orthanc.msg_upload_summary', server=label,
            **{state: counts[state] for state, _ in STATES})
        if upload.studies:
            note('upload', studies, [
                    summary, *([] if studies else upload.studies)])
        self.done.summary = '\n'.join(
            filter(None, [summary, upload.problem, notice]))
        self.done.studies = [s.id for s in studies]
        self.done.files = sorted(upload.files,
            key=lambda file: file['state'] in {'stored', 'already'}
            )[:MAX_LISTED]

    def default_done(self, field_names):
        return self.done._default_values

    def do_open_(self, action):
        action['pyson_domain'] = PYSONEncoder().encode(
            [('id', 'in', [int(s) for s in self.done.studies])])
        return action, {}


def _fetch(server, studies):
    """Fetch uploaded studies; return a sentence when they come later.

    :param studies: their Orthanc ids
    """
    pool = Pool()
    Run = pool.get('gnuhealth.orthanc.sync_run')
    Server = pool.get('gnuhealth.orthanc.config')
    run = None
    if server.sync_time:
        run = Server.fetch_studies(server, studies)
    else:
        # The first synchronization fetches everything, nobody waits for it.
        Server.sync_later([server], started_by='upload')
    return Run(run).error if run else gettext(
        'health_orthanc.msg_upload_later')
