# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the worklist data of GNU Health 4.4 and 5.0 into that of this release:
a Study Instance UID for each request, templates with a valid character set.

Each step can run again and then changes nothing.
"""
import itertools
import re
from collections import defaultdict
from operator import itemgetter

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from sql import Literal, Null, Table
from sql.aggregate import Count
from sql.conditionals import Case, NullIf

from trytond import backend
from trytond.modules.health_imaging.dashboard import OPEN
from trytond.modules.health_imaging.migration import (
    insert_row, set_where, warn)
from trytond.modules.health_imaging.tables import execute
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids

from . import attributes, identifiers

# The table of the templates of 4.4, and its name after they are copied.
_TEMPLATES = 'gnuhealth_orthanc_worklist_template'
_CARRIED_OVER = f'{_TEMPLATES}_44'
_CHARSET = re.compile(r'\(0008,0005\)\s*\w\w\s*\[([^$\]]+)\]')
# Tag and VR at the beginning of a line, or after a directive.
_ATTRIBUTE = re.compile(
    r'((?:^|%\})[ \t]*\([ \t]*([0-9a-fA-F]{1,4})[ \t]*,'
    r'[ \t]*([0-9a-fA-F]{1,4})[ \t]*\)[ \t]*)([A-Z]{2})', re.MULTILINE)
# Lines of Genshi's old text syntax: "#if x" for "{% if x %}".
_DIRECTIVE = re.compile(
    r'^[ \t]*#(?:(#.*)|((?:if|for|def|with|choose|when|otherwise|end)\b.*))$',
    re.MULTILINE)


# Requests

def prepare_requests(Request, module, new_uid):
    """Give requests of former releases a worklist status and UIDs.

    :param new_uid: function that returns a new UID, str
    """
    table_h = Request.__table_handler__(module)
    if not table_h.column_exist('state'):
        return
    for name in ['merge_id', 'former_merge_id', 'worklist_status']:
        table_h.add_column(name, 'VARCHAR')
    _set_statuses(Request, table_h.column_exist('done_at'))
    separate_merge_ids(Request, new_uid)


def _set_statuses(Request, stamped):
    """Set the worklist status of requests that have none by their state.
    Those that were done before the upgrade never go to the worklist."""
    table = Request.__table__()
    has_none = (table.worklist_status == Null) | (table.worklist_status == '')
    for state, status in [
            ('draft', 'todo'), ('requested', 'todo'), ('done', 'done'),
            ('canceled', 'canceled')]:
        set_where(
            table, (table.state == state) & has_none, worklist_status=status)
    # In 5.0 the status changed when the images came, not with the state.
    done_before = (table.done_at == Null) if stamped else Literal(True)
    set_where(table, (table.state == 'done')
        & (table.worklist_status == 'todo') & done_before,
        worklist_status='done')


def separate_merge_ids(Request, new_uid):
    """Give each request that has no Study Instance UID or shares it a new
    one.

    Of the exams of one order the first that is not done keeps the shared
    UID, nobody does where patients share it, because a former release filled
    the column with one value.  All keep it as the former one, since a
    modality may have it.

    :param new_uid: function that returns a new UID, str
    """
    table = Request.__table__()
    for id_, in execute(table.select(table.id,
                where=(table.merge_id == Null) | (table.merge_id == ''))):
        set_where(table, table.id == id_, merge_id=new_uid())
    shared = table.select(table.merge_id,
        where=table.merge_id != Null, group_by=table.merge_id,
        having=Count(table.id) > 1)
    rows = execute(table.select(
            table.merge_id, table.id, table.patient, table.request,
            table.state, where=table.merge_id.in_(shared),
            order_by=[table.merge_id, table.id]))
    set_where(table, table.merge_id.in_(shared),
        former_merge_id=table.merge_id)
    for _, group in itertools.groupby(rows, itemgetter(0)):
        group = [row[1:] for row in group]
        keeper = _keeper(group)
        for id_, *_ in group:
            if id_ != keeper:
                set_where(table, table.id == id_, merge_id=new_uid())
        warn(Request, [id_ for id_, *_ in group], "they shared a merge id, "
            "%s keeps it, the others have one of their own", keeper or 'none')


def _keeper(rows):
    """Return the id of the request that keeps a shared UID, or None.

    :param rows: (id, patient, order number, state) of each request
    """
    first, patient, order, _ = rows[0]
    if any(row[1] != patient for row in rows):
        return None
    return next((id_ for id_, _, of_order, state in rows
            if of_order == order and state != 'done'), first)


def set_identifiers(Request):
    """Set the AccessionNumber (0008,0050, SH) and the step ID (0040,0009, SH)
    of requests that have none: the numbers of the order and of the request,
    or short ones where these do not fit."""
    table = Request.__table__()
    accession, step = table.accession_number, table.step_id
    set_where(table, (accession == '') | (step == ''),
        accession_number=NullIf(accession, ''), step_id=NullIf(step, ''))
    lacking = (accession == Null) | (step == Null)
    if not execute(table.select(table.id, where=lacking, limit=1)):
        return
    own = _own_identifiers(execute(table.select(
                table.id, table.request, table.request_line, accession, step,
                order_by=table.id)))
    _write_identifiers(table, own)
    set_where(table, lacking,
        accession_number=table.request, step_id=table.request_line)
    if own:
        warn(Request, list(own), "their numbers are too long for modalities, "
            "which get short ones")


def _own_identifiers(rows):
    """Return the accession numbers and step ids, pairs by id, of the requests
    for which the numbers of order and request are not enough."""
    rows = [
        (id_, order or f'\0{id_}', line or f'\0{id_}', accession, step)
        for id_, order, line, accession, step in rows]
    accessions = {
        order: accession for _, order, _, accession, _ in rows if accession}
    accessions.update(_identify(
            {order for _, order, *_ in rows} - accessions.keys(),
            set(accessions.values())))
    steps = _identify(
        {line for _, _, line, _, step in rows if not step},
        {step for *_, step in rows if step})
    return {
        id_: (accession or accessions[order], step or steps[line])
        for id_, order, line, accession, step in rows
        if None in (accession, step) and (order, line) != (
            accession or accessions[order], step or steps[line])}


def _identify(numbers, taken):
    """Return an identifier by number that is not among those taken."""
    return identifiers.choose(numbers, lambda wishes: [
            number for number, wish in wishes.items() if wish in taken])


def _write_identifiers(table, own):
    """Write identifiers, pairs by id, 500 requests with a statement."""
    for ids in grouped_slice(own, 500):
        ids = list(ids)
        accession, step = [
            Case(*((table.id == id_, own[id_][n]) for id_ in ids))
            for n in range(2)]
        set_where(table, reduce_ids(table.id, ids),
            accession_number=accession, step_id=step)


# Templates

def set_template_types(Template, module):
    """Set the type of templates that have none, by their text."""
    if not Template.__table_handler__(module).column_exist('template_type'):
        return
    table = Template.__table__()
    is_json = table.template.like('%"vr"%')
    set_where(table,
        (table.template_type == Null) | (table.template_type == ''),
        template_type=Case((is_json, 'json'), else_='dump2dcm'))


def repair_charsets(Template):
    """Correct the SpecificCharacterSet (0008,0005, CS) of templates, which
    has the digit zero for the letter O by default in 5.0."""
    table = Template.__table__()
    for id_, charset in execute(table.select(table.id, table.charset,
                where=(table.charset != Null) & (table.charset != ''))):
        if attributes.is_charset(charset):
            continue
        repaired = attributes.repair_charset(charset)
        if repaired is None:
            warn(Template, id_,
                "%r is no character set of DICOM, choose one", charset)
            continue
        set_where(table, table.id == id_, charset=repaired)
        warn(Template, id_, "the character set %r is now %r",
            charset, repaired)


def repair_vrs(Template):
    """Write the value representations (VR) of dumps as DICOM defines them:
    5.0 has some that are wrong."""
    table = Template.__table__()
    for id_, text in execute(table.select(table.id, table.template,
                where=(table.template_type == 'dump2dcm')
                & (table.template != Null))):
        repaired = _with_vrs(text)
        if repaired != text:
            set_where(table, table.id == id_, template=repaired)
            warn(Template, id_,
                "kinds of values (VR) are now those of DICOM")


def _with_vrs(text):
    return _ATTRIBUTE.sub(_with_vr, text)


def _with_vr(match):
    begin, group, element, written = match.groups()
    tag = int(group, 16) << 16 | int(element, 16)
    if tag >> 16 == 0xfffe or not dictionary_has_tag(tag):
        return match[0]
    known = dictionary_VR(tag).split(' or ')
    return begin + (written if written in known else known[0])


def carry_over_templates(Exam, module):
    """Copy the templates of 4.4 with their encoding, and assign the copies to
    the exams that had them."""
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
    if Exam.__table_handler__(module).column_exist('worklist_template'):
        table = Exam.__table__()
        for id_, template in carried.items():
            set_where(table, (table.worklist_template == id_)
                & (table.imaging_worklist_template == Null),
                imaging_worklist_template=template)
    backend.TableHandler.table_rename(_TEMPLATES, _CARRIED_OVER)


def _carry_over(Template, name, text, encoding, comment):
    """Copy a template of 4.4, in Genshi's old syntax and a codec of Python,
    unless there is one of its name and text; return the id of the copy."""
    table = Template.__table__()
    text = _with_vrs(_new_syntax(text or ''))
    same = table.select(table.id,
        where=(table.name == name) & (table.template == text),
        order_by=table.id)
    if not execute(same):
        insert_row(table, name=name, template=text, comment=comment,
            template_type='dump2dcm', charset=_charset(text, encoding))
    (id_,), *_ = execute(same)
    warn(Template, id_, "it is the template %r of 4.4", name)
    return id_


def _charset(text, encoding):
    """Return the SpecificCharacterSet (0008,0005, CS) that the text of a
    template names or the codec stands for, else the codec."""
    named = _CHARSET.search(text)
    candidates = [named.group(1) if named else None, encoding]
    for candidate in filter(None, candidates):
        repaired = attributes.repair_charset(candidate)
        if repaired:
            return repaired
    return encoding or None


def _new_syntax(text):
    """Convert a template from Genshi's old text syntax to the new one."""
    def convert(match):
        comment, directive = match.groups()
        if comment is not None:
            return f'{{# {comment[1:].strip()} #}}\\'
        return f'{{% {directive.strip()} %}}\\'
    return _DIRECTIVE.sub(convert, text)


# Machines

def is_there(Model):
    """Return whether a model has its table already.

    :param Model: its class
    """
    return backend.TableHandler.table_exist(Model._table)


def make_machines(ExamMachine):
    """Make a machine of each AE title that exams have, which do it, and whose
    open requests it gets. It has the modality of its exams where they have
    one.

    :param ExamMachine: class of gnuhealth.imaging_worklist.exam-machine
    """
    pool = Pool()
    exam = pool.get('gnuhealth.imaging.test').__table__()
    request = pool.get('gnuhealth.imaging.test.request').__table__()
    machine = pool.get('gnuhealth.imaging_worklist.machine').__table__()
    link = ExamMachine.__table__()
    exams = defaultdict(list)
    for id_, type_, title in execute(exam.select(
                exam.id, exam.test_type, exam.aetitle,
                where=exam.aetitle != Null, order_by=exam.id)):
        title = title.strip()
        if title and title == attributes.application_entity(title):
            exams[title].append((id_, type_))
    company = _only_company()
    for title, pairs in exams.items():
        types = {type_ for _, type_ in pairs}
        insert_row(machine, name=title, aetitle=title, active=True,
            modality=types.pop() if len(types) == 1 else None,
            company=company)
        ((id_,),) = execute(machine.select(
                machine.id, where=machine.aetitle == title))
        for exam_id, _ in pairs:
            insert_row(link, exam=exam_id, machine=id_)
        set_where(request,
            request.requested_test.in_([e for e, _ in pairs])
            & request.state.in_(OPEN), machine=id_)


def _only_company():
    """Return the id of the company, None where there are several or none."""
    company = Pool().get('company.company').__table__()
    ids = execute(company.select(company.id, limit=2))
    return ids[0][0] if len(ids) == 1 else None
