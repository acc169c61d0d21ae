# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one may ask an Orthanc server for, see
https://orthanc.uclouvain.be/book/users/rest.html"""
import io
import json
import logging
import math
import threading
from collections import defaultdict
from typing import NamedTuple
from urllib.parse import urlencode

from cachetools import TTLCache, cached

from . import document, structure, values
# What is not used here is taken from here.
from .errors import (  # noqa: F401
    AnswerTooLarge, BadAnswer, BadRequest, Conflict, ConnectionLost,
    ConnectionRefused, ConnectTimeout, DangerousFile, Forbidden, HostNotFound,
    InvalidURL, MethodNotAllowed, NoFrame, NoPicture, NotEncrypted, NotFound,
    NotOrthanc, OrthancError, ReadTimeout, Redirected, ServerError,
    StorageFull, Timeout, TLSError, TooSlow, Unauthorized, Unreachable,
    UnsupportedMedia, UploadTooLarge)
from .session import (  # noqa: F401
    BYTES_PER_VALUE, FEW_BYTES, MAX_BYTES, Session, normalize_url)
from .texts import clean_text

logger = logging.getLogger(__name__)

PREVIEW_TIMEOUT = 10
MAX_PREVIEW_BYTES = 20 * 2 ** 20
#: Orthanc 1.10.1 dies when it is asked for very large pictures.
MAX_PREVIEW_SIDE = 4096
#: What an upload may take longer for each MiB, in seconds.
UPLOAD_SECONDS_PER_MIB = 4

CHANGES_BLOCK = 4000
CHANGES_BLOCKS = 1000
INSTANCES_BLOCK = 5000
# So many cost less with all their metadata than one more call for some.
FEW_INSTANCES = 500
# The most that answers may take, in bytes: the attributes of one instance, an
# id in a list, a change, and what is told of one resource.
MAX_TAGS_BYTES = 2 * 2 ** 20
BYTES_PER_ID = 64
BYTES_PER_CHANGE = 1024
BYTES_PER_RESOURCE = 4096
# What a block of resources may take beside: one may be much larger than
# others, and patients and series list what is in them.
BLOCK_BYTES = {
    'patients': 16 * 2 ** 20,
    'studies': 2 * 2 ** 20,
    'series': 16 * 2 ** 20,
    'instances': 2 * 2 ** 20,
    }
# Ids in a list, and how many more there may be than were counted before.
MAX_IDS = MAX_BYTES // BYTES_PER_ID
MORE_IDS = 1000

LEVELS = {
    'patients': 'Patient',
    'studies': 'Study',
    'series': 'Series',
    'instances': 'Instance',
    }
# Changes that say nothing that a new instance has not said, and those of
# files beside the images, as the DICOMweb plugin attaches to stable series.
_ECHOES = {
    'NewPatient', 'NewStudy', 'NewSeries', 'StablePatient', 'StableStudy',
    'StableSeries', 'CompletedSeries', 'Deleted', 'UpdatedAttachment'}
_VIEWER_PLUGINS = {
    'explorer2': 'orthanc-explorer-2',
    'ohif': 'ohif',
    'stone': 'stone-webviewer',
    }


class Changes(NamedTuple):
    """A block of the change log.

    :ivar changes: dicts with ChangeType, ID, ResourceType, Seq and Date
    :ivar last: where to go on; smaller than ``since`` after a reset
    :ivar done: False when there is more
    """
    changes: list
    last: int
    done: bool

    def ids(self):
        "Return the Orthanc ids of what may be new or changed, lists by level."
        collections = {name: level for level, name in LEVELS.items()}
        ids = defaultdict(list)
        for change in self.changes:
            level = collections.get(str(change.get('ResourceType')))
            if level and str(change.get('ChangeType')) not in _ECHOES:
                ids[level].append(str(change.get('ID')))
        return ids


class Stored(NamedTuple):
    """What became of one uploaded instance.

    :ivar status: stored, already (it was there before) or refused
    :ivar reason: of a refusal: empty, not_dicom, no_identifiers, filtered or
        failed
    :ivar details: what the server said about it
    """
    status: str
    instance: str = None
    series: str = None
    study: str = None
    patient: str = None
    reason: str = None
    details: str = ''


class OrthancClient(Session):
    """One Orthanc server and what one may ask it for, as pacs.Pacs does.

    Reading calls are repeated when the connection broke, of the writing ones
    only protect, which does the same when it is done twice.
    Each may raise any OrthancError.  The parameters are those of Session.
    """
    #: Whether the server is not known to refuse ``/tools/bulk-content``
    has_bulk = True
    lists_requests = False
    #: Whether it is not known to have no patients: see system()
    has_patients = True

    def system(self):
        """Return what the server says about itself, dict.

        :raises NotOrthanc: something else answers
        """
        value = status = None
        try:
            value = self._get('/system')
        except (BadRequest, NotFound, MethodNotAllowed, BadAnswer) as error:
            status = error.status
        if not _is_system(value):
            raise NotOrthanc(call='GET /system', status=status)
        self.has_patients = value.get('PatientLevelEnabled') is not False
        return value

    def statistics(self):
        "Return the counts and sizes of what the server stores, dict."
        value = self._get('/statistics', dict)
        for name in ['Patients', 'Studies', 'Series', 'Instances']:
            if not _is_count(value.get(f'Count{name}')):
                raise BadAnswer(call='GET /statistics')
        return value

    def version(self):
        "Return the version of the server, str."
        system = self.system()
        # RequestAttributesSequence, since 1.11
        self.lists_requests = '0040,0275' in str(system.get('MainDicomTags'))
        return clean_text(system['Version'])

    def counts(self):
        "Return how many studies, series and instances there are, tuple."
        found = self.statistics()
        return tuple(
            found[f'Count{level}']
            for level in ['Studies', 'Series', 'Instances'])

    def plugins(self):
        "Return the names of the plugins, list of str."
        return self._texts('/plugins')

    def viewers(self, plugins=None):
        """Return the codes of the viewers that the server offers, list; OHIF
        also where it is served as a folder.

        :param plugins: what plugins() returned, to save a call
        """
        plugins = set(self.plugins() if plugins is None else plugins)
        found = {'explorer'}.union(
            code for code, name in _VIEWER_PLUGINS.items() if name in plugins)
        if ('ohif' not in found and 'serve-folders' in plugins
                and self._has_page('/ohif/viewer')):
            found.add('ohif')
        return sorted(found)

    def _has_page(self, path):
        try:
            answer = self.request('GET', path, max_bytes=2 ** 20)
        except OrthancError as error:
            if error.status is None:
                raise
            return False
        return answer.headers.get('Content-Type', '').startswith('text/html')

    def changes(self, since, limit=CHANGES_BLOCK):
        "Return the Changes after a position of the log, so many at most."
        since, limit = max(int(since), 0), max(int(limit), 1)
        return self._changes(f'/changes?since={since}&limit={limit}',
            FEW_BYTES + limit * BYTES_PER_CHANGE)

    def last_change(self):
        "Return the position of the newest change, int; 0 when there is none."
        return self._changes('/changes?last').last

    def _changes(self, path, most=FEW_BYTES):
        value = self._get(path, dict, most)
        changes = value.get('Changes')
        last, done = value.get('Last'), value.get('Done')
        if not (_is_list_of(dict, changes) and _is_count(last)
                and isinstance(done, bool)):
            raise BadAnswer(call=f'GET {path}')
        return Changes(changes, last, done)

    def all_changes(
            self, since, block=CHANGES_BLOCK, max_blocks=CHANGES_BLOCKS):
        """Yield the Changes after a position until there are no more, after
        max_blocks, or when ``last`` is smaller than ``since``: that server
        was reset.

        :raises BadAnswer: the log does not advance, or two blocks one after
            the other have nothing in them
        """
        empty = 0
        for _ in range(max_blocks):
            changes = self.changes(since, block)
            empty = 0 if changes.changes or changes.done else empty + 1
            if empty and changes.last == since or empty > 1:
                raise BadAnswer("The change log does not advance.")
            yield changes
            if changes.done or changes.last < since:
                break
            since = changes.last

    def studies(self, ids, source='studies'):
        "Return StudyValues, see Pacs."
        return list(map(
                values.study, self._resources('studies', ids, source=source)))

    def series(self, ids, source='series'):
        "Return SeriesValues, see Pacs."
        return list(map(
                values.series, self._resources('series', ids, source=source)))

    def sop_class(self, instance):
        "Return the SOP Class UID of an instance, None when it is unknown."
        return values.sop_class(self.metadata('instances', instance))

    def ids(self, level, count=MAX_IDS):
        "Return the ids of all resources of a level, see Pacs."
        count = min(count + count // 8 + MORE_IDS, MAX_IDS)
        return self._texts(f'/{_collection(level)}', count)

    def bulk(self, level, ids, metadata=False, source=None):
        """Return the resources of one level that belong to the ids, list of
        dicts without duplicates.  Unknown ids are left out.

        A server that does not offer ``/tools/bulk-content`` is asked for each
        resource alone from then on.

        :param level: of the answer
        :param ids: Orthanc ids; going up and down the hierarchy is possible
        :param metadata: whether the dicts get a Metadata dict
        :param source: the level of all ids, default the same
        :raises BadAnswer: it is no list, or something in it is no dict
        """
        found = self._resources(level, ids, metadata, source)
        if not _is_list_of(dict, found):
            raise BadAnswer("A resource is no object.")
        return found

    def _resources(
            self, level, ids, metadata=False, source=None, count=None):
        "As bulk, but what is in the list, of so many, may be anything."
        level, ids = _collection(level), values.valid_ids(list(ids))
        if not ids:
            return []
        if self.has_bulk:
            question = {
                'Resources': ids,
                'Level': LEVELS[level],
                'Metadata': bool(metadata),
                }
            try:
                return self._get('/tools/bulk-content', list,
                    _most(level, count or len(ids)), method='POST',
                    body=json.dumps(question).encode(),
                    headers={'Content-Type': 'application/json'})
            except (Forbidden, NotFound, MethodNotAllowed) as error:
                logger.info(
                    "%s refuses bulk-content (%s)", self.url, error.status)
                self.has_bulk = False
        return self._one_by_one(
            level, ids, metadata, _collection(source or level), count or 1)

    def _one_by_one(self, level, ids, metadata, source, count):
        found, odd = {}, []
        for id_ in ids:
            for resource in self._relatives(level, id_, source, count):
                own = isinstance(resource, dict) and resource.get('ID')
                if values.is_id(own):
                    found.setdefault(own, resource)
                else:
                    odd.append(resource)
        if metadata:
            for id_, resource in found.items():
                resource['Metadata'] = self.metadata(level, id_)
        return [*found.values(), *odd]

    def _relatives(self, level, id_, source, count):
        path, kind = f'/{source}/{id_}', dict
        if level != source:
            levels = list(LEVELS)
            down = levels.index(level) > levels.index(source)
            path += f'/{level if down else LEVELS[level].lower()}'
            kind = list if down else dict
        value = self._get_known(path, kind, _most(level, count))
        if value is None:
            return []
        return value if kind is list else [value]

    def metadata(self, level, id_):
        """Return what Orthanc notes of a resource, dict of str; empty when
        it does not have the resource."""
        return self._get_known(
            f'/{_collection(level)}/{_quoted(id_)}/metadata?expand',
            dict) or {}

    def instances(self, series, first=(), block=INSTANCES_BLOCK):
        """Yield lists of InstanceValues, see Pacs; one for each series and
        without sop_class where the server has no bulk-content.

        :param block: the longest list, so that memory is bounded
        """
        if not self.has_bulk:
            for one in series:
                yield self._instances(
                    [one.id], source='series', count=len(one.children))
            return
        ids = list(dict.fromkeys(
                id_ for one in series for id_ in one.children))
        metadata, others = False, set(first)
        if len(ids) <= min(FEW_INSTANCES, block):
            metadata, first, others = bool(first), (), ()
        for some, told in [
                (list(first), True),
                ([id_ for id_ in ids if id_ not in others], metadata)]:
            for start in range(0, len(some), block):
                yield self._instances(some[start:start + block], told)

    def _instances(self, ids, metadata=False, source=None, count=None):
        return list(map(values.instance, self._resources(
                    'instances', ids, metadata, source, count)))

    # A file may be overwritten.
    @cached(TTLCache(10000, 600), lock=threading.Lock(),
        key=lambda self, instance: (self.url, instance))
    def check_file(self, instance):
        """Check the structure of an instance before the server parses it:
        Orthanc keeps files that its HTTP threads cannot read.

        :raises DangerousFile: the server must not be asked to parse it
        """
        self.request('GET', f'/instances/{_quoted(instance)}/file',
            look=_check_structure, headers={'Accept-Encoding': 'identity'})

    def tags(self, instance):
        """Return the attributes of an instance, without long ones, see Pacs.

        :raises DangerousFile: the server must not be asked to parse it
        """
        self.check_file(instance)
        path = f'/instances/{_quoted(instance)}/simplified-tags'
        # Images of many frames have many short sequences.
        return self._get(path, dict, MAX_TAGS_BYTES, BYTES_PER_VALUE // 2)

    def preview(self, instance, frame=None, window=None, size=None):
        """Return a picture of an instance: bytes, and image/png or image/jpeg.

        :param instance: the Orthanc id
        :param frame: from 0
        :param window: center and width, None: what the server thinks best
        :param size: width and height in which it shall fit, in pixels
        :raises NoPicture: the server cannot decode it, or it has no pixels
        :raises NoFrame: it has no such frame
        :raises DangerousFile: the server must not be asked to parse it
        """
        path = _picture_path(instance, frame, window, size)
        seconds = min(PREVIEW_TIMEOUT, self.total_timeout)
        with self._clock.running(seconds, min(seconds, self.read_timeout)):
            try:
                self.check_file(instance)
                answer = self.request(
                    'GET', path, max_bytes=MAX_PREVIEW_BYTES,
                    headers={'Accept': 'image/png, image/jpeg;q=0.9'})
            except (NotFound, UnsupportedMedia) as error:
                status = error.status
            else:
                return answer.body, _picture_type(answer, path)
            # Both happen for a frame that is not there and for a picture
            # that cannot be made.
            has_frame = self._has_frame(instance, frame or 0)
        failure = NoPicture if has_frame else NoFrame
        raise failure(call=f'GET {path}', status=status)

    def _has_frame(self, instance, frame):
        try:
            return frame < len(
                self._get(f'/instances/{instance}/frames', list, 2 ** 20))
        except BadRequest:
            # Its NumberOfFrames is no number.
            return True

    def upload(self, data):
        """Store a DICOM file, or a ZIP of such files, and return what became
        of each instance, list of Stored.

        :param data: bytes, or a binary file that can seek, at its begin
        """
        upload = _Upload(data)
        if not len(upload):
            return [Stored('refused', reason='empty')]
        total = self.upload_timeout + (
            UPLOAD_SECONDS_PER_MIB * len(upload) / 2 ** 20)
        with self._clock.running(total, self.upload_timeout):
            return self._upload(upload)

    def _upload(self, upload):
        # A ZIP takes more than half of what is said about the files in it.
        most = BLOCK_BYTES['instances'] + 2 * len(upload)
        try:
            value = self._get('/instances', (dict, list), most, method='POST',
                body=upload, repeat=False,
                headers={'Content-Type': 'application/octet-stream'})
        except (BadRequest, NotFound, ConnectionLost) as error:
            if error.details:
                reason = (
                    'not_dicom' if error.status == 400 else 'no_identifiers')
                return [Stored(
                        'refused', reason=reason, details=error.details)]
            failure = error
        else:
            return list(map(
                    _stored, value if isinstance(value, list) else [value]))
        # A server that refuses early may close before its answer was read.
        self.system()
        raise failure

    def delete(self, level, id_):
        """Delete a patient, study, series or instance on the server.

        :return: True, and only after Orthanc itself confirmed it
        :raises NotFound: it is not there, which a second look confirmed
        :raises OrthancError: it may have been deleted or not
        """
        level = _collection(level)
        path = f'/{level}/{_quoted(id_)}'
        try:
            value = self._get(
                path, dict, _most(level, 1), method='DELETE', repeat=False)
        except NotFound as error:
            failure = error
        else:
            if 'RemainingAncestor' not in value:
                raise BadAnswer(call=f'DELETE {path}')
            return True
        self._confirm_missing(path)
        raise failure

    def _confirm_missing(self, path):
        self.system()
        missing = False
        try:
            self._get(path)
        except NotFound as error:
            missing = error.own
        if not missing:
            raise BadAnswer(
                "The server is not of one mind whether it has this.",
                call=f'GET {path}')

    def protect(self, patient, protected):
        """Keep a patient of the server from being recycled, or no more.

        :raises NotFound: there is no such patient
        """
        self.request('PUT', f'/patients/{_quoted(patient)}/protected',
            b'1' if protected else b'0')

    def store_pdf(self, study, pdf, values):
        """Store a PDF in a study as Encapsulated PDF (DICOM PS3.3, A.45.1),
        see Pacs.

        :raises NotFound: there is no such study
        :raises Forbidden: the server's own rules refuse the file
        :raises ValueError: it is no PDF, or a value is the study's own
        """
        file = document.encapsulated(pdf, self._tags_of_study(study), values)
        answers = self._upload(_Upload(file))
        if len(answers) != 1:
            raise BadAnswer(call='POST /instances')
        stored, = answers
        if stored.status == 'refused':
            error = Forbidden if stored.reason == 'filtered' else BadRequest
            raise error(
                call='POST /instances', details=stored.details, own=True)
        if stored.study != study:
            self.delete('instances', stored.instance)
            raise BadAnswer(
                "The server filed it in another study.",
                call='POST /instances')
        return stored.instance

    def _tags_of_study(self, study):
        "Return the attributes of an image of a study by keyword, dict."
        found = self._get(
            f'/studies/{_quoted(study)}', dict, _most('studies', 1))
        series = self.bulk('series', found.get('Series') or [])
        # What was made of the images comes last.
        series.sort(key=lambda s: (
                (s.get('MainDicomTags') or {}).get('Modality') == 'DOC',
                str(s.get('ID'))))
        for one in series:
            for id_ in values.valid_ids(one.get('Instances')):
                try:
                    return self.tags(id_)
                except (AnswerTooLarge, DangerousFile):
                    return {
                        **(found.get('PatientMainDicomTags') or {}),
                        **(found.get('MainDicomTags') or {})}
        raise BadAnswer(call=f'GET /studies/{study}')

    def _get(self, path, kind=object, most=FEW_BYTES,
            bytes_per_value=BYTES_PER_VALUE, method='GET', **options):
        "Return the JSON of an answer, of a type and with so many bytes."
        answer = self.request(method, path, max_bytes=most, **options)
        return _parsed(answer, f'{method} {path}', kind, bytes_per_value)

    def _get_known(self, path, kind, most=FEW_BYTES):
        "As _get, but None for what Orthanc itself says not to have."
        try:
            return self._get(path, kind, most)
        except NotFound as error:
            if not error.own:
                raise

    def _texts(self, path, count=FEW_BYTES // BYTES_PER_ID):
        "Return a list of at most so many short texts."
        answer = self.request('GET', path, max_bytes=count * BYTES_PER_ID)
        # Other letters would take four times the memory.
        odd = len(answer.body) > FEW_BYTES and not answer.body.isascii()
        value = odd or _parsed(answer, f'GET {path}', list, BYTES_PER_ID)
        if not _is_list_of(str, value):
            raise BadAnswer(call=f'GET {path}')
        return value


def _most(level, count):
    "Return how many bytes may tell of so many resources."
    return BLOCK_BYTES[level] + count * BYTES_PER_RESOURCE


def _check_structure(response):
    "Raise DangerousFile for what must not be parsed of a HTTPResponse."
    try:
        structure.check(response, response.length)
    except structure.StructureError:
        if response.isclosed() and response.length:
            raise ConnectionLost from None
        raise DangerousFile from None


def _parsed(answer, call, kind, bytes_per_value):
    "Return the JSON of an answer, BadAnswer when it is not of the kind."
    try:
        value = answer.json(bytes_per_value)
        if isinstance(value, kind):
            return value
    except AnswerTooLarge as error:
        error.call = call
        raise
    except ValueError:
        # Its traceback would show the answer.
        pass
    raise BadAnswer(call=call, status=answer.status)


def _is_count(value):
    return type(value) is int and 0 <= value < 2 ** 63


def _is_list_of(kind, value):
    return isinstance(value, list) and all(isinstance(v, kind) for v in value)


def _is_system(value):
    return (isinstance(value, dict)
        and isinstance(value.get('Version'), str)
        and isinstance(value.get('Name'), str)
        and _is_count(value.get('ApiVersion')))


def _collection(level):
    "Return the name of a level in addresses, also for a name such as Study."
    for collection, name in LEVELS.items():
        if level in {collection, name}:
            return collection
    raise ValueError(f"There is no level {level!r}.")


def _quoted(id_):
    "Return an Orthanc id for an address, ValueError when it cannot be one."
    if not values.is_id(id_):
        raise ValueError("This is no id of Orthanc.")
    return id_


def _picture_path(instance, frame, window, size):
    path = f'/instances/{_quoted(instance)}/frames/{max(int(frame or 0), 0)}'
    query = {}
    if window:
        center, width = map(float, window)
        if math.isfinite(center) and math.isfinite(width):
            query['window-center'] = f'{center:g}'
            query['window-width'] = f'{max(width, 1):g}'
    if size:
        for name, side in zip(['width', 'height'], size):
            query[name] = min(max(int(side), 1), MAX_PREVIEW_SIDE)
    if not query:
        return f'{path}/preview'
    return f'{path}/rendered?{urlencode(query)}'


def _picture_type(answer, path):
    "Return the type of a complete PNG or JPEG, BadAnswer for all else."
    body = answer.body
    if (body.startswith(b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR')
            and b'IEND' in body[-12:]):
        return 'image/png'
    if (body.startswith(b'\xff\xd8\xff')
            and body.rstrip(b'\0').endswith(b'\xff\xd9')):
        return 'image/jpeg'
    raise BadAnswer(
        "The answer is no complete picture.", call=f'GET {path}',
        status=answer.status)


class _Upload:
    "Bytes or a file as the body of a request: only its length and its bytes."

    def __init__(self, data):
        if isinstance(data, (bytes, bytearray, memoryview)):
            data = io.BytesIO(data)
        self._file, start = data, data.tell()
        self._left = data.seek(0, io.SEEK_END) - start
        data.seek(start)

    def __len__(self):
        return self._left

    def read(self, size):
        data = self._file.read(min(size, self._left))
        if self._left and not data:
            raise ValueError("The file became shorter.")
        self._left -= len(data)
        return data


def _stored(item):
    "Return the Stored for what the answer to an upload says of an instance."
    status = item.get('Status') if isinstance(item, dict) else None
    if not isinstance(status, str):
        raise BadAnswer(call='POST /instances')
    ids = [
        item.get(name) if values.is_id(item.get(name)) else None
        for name in ['ID', 'ParentSeries', 'ParentStudy', 'ParentPatient']]
    known = {'Success': 'stored', 'AlreadyStored': 'already'}
    if status in known and ids[0]:
        return Stored(known[status], *ids)
    reason = 'filtered' if status == 'FilteredOut' else 'failed'
    return Stored('refused', reason=reason, details=status[:100])
