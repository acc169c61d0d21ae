# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a viewer may ask of DICOMweb: what OHIF asks is passed on, and nothing
else that somebody with a cookie makes up."""
import pytest

from trytond.modules.health_orthanc.archive.dicomweb import rewritten

MINE, OTHER, TWO, SERIES, IMAGE = '1.2.3', '1.2.4', '1.2.30', '1.5', '1.6'
STUDIES = {MINE: 'P1', TWO: 'P1', '1.2.31': 'P1*'}
IN_IT = f'/studies/{MINE}/series/{SERIES}/instances/{IMAGE}'
LIST = f'/studies?StudyInstanceUID={MINE}'


@pytest.mark.parametrize('asked, passed', [
        (f'/studies/{MINE}', None),
        (f'/studies/{MINE}/metadata', None),
        (f'/studies/{MINE}/series/{SERIES}/metadata', None),
        (f'{IN_IT}/metadata', None),
        (f'{IN_IT}/frames/1', None),
        (f'{IN_IT}/frames/1,2/rendered?quality=90&viewport=512%2C512',
            f'{IN_IT}/frames/1,2/rendered?quality=90&viewport=512,512'),
        (f'{IN_IT}/bulk/00431028/1/7fe00010', None),
        (f'{IN_IT}/bulk/00420011?accept=application/pdf',
            f'{IN_IT}/bulk/00420011'),
        (LIST, None),
        (f'/studies?0020000d={MINE}', LIST),
        (f'/studies?studyinstanceUID={MINE}&PatientID=P1', LIST),
        (f'/studies?limit=101&offset=0&fuzzymatching=false'
            f'&includefield=00081030%2C00080060&StudyInstanceUID={MINE}',
            f'/studies?limit=101&offset=0&fuzzymatching=false'
            f'&includefield=00081030,00080060&StudyInstanceUID={MINE}'),
        (f'/studies?StudyInstanceUID={TWO}%2C{MINE}',
            f'/studies?StudyInstanceUID={MINE},{TWO}'),
        (f'/studies?includefield=a&0020000D={MINE}&includefield=b',
            f'/studies?StudyInstanceUID={MINE}&includefield=a,b'),
        # Two studies of one patient, whatever others the archive has.
        ('/studies?00100020=P1', f'/studies?StudyInstanceUID={MINE},{TWO}'),
        ('/studies?PatientID=P1%2A', '/studies?StudyInstanceUID=1.2.31'),
        (f'/series?StudyInstanceUID={MINE}&Modality=CT', None),
        (f'/studies/{MINE}/series',
            f'/studies/{MINE}/series?StudyInstanceUID={MINE}'),
        (f'/studies/{MINE}/series/{SERIES}/instances?SOPInstanceUID={IMAGE}',
            f'/studies/{MINE}/series/{SERIES}/instances'
            f'?SOPInstanceUID={IMAGE}&StudyInstanceUID={MINE}'),
        ])
def test_what_is_passed_on(asked, passed):
    assert _sorted(rewritten(f'/dicom-web{asked}', STUDIES)) == _sorted(
        passed or asked)


def _sorted(target):
    path, _, query = target.partition('?')
    return path, sorted(query.split('&'))


@pytest.mark.parametrize('asked', [
        # Of another study
        f'/studies/{OTHER}', f'/studies/{OTHER}/metadata',
        f'/studies?StudyInstanceUID={OTHER}',
        f'/studies?StudyInstanceUID={MINE},{OTHER}',
        f'/studies?StudyInstanceUID={MINE}%5C{OTHER}',
        f'/studies/{MINE}/series?StudyInstanceUID={OTHER}',
        f'/studies/{OTHER}/series?StudyInstanceUID={MINE}',
        '/studies?PatientID=P2', '/studies?PatientID=*', '/studies?PatientID=',
        f'/studies?PatientID=P2&StudyInstanceUID={MINE}',
        # Of everything
        '', '/', '/studies', '/studies?', '/series', '/instances?limit=1',
        '/studies?StudyInstanceUID=', '/studies?StudyInstanceUID',
        '/studies?StudyInstanceUID=*', '/studies?StudyInstanceUID=1.2.%3F',
        '/studies?StudyInstanceUID=,', f'/studies?StudyInstanceUID={MINE},',
        # Said twice, or in another way
        f'{LIST}&StudyInstanceUID={OTHER}', f'{LIST}&StudyInstanceUID={MINE}',
        f'{LIST}&0020000D={OTHER}', f'{LIST}&studyinstanceuid={OTHER}',
        f'{LIST}&Study%49nstanceUID={OTHER}', f'{LIST}&PatientName=*',
        f'{LIST};StudyInstanceUID={OTHER}', f'{LIST}&&limit=1',
        f'{LIST}%26StudyInstanceUID={OTHER}', f'{LIST}%00', f'{LIST}%0A',
        '/studies?StudyInstanceUID=1%252E2%252E3', f'{LIST}#x', f'{LIST}\n',
        f'{LIST}&includefield=all%26StudyInstanceUID%3D{OTHER}',
        '/studies?StudyInstanceUID=１.２.３',
        # Another way to a path
        '/studies/1%2E2%2E3', f'/studies/{MINE}%2F..%2F{OTHER}',
        f'/studies/{MINE}/../{OTHER}', f'/studies/{MINE}/series/..',
        f'/studies/{MINE}/series/../instances/..', f'//studies/{MINE}',
        f'/studies/{MINE}/', f'/STUDIES/{MINE}', f'/studies/{MINE}\n',
        f'/studies/{MINE},{OTHER}', f'/studies/{MINE};{OTHER}/metadata',
        f'{IN_IT}/frames/../../..', f'{IN_IT}/bulk/../x', f'{IN_IT}/frames/',
        # What is no question about a study
        '/servers', '/wado', f'/wado?studyUID={MINE}', '/../tools/find',
        f'/studies/{MINE}/delete', f'{IN_IT}/file', '/info',
        f'/studies/{MINE}?includefield=all&PatientID=P1',
        f'{LIST}&includefield={"0" * 9000}',
        ])
def test_what_is_refused(asked):
    assert rewritten(f'/dicom-web{asked}', STUDIES) is None


@pytest.mark.parametrize('asked, passed', [
        (f'/ohif/viewer?StudyInstanceUIDs={OTHER}', '/viewer'),
        ('/stone-webviewer/img/a-b.min.js', '/img/a-b.min.js'),
        ('/stone-webviewer/../tools/find', None),
        ('/stone-webviewer/%2e%2e/tools', None), ('/stone-webviewer/', None),
        ('/ui/app/', None), ('/tools/find', None), ('/studies', None),
        ('/instances/x/file', None), (f'/dicom-webx/studies/{MINE}', None),
        (f'/x/../dicom-web/studies/{MINE}', None), ('', None),
        (f'http://h/dicom-web/studies/{MINE}', None),
        (f'/DICOM-WEB/studies/{MINE}', None)])
def test_programs_and_other_addresses(asked, passed):
    assert rewritten(asked, STUDIES) == passed


def test_nothing_without_studies():
    assert rewritten(f'/dicom-web/studies/{MINE}', {}) is None
    assert rewritten('/dicom-web/studies?PatientID=P1', {}) is None
