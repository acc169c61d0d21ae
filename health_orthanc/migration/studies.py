# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies of former releases: a server instead of its address, one row for
each study of a server, the state of its link, and dates that are possible."""
import datetime as dt
import hashlib
import json
from collections import defaultdict

from sql import Column, Literal, Null
from sql.aggregate import Count

from trytond.modules.health_imaging.migration import set_by_id, set_where, warn
from trytond.pool import Pool

from ..archive import texts
from ..tables import execute
from .rows import Merge, add_columns, is_former, repeated
from .servers import make_server, normal_address, without_credentials

# Address of the server of studies that name none (RFC 2606, section 2).
_NOWHERE = 'http://unknown.invalid'
# What the row of a study takes over from another one of the same study.
_VALUES = [
    'imaging_test', 'patient', 'notes', 'merge_comment', 'merge_id', 'date',
    'patient_name', 'patient_id', 'institution', 'performing_physician_name']


def clear_odd_dates(Model, names):
    """Keep dates that are no date of an exam or a birth as texts only.

    :param dict names: name of the column of the text by that of the date
    """
    table = Model.__table__()
    first = dt.date(texts.FIRST_YEAR, 1, 1)
    last = dt.date(texts.last_year(), 12, 31)
    for name, text in names.items():
        date = Column(table, name)
        rows = execute(table.select(table.id, date, Column(table, text),
                where=(date < first) | (date > last)))
        set_by_id(table, text, {
                id_: str(value).replace('-', '')
                for id_, value, kept in rows if not kept})
        set_by_id(table, name, {id_: None for id_, _, _ in rows})
        if rows:
            warn(Model, [id_ for id_, _, _ in rows],
                "the %s was no date that can be", name)


def migrate_studies(Study, module):
    """Turn the studies of 5.0 into those of this release."""
    if not is_former(Study, module, 'server', 'orthanc_server'):
        return
    add_columns(Study, module, [
            'orthanc_server', 'request', 'link_state', 'link_rule',
            'review_code', 'review_parameters', 'study_date',
            'referring_physician_name'])
    _set_servers(Study)
    table_h = Study.__table_handler__(module)
    table_h.drop_constraint('studyUID_unique')
    table_h.not_null_action('server', 'remove')
    _restore_orthanc_ids(Study)
    _merge_studies(Study)
    _set_dates(Study)
    _set_links(Study)
    _mark_results_of_others(Study)
    # 5.0 has the referring physician in the wrong column.
    table = Study.__table__()
    set_where(table, table.performing_physician_name != '',
        referring_physician_name=table.performing_physician_name)


def _set_servers(Study):
    "Set the server of studies by the address that 5.0 wrote."
    table = Study.__table__()
    server = Pool().get('gnuhealth.orthanc.config').__table__()
    known = dict(execute(server.select(server.domain, server.id)))
    texts = defaultdict(dict)
    for text, count in execute(table.select(
                table.server, Count(Literal(1)), group_by=table.server,
                order_by=table.server)):
        address = (normal_address(text) or without_credentials(text).strip()
            or _NOWHERE)
        texts[address][text] = count
    for address, counts in texts.items():
        if address not in known:
            known[address] = make_server(address, sum(counts.values()))
        for text in counts:
            set_where(table, (table.server == text) if text is not None
                else (table.server == Null), orthanc_server=known[address])


# Rows of one study

def orthanc_id(patient_id, study_uid):
    """Return the identifier that Orthanc gives to a study.

    Source: Orthanc Book, "Orthanc identifiers".

    :param str patient_id: PatientID (0010,0020, LO), ASCII
    :param str study_uid: StudyInstanceUID (0020,000D, UI)
    """
    digest = hashlib.sha1(f'{patient_id}|{study_uid}'.encode()).hexdigest()
    return '-'.join(digest[i:i + 8] for i in range(0, 40, 8))


def _restore_orthanc_ids(Study):
    """Give studies the Orthanc identifier of their own PatientID.

    When a study came again with another PatientID, 5.0 wrote its identifier
    into the record of the first one, which then showed the images of another
    person.  Where more than a tenth of the identifiers differ, they are not
    those of an Orthanc and stay.
    """
    table = Study.__table__()
    checked, wrong = 0, []
    for id_, stored, ident, uid in execute(table.select(
                table.id, table.orthanc_UID, table.patient_id,
                table.study_instance_UID)):
        ident = (ident or '').strip()
        if not ident.isascii():
            continue
        checked += 1
        own = orthanc_id(ident, uid)
        if stored != own:
            wrong.append((id_, stored, own))
    if len(wrong) * 10 > checked:
        return
    for id_, stored, own in wrong:
        set_where(table, table.id == id_, orthanc_UID=own)
        warn(Study, id_, "its images are those of another PatientID, under "
            "the Orthanc id %s; it has the id of its own PatientID again",
            stored)


def _merge_studies(Study):
    """Merge the rows of one study, and number the Orthanc identifiers that
    different studies share."""
    table, merge = Study.__table__(), Merge(Study)
    for rows in repeated(
            Study, ['orthanc_server', 'orthanc_UID'],
            ['study_instance_UID', *_VALUES]):
        by_uid = defaultdict(list)
        for row in rows:
            by_uid[row['study_instance_UID']].append(row)
        kept = sorted(
            _merge_study(Study, same, merge) for same in by_uid.values())
        for id_ in kept[1:]:
            # The next comparison with the server finds out which is right.
            set_where(table, table.id == id_,
                orthanc_UID=f"{rows[0]['orthanc_UID']}-{id_}")
            warn(Study, id_, "study %s has the same Orthanc id, this one has "
                "another now", kept[0])
    merge.finish()


def _merge_study(Study, rows, merge):
    """Merge the rows of one study, dicts, and return the id of what stays.

    Where two of them have different links, a person has to decide.
    """
    rows.sort(key=lambda r: (
            r['imaging_test'] is None, r['patient'] is None,
            not r['notes'], r['id']))
    first, *others = rows
    if not others:
        return first['id']
    review = {}
    other = next((
            o for o in others for name in ['patient', 'imaging_test']
            if o[name] and first[name] and o[name] != first[name]), None)
    if other:
        review = _review('linked_twice', patient=_puid(other['patient']))
        warn(Study, first['id'], "it is linked to patient %s and result %s, "
            "its second row %s was to patient %s and result %s; to review",
            first['patient'], first['imaging_test'],
            other['id'], other['patient'], other['imaging_test'])
    merge.add(rows, _VALUES, **review)
    return first['id']


def _review(code, **parameters):
    "Return the values of a study that a person has to review."
    return {
        'link_state': 'review',
        'review_code': code,
        'review_parameters': json.dumps(parameters, sort_keys=True),
        }


def _puid(id_):
    "Return the PUID of a patient, a question mark if there is none."
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    rows = execute(patient.join(
            party, condition=patient.party == party.id).select(
            party.ref, where=patient.id == id_))
    return (rows[0][0] if rows else None) or '?'


# Values of a study

def _set_dates(Study):
    "Set the StudyDate (0008,0020, DA) by the text that 5.0 kept."
    table = Study.__table__()
    dates = {
        id_: texts.parse_date(text) for id_, text in execute(
            table.select(table.id, table.date,
                where=(table.date != Null) & (table.date != '')))}
    set_by_id(table, 'study_date', {
            id_: date for id_, date in dates.items() if date})


def _set_links(Study):
    """Set the state of links, and the patient and the request of a result.

    Whether a person or a rule made a link is not known, so that no rule may
    change it.
    """
    table = Study.__table__()
    result = Pool().get('gnuhealth.imaging.test.result').__table__()
    for name in ['patient', 'request']:
        of_result = result.select(
            Column(result, name), where=result.id == table.imaging_test)
        set_where(table, (Column(table, name) == Null)
            & (table.imaging_test != Null), **{name: of_result})
    is_linked = (table.patient != Null) | (table.imaging_test != Null)
    set_where(table, is_linked, link_rule='person')
    set_where(table, is_linked & (table.link_state == Null),
        link_state='linked')
    set_where(table, ~is_linked, link_state='unlinked')


def _mark_results_of_others(Study):
    "Let people review the studies whose result is another patient's."
    table = Study.__table__()
    result = Pool().get('gnuhealth.imaging.test.result').__table__()
    other = result.select(result.id,
        where=(result.id == table.imaging_test)
        & (result.patient != table.patient))
    for id_, in execute(table.select(
                table.id, where=table.imaging_test.in_(other))):
        set_where(table, table.id == id_, **_review('other_patient'))
        warn(Study, id_, "its result is another patient's; to review")
