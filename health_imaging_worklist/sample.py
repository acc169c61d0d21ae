# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request and a patient who do not exist, with whom worklist templates are
tried."""
import datetime as dt
from types import SimpleNamespace

from . import attributes


class _Sample(SimpleNamespace):
    """A record that does not exist; fields not set are short texts."""

    def __getattr__(self, name):
        if name.startswith('_'):
            raise AttributeError(name)
        return "Sample"


def _sample_party(name, lastname, gender):
    return _Sample(
        __name__='party.party', rec_name=f"{lastname}, {name}", name=name,
        lastname=lastname, gender=gender, dob=dt.date(1980, 2, 29),
        ref=_SAMPLE_ID)


def _sample_patient():
    party = _sample_party("Jane", "Doe", 'f')
    return _Sample(
        __name__='gnuhealth.patient', rec_name=party.rec_name, party=party,
        puid=party.ref, dob=party.dob, gender=party.gender,
        biological_sex=party.gender, lastname=party.lastname)


def _sample_professional():
    party = _sample_party("Ann", "Roe", 'f')
    specialty = _Sample(__name__='gnuhealth.specialty', name="Radiology")
    return _Sample(
        __name__='gnuhealth.healthprofessional', rec_name=party.rec_name,
        party=party, main_specialty=_Sample(
            __name__='gnuhealth.hp_specialty', specialty=specialty),
        institution=_Sample(__name__='gnuhealth.institution', party=party))


def _sample_exam():
    type_ = _Sample(
        __name__='gnuhealth.imaging.test.type', name="CT", code='CT')
    return _Sample(
        __name__='gnuhealth.imaging.test', rec_name="Head CT",
        name="Head CT", code='CT-HEAD', aetitle='CT1', test_type=type_)


def sample_request():
    return _Sample(
        __name__='gnuhealth.imaging.test.request', request='ORDER-1',
        request_line='ORDER-1-01-01', accession_number='ORDER-1',
        step_id='ORDER-1-01-01', date=dt.datetime(2026, 1, 31, 13, 30),
        urgent=False, modality='CT', patient=_sample_patient(),
        doctor=_sample_professional(), requested_test=_sample_exam(),
        computed_age="40y 0m 30d", comment="Sample", context=_Sample(
            __name__='gnuhealth.pathology', name="Headache"),
        merge_id=attributes.generate_uid(value=_SAMPLE_ID))


_SAMPLE_ID = 'SAMPLE-1'


def set_fields(record, fields):
    """Add the names of the fields that a record and the records in it have to
    a dict of sets by model; return it."""
    names = fields.setdefault(record.__name__, set())
    for name, value in vars(record).items():
        if not name.startswith('_'):
            names.add(name)
            if isinstance(value, _Sample):
                set_fields(value, fields)
    return fields
