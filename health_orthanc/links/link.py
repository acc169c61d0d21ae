# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of a study's link, and a change of them."""
from typing import NamedTuple, Optional

#: Rules of which a person is the author: no other rule replaces them.
PERSON = 'person'

#: What may change a link, as the history of a study shows it.
CAUSES = [
    ('sync', "Synchronization"),
    ('person', "Chosen by a Person"),
    ('people', "Patient Data Changed"),
    ('merge', "Patients Merged"),
    ('request', "Request"),
    ('result', "Result"),
    ('replaced', "Study Sent Again"),
    ('deletion', "Deleted on the Server"),
    ('carried_over', "Link before 5.0"),
    (None, ""),
    ]


class Link(NamedTuple):
    """The columns of a study that only the ledger writes.

    The fields are those of gnuhealth.imaging_orthanc.study; patient, request
    and imaging_test are ids, ``review_parameters`` is JSON.
    """
    link_rule: Optional[str] = None
    link_state: str = 'unlinked'
    patient: Optional[int] = None
    request: Optional[int] = None
    imaging_test: Optional[int] = None
    review_code: Optional[str] = None
    review_parameters: Optional[str] = None
    merge_id: Optional[str] = None

    @property
    def shown(self):
        """What of the link people see: state, rule, and to what it leads.

        A study that was never decided counts as unlinked.
        """
        return (self.link_state or 'unlinked', self.link_rule, self.patient,
            self.request, self.imaging_test)

    @property
    def is_of_person(self):
        "Whether a person chose it."
        return self.link_rule == PERSON


#: The link of a study on which was never decided.
NEVER_DECIDED = Link(link_state=None)


class Change(NamedTuple):
    """What a link was and what it is now.

    :ivar int study: id of the study
    :ivar before: Link
    :ivar after: Link
    """
    study: int
    before: Link
    after: Link

    def left(self, name):
        """Return the id to which the study does not belong any more, or None.

        :param str name: patient, request or imaging_test
        """
        before = getattr(self.before, name)
        return before if before != getattr(self.after, name) else None

    def gained(self, name):
        """Return the id to which the study belongs now, and did not before,
        or None.

        :param str name: patient, request or imaging_test
        """
        after = getattr(self.after, name)
        return after if after != getattr(self.before, name) else None


def ids_of(changes, name, of):
    """Return the ids of patients, requests or results in changes.

    :param of: Change.left or Change.gained
    :rtype: set of int
    """
    return {of(change, name) for change in changes} - {None}
