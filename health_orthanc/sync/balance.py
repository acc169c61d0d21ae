# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether as many studies, series and instances are known as the server says
to have, without counting them each time."""

LEVELS = ['studies', 'series', 'instances']
NOTHING = (0, 0, 0)


class Balance:
    """What is known of a server, and what the server has beyond that.

    A server may have more for ever: what cannot be stored. That is believed
    when a second look finds the same. What it hides from its user is looked
    for in each run.

    :param text: what ``str`` returned for the run before; None when that one
        did not come to its end, so that its studies have to be looked at
    :ivar present: numbers of studies, series and instances that are known
        and not missing; None when they must be counted
    :ivar doubtful: whether to look although the numbers agree
    :ivar hidden: how many studies fewer the server listed than it counts
    :ivar excess: numbers that the server has beyond those that are known
    """

    def __init__(self, text=None):
        self.present = None
        self.doubtful = True
        self.hidden = 0
        self.excess, self._sure = NOTHING, True
        try:
            numbers = [int(number) for number in (text or '').split()]
        except ValueError:
            numbers = []
        if len(numbers) == 8:
            self.doubtful = False
            self.present = tuple(numbers[:3])
            self.excess, self._sure = tuple(numbers[3:6]), bool(numbers[6])
            self.hidden = numbers[7]

    def __str__(self):
        if self.doubtful:
            return ''
        return ' '.join(map(str, [
                    *self.present, *self.excess, int(self._sure),
                    self.hidden]))

    def forget(self):
        """Count anew: everything is looked at now."""
        self.present = None
        self.doubtful = False

    def add(self, numbers):
        """Take into account what came; what went is negative."""
        if self.present is not None:
            self.present = tuple(
                a + b for a, b in zip(self.present, numbers))

    def agrees(self, remote):
        """Return whether nothing has to be looked for, as the server tells its
        numbers. One that has fewer studies than are known is believed only
        while it is empty: what came later is no replacement."""
        return (not self.hidden and self.is_believed(remote)
            and (not remote[0] or remote[0] >= self.present[0]))

    def is_believed(self, remote):
        """Return whether the server has as much beyond what is known as the
        looks before found."""
        if self.doubtful or self.present is None:
            return False
        difference = self._difference(remote)
        if difference == NOTHING:
            self.excess, self._sure = NOTHING, True
        return self._sure and difference == self.excess

    def settle(self, remote):
        "Accept what the server has beyond what is known, after a look."
        difference = self._difference(remote)
        self._sure = difference in {self.excess, NOTHING}
        self.excess = difference
        self.doubtful = False

    @property
    def counted(self):
        """What the server counts, as a look or an agreement found."""
        return tuple(a + b for a, b in zip(self.present, self.excess))

    def is_emptied(self):
        """Return whether a server has nothing any more."""
        return bool(self.present[0] and not self.counted[0])

    def is_whole(self):
        """Return whether what the server does not list is gone."""
        return not (self.doubtful or self.hidden or self.is_emptied())

    def _difference(self, remote):
        return tuple(a - b for a, b in zip(remote, self.present))
