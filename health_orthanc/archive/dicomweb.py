# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a viewer may ask of DICOMweb when its user may see some studies only.

Nothing that a browser sent is passed on: the question is read strictly, and
put anew. What is not known is refused.
"""
import re
from urllib.parse import unquote, urlencode

# Before it stands which program answers; the proxy adds it again.
_PROGRAMS = re.compile(
    r'/(?:ohif|stone-webviewer)((?:/[A-Za-z0-9_-]+(?:\.\w+)*)+)', re.ASCII)
_ROOT = '/dicom-web'
_LONGEST = 8000
# No part is of dots alone.
_UID = r'[0-9]+(?:\.[0-9]+)*'
_INSTANCE = rf'(/series/{_UID}(/instances/{_UID}'
# Pixels, bulk data and metadata (WADO-RS), below one study.
_RETRIEVE = re.compile(
    rf'/studies/({_UID}){_INSTANCE}'
    r'(/frames/[0-9]+(,[0-9]+)*|/bulk(/[0-9A-Za-z]+)+)?)?)?'
    r'(/metadata|/rendered|/thumbnail)?', re.ASCII)
# Lists (QIDO-RS), of everything or below one study.
_LIST = re.compile(
    rf'/(?:studies|series|instances'
    rf'|studies/({_UID})/(?:series|(?:series/{_UID}/)?instances))', re.ASCII)
_STUDY, _PATIENT = 'StudyInstanceUID', 'PatientID'
_FIELDS = 'includefield'
# Names of parameters as they are passed on, by all that they are known by.
# Orthanc takes a name whose case it does not know for none at all.
_NAMES = {
    **{name.lower(): name for name in [
            _FIELDS, 'limit', 'offset', 'fuzzymatching', 'quality', 'viewport',
            'window']},
    **{name.lower(): keyword
        for keyword, tag in [
            (_STUDY, '0020000D'), (_PATIENT, '00100020'),
            ('SeriesInstanceUID', '0020000E'), ('SOPInstanceUID', '00080018'),
            ('Modality', '00080060'), ('ModalitiesInStudy', '00080061')]
        for name in [keyword, tag]},
    }
# Left out: Orthanc is told by a header.
_UNUSED = {'accept'}
_VALUE = re.compile(r'[A-Za-z0-9.,_-]{1,4000}', re.ASCII)


class _Refused(Exception):
    """The question is none of those that are passed on."""


def rewritten(target, studies):
    """Return what may be asked instead of what a browser asks: path and query
    below the first part of the path, None for nothing.

    :param str target: path and query as the browser sent them
    :param studies: PatientID (0010,0020) by StudyInstanceUID (0020,000D) of
        those that the user may see
    """
    path, _, query = target.partition('?')
    program = _PROGRAMS.fullmatch(path)
    if program:
        return program[1]
    if not path.startswith(_ROOT) or len(target) > _LONGEST:
        return None
    path = path[len(_ROOT):]
    try:
        parameters = _parameters(query)
        if not _is_retrieved(path, parameters, studies):
            _narrow(path, parameters, studies)
    except _Refused:
        return None
    query = urlencode(parameters, safe=',')
    return f'{path}?{query}' if query else path


def _is_retrieved(path, parameters, studies):
    "Return whether it is about what is below one study, which is allowed."
    found = _RETRIEVE.fullmatch(path)
    return bool(found) and found[1] in studies and not (
        parameters.keys() & {_STUDY, _PATIENT})


def _narrow(path, parameters, studies):
    "Change the parameters of a list to those of studies that are allowed."
    found = _LIST.fullmatch(path)
    if not found or not (found[1] or parameters.keys() & {_STUDY, _PATIENT}):
        raise _Refused(path)
    asked = set(studies)
    if found[1]:
        asked = {found[1]}
    if _STUDY in parameters:
        asked &= {*parameters[_STUDY].split(',')}
        if len(asked) < parameters[_STUDY].count(',') + 1:
            raise _Refused(_STUDY)
    if _PATIENT in parameters:
        # Several people may have this one in the archive.
        patient = parameters.pop(_PATIENT)
        asked = {uid for uid in asked if studies.get(uid) == patient}
    if not asked or not asked <= set(studies):
        raise _Refused(_STUDY)
    parameters[_STUDY] = ','.join(sorted(asked))


def _parameters(query):
    "Return the values of a query by the names that are passed on."
    found = {}
    for part in query.split('&') if query else []:
        name, _, value = part.partition('=')
        if name in _UNUSED:
            continue
        name = _NAMES.get(name.lower())
        # What stays encoded now was encoded twice.
        value = unquote(value.replace('+', ' '))
        if name in found and name == _FIELDS:
            value = f'{found.pop(name)},{value}'
        if name is None or name in found or not (
                name == _PATIENT or _VALUE.fullmatch(value)):
            raise _Refused(part)
        if name == _STUDY and not re.fullmatch(rf'{_UID}(,{_UID})*', value):
            raise _Refused(part)
        found[name] = value
    return found
