# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worklist that newer Orthancs keep themselves, over their REST API."""
import re
import urllib.parse

from command_line import Unreachable
from connection import Rejected
from worklist_entries import EntryFailure, prefix, read
from worklist_folder import Mark


class RestWorklist:
    """The worklist that Orthanc 1.12.10 or later keeps itself.

    It has the methods of Folder, so that entries are published the same way.
    See https://orthanc.uclouvain.be/book/plugins/worklists-plugin-new.html
    """
    where = "Orthanc"

    def __init__(self, orthanc, database, dry_run=False):
        self.orthanc = orthanc
        self.dry_run = dry_run
        self._prefix = prefix(database)
        # Tags that Orthanc has; what was published: id of the request, hash
        # and tags. Both by name.
        self._there = {}
        self._published = {}

    def _nothing(self, *arguments):
        "Orthanc keeps everything at once, and knows what was published."

    open = close = flush = older = forget = keep_only = _nothing

    def known(self):
        """Return name and begin of the source of what Orthanc has as it was
        published by this process, by id of the request; raise Unreachable,
        Refused."""
        there = self.refresh()
        return {
            id_: (name, source[:16])
            for name, (id_, source, _) in self._published.items()
            if name in there and there[name].intact}

    def refresh(self):
        "Return what is there, Marks by name; raise Unreachable, Refused."
        try:
            answer = self.orthanc.request('GET', '/worklists?format=Short')
            self._there = {
                item['ID']: item.get('Tags') for item in answer
                if str(item['ID']).startswith(self._prefix)}
        except Rejected as error:
            if error.code not in {404, 405}:
                raise Unreachable(error, temporary=True)
            raise Unreachable(f"Orthanc at {self.orthanc.url} has no "
                "worklists in its REST API: that needs the worklists plugin "
                "of Orthanc 1.12.10 or later. Without --orthanc-url files "
                "are written, which older ones read.")
        except (TypeError, KeyError, AttributeError):
            raise Unreachable(f"What Orthanc at {self.orthanc.url} tells of "
                "its worklist cannot be understood.", temporary=True)
        return {name: self.look(name) for name in self._there}

    def look(self, name):
        "Return the Mark of an entry, None if it is not there."
        if name in self._there:
            _, source, tags = self._published.get(name, (None, '', {}))
            return Mark(
                None, source[:16], contains(self._there[name], tags))

    def vanished(self, name, entry, source):
        "Whether images of an entry that is not there are in Orthanc."
        found = entry.study_instance_uid and self._request(
            'POST', '/tools/lookup', entry.study_instance_uid)
        return isinstance(found, list) and any(
            isinstance(item, dict) and item.get('Type') == 'Study'
            for item in found)

    def put(self, name, entry, source, data):
        """Publish a DICOM file; return whether anything was changed, raise
        EntryFailure when it is not what it should be."""
        dataset = read(data, entry)
        tags = _json_tags(dataset)
        changed = not contains(self._there.get(name), tags)
        if changed and not self.dry_run:
            try:
                self._request('PUT', _path(name), {'Tags': tags})
            except EntryFailure as error:
                raise EntryFailure(_without_names(error.args[0], dataset))
        self._there[name] = tags
        self.remember(name, entry, source)
        return changed

    def remember(self, name, entry, source):
        "Note what an entry was made from."
        self._published[name] = entry.id, source, self._there[name]

    def remove(self, name):
        "Remove an entry that is there."
        if not self.dry_run:
            try:
                self._request('DELETE', _path(name))
            except EntryFailure as error:
                if error.args[1] != 404:
                    raise Unreachable(error.args[0], temporary=True)
        self._there.pop(name)
        self._published.pop(name, None)

    def _request(self, *arguments):
        try:
            return self.orthanc.request(*arguments)
        except Rejected as error:
            raise EntryFailure(str(error), error.code)


def _path(name):
    return f'/worklists/{urllib.parse.quote(name, safe="")}'


def _json_tags(dataset):
    """Return a data set as Orthanc's REST API takes it.

    Names are ``gggg,eeee``, values str, items of sequences dictionaries.
    """
    tags = {}
    for element in dataset:
        name = f'{element.tag.group:04x},{element.tag.element:04x}'
        if element.VR == 'SQ':
            tags[name] = list(map(_json_tags, element.value))
        elif isinstance(element.value, bytes):
            raise EntryFailure(f"its element ({name}) is binary, which "
                "Orthanc's REST API does not take.")
        elif element.VM > 1:
            tags[name] = '\\'.join(map(str, element.value))
        else:
            tags[name] = '' if element.value is None else str(element.value)
    if '0008,0005' in tags:
        # JSON is Unicode, whatever the file was.
        tags['0008,0005'] = 'ISO_IR 192'
    return tags


def _without_names(text, dataset):
    "Return a text in which no name of a data set is left, str."
    names = {part for element in dataset.iterall() if element.VR == 'PN'
        for part in re.split(r'[\^= ]+', str(element.value)) if part}
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf'(?<!\w){re.escape(name)}(?!\w)', '...', text)
    return text


def contains(there, tags):
    "Whether all tags are among those that Orthanc tells."
    if isinstance(tags, dict):
        return isinstance(there, dict) and all(
            contains(there.get(name), value) for name, value in tags.items())
    if isinstance(tags, list):
        return (isinstance(there, list) and len(there) == len(tags)
            and all(map(contains, there, tags)))
    return isinstance(there, str) and there.strip() == tags.strip()
