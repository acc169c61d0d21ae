# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the OHIF viewer together from its npm package, in a folder that Orthanc
serves beside its DICOMweb.  The package is built for the root of a web server,
so its addresses are moved below a path."""
import json
import re
import shutil
from pathlib import Path

from npm import fetch, install
from webclient import WebClientError

PACKAGE = '@ohif/app'
#: Where the viewer is, below the address of Orthanc.
PATH = '/ohif'
DICOMWEB = '/dicom-web'
# Models for automatic segmentation, and a service worker that asks the
# internet for its library.
_NOT_NEEDED = ['ort', 'init-service-worker.js', 'sw.js', 'app-config.js.gz']
CONFIGURATION = {
    'routerBasename': PATH,
    'extensions': [],
    'modes': [],
    'showStudyList': True,
    'showWarningMessageForCrossOrigin': False,
    'showCPUFallbackMessage': True,
    'maxNumberOfWebWorkers': 2,
    # No tour that lies over the first image.
    'customizationService': [{'ohif.tours': {'$set': []}}],
    'investigationalUseDialog': {'option': 'never'},
    'defaultDataSourceName': 'dicomweb',
    'dataSources': [{
            'namespace':
            '@ohif/extension-default.dataSourcesModule.dicomweb',
            'sourceName': 'dicomweb',
            'configuration': {
                'friendlyName': "Orthanc",
                'name': 'orthanc',
                'qidoRoot': DICOMWEB,
                'wadoRoot': DICOMWEB,
                'wadoUriRoot': DICOMWEB,
                'qidoSupportsIncludeField': True,
                'supportsWildcard': True,
                'enableStudyLazyLoad': True,
                'imageRendering': 'wadors',
                'thumbnailRendering': 'wadors',
                'omitQuotationForMultipartRequest': True,
                'bulkDataURI': {'enabled': True},
                },
            }],
    }


def make_viewer(folder):
    """Install the viewer unless the same is there; see npm.install.

    :raises WebClientError: the package is not built as expected
    """
    return install(folder, [PACKAGE], _assemble)


def _assemble(folder):
    package = folder.with_name('package')
    fetch(PACKAGE, package)
    _move(package / 'dist')
    (package / 'dist').rename(folder)


def serve(folder):
    """Return the options of Orthanc that serve a folder with the viewer.

    Whoever opens it is asked for a user and a password of Orthanc.
    """
    # Orthanc takes for an extension what follows the last dot, be it in the
    # name of a folder.
    page = str(Path(folder, 'viewer'))
    extension = page.rpartition('.')[2] if '.' in page else ''
    return {'ServeFolders': {
            'Folders': {PATH: str(folder)},
            'AllowCache': True,
            'Extensions': {
                extension: 'text/html', 'wasm': 'application/wasm'},
            }}


def _move(folder):
    """Make the files of the viewer work below its path."""
    for name in _NOT_NEEDED:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (folder / 'app-config.js').write_text(
        f'window.config = {json.dumps(CONFIGURATION, indent=2)};\n')
    moved = sum(
        _rewrite(path, r'(\.p ?= ?)"/"', rf'\g<1>"{PATH}/"')
        for path in folder.glob('*.js'))
    for path in folder.glob('*.css'):
        _rewrite(path, r'url\((["\']?)/(?!/)', rf'url(\g<1>{PATH}/')
    page = folder / 'index.html'
    _rewrite(page, r'<script[^>]*/init-service-worker\.js"></script>', '')
    moved_page = _rewrite(page, r'((?:href|src)=")/(?!/)', rf'\g<1>{PATH}/')
    _rewrite(page, r"(PUBLIC_URL = ')/'", rf"\g<1>{PATH}/'")
    if not moved or not moved_page:
        raise WebClientError(f"{PACKAGE} is not built as expected.")
    # Links to a study lead here; a folder has no other way to answer them.
    shutil.copyfile(page, folder / 'viewer')


def _rewrite(path, pattern, replacement):
    text, count = re.subn(
        pattern, replacement, path.read_text(encoding='utf-8'))
    path.write_text(text, encoding='utf-8')
    return count
