# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form on which a report is written: its sections and what stands beside
them."""
import datetime as dt

import pytest
from support.records import make_requested, make_result

from trytond.modules.health_imaging.exceptions import (
    FinalResultError, InterpretationMissingError, ResultNotEmptyError)
from trytond.modules.health_imaging.sections import SECTIONS
from trytond.pool import Pool
from trytond.transaction import Transaction

RESULT = 'gnuhealth.imaging.test.result'
EXAM = 'gnuhealth.imaging.patient_exam'


def sign(result):
    "Sign a result as the user does who is asked and says yes."
    with Transaction().set_context(_skip_warnings=True):
        type(result).finalize([result])
    return again(result)


def again(record):
    "Return a record as it is read now."
    return type(record)(record.id)


def written(**values):
    "Return a result of the radiologist."
    return again(make_result(make_requested(), **values))


@pytest.mark.parametrize('section', SECTIONS)
def test_each_section_is_a_text_of_the_report(acting, section):
    result = written(**{section: "As before."})
    with pytest.raises(ResultNotEmptyError):
        type(result).delete([result])
    exam, = Pool().get(EXAM).search([('result', '=', result.id)])
    assert exam.state == 'preliminary'
    copied, = type(result).copy([result], default={'number': None})
    assert getattr(copied, section) == "As before."
    if section in {'technique', 'comparison'}:
        # They say nothing of the patient.
        with pytest.raises(InterpretationMissingError):
            sign(result)
        result.impression = "No change."
        result.save()
    result = sign(result)
    with pytest.raises(FinalResultError):
        type(result).write([result], {section: "Other."})


def test_former_exam_shows_the_impression_else_the_findings(acting):
    for values, shown in [
            ({'comment': " \nA shadow.\nMore.", 'impression': ' '},
                "A shadow."),
            ({'comment': "A shadow.", 'impression': "\nBenign.\n"},
                "Benign.")]:
        result = sign(written(date=dt.datetime(2026, 1, 4), **values))
        exam, = Pool().get(EXAM).search([('result', '=', result.id)])
        assert exam.impression == shown
