# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worklist part of requests: Study Instance UID, entry, and the RPC that
the worklist script calls."""
import datetime as dt
import hashlib
import re
import uuid
from contextlib import contextmanager

from sql import Literal, Null
from sql.functions import Lower

from trytond import backend
from trytond.config import config
from trytond.exceptions import UserError
from trytond.i18n import gettext
from trytond.model import Index, ModelView, Unique, fields
from trytond.modules.health_imaging.calls import checked, is_texts
from trytond.modules.health_imaging.rights import check_rights
from trytond.modules.health_imaging.tables import execute
from trytond.modules.health_imaging.workflow import check_unique, differs
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.rpc import RPC
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import (
    Transaction, TransactionError, check_access, without_check_access)

from . import attributes, dataset, identifiers, migration, rendering
from .at_machine import AtMachineMixin
from .batch import Batch, Names
from .changes import Changes, modified
from .exceptions import MergeIDError, RomanizedNameWarning, WorklistEntryError
from .slots import SlotsMixin
from .steps import StepsMixin
from .template import error_text
from .variables import VARIABLES
from .versions import Versions

# How many entries a caller may know, and by how much of their digests.
_MOST_KNOWN, _LEAST_KNOWN = 200_000, 16

# How long requests that are done can still be sent, on demand.
KEPT_DONE = dt.timedelta(days=30)

# DICOM has no codes for these in the worklist, modalities show the words.
_ALERTS = [
    ('crit_dbt', "Diabetes"),
    ('crit_hbp', "High blood pressure"),
    ('crit_cardio', "Cardiovascular disease"),
    ('crit_immuno', "Immunocompromised"),
    ('crit_cognitive', "Cognitive issues"),
    ]

# What the rules of safety find, by code of the finding.
_FOUND = {
    'allergy': "Contrast allergy",
    'pregnant_radiation': "Pregnant",
    'pregnant_gadolinium': "Pregnant",
    'kidney_low': "Kidneys: eGFR {rate}",
    'kidney_lowered': "Kidneys: eGFR {rate}",
    'metformin': "Metformin",
    }

# After these the transaction cannot go on.
_FATAL = (
    backend.DatabaseDataError, backend.DatabaseIntegrityError,
    backend.DatabaseOperationalError, TransactionError)


def new_uid():
    """Return a new UID (VR UI) with the configured root.

    :rtype: str
    :raises MergeIDError: the root is not valid
    """
    root = config.get(
        'health_imaging_worklist', 'uid_root', default=attributes.UID_ROOT)
    try:
        return attributes.generate_uid(root)
    except ValueError:
        raise MergeIDError(gettext(
                'health_imaging_worklist.msg_uid_root', root=root)) from None


class Request(
        AtMachineMixin, SlotsMixin, StepsMixin, metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging.test.request'

    merge_id = fields.Char("Study Instance UID", readonly=True,
        help="The Study Instance UID that the modality is given. Images come "
        "back with it.")
    former_merge_id = fields.Char("Former Study Instance UID", readonly=True,
        states={'invisible': ~Bool(Eval('former_merge_id'))},
        help="The Study Instance UID that the request shared with others "
        "before an upgrade. Images may still come back with it.")
    accession_number = fields.Char("Accession Number", readonly=True,
        states={'invisible': Eval('accession_number', '')
            == Eval('request', '')},
        help="What is sent to modalities in place of the number of the order, "
        "which is too long for them or holds characters that they cannot "
        "read.")
    step_id = fields.Char("Requested Procedure ID", readonly=True,
        states={'invisible': Eval('step_id', '')
            == Eval('request_line', '')},
        help="What is sent to modalities in place of the number of the "
        "request, which is too long for them or holds characters that they "
        "cannot read.")
    worklist_note = fields.Function(
        fields.Text("Name on the Modality",
            states={'invisible': ~Bool(Eval('worklist_note'))},
            help="How the modality shows the patient when it cannot show the "
            "letters of the name."),
        'get_worklist_note')
    worklist_status = fields.Selection([
            ('todo', "To Do"),
            ('done', "Done"),
            ('canceled', "Canceled"),
            ], "Worklist", readonly=True, sort=False,
        help="Whether the request is sent to modalities.")
    show_worklist_text = fields.Function(
        fields.Boolean("Show Worklist Entry"),
        'get_show_worklist_text', setter='set_show_worklist_text')
    worklist_text = fields.Function(
        fields.Text("Worklist Entry"), 'get_worklist_text')
    worklist_entry = fields.Function(
        fields.Text("Worklist Entry",
            states={'invisible': ~Bool(Eval('show_worklist_text'))}),
        'on_change_with_worklist_entry')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('merge_id_unique', Unique(table, table.merge_id),
                'health_imaging_worklist.msg_merge_id_unique'),
            ('step_id_unique', Unique(table, table.step_id),
                'health_imaging.msg_request_line_unique'),
            ]
        cls._fixed |= {'accession_number', 'step_id'}
        cls._stamped |= {
            'merge_id', 'former_merge_id', 'worklist_status',
            'performed_steps'}
        cls._sql_indexes.update([
                Index(table,
                    (table.worklist_status, Index.Equality()),
                    where=table.worklist_status == 'todo'),
                Index(table, (modified(table), Index.Range())),
                *(Index(table, (expression, Index.Equality()))
                    for expression in [
                        table.accession_number, Lower(table.accession_number),
                        Lower(table.step_id), table.former_merge_id]),
                ])
        cls.__rpc__['get_worklist_entries'] = RPC(decorator=checked(
                since=lambda since: since is None or isinstance(since, str),
                filters=_is_filters))
        cls.__rpc__['get_worklist_exams'] = RPC(decorator=checked())

    @classmethod
    def __register__(cls, module):
        migration.prepare_requests(cls, module, new_uid)
        super().__register__(module)
        migration.set_identifiers(cls)

    def accession(self):
        """Return the accession number that modalities are given."""
        return self.accession_number or super().accession()

    def station(self):
        """Return the AE title of the machine, empty where none is known."""
        return self.aetitle or ''

    @classmethod
    def search_rec_name(cls, name, clause):
        # Machines show these.
        logic = 'AND' if clause[1].startswith(('!', 'not ')) else 'OR'
        return [logic, super().search_rec_name(name, clause), *(
                (field, *clause[1:])
                for field in ['accession_number', 'step_id'])]

    @classmethod
    def _completed(cls, vlist):
        vlist = super()._completed(vlist)
        return [{
                **values,
                'merge_id': values.get('merge_id') or new_uid(),
                'worklist_status': values.get('worklist_status') or 'todo',
                } for values in vlist]

    @classmethod
    def _set_numbers(cls, vlist):
        super()._set_numbers(vlist)
        cls._set_identifiers(vlist)

    @classmethod
    def _set_identifiers(cls, vlist, ids=()):
        """Add the accession number and the step id to values with the
        numbers of requests, which have the ids where they are there."""
        numbers = [
            [v[name] or f'\1{uuid.uuid4()}'
                for name in ['request', 'request_line']] for v in vlist]
        accessions = cls._accession_numbers({n for n, _ in numbers}, ids)
        steps = identifiers.choose({n for _, n in numbers}, lambda wishes: {
                number for number, _ in cls._holders('step_id', wishes, ids)})
        for values, (order, line) in zip(vlist, numbers):
            values['accession_number'] = accessions[order]
            values['step_id'] = steps[line]

    @classmethod
    def _accession_numbers(cls, orders, ids):
        """Return the accession numbers of orders, a dict: those that other
        requests of the orders have, new ones else."""
        table = cls.__table__()
        known = {}
        for some in grouped_slice(orders):
            known.update(execute(table.select(
                        table.request, table.accession_number,
                        where=table.request.in_(list(some))
                        & (table.accession_number != Null)
                        & _without(table, ids))))
        return {**known, **identifiers.choose(
                set(orders) - known.keys(), lambda wishes: {
                    number for number, order in cls._holders(
                        'accession_number', wishes, ids)
                    if order != number})}

    @classmethod
    def _holders(cls, name, wishes, ids):
        """Return pairs: a number that wishes an identifier which a request
        has, and the order of that request.

        :param str name: field of the identifier
        :param wishes: dict of identifiers by number
        :param ids: of requests that do not count
        """
        table = cls.__table__()
        numbers = {wish: number for number, wish in wishes.items()}
        column = getattr(table, name)
        return [
            (numbers[identifier], order)
            for some in grouped_slice(numbers)
            for identifier, order in execute(table.select(
                    column, table.request,
                    where=column.in_(list(some)) & _without(table, ids)))]

    @classmethod
    def write(cls, *args):
        actions, args, renumbered = iter(cls.with_machines(args)), [], []
        for requests, values in zip(actions, actions):
            if 'merge_id' in values:
                cls._check_merge_id(requests, values['merge_id'])
            renumbered += [
                request.id for request in requests
                if any(differs(request, name, values[name])
                    for name in {'request', 'request_line'} & values.keys())]
            # The preview is no change of the request.
            values = {
                k: v for k, v in values.items() if k != 'show_worklist_text'}
            if values:
                args.extend((requests, values))
        if args:
            super().write(*args)
        requests = cls.browse(renumbered)
        vlist = [{'request': r.request, 'request_line': r.request_line}
            for r in requests]
        cls._set_identifiers(vlist, renumbered)
        with without_check_access():
            for request, values in zip(requests, vlist):
                super().write([request], {
                        name: values[name]
                        for name in ['accession_number', 'step_id']})

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
        for name in [
                'merge_id', 'former_merge_id', 'accession_number', 'step_id',
                'worklist_status', 'performed_steps']:
            default.setdefault(name, None)
        return super().copy(requests, default=default)

    @classmethod
    def validate_fields(cls, requests, field_names):
        super().validate_fields(requests, field_names)
        if not field_names or 'step_id' in field_names:
            check_unique(requests, 'step_id',
                'health_imaging.msg_request_line_unique')

    @classmethod
    @ModelView.button
    def requested(cls, requests):
        """Send requests; warns of names that the modality shows differently.

        :raises RomanizedNameWarning: a name is shown in other letters
        """
        cls._warn_of_names([r for r in requests if r.state == 'draft'])
        super().requested(requests)

    @classmethod
    def _warn_of_names(cls, requests):
        """Warn when modalities show names of patients in other letters."""
        Warning = Pool().get('res.user.warning')
        notes = cls.get_worklist_note(requests, 'worklist_note')
        shown = dict.fromkeys(
            (r.patient, notes[r.id]) for r in requests if notes[r.id])
        if not shown:
            return
        # Not of the requests: the wizard makes new ones when it goes on.
        key = Warning.format('worklist_name', [
                part for pair in shown for part in pair])
        if Warning.check(key):
            raise RomanizedNameWarning(
                key, '\n'.join(note for _, note in shown))

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
        """The worklist template of the exam, or None."""
        return self.requested_test.imaging_worklist_template

    @classmethod
    @without_check_access
    def get_worklist_text(cls, requests, name):
        """Return the texts sent to modalities, or why there are none."""
        with Transaction().set_context(_worklist_batch=Batch(requests)):
            return {r.id: r._worklist_text() for r in requests}

    def _worklist_text(self):
        made = {}
        with self._alone(made):
            entry, _ = self._render_entry()
            made['text'] = dataset.to_dump(entry)
        return made.get('error') or made['text']

    def _render_entry(self):
        """Return the `dataset.Entry` and the file (bytes) of this request.

        A dump is made of the entry, not of what the template wrote: dump2dcm
        would read files of its host where a text says so.

        :raises WorklistEntryError: there is no template, or it is wrong
        """
        batch = self._batch()
        template = batch.template(self)
        if not template:
            raise WorklistEntryError(gettext(
                    'health_imaging_worklist.msg_no_template',
                    exam=self.requested_test.rec_name))
        variables = self.get_worklist_template_data(batch)
        try:
            with batch.clocked(template) as limits:
                entry = template.to_entry(rendering.render(
                        template.compiled(), variables, limits))
                data = dataset.to_bytes(entry, template.charset)
        except (rendering.TemplateError, dataset.DatasetError) as error:
            raise WorklistEntryError(error_text(error, template)) from None
        return entry, data

    @fields.depends('show_worklist_text')
    def on_change_with_worklist_entry(self, name=None):
        """Return the text sent to modalities once the user asks to see it; it
        takes longer than all else that the form shows."""
        if not self.show_worklist_text or (self.id or -1) < 0:
            return ''
        with check_access():
            values, = self.read([self.id], ['worklist_text'])
        return values['worklist_text']

    @classmethod
    @without_check_access
    def get_worklist_note(cls, requests, name):
        """Return sentences for names that are spelled in other letters."""
        notes = dict.fromkeys((r.id for r in requests), '')
        names = Names(dict.fromkeys(
                r.patient.party.id for r in requests if r.patient))
        for request in requests:
            with request._alone():
                notes[request.id] = request._worklist_note(names)
        return notes

    def _worklist_note(self, names):
        template, party = self.worklist_template, self.patient.party
        if not template:
            return ''
        charset = template.valid_charset
        shown = names.romanized(party, charset)
        return shown and gettext(
            'health_imaging_worklist.msg_name_romanized',
            patient=party.rec_name, name=shown,
            charset=charset or attributes.BASIC_CHARSET)

    def _batch(self):
        return Transaction().context.get('_worklist_batch') or Batch([self])

    def get_worklist_dataset(self):
        """Return the complete DICOM file (PS3.10) of this request, bytes.

        :raises WorklistEntryError: there is no template, or it is wrong
        """
        _, data = self._render_entry()
        return data

    @classmethod
    def worklist_variables(cls):
        """Return the variables of templates, dict of `variables.Variable` by
        name.  Other modules extend this."""
        return dict(VARIABLES)

    def get_worklist_template_data(self, batch=None):
        """Return the values of the variables of the template, dict by name.

        :param batch.Batch batch: of requests of which this is one
        """
        batch = batch or self._batch()
        return {
            name: variable.value(self, batch)
            for name, variable in batch.variables.items()}

    def _patient_id(self, batch):
        """Return PatientID (0010,0020, VR LO), which is the PUID unchanged.

        :raises WorklistEntryError: it is no valid LO, or not in the set
        """
        charset = batch.exam(self)['SpecificCharacterSet']
        puid = (batch.row(self).patient.party.ref or '').strip()
        if puid and not attributes.is_identifier(puid, 'LO'):
            raise WorklistEntryError(gettext(
                    'health_imaging_worklist.msg_puid_invalid',
                    request=self.rec_name, puid=puid,
                    limit=attributes.LENGTHS['LO']))
        if attributes.to_charset(puid, charset) != puid:
            raise WorklistEntryError(gettext(
                    'health_imaging_worklist.msg_puid_charset',
                    request=self.rec_name, puid=puid,
                    charset=charset or attributes.BASIC_CHARSET))
        return puid

    def _alerts(self, batch):
        """Return the texts of MedicalAlerts (0010,2000, VR LO)."""
        found = [
            _FOUND[f.reason].format(**dict(f.parameters))
            + ('?' if f.kind == 'question' else '')
            for f in batch.findings[self.id] if f.reason in _FOUND]
        patient = batch.row(self).patient
        return [*dict.fromkeys(found), *(
                text for name, text in _ALERTS if getattr(patient, name))]

    # RPC of the worklist script

    @classmethod
    def get_worklist_entries(cls, since=None, filters=None):
        """Return the worklist entries, all or those that changed.

        This is the RPC that the worklist script calls.

        :param str since: cursor of the former call, None for all
        :param dict filters: `aetitles` and `modalities`, lists of str; `done`,
            whether to add requests that are done and have no images; `known`,
            the begins of the digests of entries that the caller has, str by
            str of the id; `text`, whether entries have their dump, True by
            default
        :return: dict with `cursor` (str), `full` (whether all are listed),
            `entries` and `removed`, lists of dicts; an entry has `dicom`, the
            bytes of its file, or `error`, a sentence; `same`, ids of entries
            that are as they are known; `ask`, ids of entries that may have
            changed: the call is to be made again with what is known of them
        """
        check_rights(cls.__name__, 'read')
        filters = filters or {}
        known = filters.get('known')
        with without_check_access():
            changes = Changes(since)
            domain, own, around = cls._worklist_domain(filters), {}, {}
            if changes.moment:
                own, around = changes.requests(
                    lambda table: _is_open(table, filters.get('done')))
                if not own and not around:
                    return _answer(changes.cursor)
                domain.append(('id', 'in', [*own, *around]))
            if since and known == {}:
                asked = list(around) if changes.moment else [
                    request.id for request in cls.search(domain)]
                if asked:
                    return _answer(since, ask=asked)
            # What changed itself is told whatever is known of it.
            entries, same = cls._worklist_entries(
                domain, {**(known or {}), **dict.fromkeys(map(str, own))},
                filters.get('text', True))
        told = {*same, *(entry['id'] for entry in entries)}
        return _answer(
            changes.cursor, not changes.moment, entries,
            [{'id': id_, 'number': number}
                for id_, number in [*own.items(), *around.items()]
                if id_ not in told],
            same)

    @classmethod
    def _worklist_entries(cls, domain, known, dumped):
        """Return the entries of the requests of a domain, list of dicts, but
        of those that are as they are known the ids only.

        :param dict known: begins of digests by str of the id
        :param bool dumped: whether entries have their dump
        """
        versions = Versions(cls.search(domain, order=[], query=True))
        same = [id_ for id_ in versions.ids
            if _is_known(known.get(str(id_)), versions.digest(id_))]
        requests = cls.browse(sorted({*versions.ids} - {*same}))
        with Transaction().set_context(_worklist_batch=Batch(requests)):
            made = [r._worklist_entry(dumped) for r in requests]
        entries = []
        for entry in made:
            id_, digest = entry['id'], entry['digest']
            versions.keep(id_, digest)
            if _is_known(known.get(str(id_)), digest):
                same.append(id_)
            else:
                entries.append(entry)
        return entries, sorted(same)

    @classmethod
    def get_worklist_exams(cls):
        """Return the worklist settings of each active exam.

        :rtype: list of dicts, see `worklist_setting` of the exam
        """
        check_rights(cls.__name__, 'read')
        Exam = Pool().get('gnuhealth.imaging.test')
        with without_check_access():
            return [exam.worklist_setting() for exam in Exam.search([])]

    @classmethod
    def _worklist_domain(cls, filters):
        """Return the domain of the requests in the worklist."""
        domain = [[
                ('state', '=', 'requested'),
                ('worklist_status', '=', 'todo'),
                ]]
        if filters.get('done'):
            since = dt.datetime.now() - KEPT_DONE
            domain = [['OR', domain, [
                        ('state', '=', 'done'),
                        ('done_at', '>=', since),
                        ('has_images', '=', False),
                        ]]]
        if filters.get('aetitles'):
            domain.append(('aetitle', 'in', list(filters['aetitles'])))
        if filters.get('modalities'):
            domain.append(('modality', 'in', list(filters['modalities'])))
        return domain

    def _worklist_entry(self, dumped=True):
        """Return what the script needs of this request, a dict.

        :param bool dumped: whether it needs the dump
        """
        batch = self._batch()
        row = batch.row(self)
        number = row.request_line or str(self.id)
        entry = {
            'id': self.id, 'number': number, 'order': row.request or '',
            'filename': self._filename(number),
            'study_instance_uid': row.merge_id or '', 'aetitle': '',
            'modality': '', 'charset': '', 'template_type': '', 'text': '',
            'dicom': None, 'digest': '', 'error': None,
            }
        with self._alone(entry):
            template = batch.template(self)
            entry['aetitle'], entry['modality'] = batch.place(self)
            if template:
                entry['charset'] = template.charset or ''
                entry['template_type'] = template.template_type
            made, data = self._render_entry()
            if dumped:
                entry['text'] = dataset.to_dump(made)
            entry['digest'] = hashlib.sha256(data).hexdigest()
            entry['dicom'] = data
        return entry

    def _filename(self, number):
        """Return the name of the file: the number, with the id where that
        would be the name of another one."""
        name = re.sub(r'[^A-Za-z0-9_-]', '_', number)
        return name if name == number else f'{name}-{self.id}'

    @contextmanager
    def _alone(self, entry=None):
        """Keep what fails for this request from the others: its entry has the
        reason, a sentence, and the log where it happened."""
        try:
            yield
        except _FATAL:
            raise
        except UserError as error:
            reason = error.message
        except Exception as error:
            self._batch().log(error)
            reason = gettext(
                'health_imaging_worklist.msg_entry_failed',
                request=self.request_line or str(self.id))
        else:
            return
        if entry is not None:
            entry['error'] = reason


def _is_filters(filters):
    """Return whether get_worklist_entries accepts a value as filters."""
    return filters is None or (
        isinstance(filters, dict)
        and all(is_texts(filters.get(n)) for n in ['aetitles', 'modalities'])
        and all(isinstance(filters.get(n), (bool, int, type(None)))
            for n in ['done', 'text'])
        and _is_digests(filters.get('known')))


def _is_digests(known):
    """Return whether get_worklist_entries accepts a value as what is known."""
    return known is None or (
        isinstance(known, dict) and len(known) <= _MOST_KNOWN
        and all(isinstance(v, str) for v in known.values()))


def _is_known(begin, digest):
    """Return whether a digest is the one that begins as the caller knows, None
    or short where he knows none."""
    return bool(begin and digest) and (
        len(begin) >= _LEAST_KNOWN and digest.startswith(begin))


def _answer(cursor, full=False, entries=(), removed=(), same=(), ask=()):
    """Return what get_worklist_entries answers."""
    return {
        'cursor': cursor, 'full': full, 'entries': list(entries),
        'removed': list(removed), 'same': list(same), 'ask': list(ask)}


def _is_open(table, done):
    """Return whether requests may be in the worklist, SQL.

    :param done: whether those are that are done
    """
    is_open = (
        (table.state == 'requested') & (table.worklist_status == 'todo'))
    if done:
        is_open |= (
            (table.state == 'done')
            & (table.done_at >= dt.datetime.now() - KEPT_DONE))
    return is_open


def _without(table, ids):
    return ~reduce_ids(table.id, ids) if ids else Literal(True)
