# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kidney function from creatinine."""
import re

# 1 mg/dL of creatinine (113.12 g/mol).
_MICROMOLES = 88.4
_UNITS = {
    'mg/dl': 1.0, 'mg%': 1.0, 'mg/100ml': 1.0, 'mg/l': 0.1,
    'umol/l': 1 / _MICROMOLES, 'mcmol/l': 1 / _MICROMOLES,
    'micromol/l': 1 / _MICROMOLES, 'nmol/ml': 1 / _MICROMOLES,
    'mmol/l': 1000 / _MICROMOLES,
    }
# The one of Unicode's two signs for micro that units are compared with.
_MICRO = str.maketrans({'µ': 'u', 'μ': 'u'})


def number(text):
    """Return the number that a laboratory wrote as a text.

    :param str text: such as "1,2", "1.2" or "< 0.3", which counts as 0.3
    :rtype: float, None when it is no number
    """
    match = re.fullmatch(
        r'\s*[<>≤≥]?\s*(\d{1,6}(?:[.,]\d{1,6})?)\s*', text or '')
    return float(match[1].replace(',', '.')) if match else None


def milligrams(value, unit):
    """Return creatinine in mg/dL.

    :param float value: as measured
    :param str unit: such as mg/dL or µmol/L, in any case
    :rtype: float, None when the unit is unknown or the value impossible
    """
    factor = _UNITS.get(''.join(
            (unit or '').translate(_MICRO).lower().split()))
    if not factor or not value or not 0 < value * factor < 50:
        return None
    return value * factor


def filtration(creatinine, age, sex, height=None):
    """Return the estimated glomerular filtration rate.

    From 18 years by CKD-EPI 2021 (Inker et al., N Engl J Med 2021;385:1737),
    from one year by the bedside formula of Schwartz (J Am Soc Nephrol
    2009;20:629), for which the height is needed.  Where the sex is unknown,
    the lower of both rates.

    :param float creatinine: in serum, mg/dL
    :param int age: in completed years
    :param str sex: 'f', 'm' or ''
    :param height: in cm, or None
    :rtype: float in mL/min/1.73 m², None when it cannot be known
    """
    if not creatinine or age is None or age < 1:
        return None
    if age < 18:
        return 0.413 * height / creatinine if height else None
    if sex not in {'f', 'm'}:
        return min(filtration(creatinine, age, s) for s in 'fm')
    kappa, alpha, factor = (
        (0.7, -0.241, 1.012) if sex == 'f' else (0.9, -0.302, 1.0))
    ratio = creatinine / kappa
    return (142 * min(ratio, 1) ** alpha * max(ratio, 1) ** -1.2
        * 0.9938 ** age * factor)
