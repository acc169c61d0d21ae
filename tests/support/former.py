# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks and their helpers ask modules and scripts for that those of
a former state do not have: where the same can be had in its way, it is added
here.  What else is imported is there, but cannot be used, so that a benchmark
goes as far as it can."""
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

from sources import MODULES

SCRIPTS = Path(__file__).parents[2] / 'his-utils' / 'scripts' / 'imaging'
WORKLIST = 'trytond.modules.health_imaging_worklist'
SOURCES = [
    'gnuhealth.imaging.test.request', 'gnuhealth.imaging.test',
    'gnuhealth.patient', 'gnuhealth.healthprofessional', 'party.party',
    'gnuhealth.imaging.test.type',
    'gnuhealth.imaging_worklist.worklist_template',
    'gnuhealth.imaging_worklist.machine', 'gnuhealth.person_name']


def adapt():
    "Add what is missing to the modules and scripts of a former state."
    for name, make in [('changes', changes), ('versions', versions)]:
        if not importlib.util.find_spec(f'{WORKLIST}.{name}'):
            add_module(f'{WORKLIST}.{name}', make())
    sys.path.insert(0, str(SCRIPTS))
    entries = importlib.import_module('worklist_entries')
    if not hasattr(entries, 'ask'):
        add_known(entries, importlib.import_module('worklist_publisher'))
    sys.meta_path.append(Later())


def add_module(name, values):
    "Add a module of that name with some values."
    module = sys.modules[name] = types.ModuleType(name)
    vars(module).update(values)
    package, _, last = name.rpartition('.')
    setattr(importlib.import_module(package), last, module)


def changes():
    "Return what tells changes of the worklist, which was in the request."
    from trytond.modules.health_imaging_worklist import request
    from trytond.pool import Pool

    def sources():
        known = {name for name, _ in Pool().iterobject()}
        return [
            (Pool().get(name).__table__(), 'id', name)
            for name in SOURCES if name in known]
    return {
        'REQUEST': SOURCES[0], 'EXAM': SOURCES[1], 'TYPE': SOURCES[5],
        'TEMPLATE': SOURCES[6], 'sources': sources,
        'database_time': request._now, 'modified': request._modified}


def versions():
    "Return what keeps digests of entries, where none were kept."
    return {'_digests': types.SimpleNamespace(_database_cache={})}


def add_known(entries, publisher):
    "Let what the caller knows be given to those who never asked for it."
    entries.ask = lambda fetch, cursor, known: entries.read_answer(
        fetch(cursor, {}))
    init = publisher.Update.__init__

    def init_with(update, fetch, *arguments, **options):
        init(update, lambda cursor: fetch(cursor, {}), *arguments, **options)
    publisher.Update.__init__ = init_with


class New(types.ModuleType):
    "A module of a later state, in which everything is one of them."

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return importlib.import_module(f'{self.__name__}.{name}')

    def __call__(self, *arguments, **options):
        raise NotImplementedError(f"{self.__name__} is new")


class Later(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    "Finds modules of later states."

    def find_spec(self, name, path, target=None):
        trytond, _, module, inner = f'{name}...'.split('.')[:4]
        if trytond == 'trytond' and module in MODULES and inner:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return New(spec.name)

    def exec_module(self, module):
        pass
