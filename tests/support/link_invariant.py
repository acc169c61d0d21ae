# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is always true of the links of studies when nothing happens, whatever
happened at the same time before; and a way into a database that other
processes use."""
import json
from collections import Counter, defaultdict
from contextlib import contextmanager

from trytond.config import config
from trytond.modules.health_orthanc.links import deciding, effects, ledger
from trytond.pool import Pool
from trytond.transaction import Transaction

STUDY = 'gnuhealth.imaging_orthanc.study'
CANDIDATE = 'gnuhealth.imaging_orthanc.link_candidate'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'


@contextmanager
def opened(database):
    """A transaction of the administrator in a database that other processes
    use; what is queued in it is done after it.

    :param database: databases.Copy
    """
    from trytond.worker import run_task
    config.set('database', 'path', str(database.path))
    if database.name not in Pool.database_list():
        Pool.start()
        with Transaction().start(database.name, 0, readonly=True):
            Pool(database.name).init()
    with Transaction().start(database.name, 1) as transaction:
        yield transaction
    while transaction.tasks:
        run_task(database.name, transaction.tasks.pop())


def faults(database):
    """Return what is wrong with the links of studies, texts.

    :param database: databases.Copy
    """
    with opened(database) as transaction:
        Study = Pool().get(STUDY)
        ids = [s.id for s in Study.search([])]
        found = [
            *_waiting(), *_foreign(ids), *_histories(ids), *_pictures(),
            *_candidates(), *_decided_again(ids)]
        transaction.rollback()
        transaction.tasks.clear()
    return found


def _waiting():
    "What was not decided."
    pool = Pool()
    for event in pool.get('gnuhealth.orthanc.link_event').search(
            [('decided_at', '=', None)]):
        yield f"event {event.id} ({event.kind}) waits"
    for study in pool.get(STUDY).search([('undecided_since', '!=', None)]):
        yield f"study {study.id} is not decided"


def _foreign(ids):
    "Links to different people, or to people who are others now."
    for study in Pool().get(STUDY).browse(ids):
        for name in ['request', 'imaging_test']:
            linked = getattr(study, name)
            if linked and linked.patient != study.patient:
                yield f"study {study.id}: the {name} is of another patient"
        yield from _of_group(study)
        if study.patient and study.patient.party.replaced_by:
            yield f"study {study.id} is of a patient who was merged"


def _of_group(study):
    "Further requests that cannot be, or of which no report is told."
    for request in study.further_requests:
        if not study.request or request == study.request:
            yield f"study {study.id}: further requests beside no other one"
        if request.patient != study.patient:
            yield f"study {study.id}: a further request is of another patient"
    result = study.imaging_test
    if study.further_requests and result and result.request:
        for request in study.requests:
            if not request.results and not request.reported_in:
                yield f"request {request.id} is not told of its report"


def _histories(ids):
    "Gaps: what a line begins with is not what the one before ended with."
    by_study = defaultdict(list)
    for line in Pool().get('gnuhealth.orthanc.link_log').search(
            [('study', 'in', ids)], order=[('id', 'ASC')]):
        by_study[line.study].append(line)
    for study in Pool().get(STUDY).browse(ids):
        lines = by_study[study]
        befores = [
            (x.rule_before, x.patient_before, x.request_before,
                x.result_before, x.further_before) for x in lines]
        afters = [
            (x.rule, x.patient, x.request, x.result, x.further) for x in lines]
        further = sorted(r.id for r in study.further_requests)
        now = (
            study.link_rule, study.patient, study.request, study.imaging_test,
            json.dumps(further) if further else None)
        if [(None,) * 5, *afters] != [*befores, now]:
            yield (f"study {study.id}: the history has a gap: "
                f"{befores} {afters} {now}")


def _pictures():
    "Pictures in drafts that are of studies of other results."
    Attachment = Pool().get('ir.attachment')
    for picture in Attachment.search([('imaging_study', '!=', None)]):
        result = picture.resource
        if (result.state == 'draft'
                and picture.imaging_study.imaging_test != result):
            yield f"result {result.id} has a foreign picture"


def _candidates():
    for key, count in Counter(_stored_candidates()).items():
        if count > 1:
            yield f"candidate {key} is there {count} times"


def _stored_candidates():
    return sorted(
        (c.study.id, c.patient.id, c.request.id if c.request else 0)
        for c in Pool().get(CANDIDATE).search([]))


def _decided_again(ids):
    "What changes when everything is decided again."
    before, choices, worklist = (
        ledger.read(ids), _stored_candidates(), _worklist())
    deciding.link_studies(ids)
    for id_, link in ledger.read(ids).items():
        if link != before[id_]:
            yield f"study {id_} has {before[id_]}, and should have {link}"
    if _stored_candidates() != choices:
        yield f"there are {choices}, should be {_stored_candidates()}"
    effects.count_images(list(worklist))
    for id_, status in _worklist().items():
        if status != worklist[id_]:
            yield f"request {id_} is {worklist[id_]}, and should be {status}"


def _worklist():
    Request = Pool().get(REQUEST)
    Transaction().counter += 1
    return {r.id: r.worklist_status for r in Request.search([])}
