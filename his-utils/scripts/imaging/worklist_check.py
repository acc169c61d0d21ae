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

from command_line import DONE, SOME_FAILED, FolderFailure, Unreachable
from connection import Rejected
from files import read_all
from worklist_charsets import ENCODINGS, damages, fits, letters
from worklist_entries import (
    Entry, EntryFailure, make_maker, read, read_answer, read_exams, texts_of)
from worklist_folder import LARGEST_FILE, Folder
from worklist_query import Dicom, QueryCut, QueryFailed, QueryRefused
from worklist_rest import RestWorklist

ASK_SECONDS = 10
SHOWN = 5
#: The most characters of AccessionNumber and the like (VR SH).
NUMBER_LENGTH = 16
IDENTIFIERS = ['StudyInstanceUID', 'AccessionNumber', 'RequestedProcedureID',
    'ScheduledProcedureStepID']
TEXTS = ['PatientName', 'PatientID', 'RequestingPhysician',
    'ReferringPhysicianName', 'RequestedProcedureDescription']


class Check:
    """Compares what GNU Health asks for with the Orthanc that should tell it.

    ``wrong`` counts what must be repaired, ``warnings`` what may become wrong.

    :param options: of the command line
    :param exams: what get_worklist_exams answered
    """

    def __init__(self, options, server, orthanc, exams, messages):
        self.messages = messages
        self.wrong = self.warnings = 0
        self.options = options
        self.database = server.database
        self.orthanc = orthanc
        self.exams = exams
        self.serves = True
        # Entries, with their data sets where these can be made.
        self.entries = []
        self.made = []
        # Ids of entries that are published, and of damaged ones.
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

    def run(self, entries):
        "Print what was found of what get_worklist_entries answered."
        dicom = self._check_server()
        self._check_exams()
        self._check_entries(entries)
        self._check_identifiers()
        self._check_encoding()
        folder = self.options.worklists_db
        if os.path.isdir(folder) or not self.options.orthanc_url:
            self._check_folder(Path(folder))
        else:
            self._check_rest()
        known = self.orthanc.request('GET', '/modalities?expand')
        known = {
            modality.get('AET'): modality
            for modality in (known.values() if isinstance(known, dict) else ())
            if isinstance(modality, dict)}
        self._check_modalities(dicom, known)
        dicom.check_doors(known, self, self.serves)
        self._conclude()

    def _conclude(self):
        parts = [
            f"{count} {what if count > 1 else one}"
            for count, one, what in [
                (self.wrong, "thing is wrong", "things are wrong"),
                (self.warnings, "warning", "warnings")] if count]
        if not self.wrong:
            parts.insert(0, "Nothing is wrong")
        self.messages.info(f"{', '.join(parts)}.")

    def _check_server(self):
        "Orthanc is there and has the plugin; return its Dicom."
        try:
            system = self.orthanc.request('GET', '/system')
        except Rejected:
            system = None
        if not isinstance(system, dict) or 'DicomAet' not in system:
            raise Unreachable(
                f"What answers at {self.orthanc.url} is no Orthanc.")
        self.good(f"Orthanc {system.get('Version')} answers, its AE title is "
            f"{system['DicomAet']}, its DICOM port {system.get('DicomPort')}.")
        self.serves = 'worklists' in self.orthanc.request('GET', '/plugins')
        if self.serves:
            self.good("its worklist plugin is loaded.")
        else:
            self.bad("its worklist plugin is not loaded: no modality gets an "
                "answer. See \"Plugins\" in its configuration.")
        return Dicom(
            urllib.parse.urlsplit(self.orthanc.url).hostname,
            self.options.dicom_port or system.get('DicomPort') or 0,
            system['DicomAet'], min(self.options.timeout, ASK_SECONDS))

    def _check_exams(self):
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

    def _check_entries(self, entries):
        "GNU Health gives entries that can be published."
        maker = make_maker(self.options.with_dump2dcm)
        for values in entries:
            label = ''
            try:
                entry = Entry.read(values)
                label = f"{entry.label}: "
                self.entries.append(entry)
                entry.check()
                data, _ = maker(entry)
                self.made.append((entry, read(data(), entry)))
            except EntryFailure as error:
                self.bad(f"{label}{error.args[0]}")
        counts = Counter(
            (entry.aetitle, entry.modality) for entry, _ in self.made)
        for (title, modality), count in sorted(counts.items()):
            self.good(f"{count} for AE title \"{title}\", modality "
                f"\"{modality}\".")
        self.good(f"{len(self.made)} in all can be published.")

    def _check_identifiers(self):
        "No two requests are told by the same numbers."
        long = [
            entry.label for entry in self.entries
            if any(len(text) > NUMBER_LENGTH or '\\' in text
                for text in [entry.number, entry.order])]
        if long:
            self.warn(f"{len(long)} requests have numbers of more than "
                f"{NUMBER_LENGTH} characters, or with a backslash "
                f"({_some(long)}): machines are told short ones, which the "
                "page \"Worklist\" of the request shows. Shorten the prefix "
                "of the sequence of imaging orders in GNU Health.")
        shared = [
            (keyword, value, labels) for keyword in IDENTIFIERS
            for value, labels in _shared(self.made, keyword)]
        for keyword, value, labels in shared:
            self.bad(f"{len(labels)} requests share the {keyword} "
                f"\"{value}\" ({_some(labels)}): their images cannot be "
                "told apart. Write the variable of that name in the "
                "template, as it is.")
        if not shared:
            self.good("no two requests share their numbers.")

    def _check_encoding(self):
        "The answers have all letters that the entries have."
        name = str(self.orthanc.request(
                'GET', '/tools/default-encoding')).strip()
        codec = ENCODINGS.get(name)
        if codec:
            self._check_letters(name, codec)
        else:
            self.bad(f"the DefaultEncoding \"{name}\" of Orthanc is unknown.")
        for charset, templates in sorted(self._character_sets().items()):
            if damages(charset):
                self._check_extension(charset, templates)
            elif codec and not fits(letters(charset), codec):
                self.warn(f"Orthanc answers in {name}, which lacks letters "
                    f"of {charset}, the character set of {templates}: a name "
                    "with them would arrive damaged. Set "
                    "\"DefaultEncoding\" : \"Utf8\", or give the templates "
                    "a character set that fits: then GNU Health sends the "
                    "nearest form of each name.")

    def _check_letters(self, name, codec):
        lost = self._lose(lambda entry, texts: not fits(texts, codec))
        if lost:
            self.bad(f"Orthanc answers in {name}, which lacks letters of "
                f"{len(lost)} entries ({_some(lost)}): modalities see them "
                "damaged. Set \"DefaultEncoding\" : \"Utf8\".")
        else:
            self.good(f"Orthanc answers in {name}, which has all letters.")

    def _check_extension(self, charset, templates):
        lost = self._lose(lambda entry, texts: entry.charset == charset
            and not fits(texts, 'ascii'))
        text = (f"Orthanc does not read the character set {charset} of "
            f"{templates}, and damages letters that are not ASCII")
        advice = "Set the character set of the template to ISO_IR 192."
        if lost:
            self.bad(f"{text}: {len(lost)} entries are concerned "
                f"({_some(lost)}). {advice}")
        else:
            self.warn(f"{text}. {advice}")

    def _lose(self, damaged):
        "Note the entries whose texts are damaged; return their labels."
        lost = [entry for entry, dataset in self.made
            if damaged(entry, texts_of(dataset))]
        self._lost.update(entry.id for entry in lost)
        return [entry.label for entry in lost]

    def _character_sets(self):
        "Return the names of templates by character set."
        sets = {entry.charset: set() for entry, _ in self.made}
        for exam in self.exams:
            if exam['template']:
                sets.setdefault(exam['charset'], set()).add(exam['template'])
        return {
            charset: "the templates " + _some(
                f'"{name}"' for name in sorted(names))
            if names else "templates in use"
            for charset, names in sets.items() if charset}

    def _check_modalities(self, dicom, known):
        "Machines may ask, and get what was published, undamaged."
        titles = {entry.aetitle for entry, _ in self.made}
        titles.update(exam['aetitle'] for exam in self.exams)
        titles.discard('')
        self._check_letter_cases(titles, known)
        for title in sorted(titles) if self.serves else []:
            try:
                self._compare(title, dicom.ask(title))
            except QueryCut:
                self.bad(f"\"{title}\" does not get all of its entries: the "
                    "worklist plugin of Orthanc cuts its answers. Set "
                    "\"LimitAnswers\" : 0 in its \"Worklists\".")
            except QueryRefused as error:
                self._explain_refusal(title, known.get(title), error)
            except (QueryFailed, OSError) as error:
                self.bad("the DICOM port of Orthanc cannot be asked, as "
                    f"modalities do: {error}. Does a firewall forbid it, or "
                    "has it another number outside (--dicom-port)?")
                return

    def _check_letter_cases(self, titles, known):
        "Orthanc lets in whoever differs in case, and finds nothing for him."
        for title in sorted(titles - known.keys()):
            for other in sorted({*map(str, known), *titles} - {title}):
                if other.casefold() == title.casefold():
                    self.bad(f"\"{title}\" differs from the AE title "
                        f"\"{other}\" in case: a machine gets the entries of "
                        "its own letters only. Write it in GNU Health as in "
                        "the machine.")

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

    def _wanted(self):
        "Return the ids of entries by the name that they are published as."
        return {entry.name(self.database): entry.id for entry, _ in self.made}

    def _check_folder(self, path):
        "The files are those that are asked for, and can be read."
        folder = Folder(path, self.database, dry_run=True)
        try:
            folder.open()
        except FolderFailure as error:
            self.bad(str(error))
            return
        there, wanted = folder.refresh(), self._wanted()
        damaged = {name for name, mark in there.items() if not mark.intact}
        for names, what in [
                (damaged, "damaged"),
                (wanted.keys() - there,
                    "missing, not published yet or removed"),
                (there.keys() - wanted, "no longer asked for")]:
            if names:
                self.bad(f"{len(names)} files are {what}: "
                    f"{_some(sorted(names))}.")
        self._there = {
            wanted[name] for name in (there.keys() & wanted) - damaged}
        if any(_hidden(path / f'{name}.wl') for name in there):
            self.bad("the group of the files is not that of the folder: "
                "Orthanc may be unable to read them. Run this script as a "
                "user of that group, or chmod g+s the folder.")
        if there.keys() == wanted.keys():
            self.good(f"the folder \"{path}\" has all {len(there)} files.")
        self._check_others(path, there)

    def _check_others(self, path, there):
        from pydicom import dcmread
        others = [file for file in path.iterdir()
            if file.suffix.lower() == '.wl' and file.stem not in there]
        broken = []
        for file in others:
            try:
                dcmread(io.BytesIO(read_all(file, LARGEST_FILE)))
            except Exception:
                broken.append(file.name)
        if others:
            self.messages.info(f"note: the folder has {len(others)} more "
                "files, which were not made by this script for this "
                "database. Modalities see them too.")
        if broken:
            self.bad(f"{len(broken)} of them cannot be read: "
                f"{_some(sorted(broken))}.")

    def _check_rest(self):
        "What Orthanc keeps itself is what is asked for."
        there = RestWorklist(self.orthanc, self.database).refresh()
        wanted = self._wanted()
        self._there = {wanted[name] for name in there.keys() & wanted}
        if there.keys() == wanted.keys():
            self.good(f"Orthanc has all {len(there)} entries.")
        else:
            self.bad(f"{len(wanted.keys() - there)} entries are missing in "
                f"Orthanc, {len(there.keys() - wanted)} are no longer asked "
                "for.")


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
    for keyword in TEXTS:
        values = [
            str(dataset.get(keyword) or '').rstrip('^= ')
            for dataset in (sent, came)]
        if keyword in sent and values[0] != values[1]:
            yield keyword


def _some(names):
    "Return the first of some names."
    names = list(names)
    more = ", ..." if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


def _hidden(file):
    "Whether only a group that is not the folder's can read a file."
    status = os.stat(file)
    return (status.st_gid != os.stat(file.parent).st_gid
        and not status.st_mode & stat.S_IROTH)


def check(options, server, orthanc, answer, exams, messages):
    """Print what a modality would see, from the answers of
    get_worklist_entries and get_worklist_exams; return the exit status."""
    entries = read_answer(answer)['entries']
    exams = [
        exam for exam in read_exams(exams)
        if exam['aetitle'] in (options.aet or [exam['aetitle']])
        and exam['modality'] in (options.modality or [exam['modality']])]
    found = Check(options, server, orthanc, exams, messages)
    found.run(entries)
    return SOME_FAILED if found.wrong else DONE
