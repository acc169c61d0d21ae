# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that run from the right, beside those that do not."""
import pytest

from trytond.modules.health_imaging.direction import (
    isolated, keep_direction, plain, runs_from_right)


@pytest.mark.parametrize('text, right', [
        ("كسر (CT)", True), ("12. كسر", True), ("עברית", True),
        ("CT كسر", False), ("12-34", False), ("", False)])
def test_the_first_letter_gives_the_direction(text, right):
    assert runs_from_right(text) == right


def test_without_letters_a_text_runs_as_the_others():
    assert runs_from_right("12-34", True)
    assert not runs_from_right("CT", True)


@pytest.mark.parametrize('name', ["الحسن, محمد", "CT كسر"])
def test_letters_from_the_right_are_isolated(name):
    assert isolated(name) == f'\u2068{name}\u2069'


@pytest.mark.parametrize('name', ["Ñúñez Müller", "陈丽华", "12-34", "", None])
def test_other_texts_are_left_alone(name):
    assert isolated(name) == name


@pytest.mark.parametrize('control', '\u202a\u202b\u202c\u202d\u202e'
    '\u2066\u2067\u2068\u2069')
def test_what_turns_texts_around_is_left_out(control):
    assert plain(f'{control}Betz{control}, Ana') == 'Betz, Ana'
    assert isolated(f'Betz{control}') == 'Betz'
    assert isolated(f'الحسن{control}') == '\u2068الحسن\u2069'
    assert keep_direction(f'12{control}-34') == '\u206812-34\u2069'


def test_marks_that_turn_nothing_around_stay():
    assert plain("\u200eBetz\u200f") == "\u200eBetz\u200f"
    assert plain('') == '' and plain(None) is None


def test_what_is_empty_stays_empty():
    assert keep_direction("12-34") == '\u206812-34\u2069'
    assert keep_direction(None) is None
    assert keep_direction('') == ''
