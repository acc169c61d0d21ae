# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Effects of changed links, in bulk and without access checks."""
from sql import Null

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import without_check_access

from .. import acquired, tables
from ..sync.transactions import now
from . import access_log, candidate, twins
from .link import Change, ids_of


@without_check_access
def follow(changes, cause, candidates, action=None):
    """Run every effect of changed links.

    :param changes: list of link.Change
    :param str cause: one of link.CAUSES
    :param dict candidates: lists of matching.Candidate by id of the study,
        replacing the stored ones
    :param str action: action of the history, derived from the link by default
    """
    candidate.replace(candidates)
    if not changes:
        return
    for effect in EFFECTS:
        effect(changes, cause, action)


def write_history(changes, cause, action):
    """Add lines to the histories of the studies.

    The parameters are those of follow.
    """
    LinkLog = Pool().get('gnuhealth.orthanc.link_log')
    LinkLog.note([
            c for c in changes if c.before.shown != c.after.shown],
        cause, action)


def write_access_log(changes, cause, action):
    """Add lines to the access log for changes by people.

    The parameters are those of follow.
    """
    access_log.note_links(changes, cause, action)


def take_pictures_out(changes, cause, action):
    """Remove pictures of studies from drafts that lost the study.

    The parameters are those of follow.
    """
    Attachment = Pool().get('ir.attachment')
    Attachment.take_out({
            (c.study, c.left('imaging_test')) for c in changes
            if c.left('imaging_test')})


def mark_final_results(changes, cause, action):
    """Mark signed results that gained or lost a study.

    A study that was sent again counts as the same. The parameters are those of
    follow.
    """
    Result = Pool().get('gnuhealth.imaging.test.result')
    pairs = {
        (change.study, of(change, 'imaging_test')): what
        for change in changes
        for what, of in [('left', Change.left), ('came', Change.gained)]}
    results = {id_ for _, id_ in pairs} - {None}
    if not results:
        return
    again = _with_twins(pairs.keys())
    final = {r.id for r in Result.search([
                ('id', 'in', sorted(results)),
                ('state', '=', 'final')])}
    moved = {
        pair: what for pair, what in pairs.items()
        if pair[1] in final and pair not in again}
    tables.set_values(Result, {result for _, result in moved},
        studies_changed_at=now())
    _leave_notes(moved)
    # Wait for signatures and new pictures in other transactions.
    tables.touch(Result, results - final)


def _leave_notes(moved):
    """Attach notes to signed results on which study came or left.

    :param dict moved: came or left, by pair of ids of study and result
    """
    pool = Pool()
    Study = pool.get('gnuhealth.imaging_orthanc.study')
    studies = {
        s.id: s for s in Study.browse(sorted({study for study, _ in moved}))}
    tables.insert(pool.get('ir.note'), [{
                'resource': f'gnuhealth.imaging.test.result,{result}',
                'message': gettext(
                    f'health_orthanc.msg_note_study_{what}',
                    study=studies[study].rec_name),
                } for (study, result), what in sorted(moved.items())])


def _with_twins(pairs):
    """Return the pairs whose result has the study under another id too.

    :param pairs: set of pairs of ids of study and result
    """
    found = set()
    results = {result for _, result in pairs} - {None}
    for sub in grouped_slice(sorted({s for s, _ in pairs}) if results else []):
        found.update(twins.studies_of_results_again(list(sub)))
    return found & pairs


def mark_stored_reports(changes, cause, action):
    """Mark reports stored in studies that moved to another patient.

    The parameters are those of follow.
    """
    StoredReport = Pool().get('gnuhealth.orthanc.report')
    StoredReport.follow_links(changes)


def update_worklist(changes, cause, action):
    """Update the worklist entries of requests that gained or lost images.

    The parameters are those of follow.
    """
    count_images({
            *ids_of(changes, 'request', Change.left),
            *ids_of(changes, 'request', Change.gained)})


# Signing or making a result locks the request first, too: another order of
# locks would be a deadlock.
EFFECTS = [
    write_history, write_access_log, update_worklist, take_pictures_out,
    mark_final_results, mark_stored_reports]


# The worklist depends on what the studies hold too

@without_check_access
def count_images_of(studies):
    """Update the worklist entries of the requests of studies.

    Called when studies were stored, changed or went missing.

    :param studies: ids of studies
    """
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    if 'worklist_status' not in _request_fields():
        return
    table = Study.__table__()
    requests = set()
    for sub in grouped_slice(list(studies), 500):
        requests.update(id_ for id_, in tables.execute(table.select(
                    table.request, where=reduce_ids(table.id, list(sub))
                    & (table.request != Null))))
    count_images(requests)


def _request_fields():
    return Pool().get('gnuhealth.imaging.test.request')._fields


def count_images(requests):
    """Set whether requests have images, which ends their worklist entry.

    Only series acquired by a modality count.

    :param requests: ids of requests
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    if not requests or 'worklist_status' not in Request._fields:
        return
    table = Request.__table__()
    there, done, todo = with_images(requests), [], []
    for sub in grouped_slice(list(requests), 500):
        for id_, state, status in tables.execute(table.select(
                    table.id, table.state, table.worklist_status,
                    where=reduce_ids(table.id, list(sub)))):
            if status == 'todo' and id_ in there:
                done.append(id_)
            elif (status == 'done' and state in {'draft', 'requested'}
                    and id_ not in there):
                todo.append(id_)
    tables.set_values(Request, done, worklist_status='done')
    tables.set_values(Request, todo, worklist_status='todo')
    # Wait for other studies being linked to them.
    tables.touch(Request, set(requests).difference(done, todo))


def with_images(requests):
    """Return the requests that have a present study with images.

    :param requests: ids of requests
    :rtype: set of int
    """
    return {
        id_ for sub in grouped_slice(list(requests), 500)
        for id_, in tables.execute(acquired.series_of_requests(
                lambda study, _: [study.request],
                lambda study, _: study.request.in_(list(sub)),
                group_by=lambda study, _: study.request))}
