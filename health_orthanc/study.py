# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the servers hold: studies, their series and their instances."""
from functools import reduce

from sql import Null
from sql.functions import CharLength, Lower

from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.modules.health_imaging.calls import check_words, search_words
from trytond.modules.health_imaging.direction import plain
from trytond.modules.health_imaging.kept import Kept
from trytond.modules.health_imaging.minute import Minute
from trytond.modules.health_imaging.patient_exam import row_id
from trytond.pool import Pool
from trytond.pyson import Bool, Equal, Eval, If, Len

from . import blocks, migration
from .archive import texts
from .deletion import DeletableSeries, DeletableStudy
from .encapsulated_report import ReportedStudy
from .exceptions import NothingToUndoError
from .links import deciding, ledger
from .links.further import NAME
from .links.link_log import last_not_undone
from .open_viewer import ViewerLinks
from .preview import InstancePreview, SeriesPreview, StudyPreview
from .report_picture import ReportedInstance
from .tables import leave_out_index


class OnServer(Kept):
    """Mixin of studies, series and images: their study, and its server."""
    __slots__ = ()

    # The way to the server
    _to_server = 'orthanc_server'

    server = fields.Function(fields.Char("Server URL"),
        'get_server', searcher='search_server')

    @property
    def of_study(self):
        "The study that this is or belongs to."
        return reduce(getattr, self._to_server.split('.')[:-1], self)

    def get_server(self, name):
        return self.of_study.orthanc_server.domain

    @classmethod
    def search_server(cls, name, clause):
        return [(f'{cls._to_server}.domain', *clause[1:])]


class Study(
        OnServer, StudyPreview, DeletableStudy, ReportedStudy,
        ViewerLinks, ModelSQL, ModelView):
    "Imaging Study"
    __name__ = 'gnuhealth.imaging_orthanc.study'
    _for_people = frozenset({
        'patient', 'imaging_test', 'further_requests', 'merge_comment',
        'notes'})

    patient = fields.Many2One('gnuhealth.patient', "Patient",
        help="The patient of GNU Health to whom the images belong.")
    gnuhealth_patient_name = fields.Function(
        fields.Char("Patient's Name"), 'get_gnuhealth_patient_name')
    request = fields.Many2One(
        'gnuhealth.imaging.test.request', "Request", readonly=True,
        ondelete='SET NULL')
    further_requests = fields.Many2Many(
        NAME, 'study', 'request', "Further Requests",
        domain=[
            ('patient', '=', Eval('patient', -1)),
            ('id', '!=', Eval('request', -1)),
            ],
        states={'readonly': ~Eval('patient')},
        help="Other requests of the patient for which the exam was done, too. "
        "One report serves them all.")
    requests = fields.Function(
        fields.Many2Many(
            'gnuhealth.imaging.test.request', None, None, "Requests",
            help="All requests for which the exam was done."),
        'get_requests', searcher='search_requests')
    images_arrived = fields.Function(fields.Char("Images Arrived",
            states={'invisible': ~Eval('images_arrived')},
            help="How many images of the request are here of those that the "
            "machine says it made."),
        'get_images_arrived')
    imaging_test = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", ondelete='SET NULL',
        domain=[
            If(Eval('patient'), ('patient', '=', Eval('patient')), ()),
            ])
    merge_id = fields.Char("Study Instance UID of the Request",
        readonly=True,
        help="What the modality was given to find the request again.")
    merge_comment = fields.Char("Note on the Link")
    link_rule = fields.Selection([
            (None, ""),
            ('merge_id', "Study Instance UID of the request"),
            ('accession', "Accession number"),
            ('patient_id', "Patient ID"),
            ('person', "A person"),
            ], "Linked by", readonly=True, sort=False)
    link_state = fields.Selection([
            ('linked', "Linked"),
            ('review', "To Review"),
            ('unlinked', "Unlinked"),
            ], "Link", readonly=True, sort=False)
    review_code = fields.Char("Code of the Reason", readonly=True)
    review_parameters = fields.Text("Details of the Reason", readonly=True)
    review_reason = fields.Function(
        fields.Text("Reason for Review",
            states={'invisible': ~Eval('review_code')}),
        'get_review_reason')
    candidates = fields.One2Many(
        'gnuhealth.imaging_orthanc.link_candidate', 'study', "Candidates",
        readonly=True, states={'invisible': ~Eval('candidates', [])})
    link_log = fields.One2Many(
        'gnuhealth.orthanc.link_log', 'study', "History of the Link",
        readonly=True)
    notes = fields.Text("Notes")

    orthanc_server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='RESTRICT')
    orthanc_patient = fields.Many2One(
        'gnuhealth.orthanc.patient', "Orthanc Patient", readonly=True,
        ondelete='RESTRICT')
    orthanc_UID = fields.Char("Orthanc ID", required=True, readonly=True)
    study_instance_UID = fields.Char(
        "Study Instance UID", required=True, readonly=True)
    patient_name = fields.Char("DICOM Patient Name", readonly=True)
    readable_name = fields.Function(
        fields.Char("Patient in Orthanc"), 'get_readable_name',
        searcher='search_readable_name')
    patient_id = fields.Char("Patient ID", readonly=True)
    patient_birth_date = fields.Date("Patient's Birth Date", readonly=True)
    patient_birth_date_text = fields.Char("DICOM Birth Date", readonly=True,
        states={'invisible': ~Eval('patient_birth_date_text')},
        help="What stands in the images and is no date of birth.")
    patient_sex = fields.Selection([
            (None, ""),
            ('M', "Male"),
            ('F', "Female"),
            ('O', "Other"),
            ], "Patient's Sex", readonly=True, sort=False)
    date = fields.Char("DICOM Date", readonly=True,
        states={'invisible': Bool(Eval('study_date')) | ~Eval('date')},
        help="What stands in the images and is no date of an exam.")
    study_date = fields.Date("Date", readonly=True)
    study_time = fields.Time("Time", readonly=True)
    description = fields.Char("Description", readonly=True)
    study_id = fields.Char("Study ID", readonly=True)
    accession_number = fields.Char("Accession Number", readonly=True)
    institution = fields.Char("Institution", readonly=True)
    referring_physician_name = fields.Char(
        "DICOM Referring Physician", readonly=True)
    requesting_physician_name = fields.Char(
        "DICOM Requesting Physician", readonly=True)
    performing_physician_name = fields.Char(
        "DICOM Performing Physician", readonly=True)
    referring_physician = fields.Function(
        fields.Char("Referring Physician"), 'get_readable_physician')
    requesting_physician = fields.Function(
        fields.Char("Requesting Physician"), 'get_readable_physician')
    performing_physician = fields.Function(
        fields.Char("Performing Physician"), 'get_readable_physician')
    requested_procedure_description = fields.Char(
        "Requested Procedure", readonly=True)
    modalities = fields.Char("Modalities", readonly=True)
    number_of_series = fields.Integer("Series", readonly=True)
    number_of_instances = fields.Integer("Images", readonly=True)
    issuer = fields.Char("Issuer of Patient ID", readonly=True,
        states={'invisible': ~Eval('issuer')},
        help="Who gave the patient ID, when the images state it.")
    requested_ids = fields.Text("Requested IDs", readonly=True,
        states={'invisible': True},
        help="The identifiers of what was ordered that the images carry, "
        "with backslashes between them.")
    details_at = Minute("Details Read at", readonly=True,
        states={'invisible': True},
        help="When one of the images was read for what the server does not "
        "list.")
    correction = fields.Text("Correction", readonly=True,
        states={'invisible': True},
        help="What its images state otherwise than the server lists, because "
        "they were corrected there.")
    missing_since = Minute("Missing since", readonly=True,
        states={'invisible': ~Eval('missing_since')},
        help="When the server was first seen without this study.")
    undecided_since = Minute("Not Decided since", readonly=True,
        states={'invisible': ~Eval('undecided_since')},
        help="Since when an error keeps the rules from deciding to whom this "
        "study belongs. The next synchronization tries again.")
    series = fields.One2Many(
        'gnuhealth.imaging_orthanc.study_series', 'study', "Series",
        readonly=True)

    link_base_url = fields.Function(
        fields.Char("Base URL of Links"), 'get_link_base_url')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('orthanc_uid_unique',
                Unique(table, table.orthanc_server, table.orthanc_UID),
                'health_orthanc.msg_study_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (column, Index.Equality())) for column in (
                    table.study_instance_UID, table.request,
                    table.patient_birth_date, Lower(table.accession_number),
                    Lower(table.patient_id))})
        latest = [
            (table.study_date, Index.Range(order='DESC NULLS LAST')),
            (table.study_time, Index.Range(order='DESC NULLS LAST')),
            (table.id, Index.Range(order='DESC'))]
        cls._sql_indexes.update({
                Index(table, *latest),
                Index(table, (table.link_state, Index.Equality()), *latest,
                    where=table.link_state.in_(['review', 'unlinked'])),
                Index(table, (table.missing_since, Index.Range()),
                    where=table.missing_since != Null),
                Index(table, (row_id(table.id, 'study'), Index.Range()),
                    where=cls.is_alone(table)),
                Index(table, (table.orthanc_server, Index.Equality()),
                    where=(table.details_at == Null)
                    & (table.link_rule == 'patient_id')),
                Index(table, (table.orthanc_server, Index.Equality()),
                    where=(table.details_at == Null)
                    & (table.link_state == 'review')),
                Index(table, (table.undecided_since, Index.Range()),
                    where=table.undecided_since != Null),
                Index(table, (table.orthanc_server, Index.Equality()),
                    where=table.correction != Null),
                })
        cls._buttons.update({
                'accept': {
                    'invisible': ~Equal(Len(Eval('candidates', [])), 1)},
                'reject': {'invisible': Eval('link_state') != 'review'},
                'undo_link': {
                    'invisible': ~Eval('link_log', [])
                    | (Eval('link_state') == 'review')},
                })
        cls._order = [
            ('study_date', 'DESC NULLS LAST'),
            ('study_time', 'DESC NULLS LAST'), ('id', 'DESC')]

    @staticmethod
    def is_alone(table):
        """Return the SQL condition of studies of patients that belong to no
        request and no result.

        :param table: table of studies
        """
        return ((table.patient != Null) & (table.request == Null)
            & (table.imaging_test == Null) & (table.missing_since == Null))

    @classmethod
    def __register__(cls, module):
        migration.migrate_studies(cls, module)
        checked = cls.__table_handler__(module).column_exist(
            'patient_birth_date_text')
        super().__register__(module)
        if not checked:
            migration.clear_odd_dates(cls, {
                    'study_date': 'date',
                    'patient_birth_date': 'patient_birth_date_text'})

    @staticmethod
    def default_link_state():
        return 'unlinked'

    def get_rec_name(self, name):
        return plain(' '.join(filter(None, [
                        self.study_date and self.study_date.isoformat(),
                        texts.described(self.modalities, self.description),
                        texts.readable_name(self.patient_name)]))) \
            or self.study_instance_UID

    @classmethod
    def search_rec_name(cls, name, clause):
        return search_words([
                'readable_name', 'patient_id', 'accession_number',
                'description', 'patient.rec_name'], clause)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', If(Eval('missing_since'), 'muted', '')),
            ('/tree/field[@name="link_state"]', 'visual',
                If(Eval('link_state') == 'review', 'warning', '')),
            ]

    @classmethod
    def get_requests(cls, studies, name):
        return {
            s.id: [r.id for r in [
                    *filter(None, [s.request]), *s.further_requests]]
            for s in studies}

    @classmethod
    def search_requests(cls, name, clause):
        name, operator, value, *_ = clause
        own = ('request' + name[len('requests'):], *clause[1:])
        # Without a request of its own it has none.
        if value is None:
            return [own]
        if (name, operator) == ('requests', 'in') and isinstance(
                value, (list, tuple)):
            link = Pool().get(NAME).__table__()
            # Indexes serve ids only where they are known.
            return ['OR', own, ('id', 'in', list(blocks.ids(
                            link, link.study, link.request, value)))]
        logic = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
        return [logic, own, (f'further_{name}', *clause[1:])]

    @classmethod
    def get_images_arrived(cls, studies, name):
        Request = Pool().get('gnuhealth.imaging.test.request')
        texts = Request.get_images_arrived(
            list({s.request for s in studies if s.request}), name)
        return {s.id: texts.get(s.request and s.request.id) for s in studies}

    def get_gnuhealth_patient_name(self, name):
        return plain(self.patient.rec_name) if self.patient else ''

    def get_readable_name(self, name):
        return texts.readable_name(self.patient_name)

    def get_readable_physician(self, name):
        return texts.readable_name(getattr(self, f'{name}_name'))

    @classmethod
    def search_readable_name(cls, name, clause):
        _, operator, value, *_ = clause
        if isinstance(value, str):
            check_words(value.split())
            for separator in ', ()':
                value = value.replace(separator, '%')
            operator = {'=': 'like', '!=': 'not like'}.get(operator, operator)
        return [('patient_name', operator, value)]

    @classmethod
    def order_readable_name(cls, tables):
        table, _ = tables[None]
        return [table.patient_name]

    def get_review_reason(self, name):
        return deciding.reason_text(self.review_code, self.review_parameters)

    def get_link_base_url(self, name):
        return self.orthanc_server.link_base_url

    @classmethod
    def create(cls, vlist):
        """Create studies; what a person chooses for them is kept as for those
        that are there."""
        cls._check_given(vlist)
        studies = super().create([
                {n: v for n, v in values.items() if n not in ledger.CHOICES}
                for values in vlist])
        for study, values in zip(studies, vlist):
            choice = {n: values[n] for n in ledger.CHOICES if values.get(n)}
            if choice:
                deciding.choose([study], choice)
        return studies

    @classmethod
    def write(cls, *args):
        """Write; the ledger keeps what a person chooses.

        :raises StudyMismatchError: a result is of another patient
        """
        cls._check_changed(args)
        FieldAccess = Pool().get('ir.model.field.access')
        actions = iter(args)
        for studies, values in zip(actions, actions):
            choice = {n: v for n, v in values.items() if n in ledger.CHOICES}
            # Without them it checks the rights all the same.
            super().write(studies, {
                    n: v for n, v in values.items() if n not in choice})
            if choice:
                FieldAccess.check(cls.__name__, list(choice), 'write')
                deciding.choose(studies, choice)

    def take(self, candidate):
        """Link the study to a candidate that a person chose."""
        request = candidate.request
        results = request.results if request else ()
        type(self).write([self], {
                'patient': candidate.patient.id,
                'request': request.id if request else None,
                'imaging_test': results[0].id if results else None,
                })

    @classmethod
    @ModelView.button
    def accept(cls, studies):
        """Link studies to their only candidates."""
        Candidate = Pool().get('gnuhealth.imaging_orthanc.link_candidate')
        for study in studies:
            if len(study.candidates) == 1:
                Candidate.link(study.candidates)

    @classmethod
    @ModelView.button
    def reject(cls, studies):
        """None of the candidates: leave the studies unlinked for ever."""
        cls.write(studies, {
                'patient': None, 'request': None, 'imaging_test': None})

    @classmethod
    @ModelView.button
    def undo_link(cls, studies):
        """Take back the last change of the link of each study.

        :raises NothingToUndoError: all changes of a study were taken back
        """
        links = {}
        for study in studies:
            line = last_not_undone(study.link_log)
            if not line:
                raise NothingToUndoError(gettext(
                        'health_orthanc.msg_nothing_to_undo',
                        study=study.rec_name))
            links[study.id] = line.former()
        deciding.undo(links)

    @classmethod
    def get_merge_id(cls, study):
        """Return what of a study may be the UID of a request; for modules
        whose machines write it elsewhere.

        :param study: the columns of the study, and its ``id``
        """
        return study.study_instance_UID


class StudySeries(
        OnServer, SeriesPreview, DeletableSeries, ViewerLinks, ModelSQL,
        ModelView):
    "Imaging Series"
    __name__ = 'gnuhealth.imaging_orthanc.study_series'
    _for_people = frozenset({'notes'})
    _to_server = 'study.orthanc_server'

    study = fields.Many2One(
        'gnuhealth.imaging_orthanc.study', "Study", required=True,
        readonly=True, ondelete='CASCADE')
    series_number = fields.Char("Number", readonly=True)
    series_description = fields.Char("Description", readonly=True)
    modality = fields.Char("Modality", required=True, readonly=True)
    body_part = fields.Char("Body Part", readonly=True)
    protocol_name = fields.Char("Protocol", readonly=True)
    number_of_instances = fields.Integer("Images", readonly=True)
    sop_class_UID = fields.Char("SOP Class UID", readonly=True,
        help="The kind of its images, as one of them states it.")
    orthanc_UID = fields.Char("Orthanc ID", required=True, readonly=True)
    series_UID = fields.Char(
        "Series Instance UID", required=True, readonly=True)
    missing_since = Minute("Missing since", readonly=True,
        states={'invisible': ~Eval('missing_since')})
    notes = fields.Text("Notes")
    instances = fields.One2Many(
        'gnuhealth.imaging_orthanc.series_instances', 'series', "Images",
        readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('series_uid_unique',
                Unique(table, table.study, table.series_UID),
                'health_orthanc.msg_series_unique'),
            ]
        cls._sql_indexes.add(
            Index(table, (table.orthanc_UID, Index.Equality())))
        cls._order = [('series_number', 'ASC NULLS LAST'), ('id', 'ASC')]

    @classmethod
    def _update_sql_indexes(cls):
        leave_out_index(cls, 'study')
        super()._update_sql_indexes()

    @classmethod
    def __register__(cls, module):
        migration.migrate_series(cls, module)
        super().__register__(module)

    def get_rec_name(self, name):
        return ' '.join(filter(None, [
                    self.series_number, texts.described(
                        self.modality, self.series_description)]))

    @classmethod
    def search_rec_name(cls, name, clause):
        return search_words(['series_description', 'modality'], clause)

    @classmethod
    def order_series_number(cls, tables):
        table, _ = tables[None]
        return [CharLength(table.series_number), table.series_number]


class SeriesInstance(
        OnServer, InstancePreview, ReportedInstance, ModelSQL, ModelView):
    "Imaging Instance"
    __name__ = 'gnuhealth.imaging_orthanc.series_instances'
    _to_server = 'series.study.orthanc_server'

    series = fields.Many2One(
        'gnuhealth.imaging_orthanc.study_series', "Series", required=True,
        readonly=True, ondelete='CASCADE')
    instance_number = fields.Integer("Number", readonly=True)
    number_of_frames = fields.Integer("Frames", readonly=True)
    image_position_patient = fields.Char("Position", readonly=True)
    orthanc_UID = fields.Char("Orthanc ID", required=True, readonly=True)
    sop_instance_UID = fields.Char(
        "SOP Instance UID", required=True, readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('sop_uid_unique',
                Unique(table, table.series, table.sop_instance_UID),
                'health_orthanc.msg_instance_unique'),
            ]
        cls._order = [('instance_number', 'ASC NULLS LAST'), ('id', 'ASC')]

    @classmethod
    def _update_sql_indexes(cls):
        leave_out_index(cls, 'series')
        super()._update_sql_indexes()

    @classmethod
    def __register__(cls, module):
        migration.migrate_instances(cls, module)
        super().__register__(module)
        migration.complete_studies()

    def get_rec_name(self, name):
        number = self.instance_number
        return str(self.id if number is None else number)
