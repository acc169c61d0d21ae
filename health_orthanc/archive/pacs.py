# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PACS other than Orthanc must be able to do, to be synchronized."""
from typing import Protocol


class Pacs(Protocol):
    """A PACS, as the synchronization sees it.

    A level is 'studies', 'series' or 'instances'.

    :ivar int calls: how many questions were asked
    :ivar bool has_bulk: whether one question may be about many resources
    :ivar bool lists_requests: whether the SeriesValues tell of requests, as
        is known with the version
    :ivar bool has_patients: whether there are patients to protect
    """
    calls: int
    has_bulk: bool
    lists_requests: bool
    has_patients: bool

    def end_at(self, moment):
        "Ask nothing after a moment of the monotonic clock, in seconds."

    def abort(self):
        "End what is being asked in another thread."

    def version(self):
        "Return the version of the server, str."

    def counts(self):
        "Return the numbers of studies, series and instances, tuple of int."

    def ids(self, level, count):
        """Return the ids of all resources of a level, list.

        :param int count: how many the server counted
        """

    def all_changes(self, since):
        "Yield the Changes of the change log after a position, int."

    def last_change(self):
        "Return the position of the newest change, int."

    def studies(self, ids, source='studies'):
        """Return the StudyValues of what belongs to some ids, list; None in
        place of what cannot be understood.

        :param source: the level of the ids
        """

    def series(self, ids, source='series'):
        "Return SeriesValues, as studies."

    def instances(self, series, first=()):
        """Yield lists of the InstanceValues in series, as studies.

        :param series: list of SeriesValues
        :param first: ids of the instances that come with their sop_class,
            before the others
        """

    def sop_class(self, instance):
        "Return the SOP Class UID of an instance, None when it is unknown."

    def tags(self, instance):
        "Return the DICOM attributes of an instance by keyword, dict."

    def delete(self, level, id_):
        "Delete a resource; return True when the server confirmed it."

    def protect(self, patient, protected):
        """Keep a patient from being recycled when the disk is full, or no
        more."""

    def store_pdf(self, study, pdf, values):
        """Store a PDF in a study; return the id of the instance, that of the
        one which is there already when it has the same SOPInstanceUID.

        :param str study: the id; patient and study are taken from it
        :param bytes pdf: the document
        :param dict values: of series and document by DICOM keyword
        """
