# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of the worklist says is what there is."""
import datetime as dt
import re
import sys
from pathlib import Path

import pytest

from trytond.modules.health_imaging_worklist import (
    attributes, batch, functions, rendering, values)

ROOT = Path(__file__).parents[2]
DOC = ROOT / 'health_imaging_worklist' / 'doc'
sys.path.insert(0, str(ROOT / 'his-utils' / 'scripts' / 'imaging'))

import command_line  # noqa: E402
import update_worklists_database as script  # noqa: E402
import worklist_check  # noqa: E402


def rows(name, header):
    "Return the cells of the table with this first column, without marks."
    text = (DOC / name).read_text(encoding='utf-8')
    body = text.split(f':header: "{header}"')[1].split('\n\n')[1]
    return [
        [cell.replace('``', '') for cell in re.findall('"([^"]*)"', line)]
        for line in body.splitlines()]


def test_variables():
    assert [row[0] for row in rows('usage.rst', 'Variable')] == sorted(
        rendering.sample_variables().keys() - {'template_type', 'my'}) + [
        'template_type', 'my']


def test_functions_methods_and_fields():
    told = {
        row[0]: set(re.findall(r'\w+', row[1]))
        for row in rows('usage.rst', 'Expression')}
    assert told['Functions'] == {*functions.FUNCTIONS}
    for kind, type_ in [
            ('text', str), ('date', dt.date), ('time', dt.time),
            ('span of time', dt.timedelta), ('dictionary', values.Map)]:
        assert told[f'Methods of a {kind}'] == {*functions.METHODS[type_]}
    assert {*functions.METHODS[dt.datetime]} == {
        *functions.METHODS[dt.date], 'date', 'time'}
    for fields in functions.FIELDS.values():
        assert fields <= told['Fields']


def test_limits():
    text = (DOC / 'usage.rst').read_text(encoding='utf-8')
    for limit in ['source', 'output', 'text', 'memory', 'rounds']:
        assert re.search(
            fr'\b{getattr(rendering.LIMITS, limit)}\b', text)
    assert rendering.LIMITS.seconds == 2
    assert f'{batch.POLL_SECONDS} seconds' in text
    assert f'{batch.ENTRY_SECONDS} seconds' in text


def test_character_sets():
    told = {row[0]: row[2] for row in rows(
            'configuration.rst', 'SpecificCharacterSet')}
    assert list(told) == list(attributes.CHARSETS)
    for charset, verdict in told.items():
        assert (verdict == 'damages it') == worklist_check.damages(charset)


def test_options_and_their_defaults():
    parser = script.make_options()
    options = {
        option: action.default for action in parser._actions
        for option in action.option_strings}
    table = rows('configuration.rst', 'Option')
    told = {option: row[2] for row in table
        for option in row[0].split(', ')}
    assert told.keys() <= options.keys()
    for action in parser._actions:
        assert {*action.option_strings} & {*told, '-h'}, action
    for option in ['-w', '--full-every', '--timeout']:
        assert told[option] == str(options[option])
    variables = {name for row in table
        for name in re.findall(r'\w+', row[1])}
    text = command_line.CONNECTION_HELP + script.EPILOG
    assert variables <= set(re.findall(r'\w+', text))


@pytest.mark.parametrize('status', range(6))
def test_exit_statuses(status):
    told = {row[0]: row[1] for row in rows('configuration.rst', 'Status')}
    helped = command_line.EXIT_STATUSES.split(f'\n  {status}  ')[1]
    first = [text.split()[0].strip(',;:').lower()
        for text in (told[str(status)], helped)]
    assert first[0] == first[1]
