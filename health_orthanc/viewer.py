# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The viewers of a server, and those that the hospital adds."""
from urllib.parse import urlsplit

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.modules.health_imaging.calls import CheckedCalls

from . import in_the_clear
from .exceptions import ViewerURLError
from .viewers import OF_SERIES, OF_STUDY, Viewer, choices, known, url_problem
from .viewing import ViewedServer

_PLACEHOLDERS = {'study_url': OF_STUDY, 'series_url': OF_SERIES}


class OwnViewer(CheckedCalls, ModelSQL, ModelView):
    "Viewer of the Hospital"
    __name__ = 'gnuhealth.orthanc.viewer'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True,
        ondelete='CASCADE')
    name = fields.Char("Name", required=True)
    study_url = fields.Char("URL of a Study", required=True,
        help="With {study} for the Study Instance UID or {study_id} for the "
        "Orthanc ID. It begins with https://, or with / when it follows the "
        "public URL of the server.")
    series_url = fields.Char("URL of a Series",
        help="The same for a series, with {series} or {series_id} too. Empty "
        "when the viewer opens whole studies only.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('name_unique', Unique(table, table.server, table.name),
                'health_orthanc.msg_viewer_name_unique'),
            ]
        cls._sql_indexes.add(Index(table, (table.server, Index.Equality())))
        cls._order = [('name', 'ASC'), ('id', 'ASC')]

    @classmethod
    def create(cls, vlist):
        records = super().create(vlist)
        cls._warn_user(vlist)
        return records

    @classmethod
    def write(cls, *args):
        super().write(*args)
        cls._warn_user(args[1::2])

    @classmethod
    def _warn_user(cls, vlist):
        """Have a person confirm new addresses that others can listen to."""
        in_the_clear.warn_user({
                url for values in vlist for name in _PLACEHOLDERS
                for url in [values.get(name)] if url})

    @classmethod
    def validate_fields(cls, records, field_names):
        """Check the addresses.

        :raises ViewerURLError: one is none, or names what a study has not
        """
        super().validate_fields(records, field_names)
        for record in records:
            for name, allowed in _PLACEHOLDERS.items():
                url = getattr(record, name)
                problem = url and url_problem(url, allowed)
                if problem:
                    raise ViewerURLError(gettext(
                            f'health_orthanc.msg_viewer_url_{problem}',
                            field=cls.__names__(name)['field'],
                            viewer=record.name,
                            placeholders=', '.join(
                                f'{{{p}}}' for p in sorted(allowed))))

    @property
    def row(self):
        "The same as a row of viewers.VIEWERS."
        return Viewer(
            str(self.id), self.name, self.study_url, self.series_url)


class ServerViewers(ViewedServer):
    """Mixin of servers: the viewers that open what they store."""
    __slots__ = ()

    viewers = fields.MultiSelection(
        choices(), "Viewers", readonly=True, sort=False,
        help="The viewers found on the server.")
    viewers_string = viewers.translated('viewers')
    viewer_names = fields.Function(fields.Char("Viewers",
            help="The viewers found on the server."), 'get_viewer_names')
    other_viewers = fields.MultiSelection(
        choices('explorer'), "Other Viewers", sort=False,
        help="Viewers below the public URL of which Orthanc does not know, "
        "such as OHIF on the web server before it.")
    own_viewers = fields.One2Many(
        'gnuhealth.orthanc.viewer', 'server', "Viewers of the Hospital",
        help="Further viewers, and the addresses at which they open studies "
        "and series.")
    viewer_address = fields.Char("Viewer Address",
        help="The address of the web server that opens images for GNU Health, "
        "such as https://viewer.example.org. It shows only what somebody "
        "opened here, without an account of Orthanc. Empty when viewers are "
        "opened on Orthanc itself.")
    viewer_way = fields.Function(
        fields.Char("Way to the Viewers"), 'on_change_with_viewer_way')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # Another module may have added a row.
        cls.viewers.selection = choices()
        cls.other_viewers.selection = choices('explorer')
        table = cls.__table__()
        cls._sql_constraints.append(('viewer_address_unique',
                Unique(table, table.viewer_address),
                'health_orthanc.msg_viewer_address_unique'))

    @classmethod
    def validate_fields(cls, servers, field_names):
        """Check the addresses for viewers.

        :raises ViewerURLError: one has a path
        """
        super().validate_fields(servers, field_names)
        for server in servers if 'viewer_address' in field_names else ():
            if urlsplit(server.viewer_address or '').path:
                raise ViewerURLError(gettext(
                        'health_orthanc.msg_viewer_address_path',
                        server=server.label))

    @fields.depends('viewer_address')
    def on_change_with_viewer_way(self, name=None):
        return gettext('health_orthanc.msg_viewers_guarded'
            if self.viewer_address else 'health_orthanc.msg_viewers_direct')

    def get_viewer_names(self, name=None):
        return ', '.join(self.viewers_string)

    @property
    def all_viewers(self):
        "All viewers, those of the hospital last, list of viewers.Viewer."
        codes = {*(self.viewers or ()), *(self.other_viewers or ())}
        return [
            viewer for viewer in known(codes)
            if viewer.asks_dicomweb or not self.viewer_address] + [
            viewer.row for viewer in self.own_viewers]

    @property
    def viewers_base(self):
        "What the addresses of viewers follow that are no whole ones."
        return self.viewer_address or self.link_base_url

    def is_guarded(self, url):
        "Return whether it takes a ticket to open a link."
        return bool(self.viewer_address) and url.startswith(
            f'{self.viewer_address}/')

    def viewer_name(self, code):
        "Return the name of a viewer for people."
        return {v.code: v.name for v in self.all_viewers}[code]
