# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What imaging results gain: the studies with their images."""
from collections import defaultdict

from trytond.model import ModelView, fields
from trytond.modules.health_imaging.common import (
    CheckedWizard, check_read, selected_records)
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval
from trytond.wizard import Button, StateTransition, StateView, Wizard

from . import storage


class Result(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.result'

    studies = fields.One2Many(
        'gnuhealth.orthanc.study', 'imaging_test', "Studies before 5.0",
        readonly=True)
    orthanc_studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'imaging_test', "Studies",
        readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._buttons.update({'link_studies': {}})

    @classmethod
    @ModelView.button_action('health_orthanc.wizard_link_studies')
    def link_studies(cls, results):
        """Choose studies for a result."""

    @classmethod
    def create(cls, vlist):
        results = super().create(vlist)
        cls._link_waiting_studies(results)
        return results

    @classmethod
    def _link_waiting_studies(cls, results):
        """Give results the studies that arrived for their requests before.
        """
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        by_request = {r.request.id: r.id for r in results if r.request}
        if not by_request:
            return
        waiting = defaultdict(list)
        for study in Study.search([
                    ('request', 'in', list(by_request)),
                    ('imaging_test', '=', None),
                    ]):
            waiting[by_request[study.request.id]].append(study.id)
        for result, ids in waiting.items():
            storage.set_values(Study, ids, imaging_test=result)

    @classmethod
    def copy(cls, results, default=None):
        default = {} if default is None else default.copy()
        default.setdefault('studies', None)
        default.setdefault('orthanc_studies', None)
        return super().copy(results, default=default)


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


class LinkStudies(CheckedWizard, Wizard):
    "Link Studies to a Result"
    __name__ = 'gnuhealth.imaging_orthanc.link_studies'
    _rights = {
        'gnuhealth.imaging.test.result': ['read'],
        'gnuhealth.imaging_orthanc.study': ['write'],
        }

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

    def end(self):
        return 'reload'
