# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads back reports that were printed as PDF."""
import re
import subprocess
from html import unescape

from barcode.charsets import code128
from PIL import Image


class Printed:
    """A report as PDF."""

    def __init__(self, content, folder):
        assert content.startswith(b'%PDF')
        self.path = folder / 'report.pdf'
        self.path.write_bytes(content)

    def _run(self, program, *options):
        return subprocess.run(
            [program, *options, self.path, *(
                    ['-'] if program == 'pdftotext' else [])],
            check=True, capture_output=True).stdout.decode()

    @property
    def pages(self):
        return self._run('pdftotext', '-layout').split('\f')[:-1]

    @property
    def text(self):
        """All its text, blanks and line ends as one blank."""
        return ' '.join(' '.join(self.pages).split())

    @property
    def words(self):
        """Return words with their page, left and top in points."""
        found = []
        pages = self._run('pdftotext', '-bbox').split('<page ')[1:]
        for number, page in enumerate(pages):
            for left, top, word in re.findall(
                    r'xMin="([\d.]+)" yMin="([\d.]+)"[^>]*>([^<]*)<', page):
                found.append((unescape(word), number, float(left),
                        float(top)))
        return found

    @property
    def pictures(self):
        """Width and height in points of the pictures, in their order."""
        lines = self._run('pdfimages', '-list').splitlines()[2:]
        return [line.split() for line in lines if ' image ' in line]

    def image(self, page=1, resolution=36):
        """Return a page as a picture of some pixels per inch."""
        subprocess.run(
            ['pdftoppm', '-png', '-r', str(resolution),
                '-f', str(page), '-l', str(page),
                '-singlefile', self.path, self.path.with_suffix('')],
            check=True)
        return Image.open(self.path.with_suffix('.png')).convert('RGB')

    def bars(self, page=1):
        """Return what the Code 128 on a page says, read as a scanner does:
        bar by bar, along a line."""
        image = self.image(page, 600).convert('L')
        for top in range(0, image.height, 12):
            row = image.crop((0, top, image.width, top + 1)).tobytes()
            dark = ''.join('1' if value < 128 else '0' for value in row)
            text = _read_bars([len(run) for run in re.findall(
                        '1+|0+', dark.strip('0'))])
            if text:
                return text


def _read_bars(widths):
    """Return the text of a Code 128 (ISO/IEC 15417), None when it is none.

    :param widths: of its bars and of what is between them, in pixels
    """
    # Six for a symbol, and the two bars that end it.
    if len(widths) < 25 or len(widths) % 6 != 1:
        return None
    values = []
    for place in range(0, len(widths) - 7, 6):
        some = widths[place:place + 6]
        module = sum(some) / 11
        code = ''.join(
            bar * round(width / module) for bar, width in zip('101010', some))
        if code not in code128.CODES:
            return None
        values.append(code128.CODES.index(code))
    *values, check = values
    if check != (values[0] + sum(
                place * value for place, value in enumerate(values))) % 103:
        return None
    return _decoded(values)


def _decoded(values):
    "Return the text of the values of symbols, the first of which begins it."
    letters = {value: text for text, value in code128.B.items()}
    text, digits = '', values[0] == code128.START_CODES['C']
    for value in values[1:]:
        # Code B from C, and C from B.
        if value == (100 if digits else 99):
            digits = not digits
        else:
            text += f'{value:02}' if digits else letters[value]
    return text
