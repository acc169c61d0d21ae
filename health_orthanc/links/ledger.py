# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only writer of the link of a study: patient, request, result and reason.

It writes in bulk, as the user but without access checks: callers check who may
change a link. The effects of a change are in effects.
"""
from sql import For, Null

from trytond.i18n import gettext
from trytond.modules.health_imaging.tables import write_each
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from .. import blocks, tables
from ..exceptions import StudyMismatchError
from . import effects, facts, further, questions
from .link import COLUMNS, NEVER_DECIDED, PERSON, Change, Link, ids_of

#: Fields of the link that a person may choose.
CHOICES = frozenset([
        'patient', 'request', 'imaging_test', 'further_requests'])


def _study_table():
    return Pool().get('gnuhealth.imaging_orthanc.study').__table__()


def read(ids):
    "Return the Links of studies by id, and lock their rows."
    table = _study_table()
    lock = Transaction().database.has_select_for()
    rows = blocks.rows(
        table, [table.id, *(getattr(table, name) for name in COLUMNS)],
        table.id, ids, order_by=table.id,
        for_=For('UPDATE') if lock else None)
    others = facts.further_requests([id_ for id_, *_ in rows])
    return {
        id_: Link(*values, further=others[id_]) for id_, *values in rows}


@without_check_access
def keep(
        links, cause, candidates=None, action=None, before=None, doubts=None):
    """Write the links of studies and run the effects.

    :param dict links: Link by id of the study
    :param str cause: one of link.CAUSES
    :param dict candidates: lists of matching.Candidate by id of the study;
        other studies lose theirs when their link changes
    :param str action: action of the history, derived from the link by default
    :param dict before: what ``read`` returned in this transaction
    :param dict doubts: what differed when a person chose, for the history
    :rtype: list of Change
    """
    before = read(links) if before is None else before
    changes = [
        Change(id_, before[id_], link)
        for id_, link in links.items()
        if id_ in before and before[id_] != link]
    changed = {c.study: c.after for c in changes}
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    _write_further(changes)
    write_each(Study, COLUMNS, {
            id_: link[:len(COLUMNS)] for id_, link in changed.items()})
    # Let none pass that decides on older facts of people and requests. A
    # synchronization has none that are newer: what it learned of studies, it
    # wrote to their rows.
    if cause != 'sync':
        tables.touch(Study, before.keys() - changed.keys())
    if cause == PERSON:
        # A patient may be merged at this moment; no event corrects that later.
        tables.touch(pool.get('gnuhealth.patient'),
            ids_of(changes, 'patient', Change.gained))
    effects.follow(changes, cause, {
            **{c.study: [] for c in changes if c.before != NEVER_DECIDED},
            **(candidates or {})}, action, doubts or {})
    return changes


def _write_further(changes):
    """Write the further requests of changed links."""
    Further = Pool().get(further.NAME)
    before, after = [
        {(c.study, id_) for c in changes for id_ in getattr(c, at).further}
        for at in ['before', 'after']]
    gone = before - after
    if gone:
        table = Further.__table__()
        tables.delete(Further, [
                id_ for id_, *pair in blocks.rows(
                    table, [table.id, table.study, table.request],
                    table.study, {study for study, _ in gone})
                if tuple(pair) in gone])
    tables.insert(Further, [
            {'study': study, 'request': id_}
            for study, id_ in sorted(after - before)])


def decide(links, cause, candidates, new=()):
    """Write the links found by rules, except where a person chose.

    Parameters and return value are those of keep.

    :param new: ids of the studies that this transaction inserted: nobody
        else can have changed their links, or see them
    """
    before = {
        id_: link for id_, link in read(links.keys() - new).items()
        if not link.is_of_person}
    before.update(dict.fromkeys(new, NEVER_DECIDED))
    return keep(
        {id_: link for id_, link in links.items() if id_ in before},
        cause, {
            id_: some for id_, some in candidates.items()
            if id_ in before and (some or id_ not in new)}, before=before)


def choose(studies, values, cause=PERSON):
    """Write what a person chose for studies.

    The patient is completed from result or request. Request and result of the
    former patient are removed.

    :param dict values: by the names in CHOICES: ids, and the actions of the
        client on the further requests
    :param str cause: one of link.CAUSES
    :raises StudyMismatchError: the result or a request is of another patient
    :raises LinkDiffersWarning: what the images say of the person differs, and
        the user may go on
    """
    patient = values.get('patient')
    if patient:
        present = facts.present_patients([patient])
        values = {**values, 'patient': present.get(patient, patient)}
    links = read(s.id for s in studies)
    owners = facts.owners(links.values())
    links = {
        id_: _chosen(link, dict(values), owners)
        for id_, link in links.items()}
    check(links)
    doubts = {}
    if cause == PERSON and any(values.values()):
        doubts = questions.ask_to_link(links)
    return keep(links, cause, doubts=doubts)


@without_check_access
def _chosen(link, values, owners):
    """Return the Link that a person made by choosing values."""
    Result = Pool().get('gnuhealth.imaging.test.result')
    others = _edited(link.further, values.pop('further_requests', ()))
    if values.get('imaging_test'):
        result = Result(values['imaging_test'])
        if not values.get('patient', link.patient):
            values['patient'] = result.patient.id
        values.setdefault(
            'request', result.request.id if result.request else None)
    elif 'patient' in values and (
            values['patient'] or not values.get('request')):
        for name in facts.OF_PATIENTS:
            linked = getattr(link, name)
            if linked and owners[name].get(linked) != values['patient']:
                values.setdefault(name, None)
        others = [id_ for id_ in others
            if owners['request'].get(id_, values['patient'])
            == values['patient']]
    if 'request' in values:
        chosen = values.pop('request')
        # Another one of the study's own changes places with it.
        others = [link.request, *others] if chosen in others else (
            others if chosen == link.request else [])
        link = link._replace(request=chosen)
    link = link._replace(
        link_rule=PERSON, review_code=None, review_parameters=None, **values)
    link = link.with_requests(filter(None, [link.request, *others]))
    if link.request and not link.patient:
        Request = Pool().get('gnuhealth.imaging.test.request')
        link = link._replace(patient=Request(link.request).patient.id)
    return link._replace(link_state=(
            'linked' if link.patient or link.imaging_test else 'unlinked'))


def _edited(ids, actions):
    """Return ids after the actions on a Many2Many."""
    ids = dict.fromkeys(ids)
    for action, some in actions or ():
        if action == 'add':
            ids.update(dict.fromkeys(some))
        elif action == 'remove':
            ids = {id_: None for id_ in ids if id_ not in some}
    return list(ids)


@without_check_access
def check(links):
    """Check that requests and result are of the patient of the link.

    :param dict links: Link by id of the study
    :raises StudyMismatchError: one is of another patient
    """
    pool = Pool()
    owners = facts.owners(links.values())
    for id_, link in links.items():
        foreign = [
            (name, getattr(link, name)) for name in facts.foreign(
                link, owners)]
        foreign += [('request', r) for r in link.further
            if r not in facts.own_requests(link, owners)]
        for name, linked in foreign:
            linked = pool.get(facts.OF_PATIENTS[name])(linked)
            study = pool.get('gnuhealth.imaging_orthanc.study')(id_)
            raise StudyMismatchError(gettext(
                    'health_orthanc.msg_study_other_patient',
                    study=study.rec_name, result=linked.rec_name))


def let_go(names, where, cause):
    """Remove patient, request or result from studies.

    Rules match the studies again, also those linked by a person.

    :param names: which of CHOICES the studies lose
    :param where: function of the table of studies: which ones
    :param str cause: one of link.CAUSES
    :return: list of Change
    """
    table = _study_table()
    rows = tables.execute(table.select(table.id, where=where(table)))
    return keep({
            id_: _without(link, names)
            for id_, link in read(id_ for id_, in rows).items()}, cause)


def let_requests_go(requests, cause, moved_to=None):
    """Remove requests from studies, whichever way they belong together.

    :param requests: ids
    :param str cause: one of link.CAUSES
    :param int moved_to: id of the patient of whom the requests are now, whose
        studies keep them
    :return: list of Change
    """
    requests, table = set(requests), _study_table()
    ids = blocks.ids(table, table.id, table.request, requests)
    ids |= set(facts.studies_of_further(requests))
    return keep({
            id_: _without(link, ['imaging_test'] if moved_to
                and link.request in requests else [], requests)
            for id_, link in read(ids).items()
            if not moved_to or link.patient
            and link.patient != moved_to}, cause)


def _without(link, names, requests=()):
    """Return a link without some of its ids.

    :param names: of the ids that go
    :param requests: those of the requests that go
    """
    kept = [] if 'further_requests' in names else [
        id_ for id_ in link.further if id_ not in requests]
    link = link._replace(**{
            name: None for name in names if name in COLUMNS})
    if link.request not in requests:
        kept.insert(0, link.request)
    link = link.with_requests(filter(None, kept))
    if not link.patient and not link.imaging_test:
        return Link()
    return link._replace(merge_id=link.merge_id if link.request else None)


def give_waiting(results):
    """Link new results to the studies that wait at their requests.

    :param dict results: ids of results by id of the request
    """
    table = _study_table()
    waiting = blocks.ids(
        table, table.id, table.request, results, table.imaging_test == Null)
    waiting |= blocks.ids(table, table.id, table.id,
        facts.studies_of_further(results), table.imaging_test == Null)
    return keep({
            id_: link._replace(imaging_test=next(
                    results[r] for r in link.requests if r in results))
            for id_, link in read(waiting).items()}, 'result')


def move(source, destination):
    """Move the studies of a merged patient.

    :param int source: id of the patient that is merged
    :param int destination: id of the patient that stays
    """
    table = _study_table()
    # Wait for a study being linked to the patient.
    tables.touch(Pool().get('gnuhealth.patient'), [source])
    studies = blocks.ids(table, table.id, table.patient, [source])
    return keep({
            id_: link._replace(patient=destination)
            for id_, link in read(studies).items()}, 'merge')
