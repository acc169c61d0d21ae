# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the rows of GNU Health 4.4 and 5.0 into those of this release.

Nothing of the users' is lost: rows that stand for the same thing are merged,
and what was decided is in the log.  Each step is done once; done again it
changes nothing.
"""
import datetime as dt
import hashlib
import itertools
import json
import logging
import re
from collections import defaultdict

from sql import Literal, Null, Table
from sql.aggregate import Count, Min
from sql.functions import CurrentTimestamp, Function

from trytond import backend
from trytond.model import ModelSQL, fields
from trytond.modules.health_imaging.migration import number_repeated
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from .archive import texts
from .archive.orthanc import InvalidURL, normalize_url
from .sync.transactions import now
from .tables import execute

# The address of studies that had none (RFC 2606: it never exists).
NOWHERE = 'http://unknown.invalid'
# Largest index that fits the column, Orthanc counts to 2^63.
_LAST_INDEX = 2 ** 31 - 1

# The name of a picture: the SOP Instance UID, the number of the frame, and the
# extension, which 5.0 left out.
_OF_INSTANCE = re.compile(r'([\d.]+\d)(?:-\d+)?(?:\.[a-z]+)?$')
# The user and password of an address.
_CREDENTIALS = re.compile(r'^(\s*(?:[\w+.-]+://)?)[^/?#]*@')

logger = logging.getLogger(__name__)


class Replace(Function):
    __slots__ = ()
    _function = 'REPLACE'


def _set(table, where, **values):
    execute(table.update(
            [getattr(table, name) for name in values],
            list(values.values()), where=where))


def _insert(table, values):
    execute(table.insert(
            [getattr(table, name) for name in values],
            [list(values.values())]))


def _set_grouped(table, values):
    """Write values to a column of rows.

    :param values: dict of id and (column, value)
    """
    same = defaultdict(list)
    for id_, value in values.items():
        same[value].append(id_)
    for (name, value), ids in same.items():
        for some in grouped_slice(ids, 1000):
            _set(table, reduce_ids(table.id, list(some)), **{name: value})


def _add_columns(Model, module, names):
    """Add columns that are filled here, before trytond fills them with
    defaults."""
    table_h = Model.__table_handler__(module)
    for name in names:
        table_h.add_column(name, Model._fields[name]._sql_type)


def has_column(Model, module, name):
    "Return whether a column is there, also when it would be right away."
    return Model.__table_handler__(module).column_exist(name)


def clear_odd_dates(Model, names):
    """Let what is no date of an exam or a birth be a text only.

    :param names: name of the column of the text by that of the date
    """
    table = Model.__table__()
    first = dt.date(texts.FIRST_YEAR, 1, 1)
    last = dt.date(texts.last_year(), 12, 31)
    for name, text in names.items():
        date = getattr(table, name)
        rows = execute(table.select(table.id, date, getattr(table, text),
                where=(date < first) | (date > last)))
        _set_grouped(table, {
                id_: (text, str(value).replace('-', ''))
                for id_, value, kept in rows if not kept})
        _set_grouped(table, {id_: (name, None) for id_, _, _ in rows})
        if rows:
            logger.warning("%s: %s of %s rows was no date that can be",
                Model.__name__, name, len(rows))


# Servers

def unify_servers(Server, module):
    """Bring the addresses of servers into their one form.

    Of several records with one address, one keeps it.  The others keep their
    own spelling and rest, inactive.
    """
    table_h = Server.__table_handler__(module)
    if not table_h.column_exist('domain'):
        return
    table = Server.__table__()
    # Before the first row is changed SQLite changes tables for good: no
    # failure would bring them back.
    _set(table, table.id == Null, id=table.id)
    table_h.add_column('active', 'BOOL', default=lambda: True)
    table_h.add_column('proxy_domain', 'VARCHAR')
    number_repeated(Server, 'label')
    by_address = defaultdict(list)
    rows = execute(table.select(
            table.id, table.domain, table.active, table.validated))
    domains = {row[1] for row in rows}
    for row in rows:
        address = _address(row[1])
        if address is None:
            _keep_odd_address(Server, domains, *row)
        else:
            by_address[address].append(row)
    for address, rows in by_address.items():
        rows.sort(key=lambda r: (not r[2], not r[3], r[1] != address, r[0]))
        _unify(Server, address, *rows)
    for id_, public in execute(table.select(
                table.id, table.proxy_domain,
                where=table.proxy_domain != Null)):
        one = _address(public) or _without_credentials(public)
        if one != public:
            _set(table, table.id == id_, proxy_domain=one)


def _keep_odd_address(Server, domains, id_, domain, active, _):
    """Keep what is no address, but no password in it."""
    bare = _without_credentials(domain)
    if bare != domain:
        if bare in domains:
            bare = f'{bare}#{id_}'
        table = Server.__table__()
        _set(table, table.id == id_, domain=bare)
    if active:
        logger.warning("%s %s: its address is not valid, correct it",
            Server.__name__, id_)


def _address(text):
    """Return an address in its one form, None when it is none.

    A user and password in it are left out: 5.0 used those of the record, and
    everyone may read an address.
    """
    try:
        return normalize_url(text)
    except InvalidURL as error:
        bare = _without_credentials(text)
        if error.problem == 'credentials' and bare != text:
            return _address(bare)
        return None


def _without_credentials(text):
    """Return an address, valid or not, without user and password."""
    return _CREDENTIALS.sub(r'\1', text or '')


def _unify(Server, address, first, *others):
    table = Server.__table__()
    id_, spelling, *_ = first
    for other, domain, active, _ in others:
        if domain in {address, spelling} or '@' in domain:
            # Two rows never have one address, not for a moment.
            _set(table, table.id == other, domain=f'{address}#{other}')
        if domain == address != spelling:
            _set(table, table.id == id_, domain=address)
            if '@' not in spelling:
                _set(table, table.id == other, domain=spelling)
        if active:
            _set(table, table.id == other, active=False, validated=False)
            logger.warning(
                "%s %s: the record %s has the same address, this one is "
                "inactive now", Server.__name__, other, id_)
        _move_former(other, id_)
    if spelling != address:
        _set(table, table.id == id_, domain=address)


def _move_former(source, target):
    """Give what versions before 5.0 kept of a server to another record of
    the same server, as far as it has not the same."""
    for name in ['gnuhealth_orthanc_patient', 'gnuhealth_orthanc_study']:
        if backend.TableHandler.table_exist(name):
            table, other = Table(name), Table(name)
            same = other.select(other.uuid, where=other.server == target)
            _set(table, (table.server == source) & ~table.uuid.in_(same),
                server=target)


def keep_last_index(Server, module):
    """Go on where 4.4 stopped: it called the index otherwise."""
    table_h = Server.__table_handler__(module)
    if not table_h.column_exist('last'):
        return
    table = Server.__table__()
    _set(table, (table.last > -1) & (table.last <= _LAST_INDEX)
        & ((table.last_changed_index == Null)
            | (table.last_changed_index < 0)),
        last_changed_index=table.last)
    table_h.drop_column('last')


def adopt_sync_button():
    """Let the button of 4.4 be the one of this module: its name is unique.
    """
    data = Table('ir_model_data')
    is_own = data.module == 'health_orthanc'
    if not execute(data.select(data.id,
            where=is_own & (data.fs_id == 'do_sync_button'))):
        _set(data, is_own & (data.fs_id == 'server_sync_button'),
            fs_id='do_sync_button')


def adopt_schedule():
    """Let the schedule that a hospital has be the one of this module, so that
    there is no second one."""
    cron, data = Table('ir_cron'), Table('ir_model_data')
    schedules = execute(cron.select(cron.id,
            where=cron.method == 'gnuhealth.orthanc.config|sync',
            order_by=[cron.active.desc, cron.id]))
    known = execute(data.select(data.id,
            where=(data.module == 'health_orthanc')
            & (data.fs_id == 'cron_sync')))
    if schedules and not known:
        values = {
            'module': 'health_orthanc', 'fs_id': 'cron_sync',
            'model': 'ir.cron', 'db_id': schedules[0][0], 'noupdate': True,
            'create_uid': 0, 'create_date': CurrentTimestamp()}
        _insert(data, values)


# Studies

def migrate_studies(Study, module):
    """Give studies of 5.0 a server instead of its address, one row for each
    study of a server, and what can be told of their links."""
    table_h = Study.__table_handler__(module)
    if (not table_h.column_exist('server')
            or table_h.column_exist('orthanc_server')):
        return
    _add_columns(Study, module, [
            'orthanc_server', 'request', 'link_state', 'link_rule',
            'review_code', 'review_parameters', 'study_date',
            'referring_physician_name'])
    _set_servers(Study)
    table_h.drop_constraint('studyUID_unique')
    table_h.not_null_action('server', 'remove')
    _part_persons(Study)
    _merge_studies(Study)
    _set_dates(Study)
    _set_links(Study)
    # 5.0 put the referring physician into the wrong column.
    table = Study.__table__()
    _set(table, table.performing_physician_name != '',
        referring_physician_name=table.performing_physician_name)


def _set_servers(Study):
    table = Study.__table__()
    server = Pool().get('gnuhealth.orthanc.config').__table__()
    known = {
        domain: id_ for id_, domain in execute(
            server.select(server.id, server.domain))}
    texts = defaultdict(dict)
    for text, count in execute(table.select(
                table.server, Count(Literal(1)), group_by=table.server,
                order_by=table.server)):
        address = (_address(text) or _without_credentials(text).strip()
            or NOWHERE)
        texts[address][text] = count
    for address, counts in texts.items():
        if address not in known:
            known[address] = _make_server(address, sum(counts.values()))
        for text in counts:
            _set(table, (table.server == text) if text is not None
                else (table.server == Null), orthanc_server=known[address])


def _make_server(address, count):
    """Make a record for a server that only studies know, and return its id.

    It rests, nobody knows its user and password.
    """
    Server = Pool().get('gnuhealth.orthanc.config')
    table = Server.__table__()
    values = {
        'label': address, 'domain': address, 'user': '', 'active': False,
        'validated': False, 'verify_tls': True,
        'connect_timeout': Server.default_connect_timeout(),
        'read_timeout': Server.default_read_timeout(),
        'run_hours': Server.default_run_hours(),
        'create_uid': 0, 'create_date': CurrentTimestamp()}
    labels = {label for label, in execute(table.select(table.label))}
    values['label'] = next(
        label for label in itertools.chain(
            [address], (f'{address} {n}' for n in itertools.count(2)))
        if label not in labels)
    _insert(table, values)
    (id_,), = execute(table.select(table.id, where=table.domain == address))
    logger.warning(
        "%s %s: made for %s studies of a server without a record, and "
        "inactive", Server.__name__, id_, count)
    return id_


def orthanc_id(patient_id, study_uid):
    """Return the id that Orthanc gives to a study.

    Source: the identifiers of Orthanc, Orthanc Book.

    :param str patient_id: PatientID (0010,0020), ASCII
    :param str study_uid: StudyInstanceUID (0020,000d)
    """
    digest = hashlib.sha1(f'{patient_id}|{study_uid}'.encode()).hexdigest()
    return '-'.join(digest[i:i + 8] for i in range(0, 40, 8))


def _part_persons(Study):
    """Give studies the Orthanc id of their own PatientID back.

    5.0 wrote the id of a study that came again under another PatientID into
    the record of the first: one person's record showed another's images.
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
        # These are no ids of an Orthanc.
        return
    for id_, stored, own in wrong:
        _set(table, table.id == id_, orthanc_UID=own)
        logger.warning(
            "%s %s: its images are those of another PatientID, under the "
            "Orthanc id %s; it has the id of its own PatientID again",
            Study.__name__, id_, stored)


_STUDY_VALUES = [
    'imaging_test', 'patient', 'notes', 'merge_comment', 'merge_id', 'date',
    'patient_name', 'patient_id', 'institution', 'performing_physician_name']


def _merge_studies(Study):
    table = Study.__table__()
    merged = {}
    for rows in _repeated(
            Study, ['orthanc_server', 'orthanc_UID'],
            ['study_instance_UID', *_STUDY_VALUES]):
        by_uid = defaultdict(list)
        for row in rows:
            by_uid[row['study_instance_UID']].append(row)
        kept = [
            _merge_study(Study, same, merged) for same in by_uid.values()]
        for id_ in sorted(kept)[1:]:
            # Another study under the Orthanc id of this one: the next
            # comparison with the server finds out which is right.
            _set(table, table.id == id_,
                orthanc_UID=f"{rows[0]['orthanc_UID']}-{id_}")
            logger.warning(
                "%s %s: study %s has the same Orthanc id, this one has "
                "another now", Study.__name__, id_, min(kept))
    _let_go(Study, merged)


def _merge_study(Study, rows, merged):
    """Merge rows of one study and return the id of the one that stays."""
    rows.sort(key=lambda r: (
            r['imaging_test'] is None, r['patient'] is None,
            not r['notes'], r['id']))
    first, *others = rows
    if not others:
        return first['id']
    values = _merged(first, others, _STUDY_VALUES)
    other = next((o for o in others if _contradicts(first, o)), None)
    if other:
        values.update(_review('linked_twice', patient=_puid(other)))
        logger.warning(
            "%s %s: it is linked to patient %s and result %s, its second row "
            "%s was to patient %s and result %s; to review",
            Study.__name__, first['id'], first['patient'],
            first['imaging_test'], other['id'], other['patient'],
            other['imaging_test'])
    _merge(Study, first, others, values, merged)
    return first['id']


def _contradicts(row, other):
    return any(
        other[name] and row[name] and other[name] != row[name]
        for name in ['patient', 'imaging_test'])


def _review(code, **parameters):
    "Return the values of a study that a person has to look at."
    return {
        'link_state': 'review',
        'review_code': code,
        'review_parameters': json.dumps(parameters, sort_keys=True),
        }


def _puid(row):
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    rows = execute(patient.join(
            party, condition=patient.party == party.id).select(
            party.ref, where=patient.id == row['patient']))
    return (rows[0][0] if rows else None) or '?'


def _set_dates(Study):
    table = Study.__table__()
    rows = execute(table.select(table.id, table.date,
            where=(table.date != Null) & (table.date != '')))
    dates = {text: texts.parse_date(text) for _, text in rows}
    _set_grouped(table, {
            id_: ('study_date', dates[text]) for id_, text in rows
            if dates[text]})


def _set_links(Study):
    """Tell the links that are there from those that are not.

    Whether a person or a rule made them is not known: a rule may touch none
    of them.
    """
    table = Study.__table__()
    result = Pool().get('gnuhealth.imaging.test.result').__table__()
    for name in ['patient', 'request']:
        of_result = result.select(
            getattr(result, name), where=result.id == table.imaging_test)
        _set(table, (getattr(table, name) == Null)
            & (table.imaging_test != Null), **{name: of_result})
    is_linked = (table.patient != Null) | (table.imaging_test != Null)
    _set(table, is_linked, link_rule='person')
    _set(table, is_linked & (table.link_state == Null), link_state='linked')
    _set(table, ~is_linked, link_state='unlinked')
    other = result.select(result.id,
        where=(result.id == table.imaging_test)
        & (result.patient != table.patient))
    rows = execute(table.select(
            table.id, where=table.imaging_test.in_(other)))
    for id_, in rows:
        _set(table, table.id == id_, **_review('other_patient'))
        logger.warning(
            "%s %s: its result is another patient's; to review",
            Study.__name__, id_)


# Series and instances

def migrate_series(Series, module):
    """Give each series of a study one row."""
    table_h = Series.__table_handler__(module)
    if (not table_h.column_exist('series_UID')
            or table_h.column_exist('body_part')):
        return
    names = ['notes', 'series_description', 'series_number']
    merged = {}
    for rows in _repeated(Series, ['study', 'series_UID'], names):
        rows.sort(key=lambda r: (not r['notes'], r['id']))
        first, *others = rows
        _merge(Series, first, others, _merged(first, others, names), merged)
    _let_go(Series, merged)


def migrate_instances(Instance, module):
    """Give each instance of a series one row, and its position the form of
    DICOM."""
    table_h = Instance.__table_handler__(module)
    if (not table_h.column_exist('sop_instance_UID')
            or table_h.column_exist('number_of_frames')):
        return
    table = Instance.__table__()
    merged, by_series = {}, defaultdict(int)
    for first, *others in _repeated(
            Instance, ['series', 'sop_instance_UID'], []):
        merged.update((o['id'], first['id']) for o in others)
        by_series[first['series']] += len(others)
    _let_go(Instance, merged)
    for series, count in sorted(by_series.items()):
        logger.warning(
            "%s: %s instances of series %s were there twice",
            Instance.__name__, count, series)
    _set(table, table.image_position_patient.like('%, %'),
        image_position_patient=Replace(
            table.image_position_patient, ', ', '\\'))


def complete_studies():
    """Give studies that no synchronisation has counted yet their requests,
    and fill in how many series and images they have."""
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    table = Study.__table__()
    if execute(table.select(
                table.id, where=table.number_of_series == Null, limit=1)):
        _return_merge_ids()
        _count_images(Study)


def _count_images(Study):
    pool = Pool()
    study = Study.__table__()
    series = pool.get('gnuhealth.imaging_orthanc.study_series').__table__()
    instance = pool.get(
        'gnuhealth.imaging_orthanc.series_instances').__table__()
    uncounted = study.select(study.id, where=study.number_of_series == Null)
    of_series = dict(execute(series.join(instance, 'LEFT',
                condition=instance.series == series.id).select(
                series.id, Count(instance.id),
                where=series.study.in_(uncounted), group_by=series.id)))
    _set_grouped(series, {
            id_: ('number_of_instances', count)
            for id_, count in of_series.items()})
    totals = {id_: [0, 0, set()] for id_, in execute(uncounted)}
    for id_, parent, modality in execute(series.select(
                series.id, series.study, series.modality,
                where=series.study.in_(uncounted))):
        total = totals[parent]
        total[0] += 1
        total[1] += of_series[id_]
        total[2].add(modality)
    for i, name in enumerate([
                'number_of_series', 'number_of_instances']):
        _set_grouped(study, {
                id_: (name, total[i]) for id_, total in totals.items()})
    _set_grouped(study, {
            id_: ('modalities', ', '.join(sorted(filter(None, total[2]))))
            for id_, total in totals.items() if any(total[2])})


def find_studies_of_pictures(Attachment):
    """Note from which studies the pictures in results are: they are called
    after the SOP Instance UID.

    Signed results with pictures of studies that are not theirs any more are
    marked, as those that lose one from now on.
    """
    pool = Pool()
    Result = pool.get('gnuhealth.imaging.test.result')
    table = Attachment.__table__()
    pictures = _pictures_by_uid(table, f'{Result.__name__},')
    instance, series, study = [
        pool.get(f'gnuhealth.imaging_orthanc.{name}').__table__()
        for name in ['series_instances', 'study_series', 'study']]
    query = instance.join(
        series, condition=instance.series == series.id).join(
        study, condition=series.study == study.id)
    studies, foreign = {}, {}
    for some in grouped_slice(sorted(pictures), 500):
        for uid, id_, result in execute(query.select(
                    instance.sop_instance_UID, study.id, study.imaging_test,
                    where=instance.sop_instance_UID.in_(list(some)),
                    order_by=study.id)):
            for picture, of in pictures[uid]:
                # Of two studies with the picture, that of the result.
                if picture not in studies or result == of:
                    studies[picture] = ('imaging_study', id_)
                    foreign[picture] = of if result != of else None
    _set_grouped(table, studies)
    _mark_signed(Result, set(foreign.values()) - {None})


def _pictures_by_uid(table, prefix):
    """Return the pictures in results, lists of the id of the attachment and
    that of the result by SOP Instance UID.

    :param prefix: of references to results
    """
    pictures = defaultdict(list)
    for id_, resource, name in execute(table.select(
                table.id, table.resource, table.name,
                where=table.resource.like(f'{prefix}%'))):
        named = _OF_INSTANCE.match(name or '')
        result = resource[len(prefix):]
        if named and result.isdigit():
            pictures[named.group(1)].append((id_, int(result)))
    return pictures


def _mark_signed(Result, ids):
    "Mark those of some results that are signed."
    table = Result.__table__()
    signed = [
        id_ for some in grouped_slice(sorted(ids), 1000)
        for id_, in execute(table.select(table.id,
                where=reduce_ids(table.id, list(some))
                & (table.state == 'final')))]
    _set_grouped(table, {id_: ('studies_changed_at', now()) for id_ in signed})
    if signed:
        logger.warning(
            "%s %s: signed with pictures of studies that are not theirs any "
            "more; to confirm or to amend", Result.__name__,
            ', '.join(map(str, signed)))


# Requests

def _return_merge_ids():
    """Give a UID that several requests shared to the one whose images have
    it, the worklist module did not know of images.

    Then link the studies that came before their result.
    """
    pool = Pool()
    Request = pool.get('gnuhealth.imaging.test.request')
    if 'merge_id' not in Request._fields:
        return
    study = pool.get('gnuhealth.imaging_orthanc.study').__table__()
    result = pool.get('gnuhealth.imaging.test.result').__table__()
    uids = _MergeIds(Request)
    query = study.join(
        result, condition=study.imaging_test == result.id)
    for request, uid in execute(query.select(
                result.request, result.merge_id,
                where=(result.request != Null)
                & ((study.study_instance_UID == result.merge_id)
                    | (study.merge_id == result.merge_id)),
                group_by=[result.request, result.merge_id],
                order_by=result.request)):
        uids.take(request, uid)
    _link_early_studies(Request, uids)


class _MergeIds:
    """The merge ids of all requests, read at once: their columns have no
    index yet."""

    def __init__(self, Request):
        self._Request = Request
        table = Request.__table__()
        self._own = dict(execute(table.select(table.id, table.merge_id)))
        self._holder = {uid: id_ for id_, uid in self._own.items()}
        # Those that have images with their own.
        self._settled = {
            request for _, request, of_study in _carried(Request)
            if request == of_study}

    def of(self, id_):
        return self._own[id_]

    def take(self, id_, uid):
        """Give a UID to a request, unless another one has it and images."""
        own, holder = self._own.get(id_), self._holder.get(uid)
        if own == uid:
            self._settled.add(id_)
        if own == uid or id_ not in self._own or holder in self._settled:
            return
        table = self._Request.__table__()
        if holder:
            _set(table, table.id == holder, merge_id=None)
        _set(table, table.id == id_, merge_id=uid)
        if holder:
            _set(table, table.id == holder, merge_id=own)
            self._own[holder], self._holder[own] = own, holder
        self._own[id_], self._holder[uid] = uid, id_
        self._settled.add(id_)
        logger.warning(
            "%s %s: it has the merge id again that it shared, there are "
            "images with it", self._Request.__name__, id_)


def _carried(Request):
    """Return the studies that carry the UID of a request.

    :return: list of study, request, and the request that the study has
    """
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    table = Request.__table__()
    found = {}
    # Two joins, since no database does one with OR quickly.
    for name in ['merge_id', 'study_instance_UID']:
        found.update(((id_, request), of_study)
            for id_, request, of_study in execute(study.join(table,
                    condition=getattr(study, name) == table.merge_id).select(
                    study.id, table.id, study.request,
                    where=table.merge_id != Null)))
    return sorted((*key, of_study or 0) for key, of_study in found.items())


def _link_early_studies(Request, uids):
    """Note the request of studies that came before their result was made.

    One that several exams of an order may have brought is left to a person.
    """
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    table = Request.__table__()
    orders = {id_: row for id_, *row in execute(
            table.select(table.id, table.patient, table.request))}
    early = dict(execute(study.select(study.id, study.patient,
                where=(study.request == Null)
                & (study.imaging_test == Null) & (study.patient != Null))))
    found = [
        (study_id, id_) for study_id, id_, _ in _carried(Request)
        if study_id in early and early[study_id] == orders[id_][0]]
    if not found:
        return
    exams, modalities = _exams_of_orders(Request), _modalities_of_studies()
    values = {}
    for study_id, id_ in found:
        order = orders[id_][1]
        request = _exam_of(id_, exams.get(order, {}), modalities[study_id])
        if request is None:
            logger.warning(
                "study %s may be of several requests of order %s, it is "
                "linked to its patient only", study_id, order)
            continue
        uids.take(request, uids.of(id_))
        values[study_id] = ('request', request)
    _set_grouped(study, values)


def _exam_of(id_, exams, modalities):
    """Return which request of an order images are of, None when it is not
    plain.

    :param exams: modality of each request of the order, dict by id
    """
    if len(exams) < 2:
        return id_
    fitting = [i for i, code in exams.items() if code in modalities]
    return fitting[0] if len(fitting) == 1 else None


def _exams_of_orders(Request):
    "Return the modalities of requests, dict by order of dicts by id."
    pool = Pool()
    table = Request.__table__()
    exam = pool.get('gnuhealth.imaging.test').__table__()
    type_ = pool.get('gnuhealth.imaging.test.type').__table__()
    exams = defaultdict(dict)
    for order, id_, code in execute(table.join(
                exam, condition=table.requested_test == exam.id).join(
                type_, condition=exam.test_type == type_.id).select(
                table.request, table.id, type_.code,
                where=(table.request != Null) & (table.request != ''),
                order_by=table.id)):
        exams[order][id_] = code
    return exams


def _modalities_of_studies():
    "Return the modalities of studies, dict by id of sets."
    series = Pool().get('gnuhealth.imaging_orthanc.study_series').__table__()
    modalities = defaultdict(set)
    for study, modality in execute(series.select(
                series.study, series.modality,
                group_by=[series.study, series.modality])):
        modalities[study].add(modality)
    return modalities


# Stored reports

def try_reports_again(Report):
    """Let reports wait that failed when what a server refused to everybody
    counted, too."""
    table = Report.__table__()
    _set(table, table.state == 'failed', state='waiting', attempts=0)


def mark_misplaced_reports(Report):
    """Mark reports that are stored in studies which do not belong to their
    results any more."""
    table = Report.__table__()
    study = Pool().get('gnuhealth.imaging_orthanc.study').__table__()
    rows = execute(table.join(
            study, condition=table.study == study.id).select(table.id,
            where=(table.state == 'stored')
            & ((study.imaging_test == Null)
                | (study.imaging_test != table.result))))
    _set_grouped(table, {id_: ('state', 'misplaced') for id_, in rows})
    if rows:
        logger.warning("%s %s: stored in studies that are not of their "
            "results any more", Report.__name__,
            ', '.join(str(id_) for id_, in rows))


# Rows that are there several times

def _repeated(Model, key, names):
    """Yield the rows, lists of dicts, that have the same key.

    :param key: names of the columns that together stand for one thing
    :param names: further columns to read
    """
    table, other = Model.__table__(), Model.__table__()
    columns = [getattr(other, name) for name in key]
    first = other.select(
        *columns, Min(other.id).as_('first'), group_by=columns,
        having=Count(Literal(1)) > 1)
    condition = Literal(True)
    for name in key:
        condition &= getattr(table, name) == getattr(first, name)
    names = ['id', *key, *names]
    groups = defaultdict(list)
    for row in execute(table.join(first, condition=condition).select(
                first.first, *[getattr(table, name) for name in names],
                order_by=table.id)):
        groups[row[0]].append(dict(zip(names, row[1:])))
    yield from groups.values()


def _merged(first, others, names):
    """Return what a row takes over from others that stand for the same."""
    values = {}
    for name in names:
        found = dict.fromkeys(
            row[name] for row in [first, *others] if row[name])
        if name in {'notes', 'merge_comment'}:
            separator = '\n' if name == 'notes' else '; '
            value = separator.join(found) or None
        else:
            value = next(iter(found), first[name])
        if value != first[name]:
            values[name] = value
    return values


def _merge(Model, first, others, values, merged):
    """Let one row stand for others too, which are added to merged."""
    table = Model.__table__()
    if values:
        _set(table, table.id == first['id'], **values)
    merged.update((o['id'], first['id']) for o in others)
    logger.warning("%s %s: merged with %s, which had the same UID",
        Model.__name__, first['id'],
        ', '.join(str(o['id']) for o in others))


def _let_go(Model, merged):
    """Delete merged rows, and let everything that points to them point to
    what they are now.

    :param merged: id of the row that stays by id of the one that goes
    """
    if not merged:
        return
    _move_links(Model, merged)
    table = Model.__table__()
    for some in grouped_slice(list(merged), 1000):
        execute(table.delete(where=reduce_ids(table.id, list(some))))


def _move_links(Model, merged):
    for other, field in _fields_of_tables():
        table = other.__table__()
        column = getattr(table, field.name)
        if isinstance(field, fields.Reference):
            prefix = f'{Model.__name__},'
            where = column.like(f'{prefix}%')
        elif field.model_name == Model.__name__:
            prefix, where = '', column != Null
        else:
            continue
        targets = {f'{prefix}{i}': f'{prefix}{j}' for i, j in merged.items()}
        _set_grouped(table, {
                id_: (field.name, targets[str(value)])
                for id_, value in execute(
                    table.select(table.id, column, where=where))
                if str(value) in targets})


def _fields_of_tables():
    """Yield the models and fields with a column that points to a record."""
    for _, Model in Pool().iterobject():
        if (not issubclass(Model, ModelSQL) or callable(Model.table_query)
                or not backend.TableHandler.table_exist(Model._table)):
            continue
        table_h = Model.__table_handler__()
        for field in Model._fields.values():
            if (isinstance(field, (fields.Many2One, fields.Reference))
                    and table_h.column_exist(field.name)):
                yield Model, field
