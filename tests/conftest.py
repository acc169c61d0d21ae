# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: the back-end, the kept databases, and fixtures for
real servers.

SQLite is used, or PostgreSQL where ``POSTGRESQL_URI`` holds the address of a
cluster in which databases may be made and dropped.
"""
import gc
import os
import sys
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
for folder in [ROOT / 'tests', ROOT / 'his-utils' / 'demo']:
    sys.path.insert(0, str(folder))

URI = os.environ.get('POSTGRESQL_URI') or 'sqlite://'
os.environ['TRYTOND_DATABASE_URI'] = URI
os.environ.pop('TRYTOND_CONFIG', None)
# Here and in the servers: a password of a test costs no time.
os.environ['TRYTOND_PASSWORD__PASSLIB'] = str(
    ROOT / 'tests' / 'data' / 'passlib.ini')
if not URI.startswith('sqlite'):
    # trytond names the database by the second, which parallel runs share.
    os.environ['DB_NAME'] = f'test_{uuid.uuid4().hex}'

from trytond.config import config  # noqa: E402

# trytond cleans its caches every five minutes. On SQLite this commits what a
# test means to roll back, and the next test fails.
config.set('cache', 'clean_timeout', '86400')
# As in the tests themselves, pytest tells what was asserted.
pytest.register_assert_rewrite('support')
# The models of trytond are a quarter of a million objects that stay: to look
# through them for garbage again and again takes 7 % of the time.
gc.set_threshold(50_000, 20, 100)

from services import Orthanc, Trytond, prefer_system_programs  # noqa: E402
from sources import MODULES  # noqa: E402
from support import orthancs  # noqa: E402
from support.databases import SEEDED, Copies, Templates  # noqa: E402
from support.releases import Releases  # noqa: E402
from support.scenarios import ScenarioFile  # noqa: E402

# By itself it ends after three seconds, and nobody asks for what it leaves.
Orthanc.__exit__ = lambda orthanc, *exception: orthanc.kill()

templates_key = pytest.StashKey()
#: Long files that need none of the kept databases, or install packages before:
#: they begin first, while another process makes those.
WITHOUT_KEPT = {
    'test_modality_node.py', 'test_script_connection.py',
    'test_upgrade_441.py', 'test_upgrade_504.py', 'test_upgrade_landed.py'}
#: Files that take more than a minute.
LONGEST = {
    'test_attach_picture_bombs.py', 'test_demo.py',
    'test_imaging_concurrency.py', 'test_imaging_report.py',
    'test_imaging_rights.py', 'test_link_processes.py', 'test_link_table.py',
    'test_orthanc_images.py', 'test_orthanc_images_rights.py',
    'test_orthanc_link_queries.py', 'test_story.py',
    'test_synchronization_processes.py', 'test_worklist_script_live.py',
    'test_write_class_attributes.py'}


def pytest_configure(config):
    prefer_system_programs()
    orthancs.prepare()
    # It would run the scenarios that are named on the command line again.
    config.pluginmanager.unregister(name='doctest')
    for name, other in [('postgresql', "SQLite"), ('sqlite', "PostgreSQL")]:
        config.addinivalue_line(
            'markers', f"{name}: a test of what {other} does not have")
    config.addinivalue_line(
        'markers', "dcmtk: a test that compares with programs of dcmtk")
    templates = Templates(config.cache.mkdir('databases'))
    templates.prepare()
    config.stash[templates_key] = templates
    os.environ['DB_CACHE'] = str(templates.folder)


def pytest_collection_modifyitems(config, items):
    foreign = 'postgresql' if URI.startswith('sqlite') else 'sqlite'
    other = [item for item in items if item.get_closest_marker(foreign)]
    config.hook.pytest_deselected(items=other)
    dropped = set(other)
    items[:] = [item for item in items if item not in dropped]
    # The longest files begin first, then what waits for other programs, so
    # that nothing goes on alone at the end when tests run in parallel.
    items.sort(key=lambda item: (
            item.path.name not in WITHOUT_KEPT,
            item.path.name not in LONGEST,
            _part(item) not in {'upgrade', 'live', ''}))


def _part(item):
    "Return the folder of a test below tests, empty for those right there."
    folder = item.path.parent.relative_to(ROOT / 'tests')
    return folder.parts[0] if folder.parts else ''


def pytest_collect_file(file_path, parent):
    if file_path.suffix == '.rst' and file_path.parent.name == 'scenario':
        return ScenarioFile.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    templates = item.config.stash[templates_key]
    case = getattr(item, 'cls', None)
    if getattr(case, 'module', None) in MODULES:
        templates.need([case.module, *(case.extras or [])])
    elif isinstance(item.parent, ScenarioFile):
        templates.need(MODULES[:1])
        templates.need(MODULES)


@pytest.fixture(scope='session')
def templates(request):
    "The kept databases."
    return request.config.stash[templates_key]


@pytest.fixture(scope='session')
def copies(templates):
    "What makes and drops copies of the kept databases."
    copies = Copies(templates, URI)
    yield copies
    copies.close()


@pytest.fixture(scope='session')
def released(request, templates, copies):
    "The environments and databases of released packages."
    # All environments of tox need the same ones.
    shared = os.environ.get('TOX_WORK_DIR')
    folder = Path(shared, 'releases') if shared else (
        request.config.cache.mkdir('releases'))
    folder.mkdir(exist_ok=True)
    kept = Releases(folder, templates, copies.uri)
    yield kept
    kept.close()


@pytest.fixture(scope='session')
def files(tmp_path_factory):
    "The folder in which the test process stores files of databases."
    from trytond.config import config
    path = tmp_path_factory.mktemp('files')
    config.set('database', 'path', str(path))
    return path


@pytest.fixture(scope='module')
def activated(templates, copies, files):
    """The three modules activated in the test process, nothing else in the
    database.  Use it with trytond's ``with_transaction``."""
    from trytond.ir import avatar
    templates.need(MODULES)
    # trytond draws a picture for each new user: three times as long as all
    # else that it does for him.
    avatar.PIL = None
    copies.open('-'.join(MODULES))


@pytest.fixture
def transaction(activated):
    "A transaction of the administrator, rolled back afterwards."
    from trytond.cache import Cache
    from trytond.tests.test_tryton import DB_NAME, USER
    from trytond.transaction import Transaction
    with Transaction().start(DB_NAME, USER) as transaction:
        yield transaction
        transaction.rollback()
        transaction.tasks.clear()
        Cache.drop(DB_NAME)


@pytest.fixture(scope='module')
def hospital(activated):
    "What most tests need, see make_hospital, for the file; users by role."
    from support.records import commit, make_hospital
    commit(make_hospital)


@pytest.fixture
def make_database(templates, copies, tmp_path_factory):
    """Return a function that gives a copy of the database with the three
    modules, for other processes and for several connections.

    It has the records that seed.py makes, and its users, unless seeded is
    false.
    """
    made = []

    def make(seeded=True):
        if seeded:
            templates.need_seeded()
        else:
            templates.need(MODULES)
        made.append(copies.make(
                SEEDED if seeded else '-'.join(MODULES),
                tmp_path_factory.mktemp('database')))
        return made[-1]
    yield make
    for database in made:
        copies.drop(database)


@pytest.fixture
def database(make_database):
    "A copy of the seeded database that other processes can open."
    return make_database()


@pytest.fixture
def make_trytond(tmp_path_factory):
    """Return a function that starts a trytond on a database.

    It takes the database and the options of services.Trytond.
    """
    servers = []

    def make(database, **options):
        servers.append(Trytond(tmp_path_factory.mktemp('trytond'),
                **database.options, **options))
        servers[-1].start()
        return servers[-1]
    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def trytond_server(make_trytond, database):
    "A trytond on a copy of the seeded database."
    return make_trytond(database)


@pytest.fixture
def make_orthanc(tmp_path_factory):
    "Return a function that starts an Orthanc; options of services.Orthanc."
    servers = []

    def make(**options):
        servers.append(Orthanc(tmp_path_factory.mktemp('orthanc'), **options))
        servers[-1].start()
        return servers[-1]
    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def orthanc(make_orthanc):
    "An empty Orthanc of the test's own."
    return make_orthanc()
