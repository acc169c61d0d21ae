# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of instances on the screen: preview and thumbnails."""
import math
from collections import defaultdict
from contextvars import ContextVar
from functools import wraps
from types import MappingProxyType

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.model.modelview import on_change_result
from trytond.modules.health_imaging.calls import CheckedCalls
from trytond.modules.health_imaging.doors import check_selected
from trytond.modules.health_imaging.rights import check_read
from trytond.modules.health_imaging.told import join, tell
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.rpc import RPC
from trytond.transaction import Transaction, without_check_access
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from .exceptions import NoPictureError
from .gallery import SECONDS, Wanted, cache, fetch, sentence
from .image_wizard import ImageWizard
from .links.access_log import USERS, check_group, note
from .pictures import WITHOUT_PICTURES

_PICTURES = ['image', 'no_image', 'thumbnail']
# What was fetched for the call of a client, by id and name of the field.
_fetched = ContextVar('pictures', default=MappingProxyType({}))
# Seconds for all thumbnails of a list, which nobody waits for.
THUMBNAIL_SECONDS = 5
MAX_THUMBNAILS = 50
THUMBNAIL_SIDE = 96
# What a preview has at most, in pixels. A report gets all of them.
SIDE = 1024


class PreviewMixin:
    """Mixin of what has pictures: the button that shows them."""
    __slots__ = ()

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({'preview': {}})

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_preview')
    def preview(cls, records):
        """Show the pictures, beginning with the first instance."""


class StudyPreview(PreviewMixin):
    """Mixin of studies: what a preview of them begins with."""
    __slots__ = ()

    def first_instance(self):
        """Return the instance to show first, None when there is none."""
        series = [s for s in self.series if not s.missing_since]
        series.sort(key=lambda s: s.modality in WITHOUT_PICTURES)
        return next(filter(None, (s.first_instance() for s in series)), None)


class SeriesPreview(PreviewMixin):
    """Mixin of series: the order in which a preview shows them."""
    __slots__ = ()

    def instances_in_order(self, limit=None):
        "Return the instances, reading no more of thousands than their ids."
        Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
        return Instance.search([('series', '=', self.id)], limit=limit)

    def first_instance(self):
        """Return the first instance, None when there is none."""
        return next(iter(self.instances_in_order(limit=1)), None)

    def neighbour(self, step):
        """Return the next series of the study that has instances (step 1), or
        the one before (-1); None at the end."""
        all_ = [s for s in self.study.series
            if s == self or not s.missing_since]
        index = all_.index(self)
        others = all_[index + 1:] if step > 0 else all_[:index][::-1]
        return next((s for s in others if s.first_instance()), None)


def _with_pictures(method):
    """Decorate an RPC that reads instances: the pictures are fetched before
    it, when nothing is written yet."""
    @wraps(method)
    def call(*args, **kwargs):
        records, names = (*args, None, None)[:2]
        wanted = []
        if all(isinstance(a, (list, tuple)) for a in [records, names]):
            wanted = [name for name in _PICTURES if name in names]
        if not wanted:
            return method(*args, **kwargs)
        Instance = Pool().get('gnuhealth.imaging_orthanc.series_instances')
        ids = [getattr(r, 'id', r) for r in records]
        # This checks the rights.
        Instance.read(ids, wanted)
        kept = _fetched.set(
            Instance.fetch_pictures(Instance.browse(ids), wanted))
        try:
            return method(*args, **kwargs)
        finally:
            _fetched.reset(kept)
    return call


class InstancePreview(PreviewMixin):
    """Mixin of instances: their pictures, and which comes next."""
    __slots__ = ()

    image = fields.Function(fields.Binary("Image"), 'get_picture')
    no_image = fields.Function(fields.Text("No Image",
            states={'invisible': ~Eval('no_image')}),
        'get_picture')
    thumbnail = fields.Function(fields.Binary("Thumbnail"), 'get_picture')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__rpc__.update({
                'read': RPC(decorator=_with_pictures),
                'export_data': RPC(
                    instantiate=0, unique=False, decorator=_with_pictures),
                })

    def first_instance(self):
        """Return itself, as what a preview begins with."""
        return self

    @classmethod
    def get_picture(cls, instances, names):
        """Return the pictures, and why there is none, as far as they were
        fetched for a client: here a transaction is open."""
        fetched = _fetched.get()
        found = {
            name: {i.id: fetched.get((i.id, name)) for i in instances}
            for name in names}
        for name in set(names) - {'no_image'}:
            cls.note_pictures(
                'view', [i for i in instances if found[name][i.id]], once=True)
        return found

    @classmethod
    def fetch_pictures(cls, instances, names):
        """Return the values of get_picture by id and name. It ends the
        transaction.

        :param instances: records, the user may read them
        :param names: of the fields that are wanted
        """
        asked, values = [], {}
        if 'thumbnail' in names:
            some = [i for i in instances[:MAX_THUMBNAILS]
                if i.series.modality not in WITHOUT_PICTURES]
            asked.append((
                    'thumbnail', some, THUMBNAIL_SECONDS, THUMBNAIL_SIDE))
        if 'image' in names or 'thumbnail' not in names:
            asked.append(('image', instances, SECONDS, None))
        for name, some, seconds, side in asked:
            pictures = fetch(
                [Wanted(i, side=side) for i in some], seconds, hurried=True)
            for instance, picture in zip(some, pictures):
                is_error = isinstance(picture, Exception)
                values[instance.id, 'no_image'] = (
                    sentence(picture, instance) if is_error else None)
                if not is_error:
                    values[instance.id, name] = fields.Binary.cast(
                        picture.content)
        return values

    @classmethod
    def note_pictures(cls, action, instances, once=False):
        "Keep who did what with the pictures of instances, see note."
        by_study = defaultdict(list)
        for instance in instances:
            by_study[instance.of_study].append(instance)
        for study, some in by_study.items():
            note(action, [study], some[0].position_text(
                    some[0].series.rec_name) if len(some) == 1
                else tell('health_orthanc.msg_viewed', count=len(some)),
                once)

    def position_text(self, series, frame=None):
        """Return which image of a study this is, for people.

        :param str series: how the series is called
        :param frame: the number of the frame from 1, or None
        """
        parts = [series]
        if self.instance_number is not None:
            parts.append(tell(
                    'health_orthanc.msg_label_instance_number',
                    number=self.instance_number))
        if frame and (self.number_of_frames or 1) > 1:
            parts.append(tell(
                    'health_orthanc.msg_label_frame', number=frame))
        return join(', ', parts)

    def neighbour(self, step, listed):
        """Return the next instance of the study (step 1), or the one before
        (-1); None at the end.

        :param listed: function of a series, its instances in their order
        """
        found = listed(self.series)
        index = found.index(self) + step
        if not 0 <= index < len(found):
            series = self.series.neighbour(step)
            found = listed(series) if series else [None]
            index = 0 if step > 0 else -1
        return found[index]


# What a button of the form takes: clients send nothing else, and not the
# picture, and change what they show.
_TAKEN = [
    'session', 'instance', 'frame', 'window_center', 'window_width',
    'shown_center', 'shown_width']


def _form_button(method):
    """Decorate what a button of the form does: as a state of a wizard it runs
    without access checks."""
    return ModelView.button_change(*_TAKEN)(without_check_access(method))


class PreviewShow(CheckedCalls, ModelView):
    "Preview"
    __name__ = 'gnuhealth.imaging_orthanc.preview.show'

    session = fields.Integer("Session", states={'invisible': True})
    instance = fields.Many2One(
        'gnuhealth.imaging_orthanc.series_instances', "Image",
        states={'invisible': True})
    series = fields.Many2One(
        'gnuhealth.imaging_orthanc.study_series', "Series", readonly=True)
    position = fields.Char("Position", readonly=True)
    frame = fields.Integer("Frame",
        states={'invisible': Eval('number_of_frames', 1) <= 1})
    number_of_frames = fields.Integer("Frames", readonly=True,
        states={'invisible': Eval('number_of_frames', 1) <= 1})
    window_center = fields.Float("Window Center",
        help="Empty both for the window of the file.")
    window_width = fields.Float("Window Width",
        help="Empty both for the window of the file.")
    shown_center = fields.Float("Default Window Center", readonly=True,
        states={'invisible': True})
    shown_width = fields.Float("Default Window Width", readonly=True,
        states={'invisible': True})
    picture = fields.Binary("Picture", readonly=True, filename='file_name',
        states={'invisible': ~Eval('has_picture')})
    file_name = fields.Char("File Name", readonly=True,
        states={'invisible': True})
    has_picture = fields.Boolean("Has Picture", readonly=True,
        states={'invisible': True})
    has_viewer = fields.Boolean("Has Viewer", readonly=True,
        states={'invisible': True})
    message = fields.Text("Message", readonly=True,
        states={'invisible': ~Eval('message')})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({
                'previous': {}, 'again': {}, 'next_': {},
                'attach': {'invisible': ~Eval('has_picture')}})
        # Who saw what is noted.
        cls.__rpc__.update({
                name: RPC(readonly=False, instantiate=0,
                    result=on_change_result)
                for name in cls._buttons})

    @_form_button
    def previous(self):
        """Show the frame or image before."""
        self._step(-1)

    @_form_button
    def next_(self):
        """Show the next frame or image."""
        self._step(1)

    @_form_button
    def again(self):
        """Show the image with the frame and window that the user chose."""
        self.look(self.checked())

    @_form_button
    def attach(self):
        """Add the image to the report."""
        instance = self.checked()
        type(instance).attach_pictures([
                (instance, self._frame(instance), self._window())])
        self.message = gettext('health_orthanc.msg_added_to_report',
            result=instance.of_study.imaging_test.rec_name)

    def checked(self):
        """Return the instance that the client sent back, if its user may see
        it."""
        check_group(*USERS)
        instance = self.instance
        check_selected(isinstance(instance, InstancePreview))
        check_read([instance])
        return instance

    def _step(self, step):
        """Go to the next frame or image, or to the one before."""
        instance = self.checked()
        frame = self._frame(instance) + step
        if 1 <= frame <= (instance.number_of_frames or 1):
            self.frame = frame
        else:
            neighbour = instance.neighbour(step, self._found)
            if not neighbour:
                self.message = gettext('health_orthanc.msg_no_more_images')
                return
            if neighbour.series != instance.series:
                self.window_center = self.window_width = None
            self.instance, instance = neighbour, neighbour
            self.frame = 1 if step > 0 else neighbour.number_of_frames
        self.look(instance)

    def _found(self, series):
        """Return the instances of a series in their order, listed once for
        all clicks in a preview, and anew when there are more or less."""
        transaction = Transaction()
        key = (transaction.database.name, transaction.user, self.session,
            series.id, series.number_of_instances)
        ids = cache.listed(key) or []
        if not ids or (self.instance.series == series
                and self.instance.id not in ids):
            ids = cache.listed(
                key, [i.id for i in series.instances_in_order()])
        return type(self.instance).browse(ids)

    def _frame(self, instance):
        """Return the number of the wanted frame, from 1."""
        return min(max(self.frame or 1, 1), instance.number_of_frames or 1)

    def _window(self):
        """Return the window that the user chose, None when it is the default
        that was shown."""
        center, width = self.window_center, self.window_width
        if None in {center, width} or (center, width) == (
                self.shown_center, self.shown_width):
            return None
        if math.isfinite(center) and math.isfinite(width):
            return center, max(width, 1)

    def look(self, instance):
        """Show the picture of an instance, or why there is none."""
        frame, window = self._frame(instance), self._window()
        found = self._found(instance.series)
        self.series = instance.series
        self.frame, self.number_of_frames = (
            frame, instance.number_of_frames or 1)
        self.position = gettext('health_orthanc.msg_position',
            index=found.index(instance) + 1, count=len(found))
        self.has_viewer = bool(viewable(instance))
        self.message = None
        picture, = fetch([Wanted(instance, frame - 1, window, SIDE)])
        self._show(instance, picture, window)

    def _show(self, instance, picture, window):
        """Show what was fetched, a Picture or an error, with the window that
        was chosen, or None."""
        self.has_picture = not isinstance(picture, Exception)
        self.picture = self.file_name = None
        self.shown_center = self.shown_width = None
        if self.has_picture:
            note('view', [instance.of_study], instance.position_text(
                    instance.series.rec_name, self.frame), once=True)
            self.picture = fields.Binary.cast(picture.content)
            self.file_name = 'picture.' + (
                picture.media_type.rpartition('/')[2])
            if picture.window and not window:
                self.shown_center, self.shown_width = picture.window
            window = picture.window
        else:
            self.message = sentence(picture, instance)
        self.window_center, self.window_width = window or (None, None)


class Preview(ImageWizard, Wizard):
    "Preview"
    __name__ = 'gnuhealth.imaging_orthanc.preview'
    _models = {
        'gnuhealth.imaging_orthanc.study',
        'gnuhealth.imaging_orthanc.study_series',
        'gnuhealth.imaging_orthanc.series_instances'}
    start_state = 'open_'

    open_ = StateTransition()
    show = StateView('gnuhealth.imaging_orthanc.preview.show',
        'health_orthanc.preview_show_view_form', [
            Button("Close", 'end', 'tryton-close'),
            Button("Open in Viewer", 'viewer', 'tryton-public',
                states={'invisible': ~Eval('has_viewer')}),
            ])
    viewer = StateAction('health_orthanc.url_viewer')

    def transition_open_(self):
        record, *_ = self._selected()
        instance = record.first_instance()
        if not instance:
            raise NoPictureError(gettext(
                    'health_orthanc.msg_no_images', record=record.rec_name))
        self.show.instance = instance
        return 'show'

    def default_show(self, field_names):
        Show = Pool().get('gnuhealth.imaging_orthanc.preview.show')
        show = Show(**{name: getattr(self.show, name, None)
                for name in _TAKEN})
        show.session = self._session_id
        show.look(show.checked())
        return show._default_values

    def do_viewer(self, action):
        """Open the series in the best viewer of its server, or the study when
        no viewer opens series.

        :raises NoViewerError: there is none
        """
        self.show.picture = None
        instance = self.show.checked()
        record = viewable(instance) or instance.of_study
        action.update(type(record)._open([record]))
        return action, {}

    def transition_viewer(self):
        return 'show'


def viewable(instance):
    "Return the series of an instance, or its study, that a viewer opens."
    return next((
            record for record in [instance.series, instance.of_study]
            if record.number_of_viewers), None)
