# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU Health tells of requests, and the DICOM files that are made of
it."""
import hashlib
import io
import re
import subprocess
import tempfile
import warnings
from collections import namedtuple
from pathlib import Path

from command_line import interruptible, misfit

MODULE = 'health_imaging_worklist'
PREFIX = 'gnuhealth-'
DUMP2DCM_SECONDS = 20
#: The bytes before the mark of a DICOM file, PS3.10 section 7.1.
PREAMBLE = 128
# Value representations of texts, and what begins other characters in one.
_PLAIN = frozenset([
        'AE', 'AS', 'CS', 'DA', 'DT', 'LO', 'LT', 'PN', 'SH', 'ST', 'TM',
        'UC', 'UI', 'UT'])
_ESCAPE = b'\x1b'


class EntryFailure(Exception):
    "One entry cannot be published; the others can."


def read_answer(answer):
    "Return the answer of get_worklist_entries; raise Unreachable."
    try:
        return {
            'cursor': answer['cursor'],
            'full': bool(answer['full']),
            'entries': list(answer['entries']),
            'removed': list(answer.get('removed') or []),
            'same': set(answer.get('same') or []),
            'ask': set(answer.get('ask') or []),
            }
    except (TypeError, KeyError, AttributeError):
        raise misfit(MODULE)


def ask(fetch, cursor, known):
    """Ask for the entries that differ from what the caller has.

    :param fetch: function of a cursor and of what is known that returns
        get_worklist_entries
    :param cursor: that of the last answer, None for all
    :param known: function of ids, None for all, that returns the begins of
        the digests of the entries there are, by id
    :return: what `read_answer` returns
    :raises Unreachable: the answer cannot be understood
    """
    def digests(ids=None):
        return {str(id_): digest for id_, digest in known(ids).items()}

    answer = read_answer(fetch(cursor, {} if cursor else digests()))
    if answer['ask']:
        answer = read_answer(fetch(cursor, {
                    **{str(id_): '' for id_ in answer['ask']},
                    **digests(answer['ask'])}))
    return answer


def read_exams(answer):
    "Return the answer of get_worklist_exams; raise Unreachable."
    keys = ['exam', 'aetitle', 'modality', 'template', 'charset']
    try:
        return [
            {key: str(exam.get(key) or '') for key in keys}
            for exam in answer]
    except (TypeError, AttributeError):
        raise misfit(MODULE)


class Entry(namedtuple('Entry', [
                'id', 'number', 'order', 'digest', 'filename',
                'study_instance_uid', 'aetitle', 'modality', 'charset',
                'template_type', 'text', 'dicom', 'error'])):
    """A request line as GNU Health sends it.

    id is an int, dicom bytes (a DICOM file) or None, all others are str.
    """

    @classmethod
    def read(cls, values):
        "Return the Entry of a dictionary; raise EntryFailure."
        id_ = values.get('id') if isinstance(values, dict) else None
        if type(id_) is not int or id_ < 1:
            raise EntryFailure("GNU Health sent an entry without a request.")
        dicom = values.get('dicom')
        dicom = getattr(dicom, 'data', dicom)
        if not isinstance(dicom, bytes):
            dicom = None
        return cls(id=id_, dicom=dicom or None, **{
                name: str(values.get(name) or '') for name in cls._fields
                if name not in {'id', 'dicom'}})

    def check(self):
        """Raise EntryFailure when GNU Health has no entry for a request.

        Only the first line of its reason is given: those after it repeat
        values, and these may be names.
        """
        if self.error:
            first, *more = self.error.split('\n')
            raise EntryFailure(f"{first} The page Worklist of the request in "
                "GNU Health says more." if more else first)

    @property
    def label(self):
        "How a person knows it, str."
        return self.number or f"request {self.id}"

    def name(self, database):
        "Return the name of its entry, str of letters that a URL may hold."
        stem = self.filename or self.number or f'id{self.id}'
        return f'{prefix(database)}{safe(stem, "-")}'


def prefix(database):
    "Return how the names of a database's entries begin."
    return f'{PREFIX}{safe(database)}-'


def safe(text, also=''):
    """Return text with letters, digits, dots and underscores only, or what
    also may stay; a hash keeps different texts different."""
    clean = re.sub(f'[^A-Za-z0-9._{re.escape(also)}]', '_', text)[:80]
    return clean if clean == text else f'{clean}.{hash_of(text)[:8]}'


def hash_of(data):
    "Return the SHA-256 of a str or of bytes, hexadecimal."
    if isinstance(data, str):
        data = data.encode('utf-8', 'surrogatepass')
    return hashlib.sha256(data).hexdigest()


def make_maker(with_dump2dcm):
    "Return what makes the files of a publisher, dump2dcm's by the program."
    def make(entry):
        dumped = with_dump2dcm and entry.template_type == 'dump2dcm'
        return (lambda: _dump2dcm(entry) if dumped else _dicom_file(entry),
            source_hash(entry, with_dump2dcm))
    return make


def source_hash(entry, with_dump2dcm):
    "Return a hash of what the file of an entry is made from, str."
    if with_dump2dcm and entry.template_type == 'dump2dcm':
        return hash_of(f'{entry.charset}\0{entry.text}')
    return hash_of(entry.dicom or b'')


def _dicom_file(entry):
    if not entry.dicom:
        raise EntryFailure("there is no data set in what GNU Health sent.")
    if entry.dicom[PREAMBLE:PREAMBLE + 4] != b'DICM':
        raise EntryFailure("what GNU Health sent for it is no DICOM file.")
    return entry.dicom


def _dump2dcm(entry):
    dump = _encode_dump(entry.text, entry.charset)
    try:
        with tempfile.TemporaryDirectory(prefix='gnuhealth-') as folder:
            return _run_dump2dcm(dump, Path(folder))
    except (OSError, subprocess.SubprocessError) as error:
        raise EntryFailure(f"dump2dcm cannot be run: {error}")


def _run_dump2dcm(dump, folder):
    source, target = folder / 'dump', folder / 'dicom'
    source.write_bytes(dump)
    with interruptible():
        done = subprocess.run(
            ['dump2dcm', '-g', '+l', '131072', source, target],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=DUMP2DCM_SECONDS)
    # It may fail without an exit status.
    if done.returncode or not target.is_file():
        # What it prints repeats lines, and these may have a name.
        lines = sorted(set(re.findall(rb'line (\d+)', done.stdout)), key=int)
        place = b', '.join(lines).decode() or "unknown"
        raise EntryFailure("dump2dcm cannot read it (line of its text: "
            f"{place}).")
    return target.read_bytes()


def _encode_dump(text, charset):
    from pydicom.charset import convert_encodings, encode_string
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            encodings = convert_encodings(charset.split('\\'))
            # Escape sequences must not stand outside of the values.
            return b''.join(
                part.encode('ascii') if part.isascii()
                else encode_string(part, encodings)
                for part in re.split(r'([^\x00-\x7f]+)', text))
    except (UserWarning, ValueError, LookupError):
        raise EntryFailure(
            f"its text does not fit into the character set \"{charset}\".")


def verify(data, entry):
    """Read a DICOM file completely and compare it with its entry.

    :return: the pydicom data set
    :raises EntryFailure: it is damaged, or of another request
    """
    from pydicom import dcmread
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            dataset = dcmread(io.BytesIO(data))
            whole = _is_whole(dataset)
            texts = list(_doubtful(dataset))
    except Exception as error:
        raise EntryFailure(
            f"its file cannot be read back: {type(error).__name__}.")
    if not whole:
        raise EntryFailure("its file is incomplete.")
    uid = str(dataset.get('StudyInstanceUID', ''))
    if not uid or uid != entry.study_instance_uid:
        raise EntryFailure(
            f"its file has the StudyInstanceUID \"{uid}\", the request has "
            f"\"{entry.study_instance_uid}\".")
    if not dataset.get('ScheduledProcedureStepSequence'):
        raise EntryFailure("its file has no scheduled procedure step, no "
            "modality would find it.")
    if any('\ufffd' in text for text in texts):
        raise EntryFailure("its text is not in the character set that its "
            "file names.")
    return dataset


def _is_whole(dataset):
    "Whether no value of a data set is shorter than its length says."
    raws = map(dataset.get_item, dataset.keys())
    return all(
        len(raw.value or b'') == raw.length for raw in raws
        if getattr(raw, 'is_raw', False) and raw.length != 0xffffffff)


def _doubtful(dataset):
    """Yield the values of a data set and its items as text, but not texts of
    ASCII alone, which all character sets have: most of the time goes there."""
    for tag in dataset.keys():
        raw = dataset.get_item(tag)
        plain = raw.VR in _PLAIN and isinstance(raw.value, bytes) and (
            raw.value.isascii() and _ESCAPE not in raw.value)
        if raw.VR == 'SQ':
            for item in dataset[tag].value:
                yield from _doubtful(item)
        elif not plain and raw.VR not in {'OB', 'OW', 'UN'}:
            yield str(dataset[tag].value)


def texts_of(dataset):
    "Yield the values of a data set and its items as text."
    for element in dataset.iterall():
        if element.VR not in {'SQ', 'OB', 'OW', 'UN'}:
            yield str(element.value)
