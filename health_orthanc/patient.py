# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patients of Orthanc servers, and what a patient of GNU Health gains."""
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import PoolMeta
from trytond.pyson import Eval

from . import records


class OrthancPatient(ModelSQL, ModelView):
    "Orthanc Patient"
    __name__ = 'gnuhealth.orthanc.patient'

    patient = fields.Many2One('gnuhealth.patient', "Local Patient",
        help="The patient of GNU Health, as chosen by a person.")
    name = fields.Char("DICOM Name", readonly=True)
    readable_name = fields.Function(
        fields.Char("Name"), 'get_readable_name')
    bd = fields.Date("Date of Birth", readonly=True)
    sex = fields.Selection([
            (None, ""),
            ('M', "Male"),
            ('F', "Female"),
            ('O', "Other"),
            ], "Sex", readonly=True, sort=False)
    ident = fields.Char("Patient ID", readonly=True)
    uuid = fields.Char("Orthanc ID", required=True, readonly=True)
    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", readonly=True,
        ondelete='RESTRICT')
    studies = fields.One2Many(
        'gnuhealth.orthanc.study', 'patient', "Former Studies",
        readonly=True, states={'invisible': ~Eval('studies')})
    imaging_studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'orthanc_patient', "Studies",
        readonly=True)
    link = fields.Function(fields.Char("Orthanc Explorer"), 'get_link')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('uuid_unique', Unique(table, table.server, table.uuid),
                'health_orthanc.msg_orthanc_patient_unique'),
            ]
        cls._sql_indexes.add(Index(table, (table.ident, Index.Equality())))

    def get_readable_name(self, name):
        return records.readable_name(self.name)

    def get_link(self, name):
        if self.server:
            return f'{self.server.link}#patient?uuid={self.uuid}'

    def get_rec_name(self, name):
        ident = f' [{self.ident}]' if self.ident else ''
        return f'{records.readable_name(self.name) or self.uuid}{ident}'

    @classmethod
    def search_rec_name(cls, name, clause):
        operator = 'AND' if clause[1].startswith(('!', 'not ')) else 'OR'
        return [operator,
            ('name', *clause[1:]),
            ('ident', *clause[1:]),
            ]


class Patient(metaclass=PoolMeta):
    __name__ = 'gnuhealth.patient'

    orthanc_patients = fields.One2Many(
        'gnuhealth.orthanc.patient', 'patient', "Orthanc Patients",
        readonly=True)
    orthanc_studies = fields.One2Many(
        'gnuhealth.imaging_orthanc.study', 'patient', "Orthanc Studies",
        readonly=True)
