# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What signing a result looks at in the studies on the servers."""
import datetime as dt

import pytest
from support.records import make_patient, make_requested, make_result
from support.synchronizing import new_server

from trytond.modules.health_imaging.exceptions import SignWarning
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

STUDY = 'gnuhealth.imaging_orthanc.study'
DAY = dt.datetime(2026, 5, 4, 15)


@without_check_access
def make_study(server, number, images=0, of=2, **values):
    "Make a study with some of the images that its server has."
    pool = Pool()
    Study = pool.get(STUDY)
    study, = Study.create([{
                'orthanc_server': server, 'orthanc_UID': f'o{number}',
                'study_instance_UID': f'2.999.{number}',
                'description': f"Study {number}", 'modalities': 'CT',
                'study_date': DAY.date(), 'number_of_instances': of}])
    if values:
        Study.write([study], values)
    series, = pool.get(f'{STUDY}_series').create([{
                'study': study.id, 'modality': 'CT', 'series_UID': '2.999.7',
                'orthanc_UID': f's{number}', 'number_of_instances': of}])
    pool.get('gnuhealth.imaging_orthanc.series_instances').create([{
                'series': series.id, 'orthanc_UID': f'i{number}-{n}',
                'sop_instance_UID': f'2.999.{number}.{n}'}
            for n in range(images)])
    return study


def test_signing_tells_of_studies_and_images(acting):
    result = make_result(make_requested(date=DAY), impression="Normal.",
        date=DAY)
    Result, patient = type(result), result.patient.id
    with without_check_access():
        server = new_server('http://pacs.invalid')
        server = getattr(server, 'id', server)
        other = make_patient("Eva", "Rossi").id
    of_result = {'patient': patient, 'imaging_test': result.id}

    def told():
        "Return what signing asks, by line."
        with pytest.raises(SignWarning) as warning, \
                Transaction().set_context(_skip_warnings=False):
            Result.finalize([Result(result.id)])
        return warning.value.message.splitlines()[1:]

    def changed(at):
        "Let the text be last changed at a time."
        table = Result.__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.text_changed_at], [at], where=table.id == result.id))
        for cache in Transaction().cache.values():
            cache.clear()

    changed(dt.datetime(2100, 1, 1))
    make_study(server, 1, images=2, **of_result)
    make_study(server, 2, patient=other)
    assert told() == []
    make_study(server, 3, patient=patient)
    make_study(server, 4, images=1, **of_result)
    study = make_study(server, 5)
    with without_check_access():
        Pool().get('gnuhealth.imaging_orthanc.link_candidate').create([{
                    'study': study.id, 'patient': patient}])
        table = Pool().get(STUDY).__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.link_state], ['review'], where=table.id == study.id))
    changed(dt.datetime(2020, 1, 1))
    lines = told()
    assert [word for line in lines for word in [
                "linked to no result", "waits in the review",
                "Images arrived", "Not all images"] if word in line] == [
        "linked to no result", "waits in the review", "Images arrived",
        "Images arrived", "Not all images"]
    assert "Study 3" in lines[0] and "Study 5" in lines[1]
    assert "1 / 2" in lines[-1]
    with Transaction().set_context(_skip_warnings=True):
        Result.finalize([Result(result.id)])
    signed = Result(result.id)
    assert signed.state == 'final'
    assert {check.code for check in signed.signed_anyway} == {
        'study_unlinked', 'study_review', 'images_later', 'images_fewer'}
