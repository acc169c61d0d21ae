# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns what GNU Health 4.4 and 5.0 told machines into what this release
does: a UID for each request, templates with a valid character set.

Each step is done once; done again it changes nothing.
"""
import logging
import re
from collections import defaultdict

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from sql import Null, Table
from sql.aggregate import Count
from sql.conditionals import Case
from sql.functions import CurrentTimestamp
from sql.operators import Or

from trytond import backend
from trytond.modules.health_imaging.tables import execute
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from . import attributes, identifiers

# Where 4.4 kept its templates, and what the table is called once they are
# carried over.
_TEMPLATES = 'gnuhealth_orthanc_worklist_template'
_CARRIED_OVER = f'{_TEMPLATES}_44'
_CHARSET = re.compile(r'\(0008,0005\)\s*\w\w\s*\[([^$\]]+)\]')
# A tag and its VR at the begin of a line, or behind a directive.
_ATTRIBUTE = re.compile(
    r'((?:^|%\})[ \t]*\([ \t]*([0-9a-fA-F]{1,4})[ \t]*,'
    r'[ \t]*([0-9a-fA-F]{1,4})[ \t]*\)[ \t]*)([A-Z]{2})', re.MULTILINE)
# The lines of genshi's older syntax, "#if x" for "{% if x %}".
_DIRECTIVE = re.compile(
    r'^[ \t]*#(?:(#.*)|((?:if|for|def|with|choose|when|otherwise|end)\b.*))$',
    re.MULTILINE)

logger = logging.getLogger(__name__)


# Requests

def prepare_requests(Request, module, new_uid):
    """Give requests of former releases a status and UIDs of their own.

    :param new_uid: function that returns a UID
    """
    table_h = Request.__table_handler__(module)
    if not table_h.column_exist('state'):
        return
    for name in ['merge_id', 'former_merge_id', 'worklist_status']:
        table_h.add_column(name, 'VARCHAR')
    set_statuses(Request, table_h.column_exist('done_at'))
    separate_merge_ids(Request, new_uid)


def set_statuses(Request, stamped):
    """Machines are told of open requests only, never of those that were done
    before.

    :param stamped: whether the requests know when they were done
    """
    table = Request.__table__()
    execute(table.update([table.worklist_status], [Null],
            where=table.worklist_status == ''))
    for state, status in [
            ('draft', 'todo'), ('requested', 'todo'), ('done', 'done'),
            ('canceled', 'canceled')]:
        execute(table.update([table.worklist_status], [status],
                where=(table.state == state)
                & (table.worklist_status == Null)))
    # 5.0 left it to the arrival of the images.
    where = (table.state == 'done') & (table.worklist_status == 'todo')
    if stamped:
        where &= table.done_at == Null
    execute(table.update([table.worklist_status], ['done'], where=where))


def separate_merge_ids(Request, new_uid):
    """Give a UID of its own to each request that has none or shares it.

    Of the exams of the first order the first that is still to be done keeps
    the shared one: copies took it too.  What several patients share, because
    a former release filled the column with one value, is left to none.  All
    of them know it as their former UID: machines may have been told of it.
    """
    table = Request.__table__()
    for id_, in execute(table.select(table.id,
                where=(table.merge_id == Null) | (table.merge_id == ''))):
        _set_merge_id(Request, id_, new_uid())
    shared = table.select(table.merge_id,
        where=table.merge_id != Null, group_by=table.merge_id,
        having=Count(table.id) > 1)
    groups = defaultdict(list)
    for uid, *row in execute(table.select(
                table.merge_id, table.id, table.patient, table.request,
                table.state,
                where=table.merge_id.in_(shared), order_by=table.id)):
        groups[uid].append(row)
    execute(table.update([table.former_merge_id], [table.merge_id],
            where=table.merge_id.in_(shared)))
    for rows in groups.values():
        keeper = _keeper(rows)
        ids = [id_ for id_, *_ in rows]
        for id_ in ids:
            if id_ != keeper:
                _set_merge_id(Request, id_, new_uid())
        logger.warning(
            "%s %s: they shared a merge id, %s keeps it, the others have one "
            "of their own", Request.__name__, _some(ids), keeper or 'none')


def _keeper(rows):
    first, patient, order, _ = rows[0]
    if any(row[1] != patient for row in rows):
        return None
    return next((id_ for id_, _, of_order, state in rows
            if of_order == order and state != 'done'), first)


def _some(ids):
    more = f' and {len(ids) - 20} more' if len(ids) > 20 else ''
    return ', '.join(map(str, ids[:20])) + more


def _set_merge_id(Request, id_, uid):
    table = Request.__table__()
    execute(table.update(
            [table.merge_id], [uid], where=table.id == id_))


def set_identifiers(Request):
    """Give requests that have none an accession number and a step id: the
    numbers of the order and of the request, short ones where these are too
    long for machines."""
    table = Request.__table__()
    if not execute(table.select(table.id, limit=1, where=Or([
                        column == value
                        for column in [table.accession_number, table.step_id]
                        for value in [Null, '']]))):
        return
    rows = execute(table.select(
            table.id, table.request, table.request_line,
            table.accession_number, table.step_id, order_by=table.id))
    accessions = {
        order: accession for _, order, _, accession, _ in rows
        if order and accession}
    accessions.update(_identify(
            {_number(order, id_) for id_, order, *_ in rows}
            - accessions.keys(), set(accessions.values())))
    steps = _identify(
        {_number(line, id_) for id_, _, line, _, step in rows if not step},
        {step for *_, step in rows if step})
    own = {}
    for id_, order, line, accession, step in rows:
        values = (
            accession or accessions[_number(order, id_)],
            step or steps[_number(line, id_)])
        is_new = None in (accession, step)
        if values != (accession, step) and not (
                is_new and values == (order, line)):
            own[id_] = values
    _write_identifiers(table, own)
    execute(table.update(
            [table.accession_number, table.step_id],
            [table.request, table.request_line],
            where=(table.accession_number == Null) | (table.step_id == Null)))
    if own:
        logger.warning(
            "%s %s: their numbers are too long for machines, which are told "
            "short ones", Request.__name__, _some(list(own)))


def _number(number, id_):
    "Return the number of an order or a request, one of its own without."
    return number or f'\0{id_}'


def _identify(numbers, taken):
    return identifiers.choose(numbers, lambda wishes: [
            number for number, wish in wishes.items() if wish in taken])


def _write_identifiers(table, own):
    for ids in grouped_slice(own, 500):
        ids = list(ids)
        execute(table.update(
                [table.accession_number, table.step_id], [
                    Case(*((table.id == id_, own[id_][n]) for id_ in ids))
                    for n in range(2)],
                where=reduce_ids(table.id, ids)))


# Templates

def set_template_types(Template, module):
    """Give templates without a type the one that their text has."""
    table_h = Template.__table_handler__(module)
    if not table_h.column_exist('template_type'):
        return
    table = Template.__table__()
    is_json = table.template.like('%"vr"%')
    execute(table.update(
            [table.template_type],
            [Case((is_json, 'json'), else_='dump2dcm')],
            where=(table.template_type == Null)
            | (table.template_type == '')))


def repair_charsets(Template):
    """Correct the character sets of templates.

    5.0 wrote its default with the digit zero for the letter O, and Orthanc
    then drops every letter that is not ASCII.
    """
    table = Template.__table__()
    for id_, charset in execute(table.select(table.id, table.charset,
                where=(table.charset != Null) & (table.charset != ''))):
        if attributes.is_charset(charset):
            continue
        repaired = attributes.repair_charset(charset)
        if repaired is None:
            logger.warning(
                "%s %s: %r is no character set of DICOM, choose one",
                Template.__name__, id_, charset)
            continue
        execute(table.update(
                [table.charset], [repaired], where=table.id == id_))
        logger.warning("%s %s: the character set %r is now %r",
            Template.__name__, id_, charset, repaired)


def repair_vrs(Template):
    """Write the kinds of values (VR) of dumps as DICOM has them.

    Those of 5.0 had some that are others, and dump2dcm believes them.
    """
    table = Template.__table__()
    for id_, text in execute(table.select(table.id, table.template,
                where=(table.template_type == 'dump2dcm')
                & (table.template != Null))):
        repaired = with_vrs(text)
        if repaired != text:
            execute(table.update(
                    [table.template], [repaired], where=table.id == id_))
            logger.warning(
                "%s %s: kinds of values (VR) are now those of DICOM",
                Template.__name__, id_)


def with_vrs(text):
    """Return a dump, or its template, with the VRs that DICOM has."""
    return _ATTRIBUTE.sub(_with_vr, text)


def _with_vr(match):
    begin, group, element, written = match.groups()
    tag = int(group, 16) << 16 | int(element, 16)
    if tag >> 16 == 0xfffe or not dictionary_has_tag(tag):
        return match[0]
    known = dictionary_VR(tag).split(' or ')
    return begin + (written if written in known else known[0])


def carry_over_templates(Exam, module):
    """Make templates of those that 4.4 had, with their encoding, and keep
    each exam's choice."""
    if not backend.TableHandler.table_exist(_TEMPLATES):
        return
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    former = Table(_TEMPLATES)
    carried = {
        id_: _carry_over(Template, *row) for id_, *row in execute(
            former.select(
                former.id, former.name, former.template,
                former.dump_file_encoding, former.comment,
                order_by=former.id))}
    table_h = Exam.__table_handler__(module)
    if table_h.column_exist('worklist_template'):
        table = Exam.__table__()
        for id_, template in carried.items():
            execute(table.update(
                    [table.imaging_worklist_template], [template],
                    where=(table.worklist_template == id_)
                    & (table.imaging_worklist_template == Null)))
    backend.TableHandler.table_rename(_TEMPLATES, _CARRIED_OVER)


def _carry_over(Template, name, text, encoding, comment):
    """Make a template, unless a person made the same already, and return its
    id."""
    table = Template.__table__()
    text = with_vrs(new_syntax(text or ''))
    same = (table.name == name) & (table.template == text)
    if not execute(table.select(table.id, where=same)):
        values = {
            'name': name, 'template': text, 'comment': comment,
            'template_type': 'dump2dcm', 'charset': charset(text, encoding),
            'create_uid': 0, 'create_date': CurrentTimestamp()}
        execute(table.insert(
                [getattr(table, key) for key in values],
                [list(values.values())]))
    (id_,), *_ = execute(table.select(
            table.id, where=same, order_by=table.id))
    logger.warning("%s %s: it is the template %r of 4.4",
        Template.__name__, id_, name)
    return id_


def charset(text, encoding):
    """Return the SpecificCharacterSet (0008,0005) that a template of 4.4
    names, else the one of the encoding in which it was written.

    :param str encoding: as Python names it, such as utf-8 or gbk
    """
    named = _CHARSET.search(text)
    candidates = [named.group(1) if named else None, encoding]
    for candidate in filter(None, candidates):
        repaired = attributes.repair_charset(candidate)
        if repaired:
            return repaired
    return encoding or None


def new_syntax(text):
    """Return a template of 4.4, in genshi's older syntax, in the one that is
    used since 5.0."""
    def convert(match):
        comment, directive = match.groups()
        if comment is not None:
            return f'{{# {comment[1:].strip()} #}}\\'
        return f'{{% {directive.strip()} %}}\\'
    return _DIRECTIVE.sub(convert, text)
