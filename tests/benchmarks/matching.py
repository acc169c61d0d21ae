# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the labelled studies are linked, as a confusion table, and how many
studies are decided in a second.  The floor is to look up the identifiers of
each study in dicts."""
import time
from collections import Counter

from support.benchmarks import measure, show, tell
from support.labelled_studies import (
    STORIES, Hospital, decide_all, make, outcome)

from trytond.modules.health_orthanc.matching import Index, decide, keys

OUTCOMES = ['request', 'patient', 'review', 'unlinked', 'wrong']
TRUTHS = {
    'request': "request can be told", 'patient': "patient can be told",
    None: "neither can be told"}
ORDINARY = {'worklist': 60, 'walk_in': 25, 'uid_of_the_modality': 15}


def test_links(full):
    by_truth, by_kind = count(range(10 if full else 2))
    table("truth", {TRUTHS[t]: by_truth[t] for t in TRUTHS})
    if full:
        table("kind", by_kind)
    total = sum(sum(c.values()) for c in by_truth.values())
    linkable = sum(sum(by_truth[t].values()) for t in TRUTHS if t)
    linked = sum(by_truth[t][t] for t in TRUTHS if t)
    wrong = sum(c['wrong'] for c in by_truth.values())
    tell(f"{total} studies, {linkable} rightly linkable, "
        f"{linked / linkable:.2%} of these linked, {wrong} wrong links")
    assert not wrong


def count(seeds):
    "Return Counters of outcomes by truth and by kind."
    by_truth = {truth: Counter() for truth in TRUTHS}
    by_kind = {kind: Counter() for kind in STORIES}
    for seed in seeds:
        hospital = make(seed)
        for study, decision in zip(hospital.studies, decide_all(hospital)):
            result = outcome(study, decision)
            by_truth[study.linkable][result] += 1
            by_kind[study.kind][result] += 1
    return by_truth, by_kind


def table(title, counters):
    tell(f'{title:42}' + ''.join(f'{o:>10}' for o in OUTCOMES))
    for name, counter in counters.items():
        tell(f'{name:42}' + ''.join(f'{counter[o]:10}' for o in OUTCOMES))


def test_speed(full):
    speed("labelled studies decided", make(0))
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
    requests, patients = hospital.look_up([keys(s) for s in studies])

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
