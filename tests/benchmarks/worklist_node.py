# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the modality node answers one, ten and twenty machines at once,
beside Orthanc with the same entries in files, asked by the same clients."""
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from pynetdicom import AE
from services import HOST, Process, free_port
from support.benchmarks import processor, show, tell
from unit.test_node_parts import keys, machine
from unit.test_script_connection import SCRIPTS, environment, wait_for
from unit.test_worklist_script import make_entry

sys.path.insert(0, str(SCRIPTS))

import node_store  # noqa: E402

WORKLIST = '1.2.840.10008.5.1.4.31'
MACHINES = 20
#: The longest that a question for one of the entries of a machine may take.
ONE_ANSWER = .05


def ask(port, number, name, times):
    "Ask as a machine does; return the seconds of each question."
    entity, seconds = AE(f'CT{number}'), []
    entity.add_requested_context(WORKLIST)
    query = keys({
            'Modality': 'CT', 'ScheduledStationAETitle': f'CT{number}',
            'ScheduledProcedureStepStartDate': '20261121-20261122',
            'ScheduledProcedureStepStartTime': '',
            'ScheduledProcedureStepDescription': '',
            }, PatientName=name, PatientID='', PatientBirthDate='',
        PatientSex='', AccessionNumber='', StudyInstanceUID='',
        RequestedProcedureID='')
    for _ in range(times):
        association = entity.associate(HOST, port, ae_title='ORTHANC')
        begin = time.perf_counter()
        *answers, (status, _) = association.send_c_find(query, WORKLIST)
        seconds.append(time.perf_counter() - begin)
        association.release()
        assert status.Status == 0 and answers
    return seconds


def measure(port, machines, name, times):
    "Return median, 99th percentile and number of the questions of machines."
    with ProcessPoolExecutor(
            machines, mp_context=get_context('fork')) as pool:
        found = [pool.submit(ask, port, number, name(number), times)
            for number in range(machines)]
        seconds = sorted(s for one in found for s in one.result())
    return (seconds[len(seconds) // 2], seconds[int(len(seconds) * .99)],
        len(seconds))


@pytest.fixture
def entries(full):
    return [make_entry(id_, name=f'Doe^{id_}', aetitle=f'CT{id_ % MACHINES}')
        for id_ in range(1, 2001 if full else 201)]


@pytest.fixture
def node(entries, tmp_path):
    "The port and process of a node that knows the entries, and no more."
    store = node_store.Store(tmp_path / 'data')
    store.keep(time.time(), [machine(f'CT{n}') for n in range(MACHINES)],
        {entry['id']: entry['dicom'] for entry in entries})
    store.close()
    port, log = free_port(), tmp_path / 'node.log'
    process = Process([
            sys.executable, SCRIPTS / 'modality_node.py', '-p', free_port(),
            '-d', 'x', '--data', tmp_path / 'data', '--dicom-port', port],
        log, environment(GNUHEALTH_PASSWORD='x'))
    process.start()
    wait_for(lambda: ' listens at ' in log.read_text(), 120)
    yield port, process
    process.stop()


def test_answers(node, make_orthanc, entries, full):
    port, process = node
    orthanc = make_orthanc()
    for entry in entries:
        orthanc.worklists.joinpath(f"{entry['id']}.wl").write_bytes(
            entry['dicom'])
    times = 20 if full else 3
    for what, name in [
            ("one", lambda number: f'Doe^{number or MACHINES}'),
            (f"{len(entries) // MACHINES}", lambda number: '')]:
        for machines in (1, 10, 20):
            begin = processor(process.pid)
            median, last, count = measure(port, machines, name, times)
            used = (processor(process.pid) - begin) / count
            floor, floor_last, _ = measure(
                orthanc.dicom_port, machines, name, max(times // 5, 2))
            show(f"C-FIND of {what} of {len(entries)} entries, p50, "
                f"{machines} at once", count, median, floor=floor)
            show("the same, p99", count, last, floor=floor_last)
            tell(f"    floor: the worklist plugin of Orthanc; the node used "
                f"{1000 * used:.0f} ms of the processor for each, with its "
                "association")
            if what == "one":
                assert used < ONE_ANSWER
                # Twenty at once with their clients want more than two cores.
                assert not full or median < max(floor, ONE_ANSWER)
