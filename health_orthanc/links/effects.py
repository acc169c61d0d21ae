# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from a changed link, whatever changed it: one list, in bulk,
without the rights of the user."""
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
    """Let follow what follows from changed links.

    :param changes: list of link.Change
    :param str cause: of link.CAUSES
    :param candidates: lists of matching.Candidate by id of the study, which
        take the place of those before
    :param str action: what the history calls it, told from the link by
        default
    """
    candidate.replace(candidates)
    if not changes:
        return
    for effect in EFFECTS:
        effect(changes, cause, action)


def write_history(changes, cause, action):
    "Add lines to the histories of the studies."
    LinkLog = Pool().get('gnuhealth.orthanc.link_log')
    LinkLog.note([
            c for c in changes if c.before.shown != c.after.shown],
        cause, action)


def write_access_log(changes, cause, action):
    "Add lines to the access log for what people caused."
    access_log.note_links(changes, cause, action)


def take_pictures_out(changes, cause, action):
    """Take the pictures of studies out of the drafts to which they do not
    belong any more."""
    Attachment = Pool().get('ir.attachment')
    Attachment.take_out({
            (c.study, c.left('imaging_test')) for c in changes
            if c.left('imaging_test')})


def mark_final_results(changes, cause, action):
    """Mark signed results whose studies are others now; a study that was sent
    again is no other one."""
    Result = Pool().get('gnuhealth.imaging.test.result')
    pairs = {
        (change.study, of(change, 'imaging_test')): what
        for change in changes
        for what, of in [('left', Change.left), ('came', Change.gained)]}
    again = _with_twins(pairs.keys())
    final = {r.id for r in Result.search([
                ('id', 'in', [id_ for _, id_ in pairs if id_]),
                ('state', '=', 'final')])}
    moved = {
        pair: what for pair, what in pairs.items()
        if pair[1] in final and pair not in again}
    tables.set_values(Result, {result for _, result in moved},
        studies_changed_at=now())
    _leave_notes(moved)
    # Somebody may be signing them, or putting pictures into them.
    tables.touch(Result, {id_ for _, id_ in pairs if id_} - final)


def _leave_notes(moved):
    """Leave notes with signed results on which study came or left.

    :param moved: came or left, by pair of the ids of study and result
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
    """Return those of some pairs of study and result whose result has the
    study under another Orthanc id too."""
    found = set()
    results = {result for _, result in pairs} - {None}
    for sub in grouped_slice(sorted({s for s, _ in pairs}) if results else []):
        found.update(twins.studies_of_results_again(list(sub)))
    return found & pairs


def mark_stored_reports(changes, cause, action):
    "Mark reports that are stored in studies that are of others now."
    StoredReport = Pool().get('gnuhealth.orthanc.report')
    StoredReport.follow_links(changes)


def update_worklist(changes, cause, action):
    "Take requests whose images came off the worklist, put others on it."
    count_images({
            *ids_of(changes, 'request', Change.left),
            *ids_of(changes, 'request', Change.gained)})


# Who signs or makes a result has its request first, too: in another order two
# transactions would wait for each other.
EFFECTS = [
    write_history, write_access_log, update_worklist, take_pictures_out,
    mark_final_results, mark_stored_reports]


# The worklist depends on what the studies hold too

@without_check_access
def count_images_of(studies):
    """Correct the worklist for the requests of studies that came, changed or
    went on their server.

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
    """Take requests off the worklist whose images have arrived, and put those
    on it again that are still to be done and have none.

    Only pictures that a modality acquires count.

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
    # Another study may be coming to them, or leaving them.
    tables.touch(Request, set(requests).difference(done, todo))


def with_images(requests):
    """Return those of some requests that have a study with pictures which is
    on its server.

    :param requests: ids of requests
    :rtype: set of int
    """
    return {
        id_ for sub in grouped_slice(list(requests), 500)
        for id_, in tables.execute(acquired.series_of_requests(
                lambda study, _: [study.request],
                lambda study, _: study.request.in_(list(sub)),
                group_by=lambda study, _: study.request))}
