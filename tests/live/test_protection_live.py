# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Orthanc that recycles keeps the patients whose studies are linked."""
import pytest
from services import Orthanc
from support import archive
from support.fault_server import FaultServer, answer, status
from support.records import make_patient
from support.synchronizing import new_server, studies, synchronize, transaction

from trytond.modules.health_orthanc.links import ledger
from trytond.pool import Pool
from trytond.transaction import Transaction

SERVER = 'gnuhealth.orthanc.config'


@pytest.fixture
def orthanc(tmp_path):
    with Orthanc(tmp_path, extra={'MaximumPatientCount': 4}) as orthanc:
        yield orthanc


@pytest.fixture
def proxy(orthanc):
    with FaultServer(orthanc.url) as proxy:
        yield proxy


@pytest.fixture
def server(activated, proxy):
    "The id of a server that protects, synchronized."
    with transaction():
        server = new_server(proxy.url, protect_linked=True)
        yield server


def send(orthanc, *numbers):
    archive.upload(orthanc, [
            archive.study(n, series=1, instances=1, patient_id=f'KEPT{n}',
                omitted=frozenset()) for n in numbers], threads=1)


def protected(orthanc):
    "Return the Orthanc ids that the Orthanc keeps."
    return {
        id_ for id_ in orthanc.rest('GET', '/patients')
        if orthanc.rest('GET', f'/patients/{id_}/protected') == 1}


def link(study, patient=True):
    "Link a study to a patient, or to nobody."
    patient = make_patient("Kept").id if patient else None
    ledger.choose([study], {'patient': patient})
    Transaction().commit()
    return study.orthanc_patient.uuid


def told(server):
    return Pool().get(SERVER)(server).protection


def test_linked_studies_survive_and_others_go(server, orthanc):
    send(orthanc, 0, 1)
    synchronize(server)
    oldest, other = studies(server)
    kept = link(oldest)
    assert told(server).startswith("0 of 1 ")
    synchronize(server)
    assert protected(orthanc) == {kept}
    assert told(server).startswith("1 of 1 ")
    send(orthanc, *range(2, 8))
    present = orthanc.rest('GET', '/studies')
    assert oldest.orthanc_UID in present
    assert other.orthanc_UID not in present
    # It is taken back when nothing of the patient is linked any more.
    link(oldest, patient=False)
    synchronize(server)
    assert not protected(orthanc)
    send(orthanc, *range(8, 12))
    assert oldest.orthanc_UID not in orthanc.rest('GET', '/studies')


def test_it_is_tried_again_when_the_server_was_away(server, orthanc, proxy):
    send(orthanc, 0, 1, 2)
    synchronize(server)
    kept = {link(study) for study in studies(server)}
    calls = proxy.on('/protected', status(503), nth=2)
    run = synchronize(server)
    # What was done is not done again.
    assert run.state == 'done' and run.error
    assert len(protected(orthanc)) == 1
    assert told(server).startswith("1 of 3 ")
    before = proxy.count('/protected')
    run = synchronize(server)
    assert not run.error
    assert proxy.count('/protected') - before == 2
    assert protected(orthanc) == kept
    # A complete run does not believe what is stored.
    orthanc.rest('PUT', f'/patients/{min(kept)}/protected', b'0')
    synchronize(server)
    assert len(protected(orthanc)) == 2
    synchronize(server, full=True)
    assert protected(orthanc) == kept
    # And all go when it is not wanted any more.
    Server = Pool().get(SERVER)
    Server.write([Server(server)], {'protect_linked': False})
    Transaction().commit()
    synchronize(server)
    assert not protected(orthanc) and not told(server)
    assert calls


def test_a_patient_who_is_gone_keeps_nobody_from_it(server, orthanc, proxy):
    send(orthanc, 0, 1)
    synchronize(server)
    first, second = map(link, studies(server))
    synchronize(server)
    orthanc.rest('DELETE', f'/patients/{first}')
    synchronize(server)
    Patient = Pool().get('gnuhealth.orthanc.patient')
    assert {p.uuid: bool(p.protected) for p in Patient.search(
            [('server', '=', server)])} == {first: False, second: True}
    # Sent again, it is a new one to the server.
    send(orthanc, 0, 1)
    synchronize(server)
    assert protected(orthanc) == {first, second}


def test_a_server_without_patients_is_not_asked(server, orthanc, proxy):
    send(orthanc, 0)
    synchronize(server)
    link(*studies(server))
    proxy.on('^/system', answer({
                **orthanc.rest('GET', '/system'),
                'PatientLevelEnabled': False}))
    Server = Pool().get(SERVER)
    Server.check_servers([Server(server)])
    assert "PatientLevelEnabled" in told(server)
    assert not synchronize(server).error
    assert not proxy.count('/protected')
