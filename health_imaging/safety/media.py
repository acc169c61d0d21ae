# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds contrast media in what people write about allergies, in the eight
languages of the suite."""
import functools
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
        'lipiodol', 'omnipac', 'omnipaq', 'optiray',
        'oxilan', 'peritrast', 'radialar', 'renografin', 'telebrix',
        'ultravist', 'urografin', 'urovist',
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
# Also inside words, as in "Kontrastmittelallergie".
_ALLERGY = (
    'allerg', 'alerg', 'hypersens', 'hipersens', 'ipersens', 'uberempf',
    'reaction', 'reaccion', 'reaktion', 'reazion', 'reacao', 'حساسيه',
    'تحسس', '过敏', '過敏')
# An allergy that is denied: "no known allergy".  "No contrast" forbids it, and
# in "no contrast because of an allergy" nothing is denied.
_DENIED = re.compile(
    r'(?:\b(?:no|not|non|never|without|denie[sd]|negative|kein\w*|nicht|ohne|'
    r'nie|verneint|sin|niega|ningun\w*|pas|sans|aucun\w*|senza|nega|'
    r'nessun\w*|sem|nao|nega|nenhum\w*)|\b(?:لا|ليس|ليست|بدون|ينفي))'
    r"(?:['’ ]+(?!because|due|since|wegen|por|porque|debido|cause|per|causa|"
    r"devido|weil|بسبب)\w+){0,5}?['’ ]+"
    rf'(?:\w*(?:{"|".join(_ALLERGY)})\w*)'
    r'|(?:无|無|没有|沒有|否认|否認|未见)[^因由]{0,12}?(?:过敏|過敏)')
_EXCEPT = re.compile(
    r'\b(?:except|besides|other than|apart from|excepto|salvo|menos|ausser|'
    r'bis auf|sauf|hormis|eccetto|tranne|exceto|exceptuando)\b|'
    r'除|(?:^|\s)(?:سوي|باستثناء|ماعدا|ما عدا|الا)(?:\s|$)')
_ENDS = re.compile(
    r'[.,;\n\r!?。，、；！？،؛]+|\b(?:but|aber|pero|mais|ma|mas)\b')

# ICD-10 and ICD-10-CM without the dot, as beginnings.
_CODES = {
    'Z91041': IODINATED, 'T508X5': ANY, 'Y575': IODINATED, 'T508': ANY,
    'Y576': ANY}
# An allergy or adverse effect of something that they do not say.
_VAGUE = {
    'Z888', 'Z889', 'Z9104', 'T782', 'T783', 'T784', 'T7840', 'T7840XA',
    'T7849', 'T886', 'T886XXA', 'T887', 'T50905A', 'Y578', 'Y579'}
# More codes of allergies, as beginnings.
_OF_ALLERGIES = ('Z88', 'Z910', 'T78', 'T886', 'T887')
# Words that are taken for those which they are one slip of a finger away from.
_WHOLE = {
    ANY: [
        'contrast', 'contraste', 'contrasto', 'kontrast', 'kontrastmittel'],
    IODINATED: [
        'accupaque', 'iodixanol', 'iohexol', 'iomeprol', 'iopamidol',
        'iopromide', 'omnipaque', 'optiray', 'ultravist', 'visipaque'],
    GADOLINIUM: [
        'gadolinium', 'gadolinio', 'gadovist', 'gadobutrol', 'magnevist',
        'primovist'],
    BARIUM: ['bariumsulfat'],
    MICROBUBBLES: ['sonovue', 'microbubbles'],
    }
# What is another word.
_RIGHT = {'contract', 'kontrakt', 'contrasta'}


def _slips(word):
    """Yield a word without each of its letters: two words have one in common
    when a letter was left out, added, changed or swapped."""
    yield word
    for place in range(len(word)):
        yield word[:place] + word[place + 1:]


_SLIPS = {
    slip: kind for kind, words in _WHOLE.items() for word in words
    for slip in _slips(word)}


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
    return bool(_pattern(tuple(beginnings)).search(text))


@functools.lru_cache(maxsize=32)
def _pattern(beginnings):
    "Return the compiled pattern of beginnings of words."
    inside = [b for b in beginnings if ord(b[0]) > 0x2e80]
    others = [plain(b) for b in beginnings if b not in inside]
    return re.compile('|'.join([
                *map(re.escape, inside),
                rf'(?<!\w)(?:{"|".join(map(re.escape, others))})']))


def of_allergy(text, code=''):
    """Return the contrast media that an allergy is to.

    :param str text: names and remarks
    :param str code: ICD-10 code, with or without the dot
    :rtype: set of str: kinds of contrast media, ANY and IODINE
    """
    code = _of_code(code)
    found = {kind for start, kind in _CODES.items() if code.startswith(start)}
    named = _of_clause(plain(text or ''))
    if named - {ANY, IODINE}:
        # The text says which one it is.
        found.discard(ANY)
    return found | named


def _of_code(code):
    return (code or '').replace('.', '').strip().upper()


def is_vague(text, code):
    """Return whether an allergy is to a drug that is not said.

    :param str text: names and remarks
    :param str code: ICD-10 code, with or without the dot
    :rtype: bool
    """
    return _of_code(code) in _VAGUE and not of_allergy(text)


def is_allergy(text, code=''):
    """Return whether a condition is an allergy, though nobody marked it.

    :param str text: names and remarks
    :param str code: ICD-10 code, with or without the dot
    :rtype: bool
    """
    return _of_code(code).startswith((*_CODES, *_OF_ALLERGIES)) or any(
        word in plain(text or '') for word in _ALLERGY
        if 'rea' not in word)


def in_text(text):
    """Return the contrast media that a free text warns of.

    :param str text: any
    :return: two sets of str as of `of_allergy`: warned of, and denied
    """
    warned, denied = set(), set()
    for clause in _ENDS.split(plain(text or '')):
        media = _of_clause(clause or '')
        if media:
            (denied if _is_denied(clause) else warned).update(media)
    return warned, denied


def _is_denied(clause):
    """Return whether a clause denies each allergy that it names."""
    rest, count = _DENIED.subn('', clause)
    return bool(count) and not _EXCEPT.search(clause) and not any(
        word in rest for word in _ALLERGY)


@functools.lru_cache(maxsize=1024)
def _of_clause(text):
    found = {kind for kind, words in _AGENTS.items() if has_word(text, words)}
    # Nobody writes that many words in a remark.
    words = set(re.findall(r'\w{6,16}', text)[:2000]) - _RIGHT
    slips = {_SLIPS.get(slip) for word in words for slip in _slips(word)}
    found.update(slips - {None, ANY})
    contrast = ANY in slips or has_word(text, _CONTRAST) or any(
        inside in text for inside in _CONTRAST_INSIDE)
    iodine = has_word(text, _IODINE + _OTHER_IODINE)
    if contrast and iodine:
        found.add(IODINATED)
    elif iodine and IODINATED not in found:
        found.add(IODINE)
    elif contrast and not found:
        found.add(ANY)
    return frozenset(found)
