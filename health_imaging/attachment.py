# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What attachments of results gain: that signed results and their former
reports stay as they are."""
from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool, PoolMeta
from trytond.tools import firstline
from trytond.transaction import Transaction, without_check_access

from .attachment_picture import KeptPictures
from .exceptions import KeptReportError
from .workflow import hold


class Attachment(KeptPictures, metaclass=PoolMeta):
    __name__ = 'ir.attachment'

    imaging_revision = fields.Integer("Report Revision", readonly=True,
        help="The revision of an imaging result of which this is the printed "
        "report, kept when the result was amended.")
    imaging_caption = fields.Function(
        fields.Char("Caption"), 'on_change_with_imaging_caption')

    @fields.depends('description', 'name')
    def on_change_with_imaging_caption(self, name=None):
        """Return the first line under the picture, else what it is called."""
        return firstline(self.description or '') or self.name

    @classmethod
    def create(cls, vlist):
        if Transaction().check_access:
            for values in vlist:
                if values.get('imaging_revision') is not None:
                    cls._refuse_kept(values.get('name'))
        attachments = super().create(vlist)
        cls.check_imaging_results(attachments)
        return attachments

    @classmethod
    def write(cls, *args):
        attachments = [a for records in args[::2] for a in records]
        cls._check_kept_reports(attachments)
        cls.check_imaging_results(attachments)
        super().write(*args)
        cls._check_kept_reports(attachments)
        cls.check_imaging_results(attachments)

    @classmethod
    def delete(cls, attachments):
        cls._check_kept_reports(attachments)
        cls.check_imaging_results(attachments)
        super().delete(attachments)

    @classmethod
    @without_check_access
    def check_imaging_results(cls, attachments):
        """Raise FinalResultError for attachments of final results."""
        Result = Pool().get('gnuhealth.imaging.test.result')
        results = Result.browse({
                a.resource.id for a in cls.browse(attachments)
                if isinstance(a.resource, Result)})
        # Somebody may be signing one of them.
        hold(results)
        Result.check_draft(results)

    @classmethod
    @without_check_access
    def _check_kept_reports(cls, attachments):
        for attachment in cls.browse(attachments):
            if attachment.imaging_revision is not None:
                cls._refuse_kept(attachment.name)

    @classmethod
    def _refuse_kept(cls, name):
        raise KeptReportError(gettext(
                'health_imaging.msg_kept_report', name=name))
