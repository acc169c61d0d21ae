# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds contrast media in what people write about allergies, in the eight
languages of the suite."""
import re
import unicodedata

from .facts import BARIUM, GADOLINIUM, IODINATED, MICROBUBBLES

#: A contrast medium of a kind that is not said, and iodine that may be that of
#: a disinfectant.
ANY, IODINE = 'any', 'iodine'

# Beginnings of words, in small letters without accents.
_AGENTS = {
    IODINATED: [
        'accupaque', 'amidotriz', 'cystografin', 'diatriz', 'gastrografin',
        'hexabrix', 'hypaque', 'imeron', 'iobitridol', 'iodixanol', 'iohexol',
        'iomeprol', 'iomeron', 'iopamid', 'iopamir', 'iopromid', 'iothalam',
        'iotrolan', 'ioversol', 'ioxagl', 'ioxitalam', 'isovue', 'jopamiro',
        'lipiodol', 'omnipaque', 'optiray', 'oxilan', 'peritrast', 'radialar',
        'renografin', 'telebrix', 'ultravist', 'urografin', 'urovist',
        'visipaque', 'xenetix', '碘海醇', '碘普罗胺', '碘佛醇', '碘克沙醇',
        '碘帕醇', '碘美普尔', '优维显', '欧乃派克', '泛影葡胺'],
    GADOLINIUM: [
        'artirem', 'clariscan', 'cyclolux', 'dotagraf', 'dotarem', 'elucirem',
        'eovist', 'gadavist', 'gado', 'gbca', 'magnegita', 'magnevist',
        'multihance', 'omniscan', 'optimark', 'primovist', 'prohance',
        'vueway', 'جادولينيوم', 'غادولينيوم', 'الجادولينيوم', 'الغادولينيوم',
        'قادولينيوم', '钆'],
    BARIUM: [
        'bario', 'barita', 'barium', 'baryt', 'baryum', 'micropaque',
        'باريوم', 'الباريوم', '钡'],
    MICROBUBBLES: [
        'definity', 'lumason', 'luminity', 'microbolh', 'microboll',
        'microbubbl', 'microbulle', 'microburbuj', 'mikroblas', 'optison',
        'perflutren', 'sonazoid', 'sonovue', 'sulfur hexafluor',
        'sulphur hexafluor', 'فقاعات', '微泡', '六氟化硫'],
    }
# Also inside words, as in "Jodkontrastmittel" and "radiocontrast".
_CONTRAST_INSIDE = ['contrast', 'kontrast']
_CONTRAST = [
    'radiopaque', 'radiographic dye', 'x-ray dye', 'xray dye', 'ct dye',
    'iv dye', 'i.v. dye', 'intravenous dye', 'km-allerg', 'km allerg', 'mdc',
    'pdc', 'التباين', 'تباين', 'ظليل', 'الظليل', 'الصبغه', 'صبغه',
    '造影', '对比剂', '显影剂']
_IODINE = [
    'iod', 'jod', 'yod', 'iodine', 'ioduro', 'يود', 'اليود', '碘']
# Disinfectants, medicines, and dyes, which are not always those of X-rays.
_OTHER_IODINE = [
    'amiodaron', 'betadin', 'braunol', 'betaisodona', 'disinfect', 'desinf',
    'disinfett', 'lugol', 'polyvidon', 'povidon', 'topionic', 'iodopovid',
    'yodopovid', 'antisept', 'dye', 'مطهر', '聚维酮', '碘伏', '消毒']
# Words for what is denied, counted only beside a word for an allergy: "no
# contrast" forbids it.
_NOT = re.compile(
    r'\b(no|not|non|never|without|denies|denied|negative|kein\w*|nicht|ohne|'
    r'nie|verneint|sin|niega|ningun\w*|pas|sans|aucun\w*|senza|nega|'
    r'nessun\w*|sem|nao|nenhum\w*)\b|(?:^|\s)(لا|ليس|ليست|بدون|ينفي)(?:\s|$)|'
    r'无|無|没有|沒有|否认|否認|未见')
# Also inside words, as in "Kontrastmittelallergie".
_ALLERGY = [
    'allerg', 'alerg', 'hypersens', 'hipersens', 'ipersens', 'uberempf',
    'reaction', 'reaccion', 'reaktion', 'reazion', 'reacao', 'حساسيه',
    'تحسس', '过敏', '過敏']
_ENDS = re.compile(
    r'[.,;\n\r!?。，、；！？،؛]+|\b(?:but|aber|pero|mais|ma|mas)\b')

# ICD-10 and ICD-10-CM without the dot, as beginnings.
_CODES = {
    'Z91041': IODINATED, 'T508X5': ANY, 'Y575': IODINATED, 'T508': ANY}


def plain(text):
    """Return a text in small letters without accents.

    :param str text: any
    :rtype: str
    """
    spread = unicodedata.normalize('NFKD', text.casefold())
    # Arabic spellings of one letter.
    spread = spread.replace('ة', 'ه').replace('ى', 'ي')
    return ''.join(c for c in spread if not unicodedata.combining(c))


def has_word(text, beginnings):
    """Return whether a word of a text begins in one of some ways.

    Chinese has no gaps between words.

    :param str text: as from `plain`
    :param beginnings: list of str
    :rtype: bool
    """
    return any(
        (beginning in text) if ord(beginning[0]) > 0x2e80
        else re.search(rf'(?<!\w){re.escape(plain(beginning))}', text)
        for beginning in beginnings)


def of_allergy(text, code=''):
    """Return the contrast media that an allergy is to.

    :param str text: names and remarks
    :param str code: ICD-10 code, with or without the dot
    :rtype: set of str: kinds of contrast media, ANY and IODINE
    """
    code = (code or '').replace('.', '').upper()
    found = {kind for start, kind in _CODES.items() if code.startswith(start)}
    named = _of_clause(plain(text or ''))
    if named - {ANY, IODINE}:
        # The text says which one it is.
        found.discard(ANY)
    return found | named


def in_text(text):
    """Return the contrast media that a free text warns of.

    :param str text: any
    :return: two sets of str as of `of_allergy`: warned of, and denied
    """
    warned, denied = set(), set()
    for clause in _ENDS.split(plain(text or '')):
        media = _of_clause(clause or '')
        is_denied = _NOT.search(clause) and any(
            word in clause for word in _ALLERGY)
        (denied if is_denied else warned).update(media)
    return warned, denied


def _of_clause(text):
    found = {kind for kind, words in _AGENTS.items() if has_word(text, words)}
    contrast = has_word(text, _CONTRAST) or any(
        inside in text for inside in _CONTRAST_INSIDE)
    iodine = has_word(text, _IODINE + _OTHER_IODINE)
    if contrast and iodine:
        found.add(IODINATED)
    elif iodine and IODINATED not in found:
        found.add(IODINE)
    elif contrast and not found:
        found.add(ANY)
    return found
