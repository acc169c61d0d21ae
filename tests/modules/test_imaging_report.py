# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The printed report, read back from the PDF that LibreOffice makes."""
import datetime as dt
import io
import re
import types
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import catalogs
from support.printed import Printed
from support.records import (
    as_user, make_attachment, make_exam, make_final, make_institution,
    make_patient, make_picture, make_professional, make_requested, make_result,
    make_user, user)

from trytond.modules.health_imaging.exceptions import (
    NothingSelectedError, OfficeError)
from trytond.pool import Pool
from trytond.transaction import Transaction

NAME = 'patient.imaging_report_results'
# What convert needs of the action of a report.
TO_PDF = types.SimpleNamespace(template_extension='odt', extension='pdf')


@pytest.fixture
def radiologist(hospital, transaction):
    return user('radiologist')


@pytest.fixture
def printed(tmp_path):
    def run(result, **context):
        Report = Pool().get(NAME, type='report')
        with Transaction().set_context(**context):
            extension, content, direct, name = Report.execute([result.id], {})
        assert extension == 'pdf'
        assert not direct
        assert result.number in name
        return Printed(content, tmp_path)
    return run


def institution():
    found, = Pool().get('gnuhealth.institution').search([])
    return found


def test_what_it_says(radiologist, printed):
    party = institution().party
    Pool().get('party.address').create([{
                'party': party.id, 'street': "Av. Arequipa 123",
                'postal_code': '15001', 'city': "Lima"}])
    Pool().get('party.contact_mechanism').create([
            {'party': party.id, 'type': 'phone', 'value': '+51 1 555 0100'},
            {'party': party.id, 'type': 'email', 'value': 'x@example.org'},
            {'party': party.id, 'type': 'website',
                'value': 'https://example.org'}])
    context, = Pool().get('gnuhealth.pathology').create(
        [{'name': "Concussion", 'code': 'S06.0'}])
    request = make_requested(
        patient=make_patient("Remedios", "Quiroga", 'f',
            dt.date(1984, 2, 29), ref='PU-77'),
        exam=make_exam("Head CT"), context=context.id,
        doctor=make_professional(name="Hans", lastname="Meier"),
        date=dt.datetime(2026, 5, 4, 2, 30), request='ORD7')
    result = make_final(radiologist, request=request,
        date=dt.datetime(2026, 5, 4, 4, 15),
        comment="Technique: plain.\n\nImpression: 3 < 5 & \"normal\".")
    with Transaction().set_user(radiologist.id):
        text = printed(result).text
    for part in [
            "Hospital Santa Rosa Av. Arequipa 123", "15001 Lima",
            "+51 1 555 0100 x@example.org https://example.org",
            "Patient Quiroga, Remedios", "PUID PU-77",
            "Date of birth 02/29/1984", "Age at exam 42y 2m 4d",
            "Sex Female", "Exam Head CT", f"Result {result.number}",
            "Order, accession ORD7", "Request ORD7-01-01",
            "Requested by Meier, Hans",
            "Requested for 05/03/2026 21:30 (UTC-05:00)",
            "Date of the exam 05/03/2026 23:15 (UTC-05:00)",
            "Clinical context S06.0 : Concussion",
            "Technique: plain. Impression: 3 < 5 & \"normal\".",
            "Signed by Luna, Rosa on", "Revision 0",
            f"Quiroga, Remedios - PU-77 {result.number}, revision 0 "
            "Page 1 of 1",
            ]:
        assert part in text, part
    assert "PRELIMINARY" not in text
    assert "Amended" not in text


@pytest.mark.parametrize('zone, expected', [
        ('America/Lima', '05/04/2026 07:00 (UTC-05:00)'),
        ('Asia/Kathmandu', '05/04/2026 17:45 (UTC+05:45)'),
        ('Europe/Madrid', '05/04/2026 14:00 (UTC+02:00)'),
        ('UTC', '05/04/2026 12:00 (UTC+00:00)'),
        (None, '05/04/2026 12:00 (UTC+00:00)'),
        ])
def test_times_are_local_with_their_zone(transaction, zone, expected):
    make_institution(timezone=zone)
    Report = Pool().get(NAME, type='report')
    assert Report._local(dt.datetime(2026, 5, 4, 12)).split() \
        == expected.split()
    assert Report._local(None) == ''


def test_times_before_there_were_zones(transaction):
    make_institution(timezone='America/Lima')
    Report = Pool().get(NAME, type='report')
    assert Report._local(dt.datetime(1890, 5, 4, 12)).endswith("(UTC-05:08)")


def test_dates_are_of_the_language_of_the_user(transaction):
    make_institution()
    Report = Pool().get(NAME, type='report')
    with Transaction().set_context(language='de'):
        assert Report._local(dt.datetime(2026, 5, 4, 12)).split()[:2] == [
            '04.05.2026', '07:00']
        assert Report._day(dt.date(2026, 5, 4)) == '04.05.2026'


def test_preliminary_is_written_across_each_page(radiologist, printed):
    result = make_result(comment="\n".join(["Line."] * 120))
    report = printed(result)
    assert len(report.pages) > 2
    for number, page in enumerate(report.pages):
        assert "PRELIMINARY, not signed" in page
        # Words that are not level come in pieces.
        pieces = sorted(
            (left, word) for word, at, left, _ in report.words
            if at == number and set(word) <= set("PRELIMINARY"))
        assert ''.join(word for _, word in pieces) == "PRELIMINARY"
    assert "Preliminary result, not signed." in report.text


def test_letters_of_preliminary_rise_across_the_page(radiologist, printed):
    result = make_result(comment="x")
    image = printed(result).image()
    dark = [
        (x, y) for x in range(0, 297, 3) for y in range(170, 380, 3)
        if image.getpixel((x, y)) != (255, 255, 255)]
    assert max(x for x, _ in dark) - min(x for x, _ in dark) > 60


def test_page_of_a_final_result_is_clean(radiologist, printed):
    report = printed(make_final(radiologist))
    assert "PRELIMINARY" not in report.text
    image = report.image()
    assert all(
        image.getpixel((x, y)) == (255, 255, 255)
        for x in range(0, 297, 3) for y in range(240, 370, 3))


def test_final_without_signature(radiologist, printed):
    """As results of former releases are."""
    result = make_final(radiologist)
    table = type(result).__table__()
    Transaction().connection.cursor().execute(*table.update(
            [table.signed_by, table.signed_at], [None, None],
            where=table.id == result.id))
    for cache in Transaction().cache.values():
        cache.clear()
    text = printed(result).text
    assert "Final result." in text
    assert "Signed by" not in text


def test_amended(radiologist, printed):
    result = make_final(radiologist)
    type(result).reopen([result], "Wrong side.")
    with as_user(radiologist):
        type(result).finalize([type(result)(result.id)])
    report = printed(result)
    assert "revision 1" in report.text
    signed = dt.datetime.now().strftime('%m/')
    assert re.search(
        "Imaging report Amended: Wrong side. Revision 1, it replaces "
        rf"revision 0, signed on {signed}.* \(UTC-05:00\) Patient",
        report.text)


def test_written_sections_with_the_question_before_them(radiologist, printed):
    request = make_requested(comment="Bleeding?")
    result = make_final(radiologist, request=request,
        comment="No bleeding.", impression="Normal.\nNo control needed.")
    report = printed(result)
    assert (
        "Clinical question Bleeding? Findings No bleeding. "
        "Impression Normal. No control needed. Signed by") in report.text
    assert not {"Technique", "Comparison", "Interpretation"} & set(
        report.text.split())
    # The impression stands in a box.
    top, = (y for word, _, _, y in report.words if word == "Normal.")
    image = report.image()
    inside, outside = (
        image.getpixel((image.width // 2, round(at / 2)))
        for at in [top + 4, top - 60])
    assert inside != outside


def test_a_report_of_a_former_release_is_printed_as_before(
        radiologist, printed):
    request = make_requested(comment="Bleeding?")
    text = printed(make_final(
            radiologist, request=request, comment="No bleeding.")).text
    assert "Interpretation No bleeding. Signed by" in text
    assert "Bleeding?" not in text


def test_both_readers_are_printed(radiologist, printed):
    exam = make_exam("Mammography", second_reader=True)
    result = make_result(make_requested(exam=exam), comment="Clear.")
    other = make_user(
        'second', 'health_imaging.group_health_imaging_reporting')
    make_professional(other, "Ines", "Paz")
    for reader, shown, absent in [
            (radiologist, ["Preliminary, read by Luna, Rosa on"],
                ["Signed by", "Preliminary result"]),
            (other, ["Read first by Luna, Rosa on", "Signed by Paz, Ines on"],
                ["reliminary"])]:
        with as_user(reader, _skip_warnings=True):
            type(result).finalize([type(result)(result.id)])
        text = printed(result).text
        assert all(words in text for words in shown)
        assert not any(words in text for words in absent)


def test_nothing_written_yet(radiologist, printed):
    text = printed(make_result()).text
    assert "Not yet written." in text


def test_result_without_a_request(radiologist, printed):
    Result = Pool().get('gnuhealth.imaging.test.result')
    result, = Result.create([{
                'patient': make_patient(dob=None).id,
                'requested_test': make_exam().id,
                'doctor': make_professional().id}])
    text = printed(result).text
    assert "Requested by" in text
    assert "Clinical context" not in text
    assert "Age at exam" in text


def test_without_institution(radiologist, printed):
    """There are two, and nothing says which."""
    make_institution("Other hospital")
    User = Pool().get('res.user')
    User.write([User(1)], {'company': None})
    text = printed(make_result(comment="x")).text
    assert text.startswith("PRELIMINARY, not signed Imaging report")


def test_institution_without_a_name(radiologist):
    Report = Pool().get(NAME, type='report')
    place = institution()
    type(place.party).write([place.party], {'name': None})
    assert Report._header_lines(institution()) == []


@pytest.mark.parametrize('size', [(400, 100), (100, 400)])
def test_logo(radiologist, printed, size):
    type(institution()).write([institution()], {
            'picture': make_picture(color='red', size=size)})
    report = printed(make_final(radiologist))
    assert len(report.pictures) == 1
    image = report.image()
    reds = [
        (x, y) for x in range(297) for y in range(120)
        if image.getpixel((x, y))[0] > 200
        and image.getpixel((x, y))[2] < 90]
    assert min(x for x, _ in reds) > 148
    # At most 4 cm wide and 2 cm high.
    width = max(x for x, _ in reds) - min(x for x, _ in reds)
    height = max(y for _, y in reds) - min(y for _, y in reds)
    assert 5 < width <= 58 and 5 < height <= 30


def test_broken_logo_is_left_out(radiologist, printed):
    type(institution()).write([institution()], {'picture': b'no logo'})
    assert not printed(make_final(radiologist)).pictures


# The pictures


def make_images(result):
    for name, data in [
            ('one.png', make_picture(size=(400, 300))),
            ('notes.pdf', b'%PDF-1.4'),
            ('two.jpg', make_picture(size=(300, 900), kind='JPEG')),
            ('film.mp4', b'\0\0\0\x18ftypmp42'),
            ('three.tif', make_picture(kind='TIFF', mode='I;16', color=9)),
            ('half.png', make_picture()[:50]),
            ('four.png', make_picture(mode='RGBA', color=(0, 0, 0, 0))),
            ('five.png', make_picture()),
            ]:
        make_attachment(result, name, data)
    Pool().get('ir.attachment').create([{
                'name': 'link', 'type': 'link', 'resource': str(result),
                'link': 'https://example.org/six.png'}])


def places(report, words):
    """Return page, column and top of the first of each of the words."""
    found = {}
    for word, page, left, top in report.words:
        found.setdefault(word, (page, left > 297, top))
    return [found[word] for word in words]


def test_pictures_in_order_two_in_a_row(radiologist, printed):
    result = make_result(comment="x")
    make_images(result)
    # The client may have asked for sizes in place of data.
    report = printed(result, **{'ir.attachment.data': 'size'})
    assert len(report.pictures) == 5
    one, two, three, four, five = places(report, [
            'one.png', 'two.jpg', 'three.tif', 'four.png', 'five.png'])
    assert [place[1] for place in [one, two, three, four, five]] == [
        False, True, False, True, False]
    assert one[0] == two[0] and three[0] == four[0]
    assert one[:1] + one[2:] <= three[:1] + three[2:]
    assert three[:1] + three[2:] < five[:1] + five[2:]
    for absent in ['notes.pdf', 'film.mp4', 'half.png', 'link']:
        assert absent not in report.text


def test_descriptions_are_captions(radiologist, printed):
    result = make_result(comment="x")
    make_attachment(result, 'a.png', description="Coronal\nslice 5 of 20")
    make_attachment(result, 'b.png')
    text = printed(result).text
    assert "Coronal slice 5 of 20" in text
    assert "a.png" not in text
    assert "b.png" in text


@pytest.mark.parametrize('style, pictures, captions', [
        ('default', 1, True), ('no_image_comments', 1, False),
        ('no_images', 0, False)])
def test_styles(radiologist, printed, style, pictures, captions):
    result = make_result(comment="x", report_style=style)
    make_attachment(result, 'a.png', description="Coronal")
    report = printed(result)
    assert len(report.pictures) == pictures
    assert ("Coronal" in report.text) == captions
    assert ("Images" in report.text) == bool(pictures)


def test_pictures_fit_their_column(radiologist, printed):
    result = make_final(radiologist)
    result = make_result(comment="x")
    make_attachment(result, 'wide.png', make_picture(
            size=(3000, 100), color='red'))
    make_attachment(result, 'high.png', make_picture(
            size=(100, 3000), color='red'))
    report = printed(result)
    image = report.image(places(report, ['wide.png'])[0][0] + 1)
    reds = [
        (x, y) for x in range(297) for y in range(421)
        if image.getpixel((x, y))[0] > 200
        and image.getpixel((x, y))[2] < 60]
    assert min(x for x, _ in reds) >= 28
    assert max(x for x, _ in reds) <= 297 - 28
    height = max(y for _, y in reds) - min(y for _, y in reds)
    assert height <= 9 / 2.54 * 36 + 2


# The text


def test_paragraphs_lines_and_indents_are_kept(radiologist, printed):
    result = make_final(radiologist, comment=(
            "\nFindings\n  - liver:  12 cm\n\tspleen\n\n\nImpression\n\n"))
    lines = printed(result).pages[0].splitlines()
    start = next(
        n for n, line in enumerate(lines) if "Interpretation" in line)
    shown = [line.rstrip() for line in lines[start + 1:] if line.strip()]
    assert [line.strip() for line in shown[:4]] == [
        "Findings", "- liver: 12 cm", "spleen", "Impression"]
    report = printed(result)
    left = {word: x for word, _, x, _ in report.words}
    assert left['Findings'] + 20 > left['liver:'] > left['spleen'] \
        > left['Findings'] + 5
    top = {word: y for word, _, _, y in report.words}
    assert top['Impression'] - top['spleen'] > 2 * (
        top['spleen'] - top['liver:'])


def test_very_long_text(radiologist, printed):
    words = [f'word{n}' for n in range(9000)]
    result = make_final(radiologist, comment=' '.join(words[:8000]) + '\n'
        + 'x' * 3000 + '\n' + '\n'.join(words[8000:]))
    report = printed(result)
    pages = report.pages
    assert len(pages) > 20
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert "Hospital Santa Rosa" in page
        assert result.number in page
    found = [w for w in report.text.split() if re.fullmatch(r'word\d+', w)]
    assert found == words


def test_scripts(radiologist, printed):
    result = make_final(radiologist,
        request=make_requested(patient=make_patient("محمد", "العربي")),
        comment="لا يوجد كسر (CT 5 mm).\n头部平扫，未见出血。\n"
        "頭部に異常なし。\n뇌출혈 없음.\nПерелома нет.\n"
        "Δεν υπάρχει κάταγμα.\nKeine Brüche, größer.")
    report = printed(result)
    text = report.text
    for part in ["头部平扫", "頭部に異常なし", "뇌출혈", "Перелома нет",
            "κάταγμα", "Keine Brüche, größer."]:
        assert part in text, part
    fonts = report._run('pdffonts')
    assert 'CJK' in fonts
    # Nothing is drawn as an empty box.
    assert '\ufffd' not in text
    left = {word: x for word, _, x, _ in report.words}
    assert left['5'] > 297 > left['Перелома']


def test_arabic_runs_from_the_right(transaction):
    Report = Pool().get(NAME, type='report')
    assert Report._paragraphs(
        "1. كسر\n5 mm\nA كسر\n\nעברית") == [
        (True, "1. كسر"), (False, "5 mm"), (False, "A كسر"), (False, ""),
        (True, "עברית")]
    assert Report._paragraphs(None) == []


def test_what_has_no_letters_runs_as_the_language(transaction):
    catalogs.install('ar')
    Report = Pool().get(NAME, type='report')
    with Transaction().set_context(language='ar'):
        assert Report._paragraphs("12.5 / 3\nA 1\nكسر") == [
            (True, "12.5 / 3"), (False, "A 1"), (True, "كسر")]


def test_a_language_from_the_right_turns_the_page(radiologist, printed):
    """Labels stand on the right of their values, the first column and the
    first picture on the right; a text in English runs from the left still."""
    catalogs.install('ar')
    result = make_result(request=make_requested(
            patient=make_patient("Remedios", "Quiroga", ref='PU-77'),
            request='ORD7'),
        comment="Latin words.\nالرأس طبيعي.")
    make_attachment(result, 'one.png')
    make_attachment(result, 'two.png')
    report = printed(result, language='ar')
    left = {}
    for word, _, x, _ in report.words:
        # Arabic words are told as they stand, from the left.
        left.setdefault(word[::-1] if 'ا' <= word[0] <= 'ي' else word, x)
    assert left['تاريخ'] > left['Remedios'] > left['الطبي'] > left['PU-77']
    assert left['one.png'] > 297 > left['two.png']
    assert left['Latin'] < 60 and left['الرأس'] > 480
    assert left['صفحة'] < 150
    assert "ORD7-01-01" in report.text


@pytest.mark.parametrize('language', ['ar', 'en'])
def test_numbers_are_not_turned_around(radiologist, printed, language):
    """A number with blanks or dashes keeps its order behind Arabic words and
    in a line of its own."""
    catalogs.install('ar')
    Pool().get('party.contact_mechanism').create([{
                'party': institution().party.id, 'type': 'phone',
                'value': '+51 1 555 0100'}])
    result = make_final(radiologist, request=make_requested(
            patient=make_patient("محمد", "العربي", ref='12-34-56'),
            request='2026-0007'))
    report = printed(result, language=language)
    phone = {word: x for word, _, x, _ in report.words
        if word in {'555', '0100'}}
    assert phone['555'] < phone['0100']
    # In the table and at the foot.
    assert report.text.count('12-34-56') == 2
    assert '2026-0007-01-01' in report.text
    found = [word for word, *_ in report.words]
    assert '56-34-12' not in found


def test_no_name_turns_around_what_stands_beside_it(radiologist, printed):
    result = make_result(comment="x", request=make_requested(
            patient=make_patient("Reme\u202edios", "Qui\u2067roga")))
    Pool().get('ir.attachment').create([{
                'name': 'a.png', 'type': 'data', 'data': make_picture(),
                'resource': str(result), 'description': "Axi\u202eal"}])
    with Transaction().set_context(language='en'):
        assert result.rec_name.endswith("- Quiroga, Remedios")
        assert result.request.rec_name.endswith("- Quiroga, Remedios")
    text = printed(result).text
    assert "Patient Quiroga, Remedios" in text
    assert "Axial" in text


def test_letters_of_all_scripts_are_as_large_and_as_bold(
        radiologist, printed):
    result = make_result(comment="x")
    title = {}
    for language in ['ar', 'zh_CN', 'en']:
        if language != 'en':
            catalogs.install(language)
        report = printed(result, language=language)
        assert 'Bold' in report._run('pdffonts')
        sizes = re.findall(r'yMin="([\d.]+)"[^>]*yMax="([\d.]+)"',
            report._run('pdftotext', '-bbox'))
        title[language] = max(
            float(bottom) - float(top) for top, bottom in sizes)
    # The word across the page is by far the largest.
    assert min(title.values()) > 40, title


def test_control_characters_do_not_stop_it(radiologist, printed):
    result = make_final(radiologist,
        comment="be\x01fore\x0bafter\x1b[0m \ufffe end")
    make_result(comment="x")
    text = printed(result).text
    assert "fore" in text and "after" in text and "end" in text


def test_texts_are_no_template(radiologist, printed):
    result = make_final(radiologist,
        comment="${1 + 1} <b>bold</b> {% if x %} $record &amp;")
    text = printed(result).text
    assert "${1 + 1} <b>bold</b> {% if x %} $record &amp;" in text


# Around it


def test_several_results_are_several_files(radiologist):
    Report = Pool().get(NAME, type='report')
    ids = [make_final(radiologist).id for _ in range(3)]
    extension, content, _, _ = Report.execute(ids, {})
    assert extension == 'zip'
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert len(archive.namelist()) == 3
        for name in archive.namelist():
            assert archive.read(name).startswith(b'%PDF')


def test_nothing_selected_has_its_message(transaction):
    Report = Pool().get(NAME, type='report')
    with pytest.raises(NothingSelectedError) as error:
        Report.execute([], {})
    assert "Select at least one" in error.value.message


@pytest.mark.parametrize('mode', [None, 0o644])
def test_missing_office_says_what_to_install(
        radiologist, monkeypatch, tmp_path, mode):
    Report = Pool().get(NAME, type='report')
    result = make_final(radiologist)
    if mode:
        office = tmp_path / 'soffice'
        office.touch()
        office.chmod(mode)
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(OfficeError) as error:
        Report.execute([result.id], {})
    assert "libreoffice-writer-nogui" in error.value.message


@pytest.mark.parametrize('script, message', [
        ('exit 1', "could not make the report"),
        ('exit 0', "could not make the report"),
        ('exec /bin/sleep 60', "was not ready after 1 seconds")])
def test_office_that_fails_has_its_message(
        transaction, monkeypatch, tmp_path, script, message):
    Report = Pool().get(NAME, type='report')
    office = tmp_path / 'soffice'
    office.write_text(f'#!/bin/sh\n{script}\n')
    office.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(OfficeError) as error:
        Report.convert(TO_PDF, b'', timeout=1)
    assert message in error.value.message


def test_several_are_made_at_once_without_a_home(
        radiologist, monkeypatch, tmp_path):
    Report = Pool().get(NAME, type='report')
    Action = Pool().get('ir.action.report')
    action, = Action.search([('report_name', '=', NAME)])
    record, = Report._get_records(
        [make_final(radiologist).id], 'gnuhealth.imaging.test.result', {})
    data = Report.render(action, Report.get_context([record], {}, {}))
    monkeypatch.delenv('HOME')
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(
                lambda _: Report.convert(TO_PDF, data), range(4)))
    assert all(content.startswith(b'%PDF') for _, content in made)


def test_report_of_another_kind_needs_no_office(radiologist, monkeypatch):
    Action = Pool().get('ir.action.report')
    action, = Action.search([('report_name', '=', NAME)])
    own, = Action.copy([action], default={'extension': ''})
    Report = Pool().get(NAME, type='report')
    result = make_final(radiologist)
    monkeypatch.setenv('PATH', '')
    extension, content, _, _ = Report.execute(
        [result.id], {'action_id': own.id})
    assert (extension, content[:2]) == ('odt', b'PK')


def test_user_of_health_imaging_prints(radiologist):
    result = make_final(radiologist)
    make_attachment(make_result())
    with as_user(radiologist):
        Report = Pool().get(NAME, type='report')
        extension, content, _, _ = Report.execute([result.id], {})
    assert content.startswith(b'%PDF')
