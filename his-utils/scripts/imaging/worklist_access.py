# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out who may ask an Orthanc for its worklist, and send it images."""
import secrets

import worklist_query
from worklist_query import QueryFailed, QueryRefused

# An address of this computer that no modality has.
NOBODY = '127.0.0.77'


class Dicom:
    """The DICOM port of an Orthanc.

    :param host: its name or address, str
    :param port: int, None for the one that Orthanc has in its system
    :param seconds: the longest silence
    """

    def __init__(self, host, port, seconds):
        self.host = host
        self.port = port
        self.seconds = seconds
        self.title = None

    def of(self, system):
        "Take over what /system of Orthanc has, a dictionary."
        self.title = system['DicomAet']
        self.port = self.port or system.get('DicomPort')

    def ask(self, title, source=''):
        "Return the entries of an AE title; see worklist_query.ask."
        return self._use(
            worklist_query.ask, title, station=title, source=source)

    def may_store(self, title):
        "See worklist_query.may_store."
        return self._use(worklist_query.may_store, title)

    def ask_from_elsewhere(self, title, host):
        """Ask in the name of a modality, from another address than its host.

        :raises QueryFailed: this computer has no other address
        """
        source = worklist_query.own_address(self.host, self.port)
        if source.startswith('127.'):
            source = NOBODY
        if host == source:
            raise QueryFailed("this computer has the address of the modality")
        return self.ask(title, source)

    def _use(self, function, title, **options):
        if not self.port:
            raise QueryFailed("it does not tell its port")
        return function(self.host, self.port, title, self.title,
            seconds=self.seconds, **options)


class Access:
    """Looks for doors that are open to everybody.

    :param dicom: a Dicom
    :param modalities: what /modalities of Orthanc has, by AE title
    :param report: has the methods good and warn, of a sentence
    """

    def __init__(self, dicom, modalities, report):
        self.dicom = dicom
        self.modalities = modalities
        self.report = report

    def check(self, serves):
        """Nobody but the modalities that Orthanc lists may ask, or store.

        :param serves: whether there is a worklist at all
        """
        stranger = f'X{secrets.token_hex(7)}'.upper()
        self._check_stranger(
            self.dicom.may_store, stranger, "send images",
            'DicomAlwaysAllowStore')
        if serves and not self._check_stranger(
                self.dicom.ask, stranger, "ask for the worklist, and so read "
                "the names of patients", 'DicomAlwaysAllowFindWorklist'):
            self._check_hosts()

    def _check_stranger(self, ask, stranger, what, option):
        "Return whether a stranger may do something."
        try:
            may = ask(stranger) is not False
        except QueryRefused:
            may = False
        except QueryFailed:
            # The check of the modalities says why.
            return True
        if may:
            self.report.warn(f"anybody may {what}, with any AE title: set "
                f"\"{option}\" : false, and list the modalities in "
                "DicomModalities.")
        else:
            self.report.good(f"only modalities that Orthanc lists may {what}.")
        return may

    def _check_hosts(self):
        "Ask in the name of a modality, from an address that it has not."
        for title, modality in self.modalities.items():
            if not modality.get('AllowFindWorklist', True):
                continue
            try:
                self.dicom.ask_from_elsewhere(title, modality.get('Host'))
            except QueryRefused:
                self.report.good(
                    "modalities may ask from their own Host only.")
            except QueryFailed:
                continue
            else:
                self.report.warn(f"anybody who uses the AE title \"{title}\" "
                    "may ask, from any computer: set "
                    "\"DicomCheckModalityHost\" : true.")
            return
