# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which letters survive between a template's character set and the encoding in
which Orthanc answers."""

ENCODINGS = {
    # Names of Orthanc's DefaultEncoding, and Python's.
    'Ascii': 'ascii',
    'Utf8': 'utf-8',
    'Latin1': 'iso8859-1',
    'Latin2': 'iso8859-2',
    'Latin3': 'iso8859-3',
    'Latin4': 'iso8859-4',
    'Latin5': 'iso8859-9',
    'Cyrillic': 'iso8859-5',
    'Windows1251': 'cp1251',
    'Arabic': 'iso8859-6',
    'Greek': 'iso8859-7',
    'Hebrew': 'iso8859-8',
    'Thai': 'tis-620',
    'Japanese': 'shift_jis',
    'Chinese': 'gb18030',
    'Korean': 'euc_kr',
    'JapaneseKanji': 'iso2022_jp',
    'SimplifiedChinese': 'gb2312',
    }
_UNICODE = "\xe9\u0416\u03a9\u0639\u738b\u3042\ud64d"
_LETTERS = {
    'ISO_IR 192': _UNICODE,
    'GB18030': _UNICODE,
    'GBK': "\u738b\u4e1c",
    '\\ISO 2022 IR 87': "\u5c71\u3084\u30a2",
    '\\ISO 2022 IR 87\\ISO 2022 IR 159': "\u5c71\u4e02",
    }


def damages(charset):
    """Whether Orthanc reads a SpecificCharacterSet wrongly and so damages
    letters; tried with Orthanc 1.10.1, which knows two with extensions."""
    return '\\' in charset and charset not in _LETTERS


def letters(charset):
    "Return letters of a SpecificCharacterSet, as many as tell it apart, str."
    from pydicom.charset import python_encoding
    return _LETTERS.get(charset) or bytes(range(0xa1, 0xff)).decode(
        python_encoding.get(charset, 'ascii'), 'ignore')


def fits(texts, codec):
    "Return whether texts can be encoded with a codec of Python."
    try:
        ''.join(texts).encode(codec)
    except UnicodeEncodeError:
        return False
    return True
