# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of viewers, and the addresses that a hospital writes itself."""
import pytest

from trytond.modules.health_orthanc import viewers
from trytond.modules.health_orthanc.viewers import OF_SERIES, OF_STUDY, Viewer

OWN = Viewer('7', "Own", 'https://h/{study}?o={study_id}', '/p/{series}')
IDS = ['abc', '1.2']
SERIES_IDS = [*IDS, 'def', '1.3']


def test_each_row_of_the_table_is_an_address():
    codes = [viewer.code for viewer in viewers.VIEWERS]
    assert len(codes) == len(set(codes)) == 4
    for viewer in viewers.VIEWERS:
        assert not viewers.url_problem(viewer.study_url, OF_STUDY)
        assert not viewers.url_problem(viewer.series_url, OF_SERIES)


def test_two_studies_side_by_side():
    everywhere = viewers.VIEWERS
    assert viewers.links('http://h', everywhere, *IDS, other='1.9') == {
        'ohif': 'http://h/ohif/viewer?StudyInstanceUIDs=1.2'
        '&StudyInstanceUIDs=1.9&hangingProtocolId=@ohif/hpCompare'}
    assert not viewers.links(
        'http://h', everywhere, *IDS, other='1.9', shared=True)


def test_a_further_row_is_a_further_viewer(monkeypatch):
    new = Viewer('new', "New", '/new/{study_id}', None)
    monkeypatch.setattr(viewers, 'VIEWERS', [*viewers.VIEWERS, new])
    assert ('new', "New") in viewers.choices()
    assert viewers.links('http://h', viewers.known(['new']), *IDS) == {
        'new': 'http://h/new/abc'}
    assert not viewers.links(
        'http://h', viewers.known(['new']), *SERIES_IDS)


def test_whole_addresses_and_those_below_the_public_one():
    assert viewers.links('http://b/p/', [OWN], *IDS) == {
        '7': 'https://h/1.2?o=abc'}
    assert viewers.links('http://b/p/', [OWN], *SERIES_IDS) == {
        '7': 'http://b/p/p/1.3'}
    # Whole ones need no public URL.
    assert viewers.links(None, [OWN], *IDS)
    assert not viewers.links('javascript:x', [OWN], *SERIES_IDS)
    assert viewers.links('http://b{study}', [OWN], *SERIES_IDS) == {
        '7': 'http://b{study}/p/1.3'}


@pytest.mark.parametrize('uid', ['', None, '.', '..', '...'])
def test_what_would_be_another_page_is_no_link(uid):
    assert not viewers.links('http://b', [OWN], 'abc', uid)
    assert not viewers.links('http://b', [OWN], uid, '1.2')


def test_values_stay_in_their_place():
    bad = '../x?y#z&a=b@c:d/{study_id}%'
    link, = viewers.links('http://b', [OWN], 'abc', bad).values()
    assert link.startswith('https://h/') and link.endswith('?o=abc')
    assert not set(link[len('https://h/'):-len('?o=abc')]) & set('/?#&@:{}')


@pytest.mark.parametrize('url, names, opens', [
        ('/a?{study}', 'study', False), ('/a?{study_id}', 'study', True),
        ('/a?{study}&{study_id}', 'study', False),
        ('/a?{series}', 'series', False), ('/a?{series_id}', 'series', True)])
def test_a_shared_uid_is_told_to_no_viewer(url, names, opens):
    viewer = Viewer('7', "Own", url, url)
    ids = IDS if names == 'study' else SERIES_IDS
    assert viewers.links('http://b', [viewer], *ids)
    assert bool(
        viewers.links('http://b', [viewer], *ids, shared=True)) is opens


@pytest.mark.parametrize('url', [
        '/a?x={study}', '/a/{study_id}/b', 'https://h/{study}',
        'http://h:80/a#{study}', 'https://h?{study}', '/a//b/{study}',
        'https://[::1]/{study}', '/bücher/{study}'])
def test_addresses(url):
    assert not viewers.url_problem(url, OF_STUDY)


@pytest.mark.parametrize('problem, urls', [
        ('address', [
                '', 'h/{study}', '//h/{study}', 'javascript:x({study})',
                'JavaScript:{study}', 'data:text/html,{study}',
                'ftp://h/{study}', 'file:///{study}', 'http:///{study}',
                'http:/h/{study}', 'https://', 'https://u:p@h/{study}',
                'https://good@bad/{study}', '/a b{study}', '/a\t{study}',
                '/a\n{study}', '/\\h/{study}', 'http:\\\\h/{study}',
                '/<{study}', '/"{study}', '/\x00{study}', '/\u202e{study}',
                ' https://h/{study}', '/{study}' + 'a' * 2000]),
        ('host', [
                'https://{study}/x', 'https://h{study}', 'https://h:{study}/',
                'https://{study_id}.h/a', 'https://{{h}}/{study}']),
        ('placeholder', [
                '/{patient}', '/{}', '/{0}', '/{study', '/study}',
                '/{study!r}', '/{study:9999999}', '/{study.__class__}',
                '/{study[0]}', '/{study:{series}}', '/{series}',
                '/{series_id}', '/{Study}', 'https://[x/{study}',
                '/{study}{name}']),
        ('nothing', ['/', '/a', 'https://h/a', '/{{study}}']),
        ])
def test_what_is_no_address(problem, urls):
    for url in urls:
        assert viewers.url_problem(url, OF_STUDY) == problem, url


def test_a_series_may_name_its_study():
    for name in OF_SERIES:
        assert not viewers.url_problem(f'/a?{{{name}}}', OF_SERIES)
