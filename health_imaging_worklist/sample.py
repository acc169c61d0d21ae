# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request and a patient who do not exist, with whom worklist templates are
tried."""
import datetime as dt
from types import SimpleNamespace

from . import attributes


class _Sample(SimpleNamespace):
    """A record that does not exist; fields not set are short texts."""

    def __init__(self, model, **values):
        super().__init__(__name__=model, **values)

    def __getattr__(self, name):
        if name.startswith('_'):
            raise AttributeError(name)
        return "Sample"


def _sample_party(name, lastname):
    return _Sample(
        'party.party', rec_name=f"{lastname}, {name}", name=name,
        lastname=lastname, gender='f', dob=dt.date(1980, 2, 29),
        ref='SAMPLE-1')


def sample_request():
    """Return the request of a patient who does not exist.

    Templates are tried with it when they are saved.
    """
    party, doctor = _sample_party("Jane", "Doe"), _sample_party("Ann", "Roe")
    return _Sample(
        'gnuhealth.imaging.test.request', request='ORDER-1',
        request_line='ORDER-1-01-01', accession_number='ORDER-1',
        step_id='ORDER-1-01-01', date=dt.datetime(2026, 1, 31, 13, 30),
        urgent=False, modality='CT', computed_age="40y 0m 30d",
        merge_id=attributes.generate_uid(value=party.ref),
        context=_Sample('gnuhealth.pathology', name="Headache"),
        patient=_Sample(
            'gnuhealth.patient', rec_name=party.rec_name, party=party,
            puid=party.ref, dob=party.dob, gender=party.gender,
            biological_sex=party.gender, lastname=party.lastname),
        doctor=_Sample(
            'gnuhealth.healthprofessional', rec_name=doctor.rec_name,
            party=doctor, main_specialty=_Sample(
                'gnuhealth.hp_specialty', specialty=_Sample(
                    'gnuhealth.specialty', name="Radiology")),
            institution=_Sample('gnuhealth.institution', party=doctor)),
        requested_test=_Sample(
            'gnuhealth.imaging.test', rec_name="Head CT", name="Head CT",
            code='CT-HEAD', aetitle='CT1', test_type=_Sample(
                'gnuhealth.imaging.test.type', name="CT", code='CT')))
