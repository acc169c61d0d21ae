# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DICOM services of the modality node, on pynetdicom: Verification,
Modality Worklist (PS3.4 annex K) and Modality Performed Procedure Step (PS3.4
annex F)."""
import contextlib
import datetime as dt
import io
import logging
import math
import socket
import ssl
import struct
import time

from command_line import FolderFailure, UsageFailure
from node_matching import Query, QueryError, texts_of
from node_store import ENDED, KEPT

VERIFICATION = '1.2.840.10008.1.1'
WORKLIST = '1.2.840.10008.5.1.4.31'
PERFORMED_STEP = '1.2.840.10008.3.1.2.3.3'
_LITTLE_ENDIAN = ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1']

#: The most bytes of a message, and of a PDU of one.
LARGEST_MESSAGE = 4 * 1024 * 1024
PDU_SIZE = 65536
#: More answers than this are not given to one query.
MOST_ANSWERS = 10_000
#: The most answers that are kept for a machine.
MOST_KEPT = 1000

SUCCESS, PENDING, CANCEL = 0x0000, 0xff00, 0xfe00
OUT_OF_RESOURCES, NOT_A_WORKLIST_QUERY = 0xa700, 0xa900
INVALID_VALUE, PROCESSING_FAILURE = 0x0106, 0x0110
DUPLICATE, NO_SUCH_INSTANCE = 0x0111, 0x0112
MISSING, MISSING_VALUE, NO_RESOURCES = 0x0120, 0x0121, 0x0213
# Error ID of PS3.4 table F.7.2-2: a step that is over stays as it is.
_OVER = 0xa710

_BEGUN = 'IN PROGRESS'
_OVER_STATES = frozenset(['COMPLETED', 'DISCONTINUED'])
# Type 1 of PS3.4 table F.7.2-1 when a step is made.
_REQUIRED = [
    'ScheduledStepAttributesSequence', 'PerformedProcedureStepID',
    'PerformedStationAETitle', 'PerformedProcedureStepStartDate',
    'PerformedProcedureStepStartTime', 'PerformedProcedureStepStatus',
    'Modality']
_FLOATS = frozenset(['DS', 'FD', 'FL'])
_BINARY = frozenset(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN'])


def describe_age(seconds):
    "Return how old something is, str."
    for size, name in [(86400, "d"), (3600, "h"), (60, "min")]:
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


class Services:
    """Answers machines.

    :param store: node_store.Store
    :param worklist: node_worklist.Worklist
    :param messages: command_line.Messages
    :param options: those of the command line
    :param stored: function that is called when a message was stored
    """

    def __init__(self, store, worklist, messages, options, stored):
        self.store = store
        self.worklist = worklist
        self.messages = messages
        self.options = options
        self._stored = stored
        # By AE title: the last query, and its answers by id of the entry.
        self._last = {}
        self._entity = self._make_entity()

    def _make_entity(self):
        from pynetdicom import AE, _config

        # What it would log has names of patients.
        logging.getLogger('pynetdicom').setLevel(logging.CRITICAL + 1)
        _config.LOG_HANDLER_LEVEL = 'none'
        _config.LOG_REQUEST_IDENTIFIERS = False
        _config.LOG_RESPONSE_IDENTIFIERS = False
        entity = AE(self.options.aet)
        for service in [VERIFICATION, WORKLIST, PERFORMED_STEP]:
            entity.add_supported_context(service, _LITTLE_ENDIAN)
        entity.maximum_associations = self.options.associations
        entity.maximum_pdu_size = PDU_SIZE
        entity.acse_timeout = entity.dimse_timeout = self.options.idle
        entity.network_timeout = self.options.idle
        return entity

    def start(self):
        "Listen; raise UsageFailure when that is not possible."
        from pynetdicom import evt
        self.let_in()
        try:
            self._entity.start_server(
                (self.options.bind, self.options.dicom_port), block=False,
                ssl_context=make_tls(self.options), evt_handlers=[
                    (evt.EVT_CONN_OPEN, self._bound),
                    (evt.EVT_REJECTED, self._rejected),
                    (evt.EVT_C_ECHO, self._echo),
                    (evt.EVT_C_FIND, self._find),
                    (evt.EVT_N_CREATE, self._answering(self._create)),
                    (evt.EVT_N_SET, self._answering(self._set))])
        except (OSError, OverflowError, ValueError) as error:
            raise UsageFailure(f"Nothing can listen at {self.options.bind} "
                f"port {self.options.dicom_port}: "
                f"{getattr(error, 'strerror', None) or error}.")

    def stop(self):
        "End all associations and close the port."
        self._entity.shutdown()

    def let_in(self):
        "Take associations of the machines of the worklist alone."
        # An empty list would let everybody in; no AE title has a backslash.
        self._entity._require_calling_aet = [
            *self.worklist.machines] or ['\\']

    # Associations

    def _bound(self, event):
        "Limit the size and the time of what a connection sends."
        association = event.assoc
        transport = association.dul.socket
        most = 2 * self.options.associations
        if len(association.ae.active_associations) > most:
            with contextlib.suppress(OSError):
                transport.socket.shutdown(socket.SHUT_RDWR)
        # An answer is several small parts, which would wait for each other.
        with contextlib.suppress(OSError):
            transport.socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.recv = _Receiver(
            association, transport, self.options.idle)
        if isinstance(transport.socket, ssl.SSLSocket):
            transport.socket.settimeout(self.options.idle)
            # An error is found again when it is read.
            with contextlib.suppress(OSError):
                transport.socket.do_handshake()

    def _rejected(self, event):
        title, address = _who(event)
        if title in self.worklist.machines:
            self.messages.error(f"{title} at {address} was sent away: there "
                f"are {self.options.associations} associations.")
        elif self.worklist.note(title, address, False):
            self.messages.info(f"The AE title {title} at {address} was sent "
                "away: GNU Health has no such machine.")

    def _echo(self, event):
        title, address = _who(event)
        self.messages.detail(f"{title} at {address}: echo.")
        return SUCCESS

    # Worklist

    def _find(self, event):
        title, address = _who(event)
        begin, count, code = time.monotonic(), 0, SUCCESS
        try:
            send = _sender(event)
            for status, answer in self._answers(event, title):
                code = getattr(status, 'Status', status)
                if answer is None:
                    yield status, None
                else:
                    count += 1
                    send(answer)
        finally:
            self.worklist.note(title, address, True, count)
            told = '' if code in {SUCCESS, PENDING} else f", status {code:04X}"
            self.messages.info(
                f"{title} at {address} asked for its worklist: {count} of "
                f"{len(self.worklist.entries(title))} entries{told} in "
                f"{(time.monotonic() - begin) * 1000:.0f} ms, as GNU Health "
                f"told {describe_age(self.worklist.age)} ago.")

    def _answers(self, event, title):
        "Yield status and encoded data set of each answer."
        if title not in self.worklist.machines:
            yield _status(OUT_OF_RESOURCES, "no longer a machine"), None
            return
        if self.options.max_age and self.worklist.age > self.options.max_age:
            yield _status(OUT_OF_RESOURCES, "The worklist is too old: "
                f"{describe_age(self.worklist.age)}"), None
            return
        try:
            answer_to = self._answerer(event, title)
        except QueryError as error:
            yield _status(NOT_A_WORKLIST_QUERY, "The query cannot be "
                "understood", error.tag), None
            return
        count = 0
        for entry in self.worklist.entries(title):
            if event.is_cancelled:
                yield CANCEL, None
                return
            if not event.assoc.is_established:
                return
            answer = answer_to(entry)
            if answer is not None:
                count += 1
                if count > MOST_ANSWERS:
                    yield _status(
                        OUT_OF_RESOURCES, "There are more answers"), None
                    return
                yield PENDING, answer

    def _answerer(self, event, title):
        """Return a function that returns the answer for an entry, encoded,
        None when it does not fit.  Machines ask the same again and again, so
        the answers to the last query of each are kept.

        :raises QueryError: the query cannot be understood
        """
        from pynetdicom.dsutils import encode
        query = Query(_read(lambda: event.identifier))
        syntax = event.context.transfer_syntax
        asked = event.request.Identifier.getvalue(), syntax
        former, kept = self._last.get(title, (None, {}))
        kept, now = kept if former == asked else {}, {}
        self._last[title] = asked, now

        def answer_to(entry):
            # The entry is kept too: no other one has its id.
            _, data = kept.get(id(entry), (None, _NOT_KEPT))
            if data is _NOT_KEPT:
                answer = query.answer(entry)
                data = answer if answer is None else encode(
                    answer, syntax == _LITTLE_ENDIAN[0], True)
            if len(now) < MOST_KEPT:
                now[id(entry)] = entry, data
            return data
        return answer_to

    # Performed procedure steps

    def _answering(self, function):
        "Return a handler that answers with a status whatever happens."
        def handle(event):
            kind = function.__name__[1:]
            title, address = _who(event)
            data = None
            try:
                status, data = function(event)
            except FolderFailure as failure:
                self.messages.error(failure)
                status = _status(NO_RESOURCES, "It cannot be stored")
            except QueryError:
                status = _status(
                    PROCESSING_FAILURE, "The attributes cannot be read")
            code = getattr(status, 'Status', status)
            self.messages.info(f"{title} at {address}: N-{kind.upper()} of a "
                f"performed step, status {code:04X}.")
            if code == SUCCESS:
                self._stored()
            return status, data
        return handle

    def _create(self, event):
        attributes = _read(lambda: event.attribute_list)
        status = _check_new(attributes)
        if status:
            return status, None
        uid, made = event.request.AffectedSOPInstanceUID, None
        if not uid:
            # PS3.7 section 10.1.5.1.4: then we choose it.
            from pydicom.dataset import Dataset
            from pydicom.uid import generate_uid
            uid, made = generate_uid(None), Dataset()
            made.AffectedSOPInstanceUID = uid
        if not self.store.create(str(uid), _message(event, attributes)):
            return _status(DUPLICATE, "There is such a step"), None
        return SUCCESS, made

    def _set(self, event):
        attributes = _read(lambda: event.modification_list)
        state = _text(attributes, 'PerformedProcedureStepStatus')
        if state and state not in {_BEGUN, *_OVER_STATES}:
            return _status(INVALID_VALUE, "There is no such status"), None
        outcome = self.store.change(
            str(event.request.RequestedSOPInstanceUID),
            _message(event, attributes), state in _OVER_STATES)
        if outcome == KEPT:
            return SUCCESS, None
        if outcome == ENDED:
            status = _status(PROCESSING_FAILURE, "Performed Procedure Step "
                "Object may no longer be updated")
            status.ErrorID = _OVER
            return status, None
        return _status(NO_SUCH_INSTANCE, "There is no such step"), None


_NOT_KEPT = object()


def _sender(event):
    """Return a function that sends an answer to a query, an encoded data set.

    What is before the data set is the same for all answers, and pynetdicom
    takes longer to make that than all the rest.
    """
    from pynetdicom.dimse_messages import C_FIND_RSP
    from pynetdicom.dimse_primitives import C_FIND
    response, message = C_FIND(), C_FIND_RSP()
    response.MessageIDBeingRespondedTo = event.request.MessageID
    response.AffectedSOPClassUID = event.request.AffectedSOPClassUID
    response.Status = PENDING
    # Not empty: the answer has a data set.
    response.Identifier = io.BytesIO(b'\0\0')
    message.primitive_to_message(response)
    association, context = event.assoc, event.context.context_id

    def send(data):
        message.data_set = io.BytesIO(data)
        for part in message.encode_msg(
                context, association.dimse.maximum_pdu_size):
            association.dul.send_pdu(part)
    return send


class _Receiver:
    "Reads from a connection as pynetdicom does, but not for ever or all."

    def __init__(self, association, transport, seconds):
        self._association = association
        self._transport = transport
        self._seconds = seconds

    def __call__(self, count):
        message = self._association.dimse.message
        there = 0 if message is None else (
            message.data_set.tell() + message.encoded_command_set.tell())
        if there + count > LARGEST_MESSAGE:
            raise OSError("a message is too large")
        data = bytearray()
        connection = self._transport.socket
        end = time.monotonic() + self._seconds
        while len(data) < count:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            part = connection.recv(min(count - len(data), 65536))
            if not part:
                break
            data += part
            _acknowledge(connection)
        # For what is sent: who does not read does not stop us.
        connection.settimeout(self._seconds)
        return data


def _acknowledge(connection):
    """Let the other side know at once what arrived: a query comes in two small
    parts, and many clients send the second when they know that the first is
    here."""
    # Linux has it, and forgets it when something is sent.
    option = getattr(socket, 'TCP_QUICKACK', None)
    if option is not None:
        # An error is found again when it is read.
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, option, 1)


class _Context(ssl.SSLContext):
    "One that leaves the handshake to the thread of the connection."

    def wrap_socket(self, *args, **kwargs):
        "Return the SSLSocket of a socket."
        return super().wrap_socket(
            *args, **kwargs, do_handshake_on_connect=False)


def make_tls(options):
    """Return the ssl.SSLContext of the options, None without TLS.

    :raises UsageFailure: a file cannot be used
    """
    if not options.tls_certificate:
        if options.tls_key or options.tls_clients:
            raise UsageFailure("TLS needs --tls-certificate.")
        return None
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(
            options.tls_certificate, options.tls_key, password='')
        if options.tls_clients:
            context.load_verify_locations(options.tls_clients)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        raise UsageFailure("The files for TLS cannot be used: "
            f"{getattr(error, 'strerror', None) or error}.")
    return context


def _who(event):
    "Return AE title and address of who asks, str."
    requestor = event.assoc.requestor
    return requestor.ae_title.strip(), str(requestor.address)


def _read(get):
    """Return the data set that a function decodes, with all its elements: one
    that is no value of its VR as text.

    :raises QueryError: it cannot be read
    """
    try:
        dataset = get()
        _decode(dataset)
    except Exception:
        # Whatever pydicom raises for what a stranger sends.
        raise QueryError from None
    return dataset


def _decode(dataset):
    from pydicom.dataelem import DataElement
    for tag in list(dataset.keys()):
        raw = dataset.get_item(tag)
        try:
            element = dataset[tag]
            if element.VR in _FLOATS and not all(
                    math.isfinite(float(text)) for text in texts_of(element)):
                raise ValueError
        except (ValueError, OverflowError, struct.error):
            dataset[tag] = DataElement(
                tag, 'LO', bytes(raw.value).decode('latin-1').rstrip())
            continue
        if element.VR == 'SQ':
            for item in element.value:
                _decode(item)


def _status(code, comment, tag=None):
    from pydicom.dataset import Dataset
    status = Dataset()
    status.Status = code
    status.ErrorComment = comment[:64]
    if tag is not None:
        status.OffendingElement = tag
    return status


def _text(dataset, keyword):
    value = dataset.get(keyword)
    return '' if value is None else str(value).strip()


def _check_new(attributes):
    "Return the error status for the attributes of a new step, None if good."
    from pydicom.tag import Tag
    for keyword in _REQUIRED:
        if keyword not in attributes:
            return _status(MISSING, f"{keyword} is missing", Tag(keyword))
        if not attributes[keyword].value:
            return _status(MISSING_VALUE, f"{keyword} is empty", Tag(keyword))
    for item in attributes.ScheduledStepAttributesSequence:
        if not _text(item, 'StudyInstanceUID'):
            tag = Tag('StudyInstanceUID')
            return _status(MISSING if tag not in item else MISSING_VALUE,
                "StudyInstanceUID is missing", tag)
    if _text(attributes, 'PerformedProcedureStepStatus') != _BEGUN:
        return _status(INVALID_VALUE, "A new step is IN PROGRESS",
            Tag('PerformedProcedureStepStatus'))
    return None


def _message(event, attributes):
    "Return what `Store` keeps of a message."
    title, address = _who(event)
    return {
        'ae_title': title, 'address': address,
        'received': dt.datetime.now(dt.timezone.utc).strftime(
            '%Y-%m-%dT%H:%M:%S.%f'),
        'attributes': _plain(
            attributes.to_json_dict(suppress_invalid_tags=True)),
        }


def _plain(value):
    "Return a value for JSON without binary elements and NUL, deeply."
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()
            if not (isinstance(part, dict) and part.get('vr') in _BINARY)}
    if isinstance(value, list):
        return list(map(_plain, value))
    return value.replace('\0', '') if isinstance(value, str) else value
