# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patients of Orthanc servers, and what a patient of GNU Health gains."""
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.modules.health_imaging.direction import isolated, plain
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval

from . import linking, matching, migration, records, storage
from .kept import Kept

# What of a person says whether a study may be theirs.
_IDENTITY = {'ref', 'dob', 'gender', 'name', 'lastname', 'est_dob'}


class OrthancPatient(Kept, ModelSQL, ModelView):
    "Orthanc Patient"
    __name__ = 'gnuhealth.orthanc.patient'
    _for_people = frozenset({'patient'})

    patient = fields.Many2One('gnuhealth.patient', "Local Patient",
        help="The patient of GNU Health, as chosen by a person.")
    name = fields.Char("DICOM Name", readonly=True)
    readable_name = fields.Function(
        fields.Char("Name"), 'get_readable_name')
    bd = fields.Date("Date of Birth", readonly=True)
    bd_text = fields.Char("DICOM Birth Date", readonly=True,
        states={'invisible': ~Eval('bd_text')},
        help="What stands in the images and is no date of birth.")
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
        'gnuhealth.orthanc.study', 'patient', "Studies before 5.0",
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

    @classmethod
    def __register__(cls, module):
        checked = migration.has_column(cls, module, 'bd_text')
        super().__register__(module)
        if not checked:
            migration.clear_odd_dates(cls, {'bd': 'bd_text'})

    @classmethod
    def write(cls, *args):
        super().write(*args)
        actions = iter(args)
        for patients, values in zip(actions, actions):
            if values.get('patient'):
                cls._link_studies(patients)

    @classmethod
    def _link_studies(cls, patients):
        """Give the local patient the unlinked studies that do not contradict.
        """
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        for patient in cls.browse(patients):
            facts, = linking.patient_facts([patient.patient])
            studies = [s for s in patient.imaging_studies
                if not s.patient
                and not (s.link_rule == 'person')
                and not matching.contradiction(
                    linking.study_facts(s), facts)]
            if studies:
                Study.write(studies, {'patient': patient.patient.id})

    def get_readable_name(self, name):
        return records.readable_name(self.name)

    def get_link(self, name):
        if self.server:
            return f'{self.server.link}#patient?uuid={self.uuid}'

    def get_rec_name(self, name):
        ident = f' [{plain(self.ident)}]' if self.ident else ''
        name = isolated(records.readable_name(self.name))
        return f'{name or self.uuid}{ident}'

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

    @classmethod
    def create(cls, vlist):
        patients = super().create(vlist)
        linking.relink_patients(patients)
        return patients

    @classmethod
    def write(cls, *args):
        super().write(*args)
        actions = iter(args)
        linking.relink_patients(cls.browse([
                    p for patients, values in zip(actions, actions)
                    if 'biological_sex' in values for p in patients]))

    @classmethod
    def merge_imaging(cls, source, destination):
        """Move the studies of a patient to another one, with requests and
        results."""
        pool = Pool()
        super().merge_imaging(source, destination)
        for name in [
                'gnuhealth.imaging_orthanc.study',
                'gnuhealth.orthanc.patient']:
            Model = pool.get(name)
            table = Model.__table__()
            rows = storage.execute(table.select(
                    table.id, where=table.patient == source.id))
            storage.set_values(
                Model, [id_ for id_, in rows], patient=destination.id)
        linking.relink_patients([destination])


class Party(metaclass=PoolMeta):
    __name__ = 'party.party'

    @classmethod
    def write(cls, *args):
        super().write(*args)
        actions = iter(args)
        relink_parties([
                p for parties, values in zip(actions, actions)
                if _IDENTITY & values.keys() for p in parties])


class PersonName(metaclass=PoolMeta):
    __name__ = 'gnuhealth.person_name'

    @classmethod
    def create(cls, vlist):
        names = super().create(vlist)
        relink_parties([n.party for n in names if n.party])
        return names

    @classmethod
    def write(cls, *args):
        super().write(*args)
        relink_parties([
                n.party for names in args[::2] for n in names if n.party])


class AlternativeID(metaclass=PoolMeta):
    __name__ = 'gnuhealth.person_alternative_identification'

    @classmethod
    def create(cls, vlist):
        identifications = super().create(vlist)
        relink_parties([i.party for i in identifications if i.party])
        return identifications

    @classmethod
    def write(cls, *args):
        super().write(*args)
        relink_parties([
                i.party for ids in args[::2] for i in ids if i.party])


def relink_parties(parties):
    """Decide again on the studies of the patients that people are."""
    Patient = Pool().get('gnuhealth.patient')
    if parties:
        linking.relink_patients(Patient.search([
                    ('party', 'in', list({p.id for p in parties})),
                    ('active', 'in', [True, False]),
                    ]))
