# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Effects of changed links, in bulk and without access checks."""
from sql import Null

from trytond.modules.health_imaging.minute import now
from trytond.modules.health_imaging.told import tell
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import without_check_access

from .. import acquired, blocks, tables
from . import access_log, candidate, facts, twins
from .further import NAME, studies_with_requests
from .link import Change, ids_of, requests_of


@without_check_access
def follow(changes, cause, candidates, action=None, doubts=None):
    """Run every effect of changed links.

    :param changes: list of link.Change
    :param str cause: one of link.CAUSES
    :param dict candidates: lists of matching.Candidate by id of the study,
        replacing the stored ones
    :param str action: action of the history, derived from the link by default
    :param dict doubts: tuples of matching.Difference by id of the study
    """
    candidate.replace(candidates)
    if not changes:
        return
    pool = Pool()
    pool.get('gnuhealth.orthanc.link_log').note(
        [c for c in changes if c.before.shown != c.after.shown],
        cause, action, doubts)
    access_log.note_links(changes, cause, action)
    # Signing or making a result locks the request first, too: another order
    # of locks would be a deadlock.
    count_images({
            *ids_of(changes, 'request', Change.left),
            *ids_of(changes, 'request', Change.gained)})
    pool.get('ir.attachment').take_out({
            (c.study, c.left('imaging_test')) for c in changes
            if c.left('imaging_test')})
    _mark_final_results(changes)
    images_arrived({
            c.study for c in changes
            if requests_of(c, Change.gained) and not c.after.imaging_test})
    report_together({
            id_ for c in changes if c.before.further or c.after.further
            for id_ in [*c.before.requests, *c.after.requests]})
    pool.get('gnuhealth.orthanc.report').follow_links(changes)


def _mark_final_results(changes):
    """Mark signed results that gained or lost a study, with a note on which.

    A study that was sent again counts as the same.
    """
    pool = Pool()
    Result = pool.get('gnuhealth.imaging.test.result')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    pairs = {
        (change.study, of(change, 'imaging_test')): what
        for change in changes
        for what, of in [('left', Change.left), ('came', Change.gained)]
        if of(change, 'imaging_test')}
    if not pairs:
        return
    studies, results = map(set, zip(*pairs))
    again = set(twins.studies_of_results_again(studies))
    table = Result.__table__()
    final = blocks.ids(
        table, table.id, table.id, results, table.state == 'final')
    moved = sorted(
        (*pair, what) for pair, what in pairs.items()
        if pair[1] in final and pair not in again)
    for name, whats in [
            ('studies_changed_at', {'left', 'came'}),
            ('new_images_at', {'came'})]:
        tables.set_values(Result, {
                result for _, result, what in moved if what in whats},
            **{name: now()})
    names = {s.id: s.rec_name for s in Study.browse(
            sorted({study for study, *_ in moved}))}
    tables.insert(pool.get('ir.note'), [{
                'resource': f'{Result.__name__},{result}',
                'message': tell(
                    f'health_orthanc.msg_note_study_{what}',
                    study=names[study]),
                } for study, result, what in moved])
    # Wait for signatures and new pictures in other transactions.
    tables.touch(Result, results - final)


@without_check_access
def images_arrived(studies):
    """Mark the signed results of studies, ids, or of their requests, that have
    images which their signers have not seen, with a note on which."""
    pool = Pool()
    Result = pool.get('gnuhealth.imaging.test.result')
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    owned = blocks.rows(
        table, [table.id, table.imaging_test, table.request], table.id,
        studies, (table.imaging_test != Null) | (table.request != Null))
    owned += [
        (study, None, request) for study, some in facts.further_requests(
            id_ for id_, *_ in owned).items() for request in some]
    if not owned:
        return
    results = Result.search(['OR',
            ('id', 'in', [r for _, r, _ in owned if r]),
            ('request', 'in', [q for _, _, q in owned if q])])
    final = [r for r in results if r.state == 'final']
    tables.set_values(Result, [r.id for r in final], new_images_at=now())
    tables.insert(pool.get('ir.note'), [{
                'resource': str(result),
                'message': tell('health_orthanc.msg_note_images_came',
                    study=Study(id_).rec_name),
                } for id_, of, request in owned for result in final
            if result.id == of
            or result.request and result.request.id == request])
    # As above: wait for signatures in other transactions.
    tables.touch(Result, {r.id for r in results if r not in final})


# The worklist depends on what the studies hold too

@without_check_access
def count_images_of(studies):
    """Update the worklist entries of the requests of studies, given as ids.

    Called when studies were stored, changed or went missing.
    """
    of = studies_with_requests()
    count_images(blocks.ids(of, of.request, of.id, studies))


@without_check_access
def report_together(requests):
    """Note which requests the report of another one serves, because they
    share a study, and which it serves no more.

    :param requests: ids of requests
    """
    if not requests:
        return
    pool = Pool()
    Request = pool.get('gnuhealth.imaging.test.request')
    of, further = studies_with_requests(), pool.get(NAME).__table__()
    result = pool.get('gnuhealth.imaging.test.result').__table__()
    reported = dict.fromkeys(requests)
    reported.update(blocks.rows(
            of.join(result, condition=of.imaging_test == result.id),
            [of.request, result.id], of.request, requests,
            (result.request != of.request)
            & of.id.in_(further.select(further.study)),
            order_by=result.id.desc))
    # Who has a report needs no other one.
    reported.update(dict.fromkeys(blocks.ids(
                result, result.request, result.request, requests)))
    Request.report_in(reported)


def count_images(requests):
    """Set whether requests, ids, have images, which ends their worklist entry
    unless their modality says something else.

    Only series acquired by a modality count.
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    if not requests or 'worklist_status' not in Request._fields:
        return
    table = Request.__table__()
    there = Request.examined(requests, _with_images(requests))
    done, todo = [], []
    for id_, state, status in blocks.rows(
            table, [table.id, table.state, table.worklist_status],
            table.id, requests):
        if status == 'todo' and id_ in there:
            done.append(id_)
        elif (status == 'done' and state in {'draft', 'requested'}
                and id_ not in there):
            todo.append(id_)
    tables.set_values(Request, done, worklist_status='done')
    tables.set_values(Request, todo, worklist_status='todo')
    # Wait for other studies being linked to them.
    tables.touch(Request, set(requests).difference(done, todo))


def _with_images(requests):
    """Return the requests that have a present study with images."""
    return {
        id_ for sub in grouped_slice(list(requests), 500)
        for id_, in tables.execute(acquired.series_of_requests(
                lambda study, _: [study.request],
                lambda study, _: study.request.in_(list(sub)),
                group_by=lambda study, _: study.request))}
