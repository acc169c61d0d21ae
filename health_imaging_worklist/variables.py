# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of worklist templates, one entry each.

Those named as DICOM keywords have values of the attribute's VR.
"""
from collections import namedtuple

from . import attributes
from .sample import sample_request
from .texts import DUMP2DCM
from .view import RecordView

#: ``value`` is a function of a request and its `batch.Batch`, ``sample`` what
#: the patient who does not exist has.
Variable = namedtuple('Variable', 'value sample')

#: What templates may read of a request through "my".
OPEN_FIELDS = {
    'gnuhealth.imaging.test.request': {
        'request', 'request_line', 'accession_number', 'step_id', 'date',
        'urgent', 'clinical_question', 'comment', 'state', 'merge_id',
        'modality', 'patient', 'requested_test', 'doctor', 'context',
        'computed_age', 'worklist_status', 'rec_name'},
    'gnuhealth.patient': {
        'puid', 'dob', 'gender', 'lastname', 'age', 'blood_type', 'rh',
        'biological_sex', 'party', 'critical_info', 'crit_allergic',
        'crit_dbt', 'crit_hbp', 'crit_cardio', 'rec_name'},
    'party.party': {
        'name', 'lastname', 'ref', 'dob', 'gender', 'rec_name'},
    'gnuhealth.imaging.test': {
        'name', 'code', 'aetitle', 'test_type', 'rec_name'},
    'gnuhealth.imaging.test.type': {'name', 'code', 'rec_name'},
    'gnuhealth.healthprofessional': {
        'code', 'puid', 'party', 'institution', 'main_specialty',
        'rec_name'},
    'gnuhealth.hp_specialty': {'specialty', 'rec_name'},
    'gnuhealth.specialty': {'name', 'code', 'rec_name'},
    'gnuhealth.institution': {'code', 'party', 'rec_name'},
    'gnuhealth.pathology': {'name', 'code', 'rec_name'},
    }

_SAMPLE = sample_request()


def _plain(value, sample):
    """Return the variable that a function makes of the plain object of a
    request, see `batch.Batch.row`."""
    return Variable(
        lambda request, batch: value(batch.row(request), batch), sample)


def _field(name):
    return _plain(
        lambda request, batch: getattr(request, name) or '',
        getattr(_SAMPLE, name))


def _exam(name, sample):
    return Variable(
        lambda request, batch: batch.exam(request)[name],
        sample)


def _station(name, sample):
    return Variable(
        lambda request, batch: batch.station(request)[name], sample)


def _doctor(name, sample):
    return Variable(
        lambda request, batch: batch.doctor(request)[name], sample)


def _sex(request, batch):
    patient = request.patient
    return attributes.patient_sex(
        patient.party.gender, patient.biological_sex)


def _age(request, batch):
    at = attributes.local_datetime(request.date, batch.zone)
    return attributes.patient_age(request.patient.party.dob, at.date())


def _pregnancy_status(request, batch):
    """Return PregnancyStatus (0010,21C0, VR US).

    Source: DICOM PS3.3 section C.7.2.3: 1 not pregnant, 2 possibly, 3
    definitely pregnant, 4 unknown.
    """
    status = batch.pregnancy(request)
    is_man = _sex(request, batch) == 'M' and status == 'unknown'
    return '' if is_man else _PREGNANCY[status]


# By values of health_imaging.safety.facts.Patient.pregnancy.
_PREGNANCY = {'not': '1', 'possible': '2', 'pregnant': '3', 'unknown': '4'}
_DESCRIPTION = _SAMPLE.requested_test.name
_DOCTOR = 'Roe^Ann^^Dr'

#: All variables by name; a module that adds one extends
#: `worklist_variables` of the request.
VARIABLES = {
    'my': Variable(
        lambda request, batch: RecordView(request, batch.open_fields),
        RecordView(_SAMPLE, OPEN_FIELDS)),
    'template_type': _exam('template_type', DUMP2DCM),
    'MergeID': _field('merge_id'),
    'SpecificCharacterSet': _exam('SpecificCharacterSet', 'ISO_IR 192'),
    'TimezoneOffsetFromUTC': _plain(
        lambda request, batch: attributes.timezone_offset(
            request.date, batch.zone), '-0500'),
    'AccessionNumber': _field('accession_number'),
    'RequestedProcedureID': _field('step_id'),
    'ReasonForTheRequestedProcedure': _plain(
        lambda request, batch: attributes.long_string(
            ' '.join((request.clinical_question or '').split())),
        "Bleeding?"),
    'RequestedProcedureComments': _plain(
        lambda request, batch: attributes.long_text(
            request.clinical_question, request.comment), "Bleeding?"),
    'RequestedProcedureDescription': _exam(
        'RequestedProcedureDescription', _DESCRIPTION),
    'RequestedProcedurePriority': _plain(
        lambda request, batch: 'STAT' if request.urgent else 'ROUTINE',
        'ROUTINE'),
    'StudyInstanceUID': _field('merge_id'),
    'PatientName': _plain(
        lambda request, batch: batch.person_name(
            request.patient.party,
            batch.exam(request)['SpecificCharacterSet']), 'Doe^Jane'),
    'PatientID': Variable(
        lambda request, batch: request._patient_id(batch),
        _SAMPLE.patient.puid),
    'PatientBirthDate': _plain(
        lambda request, batch: attributes.dicom_date(
            request.patient.party.dob), '19800229'),
    'PatientAge': _plain(_age, '045Y'),
    'PatientSex': _plain(_sex, 'F'),
    'PatientWeight': _plain(
        lambda request, batch: attributes.patient_weight(
            batch.weight(request)), '70.5'),
    'PregnancyStatus': _plain(_pregnancy_status, '4'),
    'Allergies': Variable(
        lambda request, batch: attributes.multi_value(
            batch.allergies(request)),
        attributes.multi_value(["Penicillin", "Iodine"])),
    'MedicalAlerts': Variable(
        lambda request, batch: attributes.multi_value(
            request._alerts(batch)),
        attributes.multi_value(["Pacemaker"])),
    'CurrentPatientLocation': Variable(lambda request, batch: '', "Ward 1"),
    'RequestingPhysician': _doctor('RequestingPhysician', _DOCTOR),
    'RequestingService': _doctor('RequestingService', "Radiology"),
    'ReferringPhysicianName': _doctor('ReferringPhysicianName', _DOCTOR),
    'InstitutionName': Variable(
        lambda request, batch: batch.institution_name, "Sample Hospital"),
    'Modality': _exam('Modality', 'CT'),
    'ScheduledStationAETitle': _station(
        'ScheduledStationAETitle', _SAMPLE.requested_test.aetitle),
    'ScheduledStationName': _station('ScheduledStationName', "CT 1"),
    'ScheduledProcedureStepStartDate': _plain(
        lambda request, batch: attributes.dicom_date(
            request.date, batch.zone), '20260131'),
    'ScheduledProcedureStepStartTime': _plain(
        lambda request, batch: attributes.dicom_time(
            request.date, batch.zone), '083000'),
    'ScheduledProcedureStepID': _field('step_id'),
    'ScheduledProcedureStepDescription': _exam(
        'ScheduledProcedureStepDescription', _DESCRIPTION),
    'ScheduledPerformingPhysicianName': Variable(
        lambda request, batch: '', ''),
    }


def sample_variables(
        template_type=DUMP2DCM, charset='ISO_IR 192', fields=OPEN_FIELDS,
        variables=VARIABLES):
    """Return the values of variables for a patient who does not exist."""
    return {
        **{name: variable.sample for name, variable in variables.items()},
        'my': RecordView(_SAMPLE, fields), 'template_type': template_type,
        'SpecificCharacterSet': charset}
