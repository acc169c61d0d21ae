# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Template files of the profile MRRT become texts with pick lists, and no
word of them is lost; words for sides."""
from pathlib import Path

import pytest
from lxml import html

from trytond.modules.health_imaging import mrrt, picks, sides

ROOT = Path(__file__).parents[2]
FILES = sorted([
        *(ROOT / 'health_imaging/data').glob('*.html'),
        *(ROOT / 'tests/data/mrrt').glob('*.html')])


def words(text):
    return ' '.join(text.split())


def visible(content):
    "Return the texts that a browser shows."
    root = html.document_fromstring(content.decode('utf-8'))
    found = set()
    for element in root.find('body').iter():
        inside = element.tag not in {'script', 'style', html.etree.Comment}
        found |= {words(text) for text in [
                element.text if inside else None, element.tail]
            if text and text.strip()}
    return found


def test_there_are_ten_files():
    assert len(FILES) == 10
    assert all((path.parent / 'NOTICE.txt').exists() for path in FILES)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_no_text_of_a_file_is_lost(path):
    content = path.read_bytes()
    template = mrrt.read(content)
    kept = words(' '.join(template.texts.values()))
    lost = ' \n '.join(lost.text for lost in template.lost)
    texts = visible(content)
    assert len(texts) > 50
    assert not {t for t in texts if t not in kept and t not in lost}
    for text in template.texts.values():
        assert not picks.check(text)
    assert template.name and template.language == 'de'
    assert len(picks.find(template.texts['comment'])) >= 15
    assert 'Reiger-Ochsner' in template.notice


PAGE = """<!DOCTYPE html><html lang="en"><head><title> Chest  CT </title>
<meta name="dcterms.creator" content="A. Person"><script>alert(1)</script>
</head><body>
<section data-section-name="Procedure Information"><header>Procedure</header>
<p><label for="a">Dose</label> <input id="a" type="number" placeholder="mGy"
  min="0"></p><p>Contrast: <select><option>none</option>
<option>iodine [300|350]</option></select></p></section>
<section data-section-name="Findings">
<p>Lungs <textarea>Clear.</textarea> m<sup>2</sup> <b>Nodule</b>
<input type="text" value="no"> <input type="text"></p>
<p><input type="checkbox">Bare <input type="radio" name="q">yes
<input type="radio" name="q">no</p><h2>Diagnosis</h2><p>Mass [mm] a]</p>
<h2>Other</h2><p>Left lung<br>end</p></section>
<section data-section-name="Impression"><p>[a|b] or [sic</p>
<button>Copy</button><style>p {}</style><script>write('x')</script></section>
</body></html>"""


def test_sections_and_fields():
    template = mrrt.read(PAGE.encode())
    assert (template.name, template.language, template.notice) == (
        "Chest CT", 'en', "A. Person")
    assert list(template.texts.values()) == [
        "Dose [__ mGy]\nContrast: [none|iodine (300/350)]", '',
        "Lungs Clear. m2 Nodule no [__]\n[Bare|–] [yes|no]\nOther\n"
        "Left lung\nend", "Mass (mm) a)\n(a|b) or (sic"]
    assert {tuple(lost) for lost in template.lost} == {
        ('script', "alert(1)"), ('script', "write('x')"), ('style', "p {}"),
        ('button', "Copy"), ('limits', '1'), ('heading', "Procedure"),
        ('heading', "Diagnosis"), ('brackets', "iodine [300|350]"),
        ('brackets', "Mass [mm] a]"), ('brackets', "[a|b] or [sic")}


@pytest.mark.parametrize('content, code', [
        (b'x' * (mrrt.LIMIT + 1), 'large'), (b'', 'unreadable'),
        (b'\0\1', 'unreadable'), (b'<html></html>', 'unreadable')])
def test_other_files_are_refused(content, code):
    with pytest.raises(mrrt.Refused, match=code):
        mrrt.read(content)


def test_nothing_outside_of_the_file_is_read(tmp_path):
    secret = tmp_path / 'secret'
    secret.write_text("Secret words")
    for content in [
            f'<!DOCTYPE p [<!ENTITY a SYSTEM "{secret.as_uri()}">]>'
            '<p>Text &a;</p>',
            '<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
            '<p>Text &b;</p>',
            f'<iframe src="{secret.as_uri()}"></iframe><p>Text</p>']:
        text = ' '.join(mrrt.read(content.encode()).texts.values())
        assert "Text" in text and "Secret" not in text
        assert "aaaaaaaa" not in text
    # Latin letters that the file itself announces, and deep nesting.
    assert "señal" in str(mrrt.read(
            '<meta charset="iso-8859-1"><p>señal</p>'.encode('latin-1')))
    try:
        mrrt.read(b'<div>' * 100_000 + b'x')
    except mrrt.Refused:
        pass


@pytest.mark.parametrize('text, found', [
        ("Left knee", 'left'), ("knee, rt.", 'right'), ("linkes Knie", 'left'),
        ("Knie re.", 'right'), ("re Knie", ''), ("Rodilla izquierda", 'left'),
        ("mano dcha.", 'right'), ("main droite", 'right'),
        ("main gauche", 'left'), ("mano destra", 'right'),
        ("piede sx", 'left'), ("joelho esquerdo", 'left'),
        ("mão direita", 'right'), ("左膝关节", 'left'), ("右手", 'right'),
        ("الركبة اليسرى", 'left'), ("اليد اليمنى", 'right'),
        ("beide Hände", 'both'), ("双侧", 'both'), ("hip, bilateral", 'both'),
        ("destruction", ''), ("Head", ''), (None, ''),
        ("left and right", 'left right'), ("leftover bright", '')])
def test_sides_are_found_in_eight_languages(text, found):
    assert ' '.join(sorted(sides.named(text))) == found


def test_sides_that_contradict():
    def of(exam, *texts, own=()):
        return (sides.contradiction(exam, texts, own) or ('',))[0]
    assert of("Left hand", "Left.", "Normal.") == ''
    assert of("Left hand", "Normal.", None) == 'side_missing'
    assert of("Left hand", "Left.", "Right.") == 'side_other'
    assert of("Left hand", "Left as right.") == of("Left hand", "Both.") == ''
    assert of("Hands", "Left.") == of("Both hands", "Left.") == ''
    own = [('Laev', 'left'), ('right', 'none'), ('dex*', 'right')]
    assert of("hand laev", "Dexter.", own=own) == 'side_other'
    assert of("right hand", "x", own=own) == ''
    assert [sides.is_pattern(word) for word in [
            'left', '*左*', 'li.', 'a*', '', '*', 'a b', 'a|b', '(a']] \
        == [True] * 4 + [False] * 5
