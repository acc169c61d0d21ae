# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the viewer of the demonstration is moved below its path, on a package
as small as can be, and served by a real Orthanc."""
import json

import ohif
import pytest
from webclient import WebClientError

from trytond.modules.health_orthanc.archive.orthanc import OrthancClient

PAGE = '''<!doctype html><html><head>
<script>window.PUBLIC_URL = '/';</script>
<link rel="manifest" href="/manifest.json"/>
<a href="//elsewhere/x"></a>
<script rel="preload" src="/init-service-worker.js"></script>
<script src="/app.bundle.js"></script></head></html>'''
FILES = {
    'index.html': PAGE,
    'app.bundle.js': '__webpack_require__.p = "/";',
    'worker.bundle.js': 'var a={};a.p="/";',
    'app.bundle.css': 'a{src:url(/f.woff2)} b{src:url("/g.png")} '
    'c{src:url(data:x)}',
    'app-config.js': 'window.config = {elsewhere: true};',
    'init-service-worker.js': 'importScripts("https://elsewhere")',
    'ort/model.wasm': 'x',
    'a.wasm': '\0asm',
    }


@pytest.fixture
def package(tmp_path, monkeypatch):
    "Let npm give a package, whose files can be changed."
    files, calls = dict(FILES), []

    def fetch(name, folder):
        calls.append(name)
        for path, text in files.items():
            path = folder / 'dist' / path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    monkeypatch.setattr(ohif, 'fetch', fetch)
    return files, calls


def test_its_addresses_are_below_its_path(package, tmp_path):
    folder = tmp_path / 'cache' / 'ohif'
    assert ohif.make_viewer(folder)
    page = (folder / 'viewer').read_text()
    assert page == (folder / 'index.html').read_text()
    assert 'src="/ohif/app.bundle.js"' in page
    assert 'href="/ohif/manifest.json"' in page
    assert "PUBLIC_URL = '/ohif/'" in page
    assert 'href="//elsewhere/x"' in page
    assert 'service-worker' not in page
    for name in ['app.bundle.js', 'worker.bundle.js']:
        assert '"/ohif/"' in (folder / name).read_text()
    assert (folder / 'app.bundle.css').read_text() == (
        'a{src:url(/ohif/f.woff2)} b{src:url("/ohif/g.png")} '
        'c{src:url(data:x)}')
    assert not (folder / 'ort').exists()
    assert not (folder / 'init-service-worker.js').exists()
    text = (folder / 'app-config.js').read_text()
    config = json.loads(text.partition('= ')[2].rstrip(';\n'))
    source, = config['dataSources']
    assert source['configuration']['wadoRoot'] == '/dicom-web'
    assert 'elsewhere' not in text and '://' not in text


def test_it_is_made_once(package, tmp_path):
    _, calls = package
    assert ohif.make_viewer(tmp_path / 'ohif')
    assert not ohif.make_viewer(tmp_path / 'ohif')
    (tmp_path / 'ohif' / 'version').write_text('another')
    assert ohif.make_viewer(tmp_path / 'ohif')
    assert calls == [ohif.PACKAGE] * 2


@pytest.mark.parametrize('name', ['index.html', 'app.bundle.js'])
def test_another_package_is_told(package, tmp_path, name):
    files, _ = package
    for changed in [name, 'worker.bundle.js'][:1 + name.endswith('.js')]:
        files[changed] = 'otherwise'
    with pytest.raises(WebClientError, match="not built as expected"):
        ohif.make_viewer(tmp_path / 'ohif')
    assert not (tmp_path / 'ohif').exists()


@pytest.mark.parametrize('folder', ['ohif', '.cache/suite/ohif'])
def test_orthanc_serves_it(package, tmp_path, make_orthanc, folder):
    ohif.make_viewer(tmp_path / folder)
    orthanc = make_orthanc(extra=ohif.serve(tmp_path / folder))
    with OrthancClient(
            orthanc.url, orthanc.user, orthanc.password) as client:
        assert client.viewers() == ['explorer', 'ohif']
        for path, kind in [
                ('/ohif/viewer?StudyInstanceUIDs=1', 'text/html'),
                ('/ohif/a.wasm', 'application/wasm'),
                ('/ohif/app.bundle.js', 'application/javascript'),
                ('/dicom-web/studies', 'application/dicom+json')]:
            answer = client.request('GET', path)
            assert answer.headers['Content-Type'].startswith(kind)
