# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens studies and series in viewers, and keeps who did."""
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.modules.health_imaging.rights import check_read
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, In
from trytond.transaction import check_access
from trytond.wizard import Button, StateAction, StateView, Wizard

from .exceptions import NoViewerError
from .image_wizard import ImageWizard
from .links import twins
from .links.access_log import note
from .viewers import choices, links

# Former studies that are opened with one.
_MOST = 50
# The viewers that have a field and a button of their own.
_FIELDS = {
    'ohif_viewer_link': 'ohif',
    'stone_viewer_link': 'stone',
    'orthanc_explorer2_link': 'explorer2',
    'orthanc_explorer_link': 'explorer',
    }


def _link(name, string):
    return fields.Function(
        fields.Char(string, states={'invisible': ~Eval(name)}),
        'get_viewer_links')


def _opening(code):
    "Return the button that opens a record in one viewer, or in the best one."
    def open_in_viewer(cls, records):
        return cls._open(records, code)
    open_in_viewer.__name__ = f'open_{code or "viewer"}'
    return classmethod(
        ModelView.button_action('health_orthanc.url_viewer')(open_in_viewer))


class ViewerLinks:
    """Mixin of studies and series: links into the viewers of their server."""
    __slots__ = ()

    orthanc_explorer_link = _link('orthanc_explorer_link', "Orthanc Explorer")
    orthanc_explorer2_link = _link(
        'orthanc_explorer2_link', "Orthanc Explorer 2")
    ohif_viewer_link = _link('ohif_viewer_link', "OHIF Viewer")
    stone_viewer_link = _link('stone_viewer_link', "Stone Viewer")
    viewer_codes = fields.Function(
        fields.MultiSelection(choices(), "Viewers", sort=False),
        'get_viewer_codes')
    number_of_viewers = fields.Function(
        fields.Integer("Number of Viewers"), 'get_viewer_codes')
    takes_ticket = fields.Function(
        fields.Boolean("Opened with a Ticket"), 'get_takes_ticket')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # Another module may have added a row.
        cls.viewer_codes.selection = choices()
        buttons = {
            'open_viewer': ~Bool(Eval('number_of_viewers')),
            'open_in': ~(Eval('number_of_viewers', 0) > 1) & ~(
                Bool(Eval('number_of_viewers')) & Bool(Eval('takes_ticket'))),
            **{f'open_{code}': ~In(code, Eval('viewer_codes', []))
                for code in _FIELDS.values()},
            }
        cls._buttons.update({
                name: {
                    'invisible': invisible,
                    'depends': [
                        'number_of_viewers', 'viewer_codes', 'takes_ticket'],
                    }
                for name, invisible in buttons.items()})

    @classmethod
    def get_viewer_links(cls, records, names):
        """Return the links by field, none for what the server lost."""
        found = {name: dict.fromkeys(map(int, records)) for name in names}
        studies = set()
        for record, urls in cls._viewer_urls(records):
            server = record.of_study.orthanc_server
            for name in names:
                url = urls.get(_FIELDS[name])
                # What takes a ticket is opened by its button only.
                if url and not server.is_guarded(url):
                    found[name][record.id] = url
                    studies.add(record.of_study)
        if studies:
            # Whoever has an address may open it.
            note('viewer', sorted(studies), once=True)
        return found

    @classmethod
    def get_viewer_codes(cls, records, names):
        """Return the codes of the known viewers that open records, and how
        many open them at all."""
        found = {'viewer_codes': {}, 'number_of_viewers': {}}
        for record, urls in cls._viewer_urls(records):
            found['number_of_viewers'][record.id] = len(urls)
            found['viewer_codes'][record.id] = sorted(
                urls.keys() & dict(choices()).keys())
        return {name: found[name] for name in names}

    def get_takes_ticket(self, name):
        return bool(self.of_study.orthanc_server.viewer_address)

    @classmethod
    def _viewer_urls(cls, records):
        """Return pairs of record and links by the codes of the viewers."""
        shared = twins.ambiguous_studies(
            list({r.of_study.id for r in records}))
        return [
            (r, r._viewer_links(r.of_study.id in shared)) for r in records]

    def _viewer_links(self, shared):
        study = self.of_study
        if study.missing_since or self.missing_since:
            return {}
        series = () if self == study else (self.orthanc_UID, self.series_UID)
        return links(
            study.orthanc_server.viewers_base,
            study.orthanc_server.all_viewers, study.orthanc_UID,
            study.study_instance_UID, *series, shared=shared)

    open_viewer = _opening(None)
    open_ohif = _opening('ohif')
    open_stone = _opening('stone')
    open_explorer2 = _opening('explorer2')
    open_explorer = _opening('explorer')

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_open_viewer')
    def open_in(cls, records):
        """Choose the viewer that opens the first record."""

    @classmethod
    def open_latest(cls, studies, of):
        """Open the first of some studies that a viewer opens.

        :param studies: records, the latest first
        :param of: the record that they belong to
        :raises NoViewerError: when there is none
        """
        studies = [s for s in studies if s.number_of_viewers]
        if not studies:
            raise NoViewerError(gettext(
                    'health_orthanc.msg_no_viewer', record=of.rec_name))
        check_read(studies[:1])
        return cls._open(studies[:1])

    @classmethod
    def compared(cls, studies, others):
        """Return how a viewer shows one of some studies beside a former one:
        it takes a server that has both.

        :param studies: records, the latest first
        :param others: records of a former exam, the same
        :return: the two studies, the code of the viewer and its address, or
            None
        """
        shared = twins.ambiguous_studies([s.id for s in [*studies, *others]])
        for study in studies:
            server = study.orthanc_server
            for other in others:
                if (study == other or study.missing_since
                        or other.missing_since
                        or other.orthanc_server != server):
                    continue
                urls = links(server.viewers_base, server.all_viewers,
                    study.orthanc_UID, study.study_instance_UID,
                    shared=bool(shared & {study.id, other.id}),
                    other=other.study_instance_UID)
                for code, url in urls.items():
                    return study, other, code, url

    @classmethod
    def open_compared(cls, studies, others, of):
        """Open one of some studies beside a former one, and keep who opened
        them.

        :param studies, others: see compared
        :param of: the record that the former ones belong to
        :raises NoViewerError: no viewer shows both
        """
        found = cls.compared(studies, others)
        if not found:
            raise NoViewerError(gettext(
                    'health_orthanc.msg_no_comparison', record=of.rec_name))
        study, other, code, url = found
        check_read([study, other])
        return study.orthanc_server.opening([study, other], url, code)

    @classmethod
    def _open(cls, records, code=None, former=False):
        """Return what opens the first record, with the former studies of the
        patient if wanted, and keep who opened it."""
        for record, urls in cls._viewer_urls(records[:1]):
            code = next(iter(urls), '') if code is None else code
            if code not in urls:
                raise NoViewerError(gettext(
                        'health_orthanc.msg_no_viewer',
                        record=record.rec_name))
            study = record.of_study
            studies = [study, *study.other_studies()] if former else [study]
            return study.orthanc_server.opening(studies, urls[code], code)

    def other_studies(self):
        """Return what else the patient has on a server that opens studies
        with a ticket, as far as the user may read it, the newest first."""
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        if not (self.patient and self.takes_ticket):
            return []
        with check_access():
            others = Study.search([
                    ('patient', '=', self.patient.id),
                    ('orthanc_server', '=', self.orthanc_server.id),
                    ('missing_since', '=', None),
                    ('id', '!=', self.id)], limit=_MOST)
        shared = twins.ambiguous_studies([s.id for s in others])
        return [s for s in others if s.id not in shared]

    def viewer_choices(self):
        """Return codes and names of the viewers that open the record, those
        of the hospital first."""
        (_, urls), = self._viewer_urls([self])
        server = self.of_study.orthanc_server
        return sorted(
            ((code, server.viewer_name(code)) for code in urls),
            key=lambda choice: choice in choices())


class OpenViewerStart(ModelView):
    "Open in a Viewer"
    __name__ = 'gnuhealth.imaging_orthanc.open_viewer.start'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", readonly=True,
        states={'invisible': ~Eval('study')})
    series = fields.Many2One(
        'gnuhealth.imaging_orthanc.study_series', "Series", readonly=True,
        states={'invisible': ~Eval('series')})
    viewer = fields.Selection(
        'get_viewers', "Viewer", required=True, sort=False)
    takes_ticket = fields.Boolean("Opened with a Ticket", readonly=True,
        states={'invisible': True})
    former = fields.Boolean("With Former Studies",
        states={'invisible': ~Eval('takes_ticket')},
        help="The viewer can show the other studies of the patient too.")

    @fields.depends('study', 'series')
    def get_viewers(self):
        record = self.series or self.study
        return record.viewer_choices() if record else []


class OpenViewer(ImageWizard, Wizard):
    "Open in a Viewer"
    __name__ = 'gnuhealth.imaging_orthanc.open_viewer'
    _models = {
        'gnuhealth.imaging_orthanc.study',
        'gnuhealth.imaging_orthanc.study_series'}

    start = StateView('gnuhealth.imaging_orthanc.open_viewer.start',
        'health_orthanc.open_viewer_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Open", 'open_', 'tryton-public', default=True),
            ])
    open_ = StateAction('health_orthanc.url_viewer')

    def default_start(self, field_names):
        record, *_ = self._selected()
        name = 'study' if record == record.of_study else 'series'
        viewers = [code for code, _ in record.viewer_choices()]
        return {
            name: record.id, 'viewer': next(iter(viewers), None),
            'takes_ticket': record.takes_ticket}

    def do_open_(self, action):
        record, *_ = self._selected()
        code = getattr(self.start, 'viewer', None) or ''
        action.update(type(record)._open(
                [record], code, bool(getattr(self.start, 'former', None))))
        return action, {}
