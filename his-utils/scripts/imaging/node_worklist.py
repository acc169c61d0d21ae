# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worklist in the memory of the modality node: which machine may have
which entries, in which character set, and who asked.

An entry with an AE title is for the machine of that title.  One without is
for the machines of its modality, and each gets it with its own AE title, for
this is what a machine asks with.
"""
import datetime as dt
import importlib
import io
import sys
import threading
import time
import types
from collections import OrderedDict
from pathlib import Path

from command_line import UsageFailure
from node_matching import CHARSET, STEPS, texts_of

#: The most machines and strangers, by AE title and address, that are told to
#: GNU Health at once.
MOST_ASKED = 500
_STATION = 0x00400001
_MODALITY = 0x00080060
_HERE = Path(__file__).resolve().parent
# Two files of the module that need no trytond, beside the scripts or in the
# sources.
_PURE = [_HERE / 'health_imaging_worklist',
    *(folder / 'health_imaging_worklist' for folder in _HERE.parents[2:3])]


def load_letters():
    """Return the pure module of GNU Health that knows character sets, whose
    package, with trytond, is not imported.

    :raises UsageFailure: it is not there
    """
    for folder in _PURE:
        if all((folder / f'{name}.py').is_file()
                for name in ('attributes', 'nearest')):
            package = types.ModuleType('pure_worklist')
            package.__path__ = [str(folder)]
            sys.modules[package.__name__] = package
            try:
                return importlib.import_module('pure_worklist.attributes')
            except ImportError as error:
                raise UsageFailure(
                    f"The Python package {error.name} is missing: pip "
                    f"install {error.name}.")
    raise UsageFailure("The files attributes.py and nearest.py of the module "
        f"health_imaging_worklist are missing: copy them to \"{_PURE[0]}\".")


def read_entry(data):
    "Return the pydicom Dataset of a DICOM file, all its elements decoded."
    from pydicom import dcmread
    dataset = dcmread(io.BytesIO(data))
    dataset.decode()
    for _ in dataset.iterall():
        pass
    return dataset


class Machine:
    """A machine as GNU Health knows it.

    :param values: dict of ae_title, name, modality and charset, str
    :param letters: see `load_letters`
    """

    def __init__(self, values, letters):
        self.title = values['ae_title'].strip()
        self.modality = values['modality']
        self.charset = letters.repair_charset(values['charset']) or ''

    def may_have(self, step):
        "Return whether a step (item of the sequence) is for this machine."
        titles = [title.strip() for title in _values(step, _STATION)]
        if any(titles):
            return self.title in titles
        return not self.modality or self.modality in _values(step, _MODALITY)


def _values(dataset, tag):
    element = dataset.get_item(tag)
    return texts_of(element) if element is not None else []


class Worklist:
    """What machines may ask for, which one thread changes and many read.

    :param letters: see `load_letters`
    """

    def __init__(self, letters):
        self._letters = letters
        self._entries = {}
        self._asked = OrderedDict()
        self._lock = threading.Lock()
        #: Machine by AE title; entries by AE title and id.
        self.machines, self._views = {}, {}
        #: When GNU Health was last asked with success, seconds since 1970.
        self.polled = 0

    @property
    def age(self):
        "The seconds since GNU Health was last asked with success, int."
        return max(0, int(time.time() - self.polled))

    @property
    def size(self):
        "How many entries there are for all machines together."
        return len(self._entries)

    def set_machines(self, machines):
        "Take the machines, list of dicts as GNU Health gives them."
        machines = [Machine(values, self._letters) for values in machines]
        views = {machine.title: {} for machine in machines}
        for machine in machines:
            for id_ in sorted(self._entries):
                self._show(machine, id_, views[machine.title])
        self._views = views
        self.machines = {machine.title: machine for machine in machines}

    def change(self, entries, removed):
        """Take what changed.

        :param dict entries: pydicom Datasets by id
        :param removed: ids
        """
        for id_ in [*removed, *entries]:
            self._entries.pop(id_, None)
        self._entries.update(
            (id_, {'': dataset}) for id_, dataset in entries.items())
        views = {}
        for title, machine in self.machines.items():
            view = views[title] = dict(self._views[title])
            for id_ in [*removed, *entries]:
                view.pop(id_, None)
            for id_ in entries:
                self._show(machine, id_, view)
        self._views = views

    def entries(self, title):
        "Return the entries of a machine, pydicom Datasets."
        return self._views.get(title, {}).values()

    def _show(self, machine, id_, view):
        "Put an entry into the view of a machine, if it is for it."
        forms = self._entries[id_]
        if not any(map(machine.may_have, forms[''].get(STEPS, ()))):
            return
        if machine.charset not in forms:
            forms[machine.charset] = in_charset(
                forms[''], machine.charset, self._letters)
        view[id_] = _for_station(forms[machine.charset], machine)

    # Who asked

    def note(self, title, address, known, entries=0):
        """Note who asked; return whether that is new since it was told.

        :param title: AE title
        :param int entries: how many it got
        """
        key = title[:16], address[:64]
        with self._lock:
            new = self._asked.pop(key, None) is None
            self._asked[key] = {
                'ae_title': key[0], 'address': key[1], 'known': known,
                'at': dt.datetime.now(dt.timezone.utc).strftime(
                    '%Y-%m-%dT%H:%M:%S'),
                'entries': entries, 'age': self.age}
            while len(self._asked) > MOST_ASKED:
                self._asked.popitem(last=False)
        return new

    def take_asked(self):
        "Return who asked since it was told, and forget it, list of dicts."
        with self._lock:
            asked = list(self._asked.values())
            self._asked.clear()
        return asked


def in_charset(dataset, charset, letters):
    """Return a data set in the nearest form that a SpecificCharacterSet has.

    :param dataset: pydicom Dataset, decoded
    :param charset: valid term
    """
    from pydicom.dataelem import DataElement
    changed = _convert(dataset, charset, letters)
    changed[CHARSET] = DataElement(CHARSET, 'CS', charset.split('\\'))
    return changed


def _convert(dataset, charset, letters):
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset
    changed = Dataset()
    for element in dataset:
        tag, vr = element.tag, element.VR
        if vr == 'SQ':
            value = [_convert(item, charset, letters)
                for item in element.value]
            element = DataElement(tag, vr, value)
        elif vr in letters.ENCODED_VRS:
            value = [_nearest(text, vr, charset, letters)
                for text in texts_of(element)]
            element = DataElement(
                tag, vr, value[0] if len(value) == 1 else value or None)
        changed[tag] = element
    return changed


def _nearest(text, vr, charset, letters):
    first, *others = text.split('=') if vr == 'PN' else [text]
    near = letters.to_charset(first, charset)
    # The other groups of a name are there for their script only.
    others = [group if letters.to_charset(group, charset) == group else ''
        for group in others]
    if near != first:
        near = letters.cut(near, letters.LENGTHS.get(vr) or len(near))
    return '='.join([near, *others]).rstrip('=') if vr == 'PN' else near


def _for_station(dataset, machine):
    "Return a data set with an AE title in each step, that of the machine."
    from pydicom.dataelem import DataElement
    from pydicom.sequence import Sequence
    steps = [step for step in dataset[STEPS].value if machine.may_have(step)]
    if all(any(_values(step, _STATION)) for step in steps) and (
            len(steps) == len(dataset[STEPS].value)):
        return dataset
    own = DataElement(_STATION, 'AE', machine.title)
    items = []
    for step in steps:
        item = _copy(step)
        if not any(_values(step, _STATION)):
            item[_STATION] = own
        items.append(item)
    changed = _copy(dataset)
    changed[STEPS] = DataElement(STEPS, 'SQ', Sequence(items))
    return changed


def _copy(dataset):
    "Return a new data set of the same elements."
    from pydicom.dataset import Dataset
    return Dataset({element.tag: element for element in dataset})
