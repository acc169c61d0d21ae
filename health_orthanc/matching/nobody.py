# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of PatientID that stand for nobody.

Modalities require a PatientID (0010,0020, VR LO), and users without one type
something. Common values of this kind identify nobody, even where a patient is
registered with them.
"""
import re
import unicodedata

# Compared without case, accents, blanks and punctuation: "N/A" is "na".
WORDS = frozenset("""
    na nan nil null none noone nobody nothing undefined blank empty
    unk unkn unknow unknown unknownid unknownname unknownpatient unknownperson
    unidentified unidentifiedpatient notknown notavailable notapplicable
    notspecified notgiven noid noidea noidnumber nopid nopatientid nomrn
    nonumber noname withoutid missing missingid ptunknown idunknown
    anon anonim anonima anonimo anonym anonyme anonymised anonymized
    anonymisiert anonymous anonymouspatient anonymus
    id pid mrn patient patientid
    test testing testid testpatient patienttest tst dummy demo sample
    xx xxx doe johndoe janedoe tba tbd temp temporary tmp pending
    er emerg emergency emergencypatient trauma traumapatient
    urgencia urgencias emergencia emergencias urgence urgences urgenza
    prontosoccorso notfall notaufnahme notfallpatient acil
    pendiente sinid sindatos sinnumero sinidentificar sinidentificacion
    sn sd noidentificado noidentificada desconocido desconocida paciente
    ninguno ninguna prueba nn nomennescio
    pendente semid semdados semnumero semidentificacao naoidentificado
    naoidentificada naoinformado desconhecido desconhecida ignorado ignorada
    nenhum teste
    inconnu inconnue sansid sansnumero sansidentite nonidentifie
    nonidentifiee aucun aucune neant
    unbekannt unbekannte unbekannter ohneid ohnenummer keine keineid
    keinenummer keineangabe ka
    sconosciuto sconosciuta ignoto ignota senzaid nonidentificato
    nonidentificata nessuno nd
    onbekend geen geenid okand okant ukjent ukendt tuntematon
    nieznany nieznana brak neznamy neznama ismeretlen necunoscut
    bilinmiyor bilinmeyen yok tidakdiketahui tidakada khongro khongco
    неизвестно неизвестен неизвестныи неизвестная неизвестнои нет нетномера
    безномера невідомо невідомии невідома
    αγνωστος αγνωστη αγνωστο
    مجهول مجهولة مجهولالهوية غيرمعروف غيرمعروفة لايوجد بدون طوارئ
    לאידוע אלמוני
    未知 无 無 不明 不详 不詳 无名 無名 无名氏 無名氏 匿名 急诊 急診 救急
    미상 불명 모름 없음 무명 무명인
    ไม่ทราบ ไม่ทราบชื่อ अज्ञात
    """.split())
# Only zeros, the same digit again and again, many in order. Shorter numbers
# are those of the first patients of small hospitals.
_NUMBERS = re.compile(r'0+|([1-9])\1{3,}|x+', re.ASCII)
_MANY = 6
_FIRST = frozenset('0123456789x')
_IN_ORDER = ['1234567890', '0123456789', '9876543210']
# Of a text of VR LO.
MAX_LENGTH = 64
_PUNCTUATION = re.compile(r'[\W_]+')


def plain(text):
    "Return a text without case, accents, blanks and punctuation."
    if text.isascii() and text.isalnum():
        return text.casefold()
    if not text.isascii():
        text = unicodedata.normalize('NFKD', text)
        text = ''.join(c for c in text if not unicodedata.combining(c))
    return _PUNCTUATION.sub('', text.casefold())


_WORDS = frozenset(map(plain, WORDS))


def means_nobody(identifier, more=frozenset()):
    """Return whether an identifier stands for nobody.

    :param str identifier: PatientID (0010,0020, VR LO) without padding
    :param more: further texts that mean nobody, as ``plain`` returns them
    """
    if (identifier.isalnum() and not more
            and not identifier.isalpha() and not identifier.isdigit()):
        return False  # Most have letters and digits.
    text = plain(identifier[:MAX_LENGTH])
    if text in _WORDS or text in more:
        return True
    return not text or text[0] in _FIRST and bool(
        _NUMBERS.fullmatch(text) or len(text) >= _MANY and any(
            n.startswith(text) for n in _IN_ORDER))
