# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies that have the server and the Study Instance UID (0020,000D) of
others: they were sent again under another PatientID (0010,0020)."""
import json

from sql import Literal, Null

from trytond.pool import Pool

from .. import blocks
from ..tables import execute
from .facts import further_requests
from .link import Link


def same_studies(ids):
    """Return the ids of the present studies with server and UID of others.

    The UID is StudyInstanceUID (0020,000D, VR UI).

    :param ids: ids of the others
    """
    study, other, twins = _twins()
    return blocks.ids(
        twins, other.id, study.id, ids, other.missing_since == Null)


def ambiguous_studies(ids):
    "Return those of the studies whose UID another of their server has."
    study, other, twins = _twins()
    return blocks.ids(
        twins, study.id, study.id, ids, other.missing_since == Null)


def studies_of_results_again(ids):
    """Return pairs of study and result that has the same UID in another study.
    """
    study, other, twins = _twins()
    return blocks.rows(
        twins, [study.id, other.imaging_test], study.id, ids,
        other.imaging_test != Null)


def studies_sent_again():
    """Return the ids of the studies that replaced missing ones."""
    study, other, twins = _twins()
    return {id_ for id_, in execute(twins.select(study.id,
                where=(study.missing_since == Null)
                & (other.missing_since != Null)))}


def missing_twins(ids):
    """Return pairs of a study and of a missing one that is present under its
    id.

    :param ids: ids of the present studies
    """
    study, other, twins = _twins()
    return blocks.rows(twins, [study.id, other.id], study.id, ids,
        other.missing_since != Null)


def former_links(ids):
    """Return the former links of studies that were sent again.

    :param ids: ids of the present studies: those with missing twins, and
        those that may have come back
    :return: list of: id of the study, id of the missing one or of itself, its
        PatientID (0010,0020, VR LO), and its Link to a patient
    """
    study, other, twins = _twins()
    log, later = [
        Pool().get('gnuhealth.orthanc.link_log').__table__() for _ in 'ab']
    there, columns = study.missing_since == Null, [
        study.id, other.id, other.patient_id]
    order = [other.missing_since, other.id]
    found = blocks.rows(twins, [
            *columns, other.link_rule, other.link_state, other.patient,
            other.request, other.imaging_test, Literal(Null)], study.id, ids,
        there & (other.missing_since != Null) & (other.patient != Null),
        order_by=order)
    # The link was ended when the study came again: the history has it.
    ended = study.join(other, condition=_have_same_uid(study, other)).join(
        log, condition=log.study == other.id).join(
        later, 'LEFT', condition=(later.study == log.study)
        & (later.id > log.id))
    found += blocks.rows(ended, [
            *columns, log.rule_before, log.state_before, log.patient_before,
            log.request_before, log.result_before, log.further_before],
        study.id, ids,
        there & (other.patient == Null)
        & ((other.missing_since != Null) | (other.id == study.id))
        & (later.id == Null) & (log.cause == 'replaced')
        & (log.patient_before != Null), order_by=order)
    further = further_requests({twin for _, twin, *_ in found})
    return [
        (id_, twin, patient_id, Link(*link)._replace(further=tuple(
                    json.loads(before) if before else further[twin])))
        for id_, twin, patient_id, *link, before in found]


def _have_same_uid(study, other):
    return ((other.orthanc_server == study.orthanc_server)
        & (other.study_instance_UID == study.study_instance_UID))


def _twins():
    """Return two tables of studies and their join on server and UID."""
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    study, other = Study.__table__(), Study.__table__()
    return study, other, study.join(other, condition=(
            _have_same_uid(study, other) & (other.id != study.id)))
