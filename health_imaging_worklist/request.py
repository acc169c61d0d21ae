# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request adds for the worklist: the UID of the study to come, the
entry that the machine is told, and the door through which the script that
writes the entries reads them."""
import datetime as dt
import hashlib
import re

from sql import Literal, Select
from sql.conditionals import Coalesce
from sql.functions import CurrentTimestamp
from sql.operators import Exists

from trytond.config import config
from trytond.i18n import gettext
from trytond.model import Index, Unique, fields
from trytond.modules.health_imaging.common import (
    AgedMixin, check_rights, execute, local_datetime)
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.rpc import RPC
from trytond.transaction import Transaction, without_check_access

from . import attributes, dataset, migration, rendering
from .batch import Batch
from .exceptions import MergeIDError, WorklistEntryError
from .template import error_text

# Entries that changed so long before the last poll are told again, because a
# transaction may take this long to be seen.
OVERLAP = dt.timedelta(minutes=2)

# How long requests that are done can still be told to machines, on demand.
KEPT_DONE = dt.timedelta(days=30)

# DICOM has no codes for these in the worklist, machines show the words.
_ALERTS = [
    ('crit_dbt', "Diabetes"),
    ('crit_hbp', "High blood pressure"),
    ('crit_cardio', "Cardiovascular disease"),
    ('crit_immuno', "Immunocompromised"),
    ('crit_cognitive', "Cognitive issues"),
    ]


def new_uid():
    """Return a new UID (UI) with the configured root.

    :raises MergeIDError: the root is none
    """
    root = config.get(
        'health_imaging_worklist', 'uid_root', default=attributes.UID_ROOT)
    try:
        return attributes.generate_uid(root)
    except ValueError:
        raise MergeIDError(gettext(
                'health_imaging_worklist.msg_uid_root', root=root)) from None


class Request(AgedMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.request'

    merge_id = fields.Char("Merge ID", readonly=True,
        help="The Study Instance UID that the machine is given. Images come "
        "back with it.")
    worklist_status = fields.Selection([
            ('todo', "To Do"),
            ('done', "Done"),
            ('canceled', "Canceled"),
            ], "Worklist", readonly=True, sort=False,
        help="Whether machines are told of the request.")
    show_worklist_text = fields.Function(
        fields.Boolean("Show Worklist Entry"),
        'get_show_worklist_text', setter='set_show_worklist_text')
    worklist_text = fields.Function(
        fields.Text("Worklist Entry",
            states={'invisible': ~Bool(Eval('show_worklist_text'))}),
        'get_worklist_text')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('merge_id_unique', Unique(table, table.merge_id),
                'health_imaging_worklist.msg_merge_id_unique'),
            ]
        cls._sql_indexes.update([
                Index(table,
                    (table.worklist_status, Index.Equality()),
                    where=table.worklist_status == 'todo'),
                Index(table, (_modified(table), Index.Range())),
                ])
        cls.__rpc__['get_worklist_entries'] = RPC()
        cls.__rpc__['get_worklist_exams'] = RPC()

    @classmethod
    def __register__(cls, module):
        migration.prepare_requests(cls, module, new_uid)
        super().__register__(module)

    @classmethod
    def create(cls, vlist):
        vlist = [v.copy() for v in vlist]
        for values in vlist:
            if not values.get('merge_id'):
                values['merge_id'] = new_uid()
            if not values.get('worklist_status'):
                values['worklist_status'] = 'todo'
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        actions = iter(args)
        args = []
        for requests, values in zip(actions, actions):
            # The preview is no change of the request.
            values = {
                k: v for k, v in values.items() if k != 'show_worklist_text'}
            if 'merge_id' in values:
                cls._check_merge_id(requests, values['merge_id'])
            if values:
                args.extend((requests, values))
        if args:
            super().write(*args)

    @classmethod
    def _check_merge_id(cls, requests, merge_id):
        for request in requests:
            if request.state != 'draft' and request.merge_id != merge_id:
                raise MergeIDError(gettext(
                        'health_imaging_worklist.msg_merge_id_fixed',
                        request=request.rec_name))

    @classmethod
    def copy(cls, requests, default=None):
        default = {} if default is None else default.copy()
        default.setdefault('merge_id', None)
        default.setdefault('worklist_status', None)
        return super().copy(requests, default=default)

    @classmethod
    def _stamps(cls, state):
        status = {
            'draft': 'todo', 'requested': 'todo', 'done': 'done',
            'canceled': 'canceled'}
        return {**super()._stamps(state), 'worklist_status': status[state]}

    def get_show_worklist_text(self, name):
        return False

    @classmethod
    def set_show_worklist_text(cls, requests, name, value):
        pass

    # The entry

    @property
    def worklist_template(self):
        return self.requested_test.imaging_worklist_template

    @classmethod
    @without_check_access
    def get_worklist_text(cls, requests, name):
        """Return the texts that machines are told, or what is wrong."""
        with Transaction().set_context(_worklist_batch=Batch(requests)):
            return {r.id: r._worklist_text() for r in requests}

    def _worklist_text(self):
        try:
            return self.render_worklist_text()
        except WorklistEntryError as error:
            return error.message

    def render_worklist_text(self):
        """Return what the template of the exam makes of this request.

        :rtype: str
        :raises WorklistEntryError: there is no template, or it is wrong
        """
        template = self.worklist_template
        if not template:
            raise WorklistEntryError(gettext(
                    'health_imaging_worklist.msg_no_template',
                    exam=self.requested_test.rec_name))
        try:
            text = self._batch().render(
                template, self.get_worklist_template_data())
        except rendering.TemplateError as error:
            raise WorklistEntryError(error_text(error, template)) from None
        self._check_charset(text, template.charset)
        return text

    def _batch(self):
        return Transaction().context.get('_worklist_batch') or Batch([self])

    def _check_charset(self, text, charset):
        """Raise WorklistEntryError for what the machine could not read."""
        try:
            attributes.check_encodable(text, charset or 'ISO 2022 IR 6', 'LT')
        except attributes.EncodingError as error:
            raise WorklistEntryError(gettext(
                    'health_imaging_worklist.msg_entry_charset',
                    request=self.rec_name, characters=error.characters,
                    charset=charset or '')) from None

    def get_worklist_dataset(self, text=None):
        """Return the complete DICOM file (.wl) of this request.

        :param str text: the rendered text, when it is there already
        :rtype: bytes, DICOM PS3.10
        :raises WorklistEntryError: the text is no correct worklist entry
        """
        template = self.worklist_template
        if text is None:
            text = self.render_worklist_text()
        try:
            return template.to_file(text)
        except dataset.DatasetError as error:
            raise WorklistEntryError(
                error_text(error, template)) from None

    def get_worklist_template_data(self):
        """Return the variables of the template, by name.

        Those named as DICOM keywords have values of the attribute's VR.
        Other modules extend this.

        :rtype: dict
        """
        batch = self._batch()
        patient, date = self.patient, self.date
        party, zone = patient.party, batch.zone
        sex = attributes.patient_sex(party.gender, patient.biological_sex)
        exam = batch.exam(self.requested_test)
        charset = exam['SpecificCharacterSet']
        return {
            **exam,
            **batch.doctor(self.doctor, charset),
            'my': rendering.RecordView(self, batch.open_fields),
            'MergeID': self.merge_id or '',
            'TimezoneOffsetFromUTC': attributes.timezone_offset(date, zone),
            'AccessionNumber': attributes.short_string(self.request),
            'RequestedProcedureID': attributes.short_string(
                self.request_line),
            'RequestedProcedurePriority':
                attributes.requested_procedure_priority(self.urgent),
            'StudyInstanceUID': self.merge_id or '',
            'PatientName': batch.person_name(party, charset),
            'PatientID': attributes.long_string(party.ref),
            'PatientAge': attributes.patient_age(
                party.dob, local_datetime(date, zone).date()),
            'PatientBirthDate': attributes.dicom_date(party.dob),
            'PatientSex': sex,
            'PatientWeight': attributes.patient_weight(
                batch.weights.get(patient.id)),
            'PregnancyStatus': attributes.pregnancy_status(None, sex),
            'Allergies': attributes.multi_value(
                batch.allergies.get(patient.id, [])),
            'MedicalAlerts': attributes.multi_value(self._alerts()),
            'CurrentPatientLocation': '',
            'InstitutionName': batch.institution_name,
            'ScheduledProcedureStepID': attributes.short_string(
                self.request_line),
            'ScheduledProcedureStepStartDate': attributes.dicom_date(
                date, zone),
            'ScheduledProcedureStepStartTime': attributes.dicom_time(
                date, zone),
            'ScheduledPerformingPhysicianName': '',
            }

    def _alerts(self):
        return [text for name, text in _ALERTS
            if getattr(self.patient, name)]

    # The door of the script

    @classmethod
    def get_worklist_entries(cls, since=None, filters=None):
        """Return the worklist entries, all or those that changed.

        :param str since: the cursor of the former call, None for all
        :param dict filters: `aetitles` and `modalities`, lists of str;
            `done`, whether requests that are done are told as well while
            they have no images
        :return: dict with `cursor` (str), `full` (whether all are listed),
            `entries` and `removed`, lists of dicts; an entry has `dicom`,
            the bytes of its file, or `error`, a sentence
        """
        check_rights(cls.__name__, 'read')
        filters = filters or {}
        now = _now()
        moment = _parse_cursor(since, now)
        with without_check_access():
            domain = cls._worklist_domain(filters)
            changed = {}
            if moment:
                changed = cls._changed_since(
                    moment - OVERLAP, bool(filters.get('done')))
                domain.append(('id', 'in', list(changed)))
            requests = cls.search(domain, order=[('id', 'ASC')])
            with Transaction().set_context(_worklist_batch=Batch(requests)):
                entries = [r._worklist_entry() for r in requests]
        told = {entry['id'] for entry in entries}
        return {
            'cursor': now.isoformat(),
            'full': moment is None,
            'entries': entries,
            'removed': [
                {'id': id_, 'number': number}
                for id_, number in changed.items() if id_ not in told],
            }

    @classmethod
    def get_worklist_exams(cls):
        """Return for each active exam what its machine is told by.

        :return: list of dicts of str: `exam`, `aetitle` (AE), `modality`
            (CS), `template` and `charset` (SpecificCharacterSet, CS)
        """
        check_rights(cls.__name__, 'read')
        Exam = Pool().get('gnuhealth.imaging.test')
        with without_check_access():
            return [exam.worklist_setting() for exam in Exam.search([])]

    @classmethod
    def _worklist_domain(cls, filters):
        """Return the domain of the requests that machines are told of."""
        domain = [[
                ('state', '=', 'requested'),
                ('worklist_status', '=', 'todo'),
                ]]
        if filters.get('done'):
            since = dt.datetime.now() - KEPT_DONE
            domain = [['OR', domain, [
                        ('state', '=', 'done'),
                        ('done_at', '>=', since),
                        *cls._without_images(),
                        ]]]
        if filters.get('aetitles'):
            domain.append(
                ('requested_test.aetitle', 'in', list(filters['aetitles'])))
        if filters.get('modalities'):
            domain.append(('modality', 'in', list(filters['modalities'])))
        return domain

    @classmethod
    def _without_images(cls):
        """Return a domain of the requests without images.

        Modules that know of images extend this.
        """
        return []

    @classmethod
    def _changed_since(cls, moment, done=False):
        """Return the numbers by id of the requests that changed, and of the
        open ones of which something changed that machines are told.

        :param bool done: whether those that are done count as open
        """
        table = cls.__table__()
        changed = dict(execute(table.select(
                    table.id, table.request_line,
                    where=_modified(table) >= moment)))
        changed.update(cls._changed_around(moment, done))
        return changed

    @classmethod
    def _changed_around(cls, moment, done):
        pool = Pool()
        table = cls.__table__()
        patient = pool.get('gnuhealth.patient').__table__()
        party = pool.get('party.party').__table__()
        exam = pool.get('gnuhealth.imaging.test').__table__()
        type_ = pool.get('gnuhealth.imaging.test.type').__table__()
        template = pool.get(
            'gnuhealth.imaging_worklist.worklist_template').__table__()
        doctor = pool.get('gnuhealth.healthprofessional').__table__()
        doctor_party = pool.get('party.party').__table__()
        query = table.join(
            patient, condition=table.patient == patient.id).join(
            party, condition=patient.party == party.id).join(
            exam, condition=table.requested_test == exam.id).join(
            type_, condition=exam.test_type == type_.id).join(
            template, 'LEFT',
            condition=exam.imaging_worklist_template == template.id).join(
            doctor, condition=table.doctor == doctor.id).join(
            doctor_party, condition=doctor.party == doctor_party.id)
        changed = Literal(False)
        for part in [
                patient, party, exam, type_, template, doctor, doctor_party]:
            changed |= _modified(part) >= moment
        for name, column, id_ in [
                ('gnuhealth.person_name', 'party', party.id),
                ('gnuhealth.person_name', 'party', doctor_party.id),
                ('gnuhealth.patient.evaluation', 'patient', patient.id),
                ('gnuhealth.patient.disease', 'patient', patient.id)]:
            changed |= _modified_of(name, column, id_, moment)
        is_open = (
            (table.state == 'requested') & (table.worklist_status == 'todo'))
        if done:
            is_open |= (
                (table.state == 'done')
                & (table.done_at >= dt.datetime.now() - KEPT_DONE))
        return execute(query.select(
                table.id, table.request_line, where=is_open & changed))

    def _worklist_entry(self):
        """Return what the script needs of this request."""
        template = self.worklist_template
        entry = {
            'id': self.id,
            'number': self.request_line or str(self.id),
            'filename': re.sub(
                r'[^A-Za-z0-9_-]', '_', self.request_line or str(self.id)),
            'study_instance_uid': self.merge_id or '',
            'aetitle': self.requested_test.aetitle or '',
            'modality': self.modality or '',
            'charset': template.charset or '' if template else '',
            'template_type': template.template_type if template else '',
            'text': '', 'dicom': None, 'digest': '', 'error': None,
            }
        try:
            entry['text'] = self.render_worklist_text()
            entry['dicom'] = self.get_worklist_dataset(entry['text'])
            entry['digest'] = hashlib.sha256(entry['dicom']).hexdigest()
        except WorklistEntryError as error:
            entry['error'] = error.message
        return entry


def _parse_cursor(since, now):
    """Return the moment of a cursor, None when all must be told: there is
    none, or the clock went back."""
    try:
        moment = dt.datetime.fromisoformat(since) if since else None
        return moment if moment and moment <= now else None
    except (TypeError, ValueError):
        return None


def _now():
    """Return the time of the database, which stamps what changes, naive as
    the stamps are."""
    (now,), = execute(Select([CurrentTimestamp()]))
    if isinstance(now, str):
        now = dt.datetime.fromisoformat(now)
    return now.replace(tzinfo=None)


def _modified(table):
    return Coalesce(table.write_date, table.create_date)


def _modified_of(name, column, id_, moment):
    "Return whether a record of a model that points to an id changed."
    table = Pool().get(name).__table__()
    return Exists(table.select(Literal(1),
            where=(getattr(table, column) == id_)
            & (_modified(table) >= moment)))
