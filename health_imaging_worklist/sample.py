# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A patient who does not exist, with whom worklist templates are tried."""
import datetime as dt
from types import SimpleNamespace

from . import attributes
from .texts import DUMP2DCM
from .view import RecordView


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


def _sample_request():
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


def _set_fields(record, fields):
    """Add the names of the fields that ``record`` and the records in it
    have to ``fields``, by model; return it."""
    names = fields.setdefault(record.__name__, set())
    for name, value in vars(record).items():
        if not name.startswith('_'):
            names.add(name)
            if isinstance(value, _Sample):
                _set_fields(value, fields)
    return fields


def sample_variables(
        template_type=DUMP2DCM, charset='ISO_IR 192', fields=None):
    """Return the variables of a template for a patient that does not exist,
    to try the template when it is saved.

    ``fields`` are those of `RecordView` for "my"; by default the usual ones
    of a request, its patient, exam and health professional.
    """
    request = _sample_request()
    my = RecordView(request, fields or _set_fields(request, {}))
    patient, doctor = attributes.Name("Doe", "Jane"), attributes.Name(
        "Roe", "Ann", prefix="Dr")
    at, timezone = request.date, 'America/Lima'
    description = attributes.long_string(request.requested_test.name)
    physician = attributes.person_name(doctor)
    return {
        'my': my,
        'template_type': template_type,
        'MergeID': request.merge_id,
        'SpecificCharacterSet': charset,
        'TimezoneOffsetFromUTC': attributes.timezone_offset(at, timezone),
        'AccessionNumber': request.accession_number,
        'RequestedProcedureID': request.step_id,
        'RequestedProcedureDescription': description,
        'RequestedProcedurePriority':
            attributes.requested_procedure_priority(request.urgent),
        'StudyInstanceUID': request.merge_id,
        'PatientName': attributes.person_name(patient),
        'PatientID': request.patient.puid,
        'PatientBirthDate': attributes.dicom_date(request.patient.dob),
        'PatientAge': attributes.patient_age(request.patient.dob, at),
        'PatientSex': attributes.patient_sex(request.patient.gender),
        'PatientWeight': attributes.patient_weight(70.5),
        'PregnancyStatus': attributes.pregnancy_status(None, 'F'),
        'Allergies': attributes.multi_value(["Penicillin", "Iodine"]),
        'MedicalAlerts': attributes.multi_value(["Pacemaker"]),
        'CurrentPatientLocation': attributes.long_string("Ward 1"),
        'RequestingPhysician': physician,
        'RequestingService': attributes.long_string("Radiology"),
        'ReferringPhysicianName': physician,
        'InstitutionName': attributes.long_string("Sample Hospital"),
        'Modality': 'CT',
        'ScheduledStationAETitle': request.requested_test.aetitle,
        'ScheduledProcedureStepStartDate':
            attributes.dicom_date(at, timezone),
        'ScheduledProcedureStepStartTime':
            attributes.dicom_time(at, timezone),
        'ScheduledProcedureStepID': request.step_id,
        'ScheduledProcedureStepDescription': description,
        'ScheduledPerformingPhysicianName': '',
        }
