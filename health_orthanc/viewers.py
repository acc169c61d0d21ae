# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The viewers that are known, one row for each, and links into viewers."""
from string import Formatter
from typing import NamedTuple
from urllib.parse import quote, urlsplit

#: What an address may name: UID and Orthanc id of the study, and of a series.
OF_STUDY = frozenset({'study', 'study_id'})
OF_SERIES = OF_STUDY | {'series', 'series_id'}
# Studies of two patients may have the same ones.
_UIDS = {'study', 'series', 'other'}
_MAX_LENGTH = 2000


class Viewer(NamedTuple):
    """A viewer, and where it opens what.

    The addresses follow the public URL of the server, or are whole ones, with
    placeholders of OF_STUDY or OF_SERIES.

    :ivar str code: what it is known by
    :ivar str name: for people
    :ivar str study_url: address of a study
    :ivar str series_url: address of a series, None where it has none
    :ivar str compare_url: address of two studies side by side, the one under
        {other} being the former, None where it has none
    :ivar bool asks_dicomweb: whether it asks for nothing but DICOMweb, of
        which one can be given some studies only
    """
    code: str
    name: str
    study_url: str
    series_url: str
    compare_url: str = None
    asks_dicomweb: bool = True

    def link(self, base, ids, shared=False):
        """Return the link to a study or a series, None where there is none.

        :param str base: the public URL of the server
        :param ids: UIDs and Orthanc ids by placeholder; those of OF_SERIES
            for a series; with "other" for two studies
        :param bool shared: whether another study has the same UID
        """
        url = self.study_url
        for name, other in [
                ('series', self.series_url), ('other', self.compare_url)]:
            url = other if name in ids else url
        needed = _placeholders(url or '')
        # Dots alone would lead to another page.
        if not url or (shared and needed & _UIDS) or not all(
                (ids[name] or '').strip('.') for name in needed):
            return None
        url = url.format(
            **{name: quote(ids[name], safe='') for name in needed})
        if url.startswith('/'):
            url = (base or '').rstrip('/') + url
        # A browser would run what begins with javascript:
        return url if url.startswith(('http://', 'https://')) else None


#: The best one is the first. Orthanc Explorer 2 has no page for one series.
VIEWERS = [
    Viewer('ohif', "OHIF",
        '/ohif/viewer?StudyInstanceUIDs={study}',
        '/ohif/viewer?StudyInstanceUIDs={study}&SeriesInstanceUIDs={series}',
        '/ohif/viewer?StudyInstanceUIDs={study}&StudyInstanceUIDs={other}'
        '&hangingProtocolId=@ohif/hpCompare'),
    Viewer('stone', "Stone",
        '/stone-webviewer/index.html?study={study}',
        '/stone-webviewer/index.html?study={study}&series={series}'),
    Viewer('explorer2', "Orthanc Explorer 2",
        '/ui/app/#/filtered-studies?StudyInstanceUID={study}&expand=study',
        '/ui/app/#/filtered-studies?StudyInstanceUID={study}&expand=series',
        asks_dicomweb=False),
    Viewer('explorer', "Orthanc Explorer",
        '/app/explorer.html#study?uuid={study_id}',
        '/app/explorer.html#series?uuid={series_id}',
        asks_dicomweb=False),
    ]


def choices(*but):
    """Return codes and names of the known viewers, for selections.

    :param str but: codes that are left out
    """
    return [(v.code, v.name) for v in VIEWERS if v.code not in but]


def known(codes):
    """Return the rows of known viewers.

    :param codes: their codes; None and others are left out
    """
    return [v for v in VIEWERS if v.code in (codes or ())]


def links(
        base, viewers, study_id, study, series_id=None, series=None,
        shared=False, other=None):
    """Return the links into viewers by their codes.

    :param str base: the public URL of the server
    :param viewers: list of Viewer
    :param str study_id: the Orthanc id of the study
    :param str study: StudyInstanceUID (0020,000D)
    :param str series_id: the Orthanc id of the series, for links to a series
    :param str series: SeriesInstanceUID (0020,000E), the same
    :param bool shared: whether another study has the same UID
    :param str other: StudyInstanceUID of a former study, for links to both
    """
    ids = {'study_id': study_id, 'study': study}
    if other:
        ids['other'] = other
    if series:
        ids.update(series_id=series_id, series=series)
    found = {v.code: v.link(base, ids, shared) for v in viewers}
    return {code: link for code, link in found.items() if link}


def url_problem(url, allowed):
    """Return what is wrong with an address that somebody typed.

    :param str url: as Viewer has it
    :param allowed: placeholders that it may have
    :return: address (it is none of a web page), host (a study would say to
        whom one goes), placeholder (of another name), nothing (without), None
    """
    if len(url) > _MAX_LENGTH or any(
            c.isspace() or not c.isprintable() or c in '\\<>"' for c in url):
        return 'address'
    try:
        needed = _placeholders(url)
        host = '' if url.startswith('/') else urlsplit(url).netloc
    except ValueError:
        return 'placeholder'
    is_below = url.startswith('/') and not url.startswith('//')
    is_whole = url.startswith(('http://', 'https://')) and host
    if not (is_below or is_whole) or '@' in host:
        return 'address'
    if '{' in host:
        return 'host'
    if not needed <= allowed:
        return 'placeholder'
    return None if needed else 'nothing'


def _placeholders(url):
    "Return the names in braces, ValueError where braces stand otherwise."
    fields = [field for _, *field in Formatter().parse(url)
        if field[0] is not None]
    if any(spec or conversion for _, spec, conversion in fields):
        raise ValueError("no plain placeholder")
    return {name for name, _, _ in fields}
