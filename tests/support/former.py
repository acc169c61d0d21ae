# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks and their helpers ask modules and scripts for that those of
a former state do not have, where the same can be had in its way.  What cannot
be had fails, and is said to be new."""
import importlib
import importlib.util
import sys
import types
from pathlib import Path

CHANGES = 'trytond.modules.health_imaging_worklist.changes'
SCRIPTS = Path(__file__).parents[2] / 'his-utils' / 'scripts' / 'imaging'


def adapt():
    "Add what is missing to the modules and scripts of a former state."
    if not importlib.util.find_spec(CHANGES):
        add_changes()
    sys.path.insert(0, str(SCRIPTS))
    entries = importlib.import_module('worklist_entries')
    if not hasattr(entries, 'ask'):
        add_known(entries, importlib.import_module('worklist_publisher'))


def add_changes():
    "Add what tells changes of the worklist, which was part of the request."
    request = importlib.import_module(
        'trytond.modules.health_imaging_worklist.request')
    changes = types.ModuleType(CHANGES)
    changes.REQUEST = 'gnuhealth.imaging.test.request'
    changes.EXAM = 'gnuhealth.imaging.test'
    changes.TYPE = 'gnuhealth.imaging.test.type'
    changes.TEMPLATE = 'gnuhealth.imaging_worklist.worklist_template'
    changes.database_time = request._now
    changes.modified = request._modified
    sys.modules[CHANGES] = changes
    importlib.import_module(CHANGES.rpartition('.')[0]).changes = changes


def add_known(entries, publisher):
    "Let what the caller knows be given to those who never asked for it."
    entries.ask = lambda fetch, cursor, known: entries.read_answer(
        fetch(cursor, {}))
    init = publisher.Update.__init__

    def init_with(update, fetch, *arguments, **options):
        init(update, lambda cursor: fetch(cursor, {}), *arguments, **options)
    publisher.Update.__init__ = init_with
