# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database made by this checkout is made of, as a hash: a kept one is
used again only while nothing of it changed."""
import hashlib
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = ('health_imaging', 'health_imaging_worklist', 'health_orthanc')
PACKAGES = (
    'gnuhealth', 'trytond', 'trytond_company', 'trytond_country',
    'trytond_currency', 'trytond_party', 'trytond_product')
PATTERNS = (
    '*.py', '*.xml', '*.cfg', '*.po', '*.fodt', '*.svg', '*.csv', 'data/*')


def _hash(parts):
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:16]


def packages_hash():
    """Return a hash of the versions of the installed dependencies."""
    return _hash([sys.version, *(
            f'{name} {metadata.version(name)}' for name in PACKAGES)])


def sources_hash():
    """Return a hash of the module files, the seed and the packages."""
    files = {
        path for module in MODULES for pattern in PATTERNS
        for path in (ROOT / module).rglob(pattern) if path.is_file()}
    files.add(ROOT / 'his-utils' / 'demo' / 'seed.py')
    return _hash([packages_hash(), *(
            f'{path.relative_to(ROOT)} '
            f'{hashlib.sha256(path.read_bytes()).hexdigest()}'
            for path in sorted(files))])
