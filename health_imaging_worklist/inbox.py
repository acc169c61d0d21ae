# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node brings of what machines said: kept as steps, each message once,
and given to the requests that are meant beyond doubt."""
import json
import re
from collections import defaultdict

from trytond.modules.health_imaging.calls import MAX_ID
from trytond.modules.health_imaging.institution import institution_timezone
from trytond.modules.health_imaging.patient_facts import sex_of
from trytond.modules.health_imaging.tables import write_each
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from . import performed
from .machine import parsed, short
from .steps import ENDED

_STEP = 'gnuhealth.imaging_worklist.performed_step'
_LINK = f'{_STEP}-request'
# What is stored of a step, and not its key.
_NAMES = [
    'node', 'number', 'machine', 'aetitle', 'address', 'state', 'received',
    'start', 'end', 'protocol', 'reason', 'series', 'images', 'dap',
    'exposures', 'ctdivol', 'dlp', 'patient_id', 'patient_name',
    'patient_birth', 'patient_sex', 'accession_number', 'study_uid',
    'problem']
# Requests whose exam a machine may do.
_OPEN = {'requested', 'done'}
# So often the same person is merged.
_MERGES = 20
_UID = re.compile(r'[0-9.]{1,64}')


class _Draft:
    """A step as it is to be stored.

    :ivar values: dict by name of the column
    :ivar record: the stored step, None of a new one
    :ivar changed: whether a message said something new
    :ivar told: performed.Message that says of whom and of which requests
    """

    def __init__(self, uid, record=None):
        self.values = dict.fromkeys(_NAMES)
        self.values['uid'] = uid
        self.record, self.changed, self.told = record, False, None
        for name in _NAMES if record else ():
            value = getattr(record, name)
            self.values[name] = getattr(value, 'id', value)

    def take(self, node, message, zone):
        """Take in what a message says, unless it was taken in before.

        :param message: dict, see `Inbox`
        """
        values, create = self.values, message.get('kind') == 'create'
        told = performed.read(message.get('attributes'), zone)
        is_new = not values['received']
        if create and not (self.record and (
                self.record.requests or self.record.decided_at)):
            # Also what comes after a later message, or again.
            self.told = told
        seen = values['node'] == node and values['number'] >= message['number']
        if seen or values['state'] in ENDED or create and not is_new:
            return
        self.changed = True
        at = parsed(message.get('received'))
        said = told.values
        if 'series' in said:
            said['images'] = sum(count for *_, count in said['series'])
            said['series'] = json.dumps(said['series'], ensure_ascii=False)
        values.update(
            said, node=node, number=message['number'], received=at,
            state=told.state or values['state'] or (
                'in_progress' if values['uid'] else None))
        values['aetitle'] = values['aetitle'] or short(message.get('ae_title'))
        values['address'] = values['address'] or short(message.get('address'))
        values['start'] = values['start'] or at
        if values['state'] in ENDED:
            values['end'] = max(values['end'] or at, values['start'])


class Inbox:
    """Messages of a node.

    :param str node: UUID of its store
    :param messages: list of what should be dicts with number, kind, uid,
        ae_title, address, received and attributes
    """

    def __init__(self, node, messages):
        self.node = short(node)
        self.messages = [
            m for m in messages if isinstance(m, dict)
            and isinstance(m.get('number'), int)
            and 0 <= m['number'] <= MAX_ID]
        self.zone = institution_timezone()

    def keep(self):
        """Keep the messages and return the list of their numbers."""
        pool = Pool()
        Request = pool.get('gnuhealth.imaging.test.request')
        drafts, unreadable = self._drafts(), self._unreadable()
        for message in self.messages:
            draft = drafts.get(message.get('uid')) if readable(message) \
                else unreadable.get(message['number'])
            if draft:
                draft.take(self.node, message, self.zone)
        drafts = [*drafts.values(), *unreadable.values()]
        links = _Matcher(drafts).decide()
        self._find_machines(drafts)
        requests = self._store(drafts, links) | Request.silent()
        Request.settle_steps(Request.browse(requests))
        return [m['number'] for m in self.messages]

    def _drafts(self):
        """Return the steps that the messages are about, by UID."""
        Step = Pool().get(_STEP)
        uids = dict.fromkeys(
            m['uid'] for m in self.messages if readable(m))
        known = {s.uid: s for s in Step.search([('uid', 'in', list(uids))])}
        return {uid: _Draft(uid, known.get(uid)) for uid in uids}

    def _unreadable(self):
        """Return new steps for messages that cannot be read, by number."""
        Step = Pool().get(_STEP)
        numbers = [m['number'] for m in self.messages if not readable(m)]
        known = {s.number for s in Step.search([
                    ('node', '=', self.node), ('number', 'in', numbers)])}
        made = {number: _Draft(None) for number in numbers
            if number not in known}
        for draft in made.values():
            draft.values['problem'] = 'unreadable'
        return made

    def _find_machines(self, drafts):
        Machine = Pool().get('gnuhealth.imaging_worklist.machine')
        new = [d for d in drafts if d.changed and not d.values['machine']]
        machines = {m.aetitle: m.id for m in Machine.search([
                    ('aetitle', 'in', [d.values['aetitle'] for d in new])])}
        for draft in new:
            draft.values['machine'] = machines.get(draft.values['aetitle'])

    def _store(self, drafts, links):
        """Store steps and their requests.

        :param links: dict of sets of ids of requests by draft
        :return: ids of the requests of which something was said
        """
        pool = Pool()
        Step = pool.get(_STEP)
        Link = pool.get(_LINK)
        new = [d for d in drafts if d.changed and not d.record]
        for draft, record in zip(new, Step.create([d.values for d in new])):
            draft.record = record
        write_each(Step, _NAMES, {
                d.record.id: [d.values[name] for name in _NAMES]
                for d in drafts if d.changed and d not in new})
        pairs = [
            (draft.record.id, request)
            for draft, requests in links.items() for request in requests]
        Link.create([{'step': s, 'request': r} for s, r in pairs])
        return {r for _, r in pairs} | {
            r.id for d in drafts if d.changed and d not in new
            for r in d.record.requests}


def readable(message):
    """Return whether a message says of which step it is, and something.

    :param dict message: see Inbox
    """
    uid = message.get('uid')
    return (
        isinstance(uid, str) and bool(_UID.fullmatch(uid))
        and message.get('kind') in {'create', 'set'}
        and isinstance(message.get('attributes'), dict))


class _Matcher:
    """Finds the requests of steps, with a few statements for all.

    :param drafts: list of _Draft
    """

    def __init__(self, drafts):
        self._drafts = [
            d for d in drafts if d.told or d.changed and not d.record]
        told = [d.told for d in self._drafts if d.told]
        self._scheduled = [s for t in told for s in t.scheduled]
        self._by = self._requests()

    def _requests(self):
        """Return the requests that the steps name: lists by what names
        them."""
        Request = Pool().get('gnuhealth.imaging.test.request')
        wanted = {
            'merge_id': {s.study for s in self._scheduled},
            'step_id': {id_ for s in self._scheduled for id_ in s.steps},
            'accession_number': {s.accession for s in self._scheduled},
            }
        found = defaultdict(list)
        if self._scheduled:
            for request in Request.search(['OR', *(
                        (name, 'in', sorted(values - {''}))
                        for name, values in wanted.items())]):
                for name in wanted:
                    found[name, getattr(request, name)].append(request)
        return found

    def decide(self):
        """Set the problems of steps, and return the ids of the requests that
        they belong to: dict of sets by _Draft."""
        known, links = self._known_patients(), {}
        for draft in self._drafts:
            if draft.values['problem'] == 'unreadable':
                continue
            problem, requests = self._requests_of(draft.told)
            if problem == 'unscheduled' and draft.told and _puid(
                    draft.told.patient.puid) not in known | {''}:
                problem = 'unknown_patient'
            if requests:
                links[draft] = requests
            self._note(draft, problem)
        return links

    @staticmethod
    def _note(draft, problem):
        """Note the problem of a step, and whom it is about."""
        values = {'problem': problem}
        if draft.told:
            patient, scheduled = draft.told.patient, draft.told.scheduled
            values.update(
                patient_id=patient.puid or None,
                patient_name=patient.name or None,
                patient_birth=patient.birth, patient_sex=patient.sex or None,
                accession_number=_joined(s.accession for s in scheduled),
                study_uid=_joined(s.study for s in scheduled))
        if any(draft.values[n] != v for n, v in values.items()):
            draft.values.update(values)
            draft.changed = True

    def _known_patients(self):
        Patient = Pool().get('gnuhealth.patient')
        puids = {
            d.told.patient.puid.strip() for d in self._drafts if d.told}
        return {_puid(p.party.ref) for p in Patient.search([
                    ('party.ref', 'in', sorted(puids - {''}))])}

    def _requests_of(self, told):
        """Return the problem with what a step says, or None, and the ids of
        its requests."""
        if not told or not told.scheduled:
            return 'unscheduled', set()
        problems, requests = set(), set()
        for scheduled in told.scheduled:
            request, is_sure = self._named(scheduled)
            if not request:
                problems.add('unscheduled')
            elif differs(told.patient, request.patient):
                problems.add('patient_differs')
            elif not (is_sure or told.patient.puid):
                # The number of an order alone says not who is examined.
                problems.add('unscheduled')
            elif request.state not in _OPEN:
                problems.add('request_state')
            else:
                requests.add(request.id)
        return next((
                p for p in ['patient_differs', 'request_state', 'unscheduled']
                if p in problems), None), requests

    def _named(self, scheduled):
        """Return the request that is named, or None, and whether by what it
        alone has."""
        for name, value in [
                ('merge_id', scheduled.study),
                *(('step_id', id_) for id_ in scheduled.steps),
                ('accession_number', scheduled.accession)]:
            found = self._by.get((name, value), ()) if value else ()
            if len(found) == 1:
                return found[0], name != 'accession_number'
        return None, False


def _joined(texts):
    return ', '.join(dict.fromkeys(filter(None, texts))) or None


def _puid(text):
    return (text or '').strip().casefold()


def differs(told, patient):
    """Return whether a machine examines somebody else than a patient.

    What is not known is no difference, and names are spelled in many ways.

    :param performed.Patient told: whom the machine examines
    :param patient: gnuhealth.patient record
    """
    party, sex = patient.party, sex_of(patient).upper()
    return bool(
        told.puid and _puid(told.puid) != _puid(party.ref)
        and not _is_merged(told.puid, party)
        or told.birth and party.dob and told.birth != party.dob
        or {told.sex, sex} == {'M', 'F'})


def _is_merged(puid, party):
    """Return whether a PUID is of somebody who was merged into a party since
    the machine read its worklist."""
    Party = Pool().get('party.party')
    with Transaction().set_context(active_test=False), without_check_access():
        found = Party.search([('ref', '=', puid.strip())])
        for _ in range(_MERGES):
            found = [p.replaced_by for p in found if not p.active]
            if party in found:
                return True
    return False
