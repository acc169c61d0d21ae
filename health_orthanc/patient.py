# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patients of Orthanc servers, and what a patient of GNU Health gains."""
from collections import defaultdict

from sql import Null
from sql.functions import Lower

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.modules.health_imaging.calls import search_words
from trytond.modules.health_imaging.direction import isolated, plain
from trytond.modules.health_imaging.kept import Kept
from trytond.modules.health_imaging.minute import Minute
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, If
from trytond.tools import reduce_ids
from trytond.transaction import without_check_access

from . import blocks, matching, migration, tables
from .archive import texts
from .exceptions import NoViewerError
from .links import deciding, events, facts, ledger
from .links.access_log import note

# What of a person says whether a study may be theirs.
_IDENTITY = {
    'ref', 'dob', 'gender', 'name', 'lastname', 'est_dob', 'active',
    'replaced_by', 'alternative_ids', 'person_names'}
_OF_PATIENT = {'biological_sex', 'active', 'party'}


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
    study_patients = fields.Function(
        fields.Char("Patient of the Studies",
            help="To whom the studies are linked here."),
        'get_study_patients')
    missing_since = Minute("Missing since", readonly=True,
        states={'invisible': ~Eval('missing_since')},
        help="When the server was first seen without any study of this "
        "patient.")
    protected = fields.Boolean("Protected", readonly=True,
        help="Whether GNU Health has the server keep this patient when it "
        "recycles the oldest ones.")
    link = fields.Function(fields.Char("Orthanc Explorer"), 'get_link')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('uuid_unique', Unique(table, table.server, table.uuid),
                'health_orthanc.msg_orthanc_patient_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.ident, Index.Equality())),
                Index(table, (table.server, Index.Equality()),
                    where=table.protected),
                })
        cls._buttons['open_explorer'] = {
            'invisible': ~Eval('server') | Bool(Eval('missing_since'))}

    @classmethod
    def __register__(cls, module):
        checked = cls.__table_handler__(module).column_exist('bd_text')
        super().__register__(module)
        if not checked:
            migration.clear_odd_dates(cls, {'bd': 'bd_text'})

    @classmethod
    def write(cls, *args):
        former = {p.id: p.patient for some in args[::2] for p in some}
        super().write(*args)
        actions = iter(args)
        for patients, values in zip(actions, actions):
            if values.get('patient'):
                cls._link_studies(patients, former)

    @classmethod
    @without_check_access
    def _link_studies(cls, patients, former):
        """Give the local patient the studies that do not contradict: those of
        nobody, and what the former one, by id, got as this one does."""
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        for patient in cls.browse(patients):
            person, = facts.patient_facts([patient.patient.id]).values()
            before = former[patient.id]
            rows = facts.read_studies([
                    s.id for s in patient.imaging_studies
                    if (s.patient == before and s.link_rule == 'person'
                        if s.patient else s.link_rule != 'person')])
            studies = Study.browse([
                    row.id for row in rows if not matching.contradiction(
                        facts.study_facts(row), person)])
            if studies:
                deciding.choose(studies, {'patient': patient.patient.id})

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', If(Eval('missing_since'), 'muted', '')),
            ]

    def get_readable_name(self, name):
        return texts.readable_name(self.name)

    @classmethod
    def get_study_patients(cls, patients, name):
        """Return the names of those who have the studies, by id."""
        Patient = Pool().get('gnuhealth.patient')
        study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
        pairs = set(blocks.rows(
            study, [study.orthanc_patient, study.patient],
            study.orthanc_patient, [p.id for p in patients],
            study.patient != Null))
        whose = {
            p.id: p for p in Patient.browse({patient for _, patient in pairs})}
        names = defaultdict(list)
        for of, patient in pairs:
            names[of].append(plain(whose[patient].rec_name))
        return {p.id: '; '.join(sorted(names[p.id])) for p in patients}

    @classmethod
    def get_link(cls, patients, name):
        """Return the links; whoever has them may open them."""
        patients = [p for p in patients if p._has_explorer()]
        cls._note_opened(patients, once=True)
        return {p.id: p._explorer_link() for p in patients}

    def _has_explorer(self):
        # It shows everything: where viewers take a ticket it is not offered.
        return self.server and not self.server.viewer_address

    def _explorer_link(self):
        return f'{self.server.link}#patient?uuid={self.uuid}'

    @classmethod
    def _note_opened(cls, patients, details=None, once=False):
        studies = [
            s for p in patients for s in p.imaging_studies
            if not s.missing_since]
        if studies:
            note('viewer', studies, details, once)

    @classmethod
    @ModelView.button_action('health_orthanc.url_viewer')
    def open_explorer(cls, patients):
        "Open the first patient in Orthanc Explorer."
        for patient in patients:
            if patient._has_explorer():
                cls._note_opened([patient], "Orthanc Explorer")
                return {'url': patient._explorer_link()}
            raise NoViewerError(gettext(
                    'health_orthanc.msg_no_viewer', record=patient.rec_name))

    def get_rec_name(self, name):
        ident = f' [{plain(self.ident)}]' if self.ident else ''
        name = isolated(texts.readable_name(self.name))
        return f'{name or self.uuid}{ident}'

    @classmethod
    def search_rec_name(cls, name, clause):
        return search_words(['name', 'ident'], clause)


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
        events.people_changed([p.party.id for p in patients])
        return patients

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        changed = {
            party for patients, values in zip(actions, actions)
            if _OF_PATIENT & values.keys() for p in patients
            for party in [p.party.id, values.get('party')] if party}
        super().write(*args)
        events.people_changed(changed)

    @classmethod
    def delete(cls, patients):
        ids, parties = [p.id for p in patients], [p.party.id for p in patients]
        offered = events.among_candidates('patient', ids)
        lost = ledger.let_go(ledger.CHOICES,
            lambda table: reduce_ids(table.patient, ids), 'people')
        super().delete(patients)
        events.studies_let_go(lost, 'people', offered)
        events.people_changed(parties)

    @classmethod
    def merge_imaging(cls, source, destination):
        """Move the studies of a patient to another one, with requests and
        results."""
        pool = Pool()
        super().merge_imaging(source, destination)
        OrthancPatient = pool.get('gnuhealth.orthanc.patient')
        table = OrthancPatient.__table__()
        rows = tables.execute(table.select(
                table.id, where=table.patient == source.id))
        tables.set_values(
            OrthancPatient, [id_ for id_, in rows], patient=destination.id)
        ledger.move(source.id, destination.id)


class Replace(metaclass=PoolMeta):
    __name__ = 'party.replace'

    def transition_replace(self):
        parties = [self.ask.source.id, self.ask.destination.id]
        transition = super().transition_replace()
        events.people_changed(parties, 'merge')
        return transition


class Party(metaclass=PoolMeta):
    __name__ = 'party.party'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.update({
                Index(table, (table.replaced_by, Index.Equality()),
                    where=table.replaced_by != Null),
                # What studies are compared with.
                Index(table, (Lower(table.ref), Index.Equality())),
                Index(table, (table.dob, Index.Range())),
                })

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        changed = {
            p for parties, values in zip(actions, actions)
            if _IDENTITY & values.keys() for p in parties}
        former = {p.ref for p in changed}
        super().write(*args)
        events.people_changed(
            [p.id for p in changed], identifiers=former)


class OfPerson:
    "Mixin of names and identifications of people, in records of their own."
    __slots__ = ()

    @classmethod
    def create(cls, vlist):
        records = super().create(vlist)
        _changed(records)
        return records

    @classmethod
    def write(cls, *args):
        records = [r for some in args[::2] for r in some]
        former = _tell(records)
        super().write(*args)
        _changed(records, *former)

    @classmethod
    def delete(cls, records):
        former = _tell(records)
        super().delete(records)
        _changed([], *former)


class PersonName(OfPerson, metaclass=PoolMeta):
    __name__ = 'gnuhealth.person_name'


class AlternativeID(OfPerson, metaclass=PoolMeta):
    __name__ = 'gnuhealth.person_alternative_identification'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(
            Index(table, (Lower(table.code), Index.Equality())))


@without_check_access
def _tell(records):
    "Return the ids of the parties of records, and what identifies them."
    return (
        {r.party.id for r in records if r.party},
        {getattr(r, 'code', None) for r in records})


def _changed(records, parties=(), identifiers=()):
    "Note that names or identifications of people changed."
    own, _ = _tell(records)
    events.people_changed(
        {*own, *parties}, identifiers=identifiers)
