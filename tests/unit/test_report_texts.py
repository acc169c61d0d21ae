# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick lists and short codes in the texts of reports."""
import pytest

from trytond.modules.health_imaging import macros, picks


@pytest.mark.parametrize('text,expected', [
        ("Fluid: [none|small|large].", [(['none', 'small', 'large'], None)]),
        ("Node of [__ mm] and [ ___ ]", [([], 'mm'), ([], '')]),
        ("As [sic] written [1], [1, 2] and [0_1]", []),
        # What stands in the way when half of it was deleted.
        ("[none|small\nnext", [(['none', 'small'], None)]),
        ("[a|b [c|d]", [(['a', 'b'], None), (['c', 'd'], None)]),
        ("[a||b]", [(['a', 'b'], None)]),
        ("[sic] a | b", []), (None, []), ("", []),
        ])
def test_pick_lists_are_found(text, expected):
    found = picks.find(text)
    assert [(p.options, p.unit) for p in found] == expected
    assert all(text[p.start:p.end] == p.source for p in found)


@pytest.mark.parametrize('text,expected', [
        ("Right [none|small], [__ mm], [sic]", []), (None, []),
        ("One\nTwo [a|b", [('unbalanced', 2, "[a|b")]),
        ("a|b] two", [('unbalanced', 1, "a|b]")]),
        ("[a|[b|c]]", [('nested', 1, "[a|[b|c]]"), (
                    'unbalanced', 1, "[a|[b|c]]")]),
        ("x [a|]", [('empty', 1, "[a|]")]),
        ("x [ |b|c]", [('empty', 1, "[ |b|c]")]),
        ])
def test_templates_are_checked(text, expected):
    assert picks.check(text) == expected


def test_pick_lists_are_filled():
    text = "Liver: [fatty|normal], [__ cm]; [a|b] [__]"
    assert [p.before for p in picks.find(text)][:1] == ["Liver:"]
    assert picks.fill(text, {0: 'normal', 1: '14', 3: 'x'}) \
        == "Liver: normal, 14 cm; [a|b] x"
    assert picks.fill(None, {}) == picks.fill('', {0: 'x'}) == ''
    assert [picks.is_number(v) for v in [
            '3', '3.5', '3,5', '< 3', '3 x 4', '3-5', 'three', '', '3 mm']] \
        == [True] * 6 + [False] * 3
    assert picks.choice(["a|b", "[c]", "", "a|b"]) == "[a/b|(c)]"
    assert picks.choice(["only"]) == "only"


@pytest.mark.parametrize('text,expected', [
        (".nsf", "Nothing."), (".NSF. Next", "Nothing. Next"),
        ("Lung: .nsf\n(.ok)", "Lung: Nothing.\n(fine)"),
        (".ok.", "fine."), (".ok, .ok; .ok!", "fine, fine; fine!"),
        # Within words, numbers and names nothing is a code.
        ("3.5 e.g. a.nsf .5 .nsfx .nsf-x x.ok .ok.pdf ..ok",
            "3.5 e.g. a.nsf .5 .nsfx .nsf-x x.ok .ok.pdf ..ok"),
        (".pick", "[a|b] .nsf"), (None, None), ("", ""),
        ])
def test_short_codes_are_whole_words(text, expected):
    known = {'.nsf': "Nothing.", '.ok': "fine", '.pick': "[a|b] .nsf"}
    assert macros.expand(text, known) == expected
    assert (expected == text) == (not macros.codes(text) & known.keys())
    for code, is_code in [
            ('.nsf', True), ('.n-1', True), ('nsf', False), ('.5', False),
            ('. x', False), ('.é', True)]:
        assert (macros.codes(code) == {code}) == is_code
