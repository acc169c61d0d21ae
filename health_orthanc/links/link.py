# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of a study's link, and a change of them."""
from typing import NamedTuple, Optional, Tuple

#: Rules of links made by a person: no other rule replaces them.
PERSON = 'person'

#: Causes of changes, as the history of a study shows them.
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
    """The columns of a study that only the ledger writes, and the requests to
    which it belongs beside its own.

    :ivar patient, request, imaging_test: ids or None
    :ivar str review_parameters: JSON
    :ivar further: tuple of ids, none without a request
    """
    link_rule: Optional[str] = None
    link_state: str = 'unlinked'
    patient: Optional[int] = None
    request: Optional[int] = None
    imaging_test: Optional[int] = None
    review_code: Optional[str] = None
    review_parameters: Optional[str] = None
    merge_id: Optional[str] = None
    further: Tuple[int, ...] = ()

    @property
    def shown(self):
        """Return what users see of the link: state, rule and target.

        A study that was never matched counts as unlinked.
        """
        return (self.link_state or 'unlinked', self.link_rule, self.patient,
            self.request, self.imaging_test, self.further)

    @property
    def requests(self):
        """The ids of all requests of the study, its own first."""
        return [self.request, *self.further] if self.request else []

    def with_requests(self, requests):
        """Return the Link to some requests, given as ids, its own first."""
        first, *others = [*dict.fromkeys(requests)] or [None]
        return self._replace(request=first, further=tuple(sorted(others)))

    @property
    def is_of_person(self):
        """Whether a person made the link."""
        return self.link_rule == PERSON


#: The columns of a study.
COLUMNS = Link._fields[:-1]

#: The link of a study on which was never decided.
NEVER_DECIDED = Link(link_state=None)


class Change(NamedTuple):
    """A link before and after a change.

    :ivar int study: id of the study
    :ivar before, after: Link
    """
    study: int
    before: Link
    after: Link

    def left(self, name):
        "Return the id of a patient, request or result that is lost, or None."
        before = getattr(self.before, name)
        return before if before != getattr(self.after, name) else None

    def gained(self, name):
        "Return the id of a patient, request or result that came, or None."
        after = getattr(self.after, name)
        return after if after != getattr(self.before, name) else None


def ids_of(changes, name, of):
    """Return a set of the ids of patients, requests or results in changes.

    :param str name: patient, request or imaging_test
    :param of: Change.left or Change.gained
    """
    if name == 'request':
        return {id_ for change in changes for id_ in requests_of(change, of)}
    return {of(change, name) for change in changes} - {None}


def requests_of(change, of):
    """Return the set of the ids of the requests that a study lost or gained.

    :param of: Change.left or Change.gained
    """
    before, after = map(set, [change.before.requests, change.after.requests])
    return before - after if of is Change.left else after - before
