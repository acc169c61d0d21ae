# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who may write templates, or what a patient's record says, has
dump2dcm copy a file of the Orthanc host into a worklist entry."""
import shutil
import subprocess

import pytest
from support.records import (
    as_user, make_exam, make_institution, make_patient, make_professional,
    make_request, make_user)
from support.worklist import GOOD

from trytond.modules.health_imaging_worklist import dataset, rendering
from trytond.modules.health_imaging_worklist.exceptions import (
    WorklistTemplateError)
from trytond.pool import Pool
from trytond.transaction import Transaction

SECRET = b'PASSWORD-OF-ORTHANC!'
# Lines that name a file.
REFUSED = [
    *(f'(0040,1400) {vr} =FILE'
        for vr in ['OB', 'OW', 'OF', 'OD', 'OL', 'OV', 'UN', 'UT', 'ox']),
    '(0040,1400) OB [=FILE]', '(0040,1400)OB=FILE', '(0040,1400) OB=FILE',
    '(40,1400) OB =FILE', '( 0040 , 1400 )\tOB\t=FILE\r',
    '\t(0040,1400) OB =FILE', '\x0b(0040,1400) OB =FILE',
    '\x0c(0040,1400) OB =FILE', '(0x40,0x1400) OB =FILE',
    '(0042,0011) OB =FILE', '(0042,0011) OB [=FILE]', '(0042,0011) =FILE',
    '(0042,0011) ?? =FILE', '(7fe0,0010) OW =FILE', '(7fe0,0010) OB =FILE',
    '(0011,1001) OB =FILE', '(0011,1001) UN [=FILE]', '(0011,1001) AE =FILE',
    '(0011,1001) UI =FILE', '(0020,000e) UI =FILE',
    '(0002,0102) OB =FILE', '(0002,0102) UN [=FILE]', '(0009,0000) OB =FILE',
    '(0040,0001) AE [=FILE]', '(0008,1190) UR =FILE',
    '{% if 1 %}(0040,1400) OB =FILE{% end %}',
    '(0040,1400) OB ${"=FILE"}', '(0040,1400) OB [${"=FILE"}]',
    '(0042,0011) OB ${"=FILE"}', '(0042,0011) OB [${"=" + "FILE"}]',
    '(0042,0011) OB [{% for x in "=FILE" %}$x{% end %}]',
    '(0042,0011) ${"OB =FILE"}', '(0042,0011) ${"=FILE"}',
    "${'(0040,1400) OB =FILE'}", "${'(0040,1400)'} OB =FILE",
    "{% with x='(0040,1400) OB =FILE' %}$x{% end %}",
    '(0040,1400) LT [${"x]\\n(0040,1400) OB =FILE"[:999]}]',
    '# ${"x\\n(0040,1400) OB =FILE"[:999]}', '(0040,1400) O{# #}B =FILE',
    '(0040,1400) OB \\\n=FILE', '(0008,1110) SQ\n(fffe,e000) na\n'
    '(0040,1400) OB =FILE\n(fffe,e00d) na\n(fffe,e0dd) na',
    ]
# What looks like one, and is a text.
TEXTS = [
    '(0040,1400) LT =FILE', '(0040,1400) LT [=FILE]', '(0040,1400) =FILE',
    '(0040,1400) ${"=FILE"}', '(0040,1400) ${"OB =FILE"}',
    '(0040,1400) ${"OB=FILE"}', '(0040,1400) ${"OB"} =FILE',
    '(0040,1400) [OB =FILE]', '(0040,1400) LT [x]\r(0040,1400) OB =FILE',
    '${"(0040,1400) "}${"OB"} =FILE', '# x\r(0040,1400) OB =FILE',
    '(0040,1400) LT [x] # ${my.comment}',
    '(0040,1400) ${my.comment}', '(0040,1400) LT [${my.comment}]',
    ]


@pytest.fixture
def secret(tmp_path):
    "A file that nobody should get."
    path = tmp_path / 'orthanc.json'
    path.write_bytes(SECRET)
    return str(path)


def dump2dcm(folder, text):
    "Return what the real dump2dcm writes, as the script runs it."
    source, target = folder / 'entry.dump', folder / 'entry.wl'
    source.write_text(text, encoding='utf-8', newline='')
    subprocess.run(
        [shutil.which('dump2dcm'), '-q', '-g', '+l', '131072', source,
            target], check=False)
    return target.read_bytes() if target.exists() else b''


def test_dump2dcm_reads_files(secret, tmp_path):
    "What the tests below look for is there when nothing protects from it."
    for line in ['OB =FILE', 'OB=FILE', 'OW =FILE']:
        made = dump2dcm(
            tmp_path, f'(0040,1400) {line}'.replace('FILE', secret))
        assert SECRET in made, line


def make(line, secret, **values):
    template = rendering.compile(GOOD + line.replace('FILE', secret))
    text = rendering.render(template, {
            **rendering.sample_variables(), **values})
    return dataset.complete(text, 'dump2dcm', 'ISO_IR 192')


@pytest.mark.parametrize('line', REFUSED)
def test_lines_that_name_a_file_are_no_entry(line, secret):
    with pytest.raises((dataset.DatasetError, rendering.TemplateError)):
        make(line, secret)


class Record:
    __name__ = 'request'

    def __init__(self, comment):
        self.comment = comment


@pytest.mark.parametrize('comment', [
        '=FILE', 'OB =FILE', 'OB=FILE', 'x]\n(0040,1400) OB =FILE',
        'x\r(0040,1400) OB =FILE', 'x\x85(0040,1400) OB =FILE',
        'x\u2028(0040,1400) OB =FILE',
        '\ufdd8' + '0\ufdd9(0040,1400) OB =FILE',
        '\U000f0000\U000f0028(0040,1400) OB =FILE',
        ']' + ' ' * 140000 + '\n(0040,1400) OB =FILE',
        'x' * 131071 + '\n(0040,1400) OB =FILE'])
@pytest.mark.parametrize('line', [
        *TEXTS, '(0042,0011) OB ${my.comment}', '(0042,0011) ${my.comment}',
        '(0011,1001) OB [${my.comment}]', '${my.comment}',
        "${'(0040,1400) LT [%s]' % my.comment}",
        "${'(0040,1400) ' + my.comment}", '(0040,1400) O${my.comment}',
        "${'%s (0040,1400) LT [x]' % my.comment}"])
def test_what_dump2dcm_gets_names_no_file(line, comment, secret, tmp_path):
    my = rendering.RecordView(
        Record(comment.replace('FILE', secret)), {'request': {'comment'}})
    try:
        entry = make(line, secret, my=my)
    except (dataset.DatasetError, rendering.TemplateError):
        return
    made = dump2dcm(tmp_path, dataset.to_dump(entry))
    assert b'DICM' in made and SECRET not in made


@pytest.mark.parametrize('line', TEXTS)
def test_texts_that_look_like_it_stay(line, secret, tmp_path):
    my = rendering.RecordView(Record("fine"), {'request': {'comment'}})
    assert dataset.to_bytes(make(line, secret, my=my))


# In the database

@pytest.fixture
def administrator(transaction):
    "Somebody who may write templates, acting with access checks on."
    company = make_institution()
    user = make_user(
        'admin-imaging', 'health_imaging.group_health_imaging_admin')
    with as_user(user, company=company.id):
        yield user


def create(text):
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    template, = Template.create([{
                'name': "Copy", 'template_type': 'dump2dcm',
                'charset': 'ISO_IR 192', 'template': text}])
    return template


def test_a_template_that_names_a_file_is_refused(administrator, secret):
    for line in ['(0040,1400) OB =FILE', '(0011,1001) OB [=FILE]',
            '(0002,0102) OB =FILE']:
        with pytest.raises(WorklistTemplateError) as refused:
            create(GOOD + line.replace('FILE', secret))
        assert '13' in refused.value.message


def test_a_template_that_the_sample_does_not_show(
        administrator, secret, tmp_path):
    Request = Pool().get('gnuhealth.imaging.test.request')
    exam = make_exam(type_='ctscan', aetitle='CT1')
    lines = {
        '(0011,1001) OB ${my.comment}': "an error",
        '(0040,1400) ${my.comment}': None,
        }
    for line, expected in lines.items():
        exam.imaging_worklist_template = create(
            GOOD + '{% if my.comment != "Sample" %}' + line + '{% end %}')
        with Transaction().set_user(0):
            exam.save()
            request = make_request(
                make_patient("A", "B"), exam, make_professional(),
                comment=f'={secret}')
            Request.requested([request])
        entry = [e for e in Request.get_worklist_entries()['entries']
            if e['id'] == request.id][0]
        assert bool(entry['error']) == bool(expected), entry
        assert not (entry['error'] and entry['text'])
        assert SECRET not in dump2dcm(tmp_path, entry['text'])
