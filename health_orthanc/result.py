# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What imaging results gain: the studies with their images."""
from sql import Null

from trytond.i18n import gettext
from trytond.model import Index, ModelView, fields
from trytond.modules.health_imaging.doors import (
    ReloadingWizard, selected_records)
from trytond.modules.health_imaging.minute import Minute
from trytond.modules.health_imaging.rights import check_read
from trytond.modules.health_imaging.told import tell
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.tools import reduce_ids
from trytond.transaction import without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from . import acquired
from .exceptions import ForeignPictureError
from .links import effects, events, ledger
from .sign_check import studies_findings

#: What a result holds whose signer has seen all.
MARKS = {'studies_changed_at': None, 'new_images_at': None}


class Result(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.result'

    studies = fields.One2Many(
        'gnuhealth.orthanc.study', 'imaging_test', "Studies before 5.0",
        readonly=True)
    orthanc_studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'imaging_test', "Studies",
        readonly=True)

    studies_changed_at = Minute(
        "Studies Changed after Signing", readonly=True,
        states={'invisible': ~Eval('studies_changed_at')
            | Bool(Eval('new_images_at'))},
        help="When a study was linked to this signed result or taken from it. "
        "Look at the studies, then amend the result, or confirm that it "
        "holds.")
    new_images_at = Minute(
        "New Images since the Signature", readonly=True,
        states={'invisible': ~Eval('new_images_at')},
        help="When images of the exam last arrived after this result was "
        "signed. Look at them, then amend the result, or confirm that it "
        "holds.")
    image_count = fields.Function(fields.Char("Number of Images",
            help="How many images of the exam are on the servers."),
        'get_image_count')
    stored_reports = fields.One2Many(
        'gnuhealth.orthanc.report', 'result', "Reports on Servers",
        readonly=True, states={'invisible': ~Eval('stored_reports', [])})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.update(
            Index(table, (column, Index.Range()), where=column != Null)
            for column in [table.new_images_at, table.studies_changed_at])
        cls._stamped |= MARKS.keys()
        cls._not_copied |= {'studies', 'orthanc_studies', 'stored_reports'}
        cls._buttons.update({
                'link_studies': {},
                'open_images': {'invisible': ~Eval('image_count')},
                'confirm_studies': {
                    'invisible': ~Eval('studies_changed_at')
                    & ~Eval('new_images_at')},
                })

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_link_studies')
    def link_studies(cls, results):
        """Choose studies for a result."""

    @classmethod
    def get_image_count(cls, results, name):
        counts = acquired.count([r.id for r in results], 'imaging_test')
        return {id_: str(n) if n else None for id_, n in counts.items()}

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_images(cls, results):
        """Open the latest study of the first result in a viewer."""
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        for result in results[:1]:
            check_read([result])
            return Study.open_latest(result.orthanc_studies, result)

    @classmethod
    def create(cls, vlist):
        results = super().create(vlist)
        ledger.give_waiting(
            {r.request.id: r.id for r in results if r.request})
        return results

    @classmethod
    def write(cls, *args):
        StoredReport = Pool().get('gnuhealth.orthanc.report')
        super().write(*args)
        actions, signed = iter(args), []
        for results, values in zip(actions, actions):
            if 'patient' in values:
                cls._let_studies_go(results, values['patient'])
            if values.get('state') == 'draft':
                cls._look_at_pictures(results)
            elif values.get('state') == 'final':
                signed.extend(results)
        if signed:
            StoredReport.announce(cls.browse(signed))

    @classmethod
    def _let_studies_go(cls, results, patient):
        "Take the studies of other people away from results."
        ids = [r.id for r in results]
        events.studies_let_go(ledger.let_go(['imaging_test'],
                lambda table: reduce_ids(table.imaging_test, ids)
                & (table.patient != patient), 'result'), 'result')

    @classmethod
    def delete(cls, results):
        ids = [r.id for r in results]
        lost = ledger.let_go(['imaging_test'],
            lambda table: reduce_ids(table.imaging_test, ids), 'result')
        requests = {r.request.id for r in results if r.request}
        super().delete(results)
        effects.count_images(requests)
        effects.report_together(requests)
        events.studies_let_go(lost, 'result')

    @classmethod
    @without_check_access
    def _look_at_pictures(cls, results):
        "Take out of opened results the pictures whose studies went since."
        Attachment = Pool().get('ir.attachment')
        Attachment.take_out({
                (a.imaging_study.id, result.id)
                for result, a in cls._foreign_pictures(results)})
        cls.write([r for r in results if r.is_marked()], MARKS)

    @classmethod
    def give_back(cls, results, reason, keep):
        """Release results; parameters and errors are those of
        health_imaging."""
        super().give_back(results, reason, keep)
        # With images they do not go back to the worklist.
        effects.count_images({r.request.id for r in results})

    @staticmethod
    def _foreign_pictures(results):
        "Return the pictures of studies of others, pairs with their results."
        return [
            (result, picture) for result in results
            for picture in result.images
            if picture.imaging_study
            and picture.imaging_study.imaging_test != result]

    @classmethod
    def sign_findings(cls, results):
        """Return what a person should know before results are signed."""
        return super().sign_findings(results) + studies_findings(results)

    @classmethod
    @ModelView.button
    def finalize(cls, results):
        """Sign results.

        :raises ForeignPictureError: a picture is of a study of another result
        """
        for result, picture in cls._foreign_pictures(results):
            raise ForeignPictureError(gettext(
                    'health_orthanc.msg_foreign_picture',
                    picture=picture.imaging_caption, result=result.rec_name,
                    study=picture.imaging_study.rec_name))
        super().finalize(results)

    @classmethod
    @ModelView.button
    def confirm_studies(cls, results):
        "Confirm that signed results hold with the studies they have now."
        Note = Pool().get('ir.note')
        with without_check_access():
            Note.create([{
                        'resource': str(result),
                        'message': tell(
                            'health_orthanc.msg_studies_confirmed'),
                        } for result in results if result.is_marked()])
            cls.write(results, MARKS)

    def is_marked(self):
        """Return whether studies or images changed after the signature."""
        return bool(self.studies_changed_at or self.new_images_at)


class LinkStudiesStart(ModelView):
    "Link Studies to a Result"
    __name__ = 'gnuhealth.imaging_orthanc.link_studies.start'

    result = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", readonly=True)
    patient = fields.Many2One('gnuhealth.patient', "Patient", readonly=True)
    studies = fields.Many2Many(
        'gnuhealth.imaging_orthanc.study', None, None, "Studies",
        required=True,
        domain=[
            ('imaging_test', '=', None),
            ('missing_since', '=', None),
            ['OR',
                ('patient', '=', Eval('patient', -1)),
                ('patient', '=', None)],
            ],
        help="Studies of the patient, and those that are nobody's yet.")


class LinkStudies(ReloadingWizard, Wizard):
    "Link Studies to a Result"
    __name__ = 'gnuhealth.imaging_orthanc.link_studies'
    _rights = {
        'gnuhealth.imaging.test.result': ['read'],
        'gnuhealth.imaging_orthanc.study': ['write'],
        }
    _models = {'gnuhealth.imaging.test.result'}

    start = StateView('gnuhealth.imaging_orthanc.link_studies.start',
        'health_orthanc.link_studies_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Link", 'link', 'tryton-link', default=True),
            ])
    link = StateTransition()

    def _result(self):
        Result = Pool().get('gnuhealth.imaging.test.result')
        result, *_ = selected_records(self, Result)
        check_read([result])
        return result

    def default_start(self, field_names):
        result = self._result()
        return {'result': result.id, 'patient': result.patient.id}

    def transition_link(self):
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        result = self._result()
        studies = list(getattr(self.start, 'studies', None) or [])
        check_read(studies)
        Study.write(studies, {'imaging_test': result.id})
        return 'end'
