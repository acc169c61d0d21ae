# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of the house: which file may know which, what every file begins
with, and that no file is forgotten."""
import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What each module may know of.
MAY_KNOW = {
    'health_imaging': set(),
    'health_imaging_worklist': {'health_imaging'},
    'health_orthanc': {'health_imaging'},
    }
# Files that work without trytond, and so do the files that they import.
PURE = [
    'health_imaging/macros.py',
    'health_imaging/mrrt.py',
    'health_imaging/office.py',
    'health_imaging/office_guard.py',
    'health_imaging/picks.py',
    'health_imaging/picture_decoder.py',
    'health_imaging/pictures.py',
    'health_imaging/programs.py',
    'health_imaging/safety/__init__.py',
    'health_imaging/safety/rules.py',
    'health_imaging/sections.py',
    'health_imaging/sides.py',
    'health_imaging_worklist/attributes.py',
    'health_imaging_worklist/dataset.py',
    'health_imaging_worklist/identifiers.py',
    'health_imaging_worklist/nearest.py',
    'health_imaging_worklist/performed.py',
    'health_imaging_worklist/rendering.py',
    'health_imaging_worklist/spans.py',
    'health_orthanc/archive/__init__.py',
    'health_orthanc/archive/container.py',
    'health_orthanc/archive/dicomweb.py',
    'health_orthanc/archive/document.py',
    'health_orthanc/archive/orthanc.py',
    'health_orthanc/archive/pacs.py',
    'health_orthanc/archive/pictures_kind.py',
    'health_orthanc/archive/session.py',
    'health_orthanc/archive/structure.py',
    'health_orthanc/archive/texts.py',
    'health_orthanc/archive/values.py',
    'health_orthanc/matching/__init__.py',
    ]
HEADER = [
    'SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors',
    'SPDX-License-Identifier: GPL-3.0-or-later',
    ]
# Packages whose distribution has another name.
DISTRIBUTIONS = {
    'PIL': 'pillow',
    'barcode': 'python-barcode',
    'data_store': 'pydicom-data',
    'dateutil': 'python-dateutil',
    'sql': 'python-sql',
    }
# Public hosts that may be named: they own a format, a license or a program.
HOSTS = {
    'dicom.nema.org', 'fsf.org', 'genshi.edgewall.org', 'orthanc.uclouvain.be',
    'purl.org', 'www.gnu.org', 'www.gnuhealth.org', 'www.w3.org',
    }
# Files of others, unchanged, with a notice beside them.
OF_OTHERS = ['health_imaging/data', 'tests/data/mrrt']
# Names and addresses set aside for documentation and for one computer
# (RFC 2606, 5737 and 6761).
RESERVED = re.compile(
    r'(.*\.)?(example(\.(com|net|org))?|invalid|localhost|test)'
    r'|127\..*|192\.0\.2(\..*)?')
# A host after a scheme, or a word that ends like one.
HOST = re.compile(
    r'\b[a-z][a-z+]*://((?:[a-z0-9-]+\.)*[a-z0-9-]+)'
    r'|(?<![\w.-])((?:[a-z0-9-]+\.)+(?:com|dev|io|net|org))(?![\w(-])',
    re.IGNORECASE)
# What may be public ends like a domain or is a whole address.
PUBLIC = re.compile(r'\.[a-z]{2,}$|^\d+(\.\d+){3}$')
# Folders that every machine has.
SHARED_FOLDERS = {'etc', 'home', 'opt', 'srv', 'tmp', 'usr', 'var'}


def checkout_files():
    "Return the files of the checkout that are not ignored."
    try:
        names = subprocess.run(
            ['git', 'ls-files', '-z', '--cached', '--others',
                '--exclude-standard'],
            cwd=ROOT, check=True, capture_output=True, text=True).stdout
        paths = [ROOT / name for name in names.split('\0') if name]
    except (OSError, subprocess.CalledProcessError):
        paths = ROOT.rglob('*.*')
    return sorted(path for path in paths if path.is_file()
        and not {'__pycache__', '.tox', '.git'} & set(path.parts))


FILES = checkout_files()


def label(path):
    return str(path.relative_to(ROOT)) if path.is_absolute() else str(path)


def each(paths):
    return pytest.mark.parametrize('path', list(paths), ids=label)


def tree(path):
    return ast.parse(path.read_text(encoding='utf-8'), str(path))


def imported_names(path):
    """Return the absolute names that a file of a module imports, relative
    ones as trytond.modules.X.Y."""
    package = ['trytond', 'modules', *path.relative_to(ROOT).parts[:-1]]
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = '.'.join(filter(None, [
                *package[:len(package) + 1 - node.level], node.module]))
            names |= {f'{base}.{alias.name}' for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def neighbours(path):
    "Return the files of the same module that a file imports."
    module = path.relative_to(ROOT).parts[0]
    prefix = f'trytond.modules.{module}.'
    found = set()
    for name in imported_names(path):
        if name.startswith(prefix):
            *folders, last = name[len(prefix):].split('.')
            # What is imported is a file or a name in one, or in a wing's own.
            place = ROOT.joinpath(module, *folders)
            found |= {file for file in [
                    place / f'{last}.py', place.with_suffix('.py'),
                    place / last / '__init__.py', place / '__init__.py']
                if file.exists() and file.parent != ROOT / module
                or file.exists() and file.name != '__init__.py'}
    return found


def with_neighbours(path):
    "Return a file and all files of the module that it needs."
    todo, found = {path}, set()
    while todo:
        current = todo.pop()
        found.add(current)
        todo |= neighbours(current) - found
    return found


@pytest.mark.parametrize('name', PURE)
def test_pure_files_need_no_trytond(name):
    for path in with_neighbours(ROOT / name):
        prefix = f'trytond.modules.{path.relative_to(ROOT).parts[0]}.'
        foreign = {
            name for name in imported_names(path)
            if name.split('.')[0] == 'trytond' and not name.startswith(prefix)}
        assert not foreign, path


@pytest.mark.parametrize('module', MAY_KNOW)
def test_modules_import_what_they_may_know(module):
    others = set(MAY_KNOW) - MAY_KNOW[module] - {module}
    for path in (ROOT / module).rglob('*.py'):
        known = {
            name.split('.')[2] for name in imported_names(path)
            if name.startswith('trytond.modules.')}
        assert not known & others, path


def test_orders_and_results_know_no_worklist_and_no_pacs():
    words = re.compile(
        r'health_orthanc|health_imaging_worklist|imaging_orthanc|'
        r'imaging_worklist|gnuhealth\.orthanc')
    for path in (ROOT / 'health_imaging').rglob('*'):
        if path.suffix in {'.py', '.xml', '.fodt', '.cfg'}:
            assert not words.search(path.read_text(encoding='utf-8')), path


# What the ledger alone writes of a study, by names that mean nothing else.
LINK_COLUMNS = {'link_rule', 'link_state', 'review_code', 'review_parameters'}
# The columns of former releases are filled before there is a ledger.
LINK_WRITERS = {
    'health_orthanc/links/ledger.py', 'health_orthanc/migration/studies.py'}
WRITING = {
    'create', 'insert', 'insert_row', 'save', 'set_by_id', 'set_values',
    'set_where', 'update', 'upsert', 'write', '_insert', '_set', '_update'}


def written_names(call):
    "Return the names that a call may write: keywords, keys, texts, columns."
    names = {keyword.arg for keyword in call.keywords} | {
        argument.value for argument in call.args
        if isinstance(argument, ast.Constant)}
    for node in ast.walk(call):
        if isinstance(node, ast.Dict):
            names |= {
                key.value for key in node.keys
                if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.List):
            names |= {
                item.attr for item in node.elts
                if isinstance(item, ast.Attribute)}
    return names


def called(call):
    return getattr(call.func, 'attr', getattr(call.func, 'id', None))


@each(path for path in FILES if path.suffix == '.py'
    and path.relative_to(ROOT).parts[0] in {*MAY_KNOW, 'his-utils'}
    and str(path.relative_to(ROOT)) not in LINK_WRITERS)
def test_only_the_ledger_writes_links(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and called(node) in WRITING:
            assert not written_names(node) & LINK_COLUMNS, (
                f'line {node.lineno}')
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                assert getattr(target, 'attr', None) not in LINK_COLUMNS


def named_classes(module):
    """Yield the classes that a module gives to a pool: the name there, and
    the class with its file."""
    for path in sorted((ROOT / module).rglob('*.py')):
        for node in tree(path).body:
            for line in getattr(node, 'body', ()):
                if (isinstance(node, ast.ClassDef)
                        and isinstance(line, ast.Assign)
                        and ast.unparse(line.targets[0]) == '__name__'):
                    yield line.value.value, f'{label(path)} {node.name}'


@pytest.mark.parametrize('module', MAY_KNOW)
def test_a_module_has_one_class_for_each_model(module):
    classes = {}
    for name, found in named_classes(module):
        classes.setdefault(name, []).append(found)
    assert len(classes) > 5
    assert not {n: found for n, found in classes.items() if found[1:]}


def test_writers_of_links_are_found():
    "The test above finds what it looks for."
    source = 'tables.set_values(Study, ids, link_rule=None)'
    call = ast.parse(source).body[0].value
    assert called(call) in WRITING and written_names(call) & LINK_COLUMNS
    source = 'set_by_id(table, "link_state", states)'
    call = ast.parse(source).body[0].value
    assert called(call) in WRITING and written_names(call) & LINK_COLUMNS
    source = 'execute(table.update([table.link_state], [None]))'
    call = ast.parse(source).body[0].value.args[0]
    assert called(call) in WRITING and written_names(call) & LINK_COLUMNS


def configuration(module):
    parser = configparser.ConfigParser()
    parser.read(ROOT / module / 'tryton.cfg')
    return {
        key: value.split() for key, value in parser['tryton'].items()}


@pytest.mark.parametrize('module', MAY_KNOW)
def test_modules_depend_on_what_they_may_know(module):
    assert not (set(configuration(module)['depends']) & set(MAY_KNOW)
        - MAY_KNOW[module])


@each(path for path in FILES if path.suffix == '.py'
    and path.relative_to(ROOT).parts[0] in {*MAY_KNOW, 'his-utils'})
def test_foreign_packages_are_asked_for(path):
    distribution = configparser.ConfigParser()
    distribution.read(ROOT / 'setup.cfg')
    asked = {
        re.match(r'[\w-]+', line).group().lower()
        for lines in [distribution['options']['install_requires'],
            *distribution['options.extras_require'].values()]
        for line in lines.strip().splitlines()}
    top = path.relative_to(ROOT).parts[0]
    neighbours = {other.stem for other in (ROOT / top).rglob('*.py')}
    imported = {name.split('.')[0] for name in imported_names(path)}
    foreign = imported - set(sys.stdlib_module_names) - neighbours
    assert {DISTRIBUTIONS.get(name, name) for name in foreign} <= asked


def test_foreign_packages_are_new_enough():
    "What is too old for safety is not taken, not even when it is there."
    distribution = configparser.ConfigParser()
    distribution.read(ROOT / 'setup.cfg')
    lines = [
        line for lines in [distribution['options']['install_requires'],
            *distribution['options.extras_require'].values()]
        for line in lines.strip().splitlines()]
    assert len(lines) > 20
    assert not [
        line for line in lines
        if not re.fullmatch(r'[\w-]+ >= [\d.]*\d(, < [\d.]*\d)?', line)]


def test_commits_are_checked_with_the_same_versions():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / 'tox.ini')
    hooks = (ROOT / '.pre-commit-config.yaml').read_text(encoding='utf-8')
    versions = re.findall(r'[\w-]+==[\d.]+', tox['testenv:lint']['deps'])
    assert len(versions) == 2
    assert sorted(re.findall(r'[\w-]+==[\d.]+', hooks)) == sorted(versions)


@pytest.mark.parametrize('module', MAY_KNOW)
def test_versions_are_the_distribution_s(module):
    distribution = configparser.ConfigParser()
    distribution.read(ROOT / 'setup.cfg')
    assert configuration(module)['version'] == [
        distribution['metadata']['version']]


@pytest.mark.parametrize('module', MAY_KNOW)
def test_xml_files_are_loaded_messages_last(module):
    loaded = configuration(module).get('xml', [])
    assert set(loaded) == {
        path.name for path in (ROOT / module).glob('*.xml')}
    assert loaded[-1:] == ['message.xml']


@pytest.mark.parametrize('module', MAY_KNOW)
def test_views_are_used(module):
    used = set()
    for path in (ROOT / module).glob('*.xml'):
        for view in re.findall(
                r'<record model="ir\.ui\.view".*?</record>',
                path.read_text(encoding='utf-8'), re.DOTALL):
            used |= set(re.findall(r'name="name">([^<]+)<', view))
    assert used == {path.stem for path in (ROOT / module).glob('view/*.xml')}


@each(path for path in FILES if path.suffix in {'.py', '.sh', '.xml', '.ini'}
    or path.name in {'setup.cfg', 'pyproject.toml', 'run'})
def test_files_begin_with_author_and_license(path):
    lines = path.read_text(encoding='utf-8').splitlines()[:5]
    for line in HEADER:
        assert any(line in begin for begin in lines)


@each(path for path in FILES if path.suffix == '.py')
def test_files_say_what_they_are_for(path):
    assert ast.get_docstring(tree(path))


# What trytond calls, and what a field asks for, is described by trytond and by
# the label and the help of the field.
HOOKS = re.compile(
    r'(autocomplete|default|do|get|on_change|order|search|selection|set'
    r'|transition)_.*|copy|create|delete|export_data|fields_view_get|read'
    r'|search|table_query|validate_fields|view_attributes|write')
PARAMETER = re.compile(r'^:param (?:[^:\n]* )?\*{0,2}(\w+):', re.MULTILINE)
SEVERAL = re.compile(r'^:param ([\w, ]+, [\w ]+):', re.MULTILINE)


def public(node, inside=None):
    """Yield the public functions and classes of a file or class.

    :return: pairs of node and class
    """
    for child in ast.iter_child_nodes(node):
        if (isinstance(child, (ast.ClassDef, ast.FunctionDef))
                and not child.name.startswith('_')):
            yield child, inside
            if isinstance(child, ast.ClassDef):
                yield from public(child, child)


def is_extension(node):
    """Return whether a class extends a model, whose docstring is its name."""
    return isinstance(node, ast.ClassDef) and any(
        keyword.arg == 'metaclass' for keyword in node.keywords)


def parameters(node):
    """Return the names of the parameters of a function or class."""
    if isinstance(node, ast.ClassDef):
        inits = [
            child for child in node.body
            if isinstance(child, ast.FunctionDef) and child.name == '__init__']
        fields = {
            child.target.id for child in node.body
            if isinstance(child, ast.AnnAssign)}
        return fields.union(*map(parameters, inits))
    arguments = node.args
    return {
        argument.arg for argument in [
            *arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs,
            *filter(None, [arguments.vararg, arguments.kwarg])]}


def documented(text):
    """Return the names of the parameters that a docstring describes."""
    names = set(PARAMETER.findall(text))
    for several in SEVERAL.findall(text):
        names |= {name.split()[-1] for name in several.split(',')}
    return names


PRODUCT = [
    path for path in FILES if path.suffix == '.py'
    and path.relative_to(ROOT).parts[0] in {*MAY_KNOW, 'his-utils'}]


@each(PRODUCT)
def test_public_functions_are_described(path):
    without = [
        f'{node.name}, line {node.lineno}'
        for node, inside in public(tree(path))
        if not ast.get_docstring(node) and not is_extension(node)
        and not (inside and HOOKS.fullmatch(node.name))]
    assert not without


@each(PRODUCT)
def test_described_parameters_exist(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            strange = documented(
                ast.get_docstring(node) or '') - parameters(node)
            assert not strange, f'{node.name}, line {node.lineno}'


def test_what_is_not_described_is_found():
    source = """
class Model(metaclass=PoolMeta):
    def get_name(self): pass
    def sign(self, one, *two): ':param str one: a\\n:param two: b'
"""
    node, sign = ast.parse(source).body[0], None
    named = {child.name: child for child, _ in public(ast.Module([node], []))}
    sign = named['sign']
    assert is_extension(node) and HOOKS.fullmatch('get_name')
    assert not HOOKS.fullmatch('sign')
    assert documented(ast.get_docstring(sign)) == parameters(sign) - {'self'}


@each(path for path in FILES
    if path.suffix == '.py' and path.relative_to(ROOT).parts[0] in MAY_KNOW)
def test_nothing_is_swallowed(path):
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = ast.unparse(node.type) if node.type else 'BaseException'
        silent = all(isinstance(line, ast.Pass) for line in node.body)
        broad = caught in {'BaseException', 'Exception'}
        assert not (broad and silent), f'line {node.lineno}'


def foreign_hosts(text):
    "Return the public hosts in a text that nobody has allowed."
    hosts = {
        (match.group(1) or match.group(2)).lower()
        for match in HOST.finditer(text)}
    return {
        host for host in hosts - HOSTS
        if PUBLIC.search(host) and not RESERVED.fullmatch(host)}


def folders_of_this_machine():
    "Return where the checkout, Python and the user's files are, as text."
    places = {ROOT, Path.home(), Path(sys.prefix)}
    return {
        f'{folder}/' for place in places for folder in [place, *place.parents]
        if folder.parts[1:] and not (
            len(folder.parts) == 2 and folder.name in SHARED_FOLDERS)
        and not folder.is_relative_to('/usr')}


def test_foreign_hosts_are_found():
    assert foreign_hosts(
        'https://a.example/x ftp://files.host.net pip -i mirror.host.org/x '
        'https://www.gnu.org http://pacs:80 http://127.0.0.1:1 he@x.org') == {
        'files.host.net', 'mirror.host.org', 'x.org'}


@each(FILES)
def test_files_name_no_machine_and_no_registry(path):
    try:
        text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError:
        return
    if path != Path(__file__) and label(path.parent) not in OF_OTHERS:
        assert not foreign_hosts(text)
    for folder in folders_of_this_machine():
        assert not re.search(rf'(?<![\w.}})/-]){re.escape(folder)}', text)
