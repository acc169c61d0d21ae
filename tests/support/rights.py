# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the documentation that say who may do what."""
import csv
import itertools
from typing import NamedTuple

import pytest


class Cell(NamedTuple):
    """What a table says of a row and a group."""
    row: str
    group: str
    text: str


class Untouched(dict):
    """What was made for a cell, by row: who was refused has changed nothing
    of it, and the next group gets the same."""

    def take(self, row, make):
        """Return what is left for a row, or make it.

        Who leaves it as it was puts it back.
        """
        return self.pop(row) if row in self else make()


def matrix(path, title, groups):
    """Return the cells of a table.

    :param pathlib.Path path: the page
    :param groups: the names of the groups, as the columns must be
    :rtype: list of Cell
    """
    lines = path.read_text(encoding='utf-8').split(
        f'.. csv-table:: {title}\n')[1].splitlines()
    body = itertools.takewhile(str.strip, lines[2:])
    (_, *header), *rows = csv.reader(
        [lines[0].partition(':header:')[2], *map(str.strip, body)],
        skipinitialspace=True)
    assert header == list(groups)
    return [
        Cell(row, group, text)
        for row, *texts in rows
        for group, text in zip(header, texts, strict=True)]


def for_each(cells):
    """Run a test for each of some cells."""
    return pytest.mark.parametrize('row, group, cell', [
            pytest.param(*cell, id=f'{cell.row}-{cell.group}')
            for cell in cells])
