# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast studies are decided on, without a database.  The floor is to look
up the identifiers of each study in dicts."""
import time

from support.benchmarks import measure, show
from support.labelled_studies import STORIES, Hospital, make

from trytond.modules.health_orthanc.matching import Index, decide, keys

ORDINARY = {'worklist': 60, 'walk_in': 25, 'uid_of_the_modality': 15}


def test_speed(full):
    speed("labelled studies decided", make(0).times[-1])
    speed("studies of ordinary days decided", ordinary(5000 if full else 500))


def ordinary(size):
    "Return a Hospital with studies as on most days."
    hospital = Hospital(0)
    for name, percent in ORDINARY.items():
        for _ in range(size * percent // 100):
            STORIES[name][0](hospital, name)
    return hospital


def speed(title, hospital):
    """Show the time of the processor that keys, index and decisions take."""
    studies = [labelled.study for labelled in hospital.studies]
    requests, patients = hospital.look_up(studies)

    def look_up():
        uids = {r.merge_id: r for r in requests}
        puids = {p.puid: p for p in patients}
        return [
            (uids.get(s.study_instance_uid), puids.get(s.patient_id))
            for s in studies]

    def decide_each():
        for study in studies:
            keys(study)
        index = Index(requests, patients)
        return [decide(study, index) for study in studies]
    floor, _ = measure(look_up, clock=time.process_time)
    seconds, _ = measure(decide_each, clock=time.process_time)
    show(title, len(studies), seconds, 'no call', floor)
