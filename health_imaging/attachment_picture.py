# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures attached to results: unpacked once, when attached, and stored in
the sizes of the list and of the printed page."""
import time

from sql import Null

from trytond.i18n import gettext
from trytond.ir.attachment import file_id as in_files
from trytond.ir.attachment import store_prefix
from trytond.model import Index, fields
from trytond.transaction import Transaction, without_check_access

from . import pictures
from .exceptions import PictureError
from .migration import set_where
from .tables import execute
from .workflow import refuse_given, refuse_kept

# In bytes. Larger files are films or archives and are not opened.
PICTURE_BYTES = 64 * 1000 ** 2
THUMBNAIL_PIXELS = 128, 96
# Of pictures side by side on the page, 8 by 9 cm: 400 pixels per inch.
PRINT_PIXELS = 1280, 1440
# Time limit for all pictures of a list that are not stored yet, in seconds.
LIST_SECONDS = 0.2
# Time limit of one run of the scheduled task, in seconds.
TASK_SECONDS = 30

_SIZES = {'imaging_small': THUMBNAIL_PIXELS, 'imaging_print': PRINT_PIXELS}
_KEPT = {'imaging_picture', *_SIZES, *(f'{name}_id' for name in _SIZES)}
# Fields whose change makes the stored pictures invalid.
_SOURCES = {'data', 'file_id', 'resource', 'type'}
_RESULT = 'gnuhealth.imaging.test.result,'


def picture_later(name):
    """Return the PictureError for a picture that cannot be opened now."""
    return PictureError(gettext(
            'health_imaging.msg_picture_later', name=name))


def _kept(label, name):
    return fields.Binary(label, readonly=True,
        file_id=in_files and f'{name}_id', store_prefix=store_prefix)


class KeptPictures:
    """Mixin of attachments: pictures of results in the sizes shown."""
    __slots__ = ()

    imaging_picture = fields.Selection([
            (None, ""),
            ('kept', "Shown"),
            ('none', "No picture"),
            ('kind', "Other kind of picture"),
            ('large', "File too large"),
            ('pixels', "Too many pixels"),
            ('effort', "Too hard to open"),
            ('damaged', "Damaged"),
            ], "In Reports", readonly=True, sort=False,
        help="Whether reports show the file, or why not. "
        "Empty until it was opened for the first time.")
    imaging_small = _kept("Small Picture", 'imaging_small')
    imaging_small_id = fields.Char("Small Picture ID", readonly=True)
    imaging_print = _kept("Printed Picture", 'imaging_print')
    imaging_print_id = fields.Char("Printed Picture ID", readonly=True)
    imaging_thumbnail = fields.Function(
        fields.Binary("Picture"), 'get_imaging_thumbnail')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(Index(
                table, (table.resource, Index.Similarity(begin=True)),
                where=table.imaging_picture == Null))

    @classmethod
    def get_imaging_thumbnail(cls, attachments, name):
        """Return small PNG pictures, None for files that are no pictures.

        Files that were never opened are opened now if this is cheap.
        """
        size = Transaction().context.get(f'{cls.__name__}.{name}') == 'size'
        end = time.monotonic() + LIST_SECONDS
        with cls._whole():
            found = {
                a.id: a.imaging_small or a._quick_thumbnail(end)
                for a in cls.browse(attachments)}
        return {
            id_: len(data) if size and data else data
            for id_, data in found.items()}

    @classmethod
    def _whole(cls):
        """Return a context in which files are read in full.

        A client may have asked for their sizes only.
        """
        return Transaction().set_context(
            {f'{cls.__name__}.{name}': None for name in ['data', *_SIZES]})

    def _quick_thumbnail(self, end):
        if (self.imaging_picture or not self._is_of_result()
                or time.monotonic() > end
                or (self.data_size or 0) > pictures.PLAIN_BYTES):
            return None
        try:
            file, = pictures.render_plain(self.data, [THUMBNAIL_PIXELS]).files
        except pictures.NoPicture:
            return None
        return fields.Binary.cast(file)

    def picture_to_print(self):
        """Return the picture as PNG in the size of the page.

        :return: bytes, None when the file is not shown in reports
        :raises PictureError: it cannot be opened now
        """
        if self.imaging_picture not in {None, 'kept'}:
            return None
        with self._whole():
            attachment = type(self)(self.id)
            return attachment.imaging_print or (
                attachment._look()['imaging_print'])

    def _is_of_result(self):
        return str(self.resource or '').startswith(_RESULT)

    def _look(self, wait=pictures.WAIT):
        """Return the columns to store for the file, or raise PictureError."""
        found = dict.fromkeys(['imaging_picture', *_SIZES])
        size = self.data_size or 0
        if self.type != 'data' or not (size or self.file_id):
            found['imaging_picture'] = 'none'
        elif size > PICTURE_BYTES:
            found['imaging_picture'] = 'large'
        elif size:
            # Otherwise the file is missing from the store; try again later.
            found.update(self._open(wait))
        return found

    def _open(self, wait):
        try:
            rendered = pictures.render(
                self.data, list(_SIZES.values()), wait=wait)
        except pictures.NoPicture as error:
            return {'imaging_picture': error.code}
        except (pictures.Busy, pictures.Unable):
            raise picture_later(self.name) from None
        return {'imaging_picture': 'kept', **dict(zip(_SIZES, rendered.files))}

    @classmethod
    @without_check_access
    def _keep_pictures(cls, attachments):
        """Open the files of results once and store their pictures."""
        with cls._whole():
            for attachment in cls.browse(attachments):
                found = dict.fromkeys(['imaging_picture', *_SIZES])
                if attachment._is_of_result():
                    try:
                        found = attachment._look()
                    except PictureError:
                        # The scheduled task tries again.
                        pass
                elif not attachment.imaging_picture:
                    continue
                attachment._store(found)

    def _store(self, values):
        """Write columns of the picture and leave the write stamp as it is."""
        cls = type(self)
        table = cls.__table__()
        set_where(table, table.id == self.id,
            imaging_picture=values['imaging_picture'])
        for name in _SIZES:
            cls._fields[name].set(cls, name, [self.id], values[name])
        for cache in Transaction().cache.values():
            if cls.__name__ in cache:
                cache[cls.__name__].pop(self.id, None)

    @classmethod
    def keep_imaging_pictures(cls):
        """Open attachments that have no stored picture yet, newest first.

        These are older than the columns, or could not be opened before.
        Commits after each one. Called by the scheduled task.
        """
        end = time.monotonic() + TASK_SECONDS
        table = cls.__table__()
        for id_, in execute(table.select(table.id,
                    where=table.resource.like(f'{_RESULT}%')
                    & (table.imaging_picture == Null),
                    order_by=table.id.desc)):
            cls._keep_pictures([id_])
            Transaction().commit()
            if time.monotonic() > end:
                break

    @classmethod
    def create(cls, vlist):
        vlist = [dict(values) for values in vlist]
        refuse_given(cls, vlist, _KEPT)
        attachments = super().create(vlist)
        cls._keep_pictures(attachments)
        return attachments

    @classmethod
    def write(cls, *args):
        # Not even what is there already: its picture may be another's.
        for values in args[1::2] if Transaction().check_access else ():
            refuse_kept(cls, _KEPT & values.keys())
        changed = [
            r for records, values in zip(args[::2], args[1::2])
            if _SOURCES & values.keys() for r in records]
        super().write(*args)
        cls._keep_pictures(list(dict.fromkeys(changed)))

    @classmethod
    def copy(cls, attachments, default=None):
        # The copy gets its own pictures.
        default = {**dict.fromkeys(_KEPT), **(default or {})}
        return super().copy(attachments, default=default)
