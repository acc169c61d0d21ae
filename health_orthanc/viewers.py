# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links into the viewers of a server, for studies and series."""
from urllib.parse import quote

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import PoolMeta
from trytond.pyson import Bool, Eval, In

from .exceptions import NoViewerError
from .links import twins
from .links.access_log import note

# What follows the public URL of the server, by the code of the viewer: for a
# study and for a series. Orthanc Explorer 2 has no page for one series.
_PATHS = {
    'explorer': (
        '/app/explorer.html#study?uuid={study_id}',
        '/app/explorer.html#series?uuid={series_id}'),
    'explorer2': (
        '/ui/app/#/filtered-studies?StudyInstanceUID={study}&expand=study',
        '/ui/app/#/filtered-studies?StudyInstanceUID={study}&expand=series'),
    'ohif': (
        '/ohif/viewer?StudyInstanceUIDs={study}',
        '/ohif/viewer?StudyInstanceUIDs={study}&SeriesInstanceUIDs={series}'),
    'stone': (
        '/stone-webviewer/index.html?study={study}',
        '/stone-webviewer/index.html?study={study}&series={series}'),
    }
#: The viewers by their codes.
NAMES = {
    'explorer': "Orthanc Explorer",
    'explorer2': "Orthanc Explorer 2",
    'ohif': "OHIF",
    'stone': "Stone",
    }
_BY_UID = {'explorer2', 'ohif', 'stone'}
# The link that the button takes is the first one there is.
_FIELDS = {
    'ohif_viewer_link': 'ohif',
    'stone_viewer_link': 'stone',
    'orthanc_explorer2_link': 'explorer2',
    'orthanc_explorer_link': 'explorer',
    }


def links(
        base, viewers, study_id, study, series_id=None, series=None,
        shared=False):
    """Return the links of the viewers that a server has, by their codes.

    :param base: the public URL of the server
    :param viewers: codes: explorer, explorer2, ohif, stone
    :param study_id: the Orthanc id of the study
    :param study: StudyInstanceUID (0020,000D)
    :param series_id: the Orthanc id of the series, for links to a series
    :param series: SeriesInstanceUID (0020,000E), the same
    :param bool shared: whether a study of another patient has the same UID,
        which is all that most viewers are told
    """
    if not (base or '').startswith(('http://', 'https://')):
        # A browser would run what begins with javascript:
        return {}
    ids = {
        name: quote(value or '', safe='') for name, value in [
            ('study_id', study_id), ('study', study),
            ('series_id', series_id), ('series', series)]}
    return {
        viewer: base.rstrip('/') + paths[bool(series)].format(**ids)
        for viewer, paths in _PATHS.items()
        if viewer in (viewers or ()) and not (shared and viewer in _BY_UID)}


def _link(name, string):
    return fields.Function(
        fields.Char(string, states={'invisible': ~Eval(name)}),
        'get_viewer_links')


class ViewerLinks:
    """Mixin with a link to each viewer that the server has."""
    __slots__ = ()

    orthanc_explorer_link = _link('orthanc_explorer_link', "Orthanc Explorer")
    orthanc_explorer2_link = _link(
        'orthanc_explorer2_link', "Orthanc Explorer 2")
    ohif_viewer_link = _link('ohif_viewer_link', "OHIF Viewer")
    stone_viewer_link = _link('stone_viewer_link', "Stone Viewer")
    viewer_codes = fields.Function(
        fields.MultiSelection(list(NAMES.items()), "Viewers", sort=False),
        'get_viewer_codes')

    @classmethod
    def get_viewer_links(cls, records, names):
        """Return the links by field, none for what the server lost."""
        found = {name: dict.fromkeys(r.id for r in records) for name in names}
        for record, urls in cls._viewer_urls(records):
            for name in names:
                found[name][record.id] = urls.get(_FIELDS[name])
        studies = {
            r.study_of_links for r in records
            if any(found[name][r.id] for name in names)}
        if studies:
            # Whoever has an address may open it.
            note('viewer', sorted(studies), once=True)
        return found

    @classmethod
    def get_viewer_codes(cls, records, name):
        return {
            record.id: sorted(urls)
            for record, urls in cls._viewer_urls(records)}

    @classmethod
    def _viewer_urls(cls, records):
        """Return pairs of record and links by the codes of the viewers."""
        shared = twins.ambiguous_studies(
            list({r.study_of_links.id for r in records}))
        return [
            (r, r.viewer_links(r.study_of_links.id in shared))
            for r in records]

    @classmethod
    def __setup__(cls):
        super().__setup__()
        buttons = {'open_viewer': ~Bool(Eval('viewer_codes'))}
        for viewer in NAMES:
            buttons[f'open_{viewer}'] = ~In(viewer, Eval('viewer_codes', []))
        cls._buttons.update({
                name: {'invisible': invisible, 'depends': ['viewer_codes']}
                for name, invisible in buttons.items()})

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_viewer(cls, records):
        """Open the first record in the best viewer that its server has.

        :raises NoViewerError: when there is none
        """
        return cls._open(records, *_FIELDS.values())

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_ohif(cls, records):
        return cls._open(records, 'ohif')

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_stone(cls, records):
        return cls._open(records, 'stone')

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_explorer2(cls, records):
        return cls._open(records, 'explorer2')

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_explorer(cls, records):
        return cls._open(records, 'explorer')

    @classmethod
    def _open(cls, records, *viewers):
        """Return what opens the first record in the first of some viewers
        that its server has."""
        for record, urls in cls._viewer_urls(records[:1]):
            for viewer in viewers:
                if viewer in urls:
                    note('viewer', [record.study_of_links], NAMES[viewer])
                    return {'url': urls[viewer]}
            raise NoViewerError(gettext(
                    'health_orthanc.msg_no_viewer', record=record.rec_name))

    @property
    def study_of_links(self):
        """The study that the viewers open."""
        return self.study if 'study' in self._fields else self

    def viewer_links(self, shared=False):
        """Return the links by the codes of the viewers.

        :param bool shared: see links
        """
        raise NotImplementedError


class Server(metaclass=PoolMeta):
    __name__ = 'gnuhealth.orthanc.config'

    other_viewers = fields.MultiSelection([
            ('explorer2', "Orthanc Explorer 2"),
            ('ohif', "OHIF"),
            ('stone', "Stone"),
            ], "Other Viewers", sort=False,
        help="Viewers below the public URL of which Orthanc does not know, "
        "such as OHIF on the web server before it.")

    @property
    def all_viewers(self):
        "The codes of the viewers found on the server and of those told, set."
        return {*(self.viewers or ()), *(self.other_viewers or ())}
