# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation becomes web pages without a warning, and what it says of
screens, configuration, commands and files is what there is."""
import ast
import importlib
import importlib.util
import itertools
import pickle
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

import docutils.nodes
import polib
import pytest
from docutils.core import publish_doctree
from PIL import Image

import trytond

ROOT = Path(__file__).parents[1]
HIS_UTILS = ROOT / 'his-utils'
sys.path[:0] = [
    str(ROOT / 'tests'), str(HIS_UTILS / 'scripts' / 'imaging')]

from support import pictures  # noqa: E402

MODULES = ['health_imaging', 'health_imaging_worklist', 'health_orthanc']
PAGES = ['index', 'setup', 'usage', 'configuration', 'design']
#: What the pages call the modules; all else that is emphasised is a word of
#: the screen.
NAMES = {"Imaging Module", "Imaging Worklist Module", "Orthanc Module"}
#: What the modules stand on: its words are on the screens, too.
CORE = [Path(trytond.__file__).parent / folder for folder in [
        'ir', 'res', 'modules/company', 'modules/health', 'modules/party',
        'modules/product']]
#: Options of programs of others.
OTHERS = {'--all', '--no-deps', '--verbose-dicom', '--verbose-plugins'}
STATES = {'state', 'link_state', 'worklist_status'}


def table(path):
    "Return the elements of an XML file that have an id, by it."
    return {e.get('id'): e for e in ET.parse(path).iter() if e.get('id')}


def module_files(pattern, core=True):
    "Return the files of the modules, and of those that they stand on."
    folders = [*(ROOT / name for name in MODULES), *(CORE if core else [])]
    return [path for folder in folders for path in folder.glob(pattern)]


# The pages

@pytest.fixture(scope='module')
def built(tmp_path_factory):
    "The folder with the web pages and what Sphinx understood of them."
    folder = tmp_path_factory.mktemp('documentation')
    result = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going',
            '-d', folder / 'trees', ROOT / 'doc', folder / 'pages'],
        capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope='module')
def pages(built):
    "The document of each page, by the name of its file."
    found = {}
    for path in (built / 'trees').rglob('*.doctree'):
        name = path.relative_to(built / 'trees').with_suffix('.rst')
        module = re.match('modules/([^/]+)/(.*)', name.as_posix())
        source = '{}/doc/{}'.format(*module.groups()) if module \
            else f'doc/{name.as_posix()}'
        found[source] = pickle.loads(path.read_bytes())
    found['README.rst'] = publish_doctree(
        (ROOT / 'README.rst').read_text(encoding='utf-8'),
        settings_overrides={'report_level': 5})
    return found


def each(pages, kind):
    "Yield the name of the page and each node of a kind."
    for name, page in sorted(pages.items()):
        for node in page.findall(kind):
            yield name, node


def rows(page, *header):
    "Yield the rows of the tables of a page with a header, as texts."
    for node in page.findall(docutils.nodes.tgroup):
        head, *body = [
            tuple(entry.astext() for entry in row)
            for row in node.findall(docutils.nodes.row)]
        if head == header:
            yield from body


def emphasised(page):
    "Return what a page emphasises."
    return [
        ' '.join(node.astext().replace('\u2026', '...').split())
        for node in page.findall(docutils.nodes.emphasis)]


def test_pages_are_made_without_a_warning(built, pages):
    assert {'doc/index.rst', 'doc/operation.rst', 'doc/nothing_arrives.rst',
        'doc/benchmarks.rst', 'doc/upgrade.rst'} <= pages.keys()
    for name in pages.keys() - {'README.rst'}:
        page = re.sub('^doc/', '', re.sub(
                '^(health_[^/]+)/doc/', r'modules/\1/', name))
        assert (built / 'pages' / page).with_suffix('.html').is_file()


@pytest.mark.parametrize(
    'name', ['README.rst', 'CHANGELOG.rst', 'CONTRIBUTING.rst'])
def test_single_pages_are_well_formed(name, tmp_path):
    result = subprocess.run(
        [sys.executable, '-m', 'docutils', '--report=2', ROOT / name,
            tmp_path / 'page.html'],
        capture_output=True, text=True)
    assert not result.stderr


@pytest.mark.parametrize('module', MODULES)
def test_each_module_tells_all(module, pages):
    told = {
        Path(name).stem for name in pages if name.startswith(f'{module}/')}
    assert told >= set(PAGES)


# Screens

@pytest.fixture(scope='module')
def said():
    "All that the screens say, in English."
    return {
        entry.msgid for path in module_files('locale/es.po')
        for entry in polib.pofile(str(path))}


@pytest.fixture(scope='module')
def menus():
    "The ways through the menu."
    entries, actions = {}, {}
    for path in [*module_files('*.xml'), *CORE[0].glob('ui/*.xml')]:
        module = 'ir' if path.is_relative_to(CORE[0]) else path.parent.name
        absolute = partial(absolute_id, module)
        for id_, element in table(path).items():
            if element.tag == 'menuitem':
                entries[absolute(id_)] = (
                    element.get('name'), absolute(element.get('parent')),
                    absolute(element.get('action')))
            elif element.get('model', '').startswith('ir.action.'):
                name = element.find("field[@name='name']")
                # A module that changes the action of another names none.
                if name is not None:
                    actions[absolute(id_)] = name.text

    def way(id_):
        if id_ is None:
            return []
        name, parent, action = entries[id_]
        return [*way(parent), name or actions.get(action) or '?']
    return {' > '.join(way(id_)) for id_ in entries}


def absolute_id(module, id_):
    "Return an id of an XML file with its module, None for none."
    return id_ if not id_ or '.' in id_ else f'{module}.{id_}'


def test_words_of_the_screen_are_seen_there(pages, said):
    unknown = [
        (name, text) for name, page in pages.items()
        for text in emphasised(page)
        if not {*text.split(' > ')} <= said | NAMES]
    assert not unknown


def test_ways_through_the_menu_exist(pages, menus):
    ways = [
        (name, text) for name, page in pages.items()
        for text in emphasised(page) if ' > ' in text]
    assert len(ways) > 20
    assert not [way for way in ways if way[1] not in menus]


def shown_buttons(module):
    "Return the words on the buttons of a module's records and wizards."
    for path in module_files('*.xml', core=False):
        if path.parent.name == module:
            for element in table(path).values():
                string = element.find("field[@name='string']")
                if (element.get('model') == 'ir.model.button'
                        and string is not None):
                    yield string.text


def shown_states(module):
    "Return the states of a module's records, as users see them."
    for path in (ROOT / module).glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if (isinstance(node, ast.Assign)
                    and getattr(node.targets[0], 'id', None) in STATES
                    and isinstance(node.value, ast.Call)
                    and getattr(node.value.func, 'attr', '') == 'Selection'
                    and isinstance(node.value.args[0], ast.List)):
                yield from (
                    text for _, text in ast.literal_eval(node.value.args[0])
                    if text)


@pytest.mark.parametrize('module', MODULES)
def test_each_state_and_button_is_explained(module, pages):
    usage = pages[f'{module}/doc/usage.rst']
    text = usage.astext()
    states = set(shown_states(module))
    assert states
    assert not [s for s in states if not re.search(fr'\b{s}\b', text)]
    buttons = set(shown_buttons(module))
    assert buttons or module == 'health_imaging_worklist'
    assert not buttons - set(emphasised(usage))


def test_sentences_of_errors_are_those_of_the_modules(pages):
    messages = [
        element.text for path in module_files('message.xml', core=False)
        for element in ET.parse(path).iterfind(".//field[@name='text']")]
    page = pages['doc/nothing_arrives.rst']
    # Sphinx makes typographic quotes of them.
    told = re.findall('"([^"]+)"', '\n'.join(
            row[0] for header in ["What to do", "What to look at"]
            for row in rows(page, "The sentence says", header)).translate(
                str.maketrans("“”’", "\"\"'")))
    assert len(told) > 20
    assert not [t for t in told if not any(t in m for m in messages)]


# Configuration

def keys_read():
    "Return section, key and default of what the modules read."
    found = set()
    for path in module_files('**/*.py', core=False):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if (isinstance(node, ast.Assign)
                    and getattr(node.targets[0], 'id', None) == '_years'):
                # A log, see health_imaging.retention.
                found.add(tuple(map(str, ast.literal_eval(node.value))))
            elif (isinstance(node, ast.Call)
                    and getattr(node.func, 'attr', '').startswith('get')
                    and getattr(node.func.value, 'id', None) == 'config'
                    and not isinstance(node.args[0], ast.Name)):
                section = ast.literal_eval(node.args[0])
                if section in {'email', 'request', 'session'}:
                    # trytond's own
                    continue
                key = ast.literal_eval(node.args[1])
                default, = [
                    k.value for k in node.keywords if k.arg == 'default']
                found.add((section, key, evaluate(default, path)))
    return found


def evaluate(node, path):
    "Return the text of a default: a constant, or a name of another file."
    if isinstance(node, ast.Constant):
        return str(node.value) or 'none'
    module = importlib.import_module(
        f'trytond.modules.{path.parent.name}.{node.value.id}')
    return getattr(module, node.attr)


def test_keys_of_the_configuration(pages):
    read = keys_read()
    assert ('health_orthanc', 'read_timeout', '60') in read
    for module in MODULES:
        told = {(module, key, default) for key, default, _ in rows(
                pages[f'{module}/doc/configuration.rst'],
                "Key", "Default", "Meaning")}
        assert told == {row for row in read if row[0] == module}
    assert read == {row[:3] for row in rows(
            pages['README.rst'], "Section", "Key", "Default", "Meaning")}


# Commands

def parsers():
    "Return the options of each program of the suite, by its name."
    import modality_node
    import sync_orthanc_server
    import update_worklists_database
    found = {
        'modality_node.py': modality_node,
        'update_worklists_database.py': update_worklists_database,
        'sync_orthanc_server.py': sync_orthanc_server,
        'migrate_orthanc_module.py': load(
            'upgrade_utils/5.0/migrate_orthanc_module.py'),
        }
    options = {
        name: {
            option for action in module.make_options()._actions
            for option in action.option_strings}
        for name, module in found.items()}
    manual = (HIS_UTILS / 'demo.sh').read_text(encoding='utf-8')
    options['demo.sh'] = set(re.findall(r'^  (--\w+)', manual, re.M))
    manual = subprocess.run(
        [sys.executable, HIS_UTILS / 'scripts/upgrade_utils/doctor.py', '-h'],
        capture_output=True, text=True, check=True).stdout
    options['doctor.sh'] = set(re.findall(r'(?<![\w-])--?\w+', manual))
    return options


def load(name):
    "Return a script as a module, whatever its folder is called."
    path = HIS_UTILS / 'scripts' / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(pages):
    "Yield the page and the words of each command of the suite's programs."
    for name, node in itertools.chain(
            each(pages, docutils.nodes.literal_block),
            each(pages, docutils.nodes.literal)):
        for line in node.astext().replace('\\\n', ' ').splitlines():
            if re.search(r'\w\.(py|sh)\b', line) and '"' not in line:
                yield name, shlex.split(line, comments=True)


def test_commands_have_the_options_that_they_are_given(pages):
    known = parsers()
    tried, wrong = set(), []
    for page, words in commands(pages):
        for place, word in enumerate(words):
            program = word.rpartition('/')[2]
            if program in known:
                given = {
                    w.partition('=')[0] for w in words[place + 1:]
                    if w.startswith('-') and w != '-'}
                tried.add(program)
                wrong += [(page, program, w) for w in given - known[program]]
    assert tried == known.keys()
    assert not wrong


def test_options_in_sentences_exist(pages):
    known = set().union(OTHERS, *parsers().values())
    told = {
        (name, *re.findall(r'^--[\w-]+', node.astext()))
        for name, node in each(pages, docutils.nodes.literal)
        if node.astext().startswith('--')}
    assert len(told) > 20
    assert not [one for one in told if one[1] not in known]


def test_options_of_the_synchronization_are_told(pages):
    import sync_orthanc_server
    from command_line import make_parser
    shared = {
        option for action in make_parser('', '')._actions
        for option in action.option_strings}
    told = {
        option for row in rows(
            pages['health_orthanc/doc/configuration.rst'],
            "Option", "Default", "Meaning")
        for option in row[0].split(', ')}
    assert told == {
        option for action in sync_orthanc_server.make_options()._actions
        for option in action.option_strings} - shared


def test_files_of_the_suite_exist(pages):
    told = set()
    for name, node in itertools.chain(
            each(pages, docutils.nodes.literal),
            each(pages, docutils.nodes.literal_block)):
        told |= {(name, path) for path in re.findall(
                r'(?<![\w/.])(?:his-utils|tests|doc|health_\w+)/[\w./-]+',
                node.astext())}
    assert len(told) > 15
    assert not [
        (name, path) for name, path in told
        if not (ROOT / path.rstrip('.')).exists()]


@pytest.mark.parametrize('unit', [
        'gnuhealth', 'gnuhealth-cron', 'gnuhealth-worker',
        'gnuhealth-worklist'])
def test_services_are_those_that_were_installed(unit, pages):
    told = '\n'.join(page.astext() for page in pages.values())
    assert f'{unit}.service' in pages['doc/operation.rst'].astext()
    named = set(re.findall(
            r'\b(?:status|-u|--now) (gnuhealth[\w-]*)', told))
    assert named <= {
        'gnuhealth', 'gnuhealth-cron', 'gnuhealth-worker',
        'gnuhealth-worklist'}


# Numbers

def limits():
    "Yield pages and sentences in them, made with the limits of the modules."
    from trytond.modules.health_imaging import retention
    from trytond.modules.health_orthanc import (
        connection, gallery, preview, server, sync_run)
    from trytond.modules.health_orthanc.archive import container, structure
    from trytond.modules.health_orthanc.sync import lease
    usage = 'health_orthanc/doc/usage.rst'
    mib = 2 ** 20
    yield usage, (f"A server has {gallery.SECONDS} seconds and "
        f"{gallery.MAX_BYTES // mib} MiB for what is shown")
    yield usage, (f"of the first {preview.MAX_THUMBNAILS} of what the client "
        "loads at once, and only as many as the server gives in "
        f"{preview.THUMBNAIL_SECONDS} seconds")
    yield usage, f"wait {gallery.SILENCE} seconds for a server that says"
    yield usage, f"grows more than {container.MAX_RATIO} times"
    yield usage, (f"more than {container.MAX_FILES:,} files or more than "
        f"{container.MAX_BYTES // 2 ** 30} GiB").replace(',', ' ')
    yield usage, f"more than {structure.MAX_DEPTH} levels of sequences"
    many = f'{structure.MAX_ITEMS:,}'.replace(',', ' ')
    yield 'doc/operation.rst', (f"lets {structure.MAX_DEPTH} levels pass, "
        f"{many} items or elements in one list")
    assert sync_run.SyncRun.years_kept() == 1
    yield usage, "Each run is kept for a year"
    yield usage, f"shows the last {server.SHOWN_RUNS} runs"
    yield usage, f"become one row a day after {sync_run.FOLD_DAYS} days"
    yield 'health_orthanc/doc/configuration.rst', (
        f"in blocks of {retention.BLOCK} lines, for at most "
        f"{retention.SECONDS // 60} minutes a day")
    assert lease.DURATION.total_seconds() == 600
    yield 'doc/nothing_arrives.rst', "more than ten minutes without progress"
    assert connection._PATIENCE == 5
    yield ('health_orthanc/doc/configuration.rst',
        "a whole answer may take five times the read timeout")


def test_limits_are_those_of_the_modules(pages):
    told = {
        name: ' '.join(page.astext().split())
        for name, page in pages.items()}
    assert not [
        (name, sentence) for name, sentence in limits()
        if sentence not in told[name]]


# Pictures

def picture_files():
    return {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob('**/doc/images/*')
        if path.is_relative_to(ROOT / 'doc')
        or path.relative_to(ROOT).parts[0] in MODULES}


def test_pictures_are_shown_and_explained(pages):
    shown = set()
    for name, node in each(pages, docutils.nodes.image):
        uri = node['uri']
        if name != 'README.rst':
            uri = re.sub('^modules/([^/]+)/', r'\1/doc/', uri)
            uri = uri if uri.startswith('health_') else f'doc/{uri}'
            assert isinstance(node.parent, docutils.nodes.figure), uri
            assert list(node.parent.findall(docutils.nodes.caption)), uri
        assert len(node.get('alt', '').split()) > 2, uri
        shown.add(uri)
    assert shown == picture_files()


def test_pictures_are_small():
    for name in picture_files():
        assert (ROOT / name).stat().st_size <= pictures.LARGEST, name
        with Image.open(ROOT / name) as image:
            assert (image.format, image.mode) == ('PNG', 'P'), name


def test_pictures_can_be_made_anew():
    assert pictures.PICTURES.keys() == picture_files()


def test_pictures_end_where_there_is_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, 'ROOT', tmp_path)
    Image.effect_noise((300, 200), 50).convert('RGB').crop(
        (0, 0, 300, 400)).save(tmp_path / 'shot.png')
    pictures.make(tmp_path, 'images/picture.png', 'shot')
    with Image.open(tmp_path / 'images/picture.png') as image:
        assert image.size == (300, 212)
        assert len(image.getcolors()) > 2
