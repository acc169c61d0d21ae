# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a DICOM server as a modality does (C-FIND, PS3.4 annex K), and find out
what it lets a stranger do."""
import contextlib
import logging
import secrets
import socket
from collections import namedtuple

from command_line import TooLate, UsageFailure, deadline

WORKLIST = '1.2.840.10008.5.1.4.31'
CT_IMAGE = '1.2.840.10008.5.1.4.1.1.2'
IMPLICIT = '1.2.840.10008.1.2'
MOST_ANSWERS = 100_000
# pynetdicom 3.0 misses one rejection of 25, when the connection is closed
# right after it.
ATTEMPTS = 5
PENDING = {0xff00, 0xff01}
# Of a question that nobody canceled: there is more than LimitAnswers.
CUT = 0xfe00
# An address of this computer that no modality has.
NOBODY = '127.0.0.77'
_REJECTIONS = {
    # Source and diagnostic, PS3.8 table 9-21.
    (1, 3): "it does not know the AE title that asks",
    (1, 7): "it has another AE title",
    }
# What is asked for; the second list is of the scheduled procedure step.
_RETURNED = [
    'SpecificCharacterSet', 'AccessionNumber', 'ReferringPhysicianName',
    'PatientName', 'PatientID', 'StudyInstanceUID', 'RequestingPhysician',
    'RequestedProcedureDescription', 'RequestedProcedureID']
_RETURNED_OF_STEP = [
    'Modality', 'ScheduledProcedureStepStartDate',
    'ScheduledProcedureStepStartTime', 'ScheduledProcedureStepDescription',
    'ScheduledProcedureStepID']


class QueryRefused(Exception):
    "The server does not answer this AE title; says why."


class QueryCut(Exception):
    "The server ends its answer before it told all."


class QueryFailed(Exception):
    "The server does not answer, breaks off, or does not speak DICOM."


def need_pynetdicom():
    "Raise UsageFailure when pynetdicom is not installed."
    try:
        import pynetdicom  # noqa: F401
    except ImportError:
        raise UsageFailure("The Python package pynetdicom is missing: pip "
            "install \"pynetdicom>=3,<4\".")
    logging.getLogger('pynetdicom').setLevel(logging.CRITICAL + 1)


def ask(host, port, calling, called, station=None, seconds=10, source=''):
    """Return what a worklist server answers to a modality.

    :param calling, called: AE titles of the modality and the server
    :param station: ScheduledStationAETitle (0040,0001) AE that entries must
        have, None for any
    :param seconds: the longest silence
    :param source: the address of this computer to ask from
    :return: list of pydicom data sets
    :raises QueryRefused, QueryCut, QueryFailed: see there
    """
    with _associate(
            host, port, calling, called, WORKLIST, seconds,
            source) as association:
        answers = []
        for status, answer in association.send_c_find(
                _keys(station), WORKLIST):
            if 'Status' not in status:
                raise QueryRefused("it breaks off when it is asked")
            if status.Status not in PENDING:
                break
            if answer is None or len(answers) >= MOST_ANSWERS:
                raise QueryFailed("its answer cannot be understood")
            answers.append(answer)
        if status.Status == CUT:
            raise QueryCut
        if status.Status:
            raise QueryRefused("it answers the question with the status "
                f"{status.Status:04X}")
        return answers


def may_store(host, port, calling, called, seconds=10):
    """Return whether a server takes images from an AE title.

    The image that is sent has no StudyInstanceUID, so that no server can keep
    it: one that takes images from the title answers with an error status, one
    that does not breaks off.

    :raises QueryRefused, QueryFailed: see there
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import generate_uid
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = CT_IMAGE, generate_uid()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = IMPLICIT
    with _associate(
            host, port, calling, called, CT_IMAGE, seconds) as association:
        return 'Status' in association.send_c_store(image)


@contextlib.contextmanager
def _associate(host, port, calling, called, service, seconds, source=''):
    from pynetdicom import AE, evt
    opened = []

    def keep(event):
        opened.append(event.assoc.dul.socket.socket)
    try:
        # Its error says more than pynetdicom's does.
        socket.create_connection((host, port), seconds).close()
        entity = AE(calling)
        entity.acse_timeout = entity.dimse_timeout = seconds
        entity.network_timeout = entity.connection_timeout = seconds
        entity.add_requested_context(service, IMPLICIT)
        with deadline(3 * seconds):
            for _ in range(ATTEMPTS):
                association = entity.associate(
                    host, port, ae_title=called, bind_address=(source, 0),
                    evt_handlers=[(evt.EVT_CONN_OPEN, keep)])
                if association.rejected_contexts or not association.is_aborted:
                    break
            _check(association)
            yield association
            association.release()
    except TooLate:
        raise QueryFailed("it does not answer in time") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise QueryFailed(str(reason)) from None
    finally:
        for connection in opened:
            # Else a thread that waits for it keeps the script from its end.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _check(association):
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = answer.result_source, answer.diagnostic
        raise QueryRefused("it rejects the association, " + _REJECTIONS.get(
                reason, f"reason {reason[0]}/{reason[1]}"))
    if association.rejected_contexts:
        raise QueryRefused("it does not offer this service to it")
    if not association.is_established:
        raise QueryFailed("it breaks off, or does not speak DICOM")


def _keys(station):
    from pydicom.dataset import Dataset
    keys, step = Dataset(), Dataset()
    for dataset, keywords in [(keys, _RETURNED), (step, _RETURNED_OF_STEP)]:
        for keyword in keywords:
            setattr(dataset, keyword, None)
    step.ScheduledStationAETitle = station
    keys.ScheduledProcedureStepSequence = [step]
    return keys


class Dicom(namedtuple('Dicom', 'host port title seconds')):
    """The DICOM port of an Orthanc: where it is, its AE title, and the
    longest silence."""

    def ask(self, title, source=''):
        "Return the entries of an AE title; see `ask`."
        return ask(self.host, self.port, title, self.title, title,
            self.seconds, source)

    def check_doors(self, modalities, report, serves):
        """Tell whether others than the modalities that Orthanc lists may ask
        or store.

        :param modalities: what /modalities of Orthanc has, by AE title
        :param report: has the methods good and warn, of a sentence
        :param serves: whether there is a worklist at all
        """
        stranger = f'X{secrets.token_hex(7)}'.upper()
        # The check of the modalities says why it cannot be asked.
        with contextlib.suppress(QueryFailed):
            may = _allows(may_store, self.host, self.port, stranger,
                self.title, self.seconds)
            _tell(report, may, "send images", 'DicomAlwaysAllowStore')
        with contextlib.suppress(QueryFailed):
            if not serves:
                return
            may = _allows(self.ask, stranger)
            _tell(report, may, "ask for the worklist, and so read the names "
                "of patients", 'DicomAlwaysAllowFindWorklist')
            if not may:
                self._check_hosts(modalities, report)

    def _check_hosts(self, modalities, report):
        "Ask in the name of a modality, from an address that it has not."
        source = self._own_address()
        for title, modality in modalities.items():
            if not modality.get('AllowFindWorklist', True) or (
                    modality.get('Host') == source):
                continue
            with contextlib.suppress(QueryFailed):
                if _allows(self.ask, title, source):
                    report.warn("anybody who uses the AE title "
                        f"\"{title}\" may ask, from any computer: set "
                        "\"DicomCheckModalityHost\" : true.")
                else:
                    report.good("modalities may ask from their own Host only.")
                return

    def _own_address(self):
        "Return an address of this computer from which it reaches Orthanc."
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((self.host, self.port))
                source = probe.getsockname()[0]
        except OSError as error:
            raise QueryFailed(str(error)) from None
        return NOBODY if source.startswith('127.') else source


def _allows(function, *arguments):
    try:
        return function(*arguments) is not False
    except QueryCut:
        return True
    except QueryRefused:
        return False


def _tell(report, may, what, option):
    if may:
        report.warn(f"anybody may {what}, with any AE title: set "
            f"\"{option}\" : false, and list the modalities in "
            "DicomModalities.")
    else:
        report.good(f"only modalities that Orthanc lists may {what}.")
