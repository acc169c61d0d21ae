# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page of the benchmarks shows of what they told."""
import datetime as dt

import docutils.nodes
import pytest
from docutils.core import publish_doctree
from support.benchmark_page import Section, page

BEGIN = dt.datetime(2026, 3, 2, 10, 0)
POLL = {'test': 'x.py::test_poll', 'what': "poll, 20 new", 'rows': 20,
    'calls': '7 SQL', 'seconds': .1234, 'floor': .1}


def told(line, **values):
    return {**line, **values}


@pytest.fixture
def make(tmp_path):
    "Return a function of the lines before and after that makes the page."
    def make(before, after, text='"""How fast: *always* the ``x_``."""\n'):
        path = tmp_path / 'x.py'
        path.write_text(text)
        return publish_doctree(
            page([Section(path, "small numbers", before, after)],
                BEGIN, BEGIN + dt.timedelta(minutes=12), 'a1', 'b2'),
            settings_overrides={'report_level': 1, 'halt_level': 1})
    return make


def rows(document):
    "Return the texts of the rows of the table of measures."
    *_, table = document.findall(docutils.nodes.tbody)
    return [[entry.astext() for entry in row] for row in table]


def test_before_and_after_stand_in_one_row(make):
    document = make([POLL], [
            told(POLL, what="poll, 3 new", calls='2 SQL', seconds=123.4,
                rows=3, floor=.05)])
    assert rows(document) == [[
            "poll, 3 new", "20 → 3", "7 SQL", "2 SQL", "0.123", "123", "0.1",
            "0.05", "1.23", "2468"]]
    assert 'UTC, 12 minutes' in document.astext()
    assert all(f'Commit {name}' in document.astext() for name in ['a1', 'b2'])


def test_what_is_measured_once_is_shown_alone(make):
    new = told(POLL, what="poll, a template", floor=None)
    gone = told(POLL, what="poll of a former kind")
    assert [(row[0], row[4], row[5], row[9])
        for row in rows(make([POLL, gone], [POLL, new]))] == [
            ("poll, 20 new", "0.123", "0.123", "1.23"),
            ("poll, a template", "", "0.123", ""),
            ("poll of a former kind", "0.123", "", "")]


def test_same_words_are_told_apart_by_their_place(make):
    lines = [told(POLL, seconds=n) for n in [1, 2]]
    assert [row[4:6] for row in rows(make(lines, lines))] == [
        ["1", "1"], ["2", "2"]]


def test_remarks_stand_between_the_rows(make):
    remark = {'test': POLL['test'], 'text': "13 MiB more *memory*"}
    document = make(
        [remark, POLL], [told(remark, text="7 MiB more *memory*"), POLL])
    assert [row[0] for row in rows(document)] == [
        "13 MiB more *memory* → 7 MiB more *memory*", "poll, 20 new"]


@pytest.mark.parametrize('text', [
        "- a dash", "1. a number", "=====", "ends with ::", ".. odd::",
        "C:\\x_ |y|", "a \"word\"", "`x`_"])
def test_no_text_is_a_mark(make, text):
    document = make([], [told(POLL, what=text), {'test': 'x', 'text': text},
            {'test': 'x', 'failure': text}])
    assert [row[0] for row in rows(document)] == [text, text]
    assert f"x: {text}" in document.astext()


def test_what_could_not_be_measured_is_said(make):
    failure = {'test': 'tests/benchmarks/x.py::test_new',
        'failure': "AttributeError: no_such_name_"}
    text = make([failure], [POLL]).astext()
    assert "Not measured before:" in text and "Not measured after" not in text
    assert "x.py::test_new: AttributeError: no_such_name_" in text


@pytest.mark.parametrize('text, told', [
        ('"""Fast."""\nfrom support import fake_pacs\n', True),
        ('"""Fast."""\n', False)])
def test_fake_pacs_is_said(make, text, told):
    assert ("A fake PACS" in make([POLL], [POLL], text).astext()) == told
