# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only code that writes to which patient, request and result a study
belongs, and why.

It writes in bulk, in the name of the user and without his rights: who may
cause a change is checked where it is caused. What follows from a change is in
effects.
"""
from sql import For, Null

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction, without_check_access

from .. import tables
from ..exceptions import StudyMismatchError
from . import effects, facts
from .link import NEVER_DECIDED, PERSON, Change, Link, ids_of

#: What a person may choose for a study.
CHOICES = frozenset(['patient', 'request', 'imaging_test'])


def read(ids):
    """Return the links of studies, and keep others from changing them until
    the transaction ends.

    :param ids: ids of studies
    :return: Link by id of the study
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    columns = [getattr(table, name) for name in Link._fields]
    lock = Transaction().database.has_select_for()
    links = {}
    for sub in grouped_slice(sorted(ids), 500):
        rows = tables.execute(table.select(table.id, *columns,
                where=reduce_ids(table.id, list(sub)), order_by=table.id,
                for_=For('UPDATE') if lock else None))
        links.update((id_, Link(*values)) for id_, *values in rows)
    return links


@without_check_access
def keep(links, cause, candidates=None, action=None, before=None):
    """Write the links of studies, and let follow what follows.

    :param links: Link by id of the study
    :param str cause: of link.CAUSES
    :param candidates: lists of matching.Candidate by id of the study; those
        of other studies are dropped when their link changes
    :param str action: what the history calls it, told from the link by
        default
    :param before: what ``read`` returned for them in this transaction
    :return: list of Change
    """
    before = read(links) if before is None else before
    changes = [
        Change(id_, before[id_], link)
        for id_, link in links.items()
        if id_ in before and before[id_] != link]
    changed = {c.study: c.after for c in changes}
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    tables.write_each(Study, Link._fields, changed)
    # Somebody may be deciding on them by what was before.
    tables.touch(Study, before.keys() - changed.keys())
    if cause == PERSON:
        # No event corrects who is chosen while he is merged.
        tables.touch(pool.get('gnuhealth.patient'),
            ids_of(changes, 'patient', Change.gained))
    effects.follow(changes, cause, {
            **{c.study: [] for c in changes if c.before != NEVER_DECIDED},
            **(candidates or {})}, action)
    return changes


def decide(links, cause, candidates, new=()):
    """Keep what rules decided, except where a person chose.

    Parameters and answer are those of keep.

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


def choose(studies, values, cause=PERSON, action=None):
    """Keep what a person chose for studies.

    The patient is completed from the result. A study lets go of the request
    and the result of a patient that it had before.

    :param studies: records
    :param dict values: ids by the names in CHOICES
    :raises StudyMismatchError: the result or the request is of another
        patient than the study
    """
    patient = values.get('patient')
    if patient:
        present = facts.present_patients([patient])
        values = {**values, 'patient': present.get(patient, patient)}
    links = read(s.id for s in studies)
    owners = facts.owners(links.values())
    links = {
        id_: _chosen(link, values, owners) for id_, link in links.items()}
    check(links)
    return keep(links, cause, action=action)


@without_check_access
def _chosen(link, values, owners):
    """Return the Link that a person made by choosing values.

    :param owners: see facts.owners
    """
    Result = Pool().get('gnuhealth.imaging.test.result')
    values = dict(values)
    if values.get('imaging_test'):
        result = Result(values['imaging_test'])
        if not values.get('patient', link.patient):
            values['patient'] = result.patient.id
        values.setdefault(
            'request', result.request.id if result.request else None)
    elif 'patient' in values:
        for name in facts.OF_PATIENTS:
            linked = getattr(link, name)
            if linked and owners[name].get(linked) != values['patient']:
                values.setdefault(name, None)
    link = link._replace(
        link_rule=PERSON, review_code=None, review_parameters=None, **values)
    return link._replace(link_state=(
            'linked' if link.patient or link.imaging_test else 'unlinked'))


@without_check_access
def check(links):
    """Raise StudyMismatchError when a link leads to the request or the result
    of another patient.

    :param links: Link by id of the study
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    owners = facts.owners(links.values())
    for name, model in facts.OF_PATIENTS.items():
        for id_, link in links.items():
            linked = getattr(link, name)
            if (linked and link.patient
                    and owners[name].get(linked) != link.patient):
                raise StudyMismatchError(gettext(
                        'health_orthanc.msg_study_other_patient',
                        study=Study(id_).rec_name,
                        result=pool.get(model)(linked).rec_name))


def let_go(names, where, cause):
    """Take studies away from what they must not belong to any more; rules
    decide on them again, also where a person had chosen.

    :param names: what the studies lose, of CHOICES
    :param where: function of the table of studies, returns which
    :param str cause: of link.CAUSES
    :return: list of Change
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    rows = tables.execute(table.select(table.id, where=where(table)))
    return keep({
            id_: _without(link, names)
            for id_, link in read(id_ for id_, in rows).items()}, cause)


def give_waiting(results):
    """Give new results the studies that arrived for their requests before.

    :param results: ids of results by id of the request
    :return: list of Change
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    rows = [
        row for sub in grouped_slice(sorted(results))
        for row in tables.execute(table.select(table.id,
                where=reduce_ids(table.request, list(sub))
                & (table.imaging_test == Null)))]
    return keep({
            id_: link._replace(imaging_test=results[link.request])
            for id_, link in read(id_ for id_, in rows).items()}, 'result')


def move(source, destination):
    """Give the studies of a patient to the one that he turned out to be.

    :param int source: id of the patient that goes
    :param int destination: id of the patient that stays
    :return: list of Change
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    # Somebody may be giving him one.
    tables.touch(pool.get('gnuhealth.patient'), [source])
    rows = tables.execute(table.select(
            table.id, where=table.patient == source))
    return keep({
            id_: link._replace(patient=destination)
            for id_, link in read(id_ for id_, in rows).items()}, 'merge')


def _without(link, names):
    "Return a link without some of its ids."
    link = link._replace(**dict.fromkeys(names))
    if not link.patient and not link.imaging_test:
        return Link()
    return link._replace(merge_id=link.merge_id if link.request else None)
