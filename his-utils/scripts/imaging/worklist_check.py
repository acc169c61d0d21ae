# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Explains why a machine sees nothing, or damaged names: compares what GNU
Health asks for with what Orthanc tells."""
import io
import os
import stat
import urllib.parse
from collections import Counter
from pathlib import Path

from command_line import DONE, SOME_FAILED, Unreachable
from connection import Rejected
from files import open_plain, read_all
from worklist_access import Access, Dicom
from worklist_charsets import ENCODINGS, damages, fits, letters
from worklist_entries import (
    Entry, EntryFailure, make_maker, read_answer, read_exams, texts_of, verify)
from worklist_folder import LARGEST_FILE, Folder, FolderFailure
from worklist_query import QueryFailed, QueryRefused
from worklist_rest import RestWorklist

ASK_SECONDS = 10
SHOWN = 5
#: The most characters of AccessionNumber and the like (VR SH).
NUMBER_LENGTH = 16


class Check:
    """Compares what GNU Health asks for with the Orthanc that should tell it.

    Each method prints what it found; ``wrong`` counts what must be repaired,
    ``warnings`` what may become wrong.

    :param exams: what get_worklist_exams answered
    :param dicom: a Dicom, or what has its methods
    """

    def __init__(self, orthanc, entries, exams, messages, dicom):
        self.orthanc = orthanc
        self.entries = entries
        self.exams = exams
        self.messages = messages
        self.dicom = dicom
        self.wrong = self.warnings = 0
        self.entries_read = []
        self.made = []
        self.serves = True
        self._there = set()
        self._lost = set()

    def good(self, text):
        "Print what is all right."
        self.messages.info(f"good: {text}")

    def warn(self, text):
        "Print what may become wrong, and count it."
        self.warnings += 1
        self.messages.info(f"warning: {text}")

    def bad(self, text):
        "Print what is wrong, and count it."
        self.wrong += 1
        self.messages.error(f"WRONG: {text}")

    def check_server(self):
        "Orthanc is there and has the plugin."
        try:
            system = self.orthanc.request('GET', '/system')
        except Rejected:
            system = None
        if not isinstance(system, dict) or 'DicomAet' not in system:
            raise Unreachable(
                f"What answers at {self.orthanc.url} is no Orthanc.")
        self.dicom.of(system)
        self.good(f"Orthanc {system.get('Version')} answers, its AE title is "
            f"{system['DicomAet']}, its DICOM port {system.get('DicomPort')}.")
        plugins = self.orthanc.request('GET', '/plugins')
        self.serves = 'worklists' in plugins
        if self.serves:
            self.good("its worklist plugin is loaded.")
        else:
            self.bad("its worklist plugin is not loaded: no modality gets an "
                "answer. See \"Plugins\" in its configuration.")

    def check_exams(self):
        "Exams that are ordered reach a machine."
        for key, text in [
                ('template', "no worklist template: no machine is told of "
                    "them"),
                ('aetitle', "no AE title: machines that ask for their own "
                    "entries only do not get them")]:
            names = [exam['exam'] for exam in self.exams if not exam[key]]
            if names:
                self.warn(f"{len(names)} exams have {text} "
                    f"({_some(names)}).")

    def check_entries(self, maker):
        "GNU Health gives entries that can be published."
        for values in self.entries:
            entry = None
            try:
                entry = Entry.read(values)
                self.entries_read.append(entry)
                entry.check()
                data, _ = maker(entry)
                self.made.append((entry, verify(data(), entry)))
            except EntryFailure as error:
                label = f"{entry.label}: " if entry else ''
                self.bad(f"{label}{error.args[0]}")
        counts = Counter(
            (entry.aetitle, entry.modality) for entry, _ in self.made)
        for (title, modality), count in sorted(counts.items()):
            self.good(f"{count} for AE title \"{title}\", modality "
                f"\"{modality}\".")
        self.good(f"{len(self.made)} in all can be published.")

    def check_identifiers(self):
        "No two requests are told by the same numbers."
        long = [entry.label for entry in self.entries_read
            if not _fits_number(entry.number)
            or not _fits_number(entry.order)]
        if long:
            self.warn(f"{len(long)} requests have numbers of more than "
                f"{NUMBER_LENGTH} characters, or with a backslash "
                f"({_some(long)}): machines are told short ones, which the "
                "page \"Worklist\" of the request shows. Shorten the prefix "
                "of the sequence of imaging orders in GNU Health.")
        shared = False
        for keyword in [
                'StudyInstanceUID', 'AccessionNumber',
                'RequestedProcedureID', 'ScheduledProcedureStepID']:
            for value, labels in _shared(self.made, keyword):
                shared = True
                self.bad(f"{len(labels)} requests share the {keyword} "
                    f"\"{value}\" ({_some(labels)}): their images cannot be "
                    "told apart. Write the variable of that name in the "
                    "template, as it is.")
        if not shared:
            self.good("no two requests share their numbers.")

    def check_encoding(self):
        "The answers have all letters that the entries have."
        name = str(self.orthanc.request(
                'GET', '/tools/default-encoding')).strip()
        codec = ENCODINGS.get(name)
        if codec:
            self._check_letters(name, codec)
        else:
            self.bad(f"the DefaultEncoding \"{name}\" of Orthanc is unknown.")
        self._check_extensions()
        for charset, templates in sorted(self._character_sets().items()):
            if codec and not damages(charset) and not fits(
                    letters(charset), codec):
                self.warn(f"Orthanc answers in {name}, which lacks letters "
                    f"of {charset}, the character set of {templates}: a name "
                    "with them would arrive damaged. Set "
                    "\"DefaultEncoding\" : \"Utf8\", or give the templates "
                    "a character set that fits: then GNU Health sends the "
                    "nearest form of each name.")

    def _check_letters(self, name, codec):
        lost = [entry for entry, dataset in self.made
            if not all(fits(text, codec) for text in texts_of(dataset))]
        self._lost.update(entry.id for entry in lost)
        if lost:
            self.bad(f"Orthanc answers in {name}, which lacks letters of "
                f"{len(lost)} entries ({_some(e.label for e in lost)}): "
                "modalities see them damaged. Set \"DefaultEncoding\" : "
                "\"Utf8\".")
        else:
            self.good(f"Orthanc answers in {name}, which has all letters.")

    def _check_extensions(self):
        """Whether there are character sets that Orthanc does not read."""
        for charset, templates in sorted(self._character_sets().items()):
            if not damages(charset):
                continue
            lost = [entry for entry, dataset in self.made
                if entry.charset == charset and not all(
                    text.isascii() for text in texts_of(dataset))]
            self._lost.update(entry.id for entry in lost)
            text = (f"Orthanc does not read the character set {charset} of "
                f"{templates}, and damages letters that are not ASCII")
            advice = "Set the character set of the template to ISO_IR 192."
            if lost:
                self.bad(f"{text}: {len(lost)} entries are concerned "
                    f"({_some(e.label for e in lost)}). {advice}")
            else:
                self.warn(f"{text}. {advice}")

    def _character_sets(self):
        "Return the names of templates by character set."
        sets = {}
        for exam in self.exams:
            if exam['template'] and exam['charset']:
                sets.setdefault(exam['charset'], set()).add(exam['template'])
        for entry, _ in self.made:
            if entry.charset:
                sets.setdefault(entry.charset, set())
        return {
            charset: "the templates " + _some(
                f'"{name}"' for name in sorted(names))
            if names else "templates in use"
            for charset, names in sets.items()}

    def check_modalities(self):
        "Machines may ask, and get what was published, undamaged."
        known = self.known_modalities()
        titles = {entry.aetitle for entry, _ in self.made}
        titles.update(exam['aetitle'] for exam in self.exams)
        for title in sorted(titles - {''}) if self.serves else []:
            try:
                answers = self.dicom.ask(title)
            except QueryRefused as error:
                self._explain_refusal(title, known.get(title), error)
            except (QueryFailed, OSError) as error:
                self.bad("the DICOM port of Orthanc cannot be asked, as "
                    f"modalities do: {error}. Does a firewall forbid it, or "
                    "has it another number outside (--dicom-port)?")
                return
            else:
                self._compare(title, answers)

    def known_modalities(self):
        "Return what Orthanc knows of modalities, dictionaries by AE title."
        known = self.orthanc.request('GET', '/modalities?expand')
        values = known.values() if isinstance(known, dict) else []
        return {
            modality.get('AET'): modality
            for modality in values if isinstance(modality, dict)}

    def _explain_refusal(self, title, modality, error):
        if modality is None:
            self.bad(f"\"{title}\" gets no answer: {error}. It is not among "
                "the DicomModalities of Orthanc: add it, or set "
                "\"DicomAlwaysAllowFindWorklist\" : true.")
        elif not modality.get('AllowFindWorklist', True):
            self.bad(f"\"{title}\" may not ask: AllowFindWorklist is false "
                "in DicomModalities.")
        else:
            self.warn(f"\"{title}\" gets no answer when this computer asks "
                f"in its name: {error}. Orthanc expects it at "
                f"{modality.get('Host')}, if DicomCheckModalityHost is true.")

    def _compare(self, title, answers):
        got = {str(answer.get('StudyInstanceUID', '')): answer
            for answer in answers}
        own = [(entry, dataset) for entry, dataset in self.made
            if entry.aetitle == title and entry.id in self._there]
        missing = [entry.label for entry, _ in own
            if entry.study_instance_uid not in got]
        if missing:
            self.bad(f"\"{title}\" does not get {len(missing)} entries that "
                f"are published ({_some(missing)}).")
        damaged = [
            (entry, keyword) for entry, dataset in own
            if entry.id not in self._lost
            and entry.study_instance_uid in got
            for keyword in _damage(dataset, got[entry.study_instance_uid])]
        for entry, keyword in damaged[:SHOWN]:
            self.bad(f"{entry.label}: its {keyword} arrives damaged at "
                f"\"{title}\". Set the character set of its template, "
                f"{entry.charset}, to ISO_IR 192.")
        if not missing and not damaged:
            self.good(f"\"{title}\" may ask and gets {len(got)} entries.")

    def check_folder(self, path, database):
        "The files are those that are asked for, and can be read."
        folder = Folder(path, database, dry_run=True)
        try:
            folder.open()
        except FolderFailure as error:
            self.bad(str(error))
            return
        there = folder.refresh()
        wanted = {entry.name(database): entry.id for entry, _ in self.made}
        damaged = [name for name, mark in there.items() if not mark.intact]
        for names, what in [
                (damaged, "damaged"),
                (set(wanted) - set(there),
                    "missing, not published yet or removed"),
                (set(there) - set(wanted), "no longer asked for")]:
            if names:
                self.bad(f"{len(names)} files are {what}: "
                    f"{_some(sorted(names))}.")
        self._there = {wanted[name] for name in there
            if name in wanted and name not in damaged}
        group = os.stat(path).st_gid
        if any(_hidden(Path(path, f'{name}.wl'), group) for name in there):
            self.bad("the group of the files is not that of the folder: "
                "Orthanc may be unable to read them. Run this script as a "
                "user of that group, or chmod g+s the folder.")
        if there.keys() == wanted.keys():
            self.good(f"the folder \"{path}\" has all {len(there)} files.")
        self._check_others(Path(path), there)

    def _check_others(self, path, there):
        from pydicom import dcmread
        others = [file for file in path.iterdir()
            if file.suffix.lower() == '.wl' and file.stem not in there]
        broken = []
        for file in others:
            try:
                dcmread(io.BytesIO(
                        read_all(open_plain(file), file, LARGEST_FILE)))
            except Exception:
                broken.append(file.name)
        if others:
            self.messages.info(f"note: the folder has {len(others)} more "
                "files, which were not made by this script for this "
                "database. Modalities see them too.")
        if broken:
            self.bad(f"{len(broken)} of them cannot be read: "
                f"{_some(sorted(broken))}.")

    def conclusion(self):
        "Return how many things are wrong, a sentence."
        parts = [
            f"{count} {what if count > 1 else one}"
            for count, one, what in [
                (self.wrong, "thing is wrong", "things are wrong"),
                (self.warnings, "warning", "warnings")] if count]
        if not self.wrong:
            parts.insert(0, "Nothing is wrong")
        return f"{', '.join(parts)}."

    def check_rest(self, database):
        "What Orthanc keeps itself is what is asked for."
        there = set(RestWorklist(self.orthanc, database).refresh())
        wanted = {entry.name(database): entry.id for entry, _ in self.made}
        self._there = {
            id_ for name, id_ in wanted.items() if name in there}
        if there == set(wanted):
            self.good(f"Orthanc has all {len(there)} entries.")
        else:
            self.bad(f"{len(set(wanted) - there)} entries are missing in "
                f"Orthanc, {len(there - set(wanted))} are no longer asked "
                "for.")


def _fits_number(text):
    return len(text) <= NUMBER_LENGTH and '\\' not in text


def _shared(made, keyword):
    """Yield the values of an attribute that entries share, and their labels;
    one order may have one accession number."""
    labels = {}
    for entry, dataset in made:
        owner = entry.label
        if keyword == 'AccessionNumber':
            owner = entry.order or str(dataset.get('PatientID', ''))
        step = dataset.ScheduledProcedureStepSequence[0]
        value = str(dataset.get(keyword) or step.get(keyword) or '')
        labels.setdefault(value, {}).setdefault(owner, entry.label)
    for value, by_owner in sorted(labels.items()):
        if value and len(by_owner) > 1:
            yield value, [*by_owner.values()]


def _damage(sent, came):
    "Yield the keywords of values that two data sets have otherwise."
    for keyword in ['PatientName', 'PatientID', 'RequestingPhysician',
            'ReferringPhysicianName', 'RequestedProcedureDescription']:
        values = [
            str(dataset.get(keyword) or '').rstrip('^= ')
            for dataset in (sent, came)]
        if keyword in sent and values[0] != values[1]:
            yield keyword


def _some(names):
    "Return the first of some names."
    names = [str(name) for name in names]
    more = ", ..." if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


def _hidden(file, group):
    "Whether only a group that is not the folder's can read a file."
    status = os.stat(file)
    return status.st_gid != group and not status.st_mode & stat.S_IROTH


def _chosen(exam, options):
    return not (
        options.aet and exam['aetitle'] not in options.aet
        or options.modality and exam['modality'] not in options.modality)


def check(options, server, orthanc, fetch, fetch_exams, messages):
    "Print what a modality would see; return the exit status."
    answer = read_answer(fetch(None))
    exams = [exam for exam in read_exams(fetch_exams())
        if _chosen(exam, options)]
    dicom = Dicom(urllib.parse.urlsplit(orthanc.url).hostname,
        options.dicom_port, min(options.timeout, ASK_SECONDS))
    found = Check(orthanc, answer['entries'], exams, messages, dicom)
    found.check_server()
    found.check_exams()
    found.check_entries(make_maker(options.with_dump2dcm))
    found.check_identifiers()
    found.check_encoding()
    if os.path.isdir(options.worklists_db) or not options.orthanc_url:
        found.check_folder(options.worklists_db, server.database)
    else:
        found.check_rest(server.database)
    found.check_modalities()
    Access(dicom, found.known_modalities(), found).check(found.serves)
    messages.info(found.conclusion())
    return SOME_FAILED if found.wrong else DONE
