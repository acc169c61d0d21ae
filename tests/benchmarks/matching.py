# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the labelled studies are linked, as a confusion table for each of three
synchronizations, and how many studies are decided in a second.  The floor is
to look up the identifiers of each study in dicts."""
import time
from collections import Counter

from support.benchmarks import measure, show, tell
from support.labelled_studies import (
    STORIES, TIMES, Hospital, decide_each_time, make, outcome)

from trytond.modules.health_orthanc.matching import Index, decide, keys

OUTCOMES = ['request', 'patient', 'review', 'unlinked', 'wrong']
TRUTHS = {
    'request': "request can be told", 'patient': "patient can be told",
    None: "neither can be told"}
ORDINARY = {'worklist': 60, 'walk_in': 25, 'uid_of_the_modality': 15}


def test_links(full):
    by_time, by_kind = count(range(10 if full else 2))
    for number, by_truth in enumerate(by_time, 1):
        table(f"synchronization {number}",
            {TRUTHS[t]: by_truth[t] for t in TRUTHS})
        summary(by_truth)
    if full:
        table("kind", by_kind)
    assert not any(
        counter['wrong'] for by_truth in by_time
        for counter in by_truth.values())


def summary(by_truth):
    total = sum(sum(c.values()) for c in by_truth.values())
    linkable = sum(sum(by_truth[t].values()) for t in TRUTHS if t)
    linked = sum(by_truth[t][t] for t in TRUTHS if t)
    wrong = sum(c['wrong'] for c in by_truth.values())
    tell(f"{total} studies, {linkable} rightly linkable, "
        f"{linked / linkable:.2%} of these linked, {wrong} wrong links")


def count(seeds):
    "Return Counters of outcomes by time and truth, and by kind."
    by_time = [{truth: Counter() for truth in TRUTHS} for _ in range(TIMES)]
    by_kind = {kind: Counter() for kind in STORIES}
    for seed in seeds:
        for by_truth, (state, decisions) in zip(
                by_time, decide_each_time(make(seed))):
            for study, decision in zip(state.studies, decisions):
                result = outcome(study, decision)
                by_truth[study.linkable][result] += 1
                by_kind[study.kind][result] += 1
    return by_time, by_kind


def table(title, counters):
    tell(f'{title:42}' + ''.join(f'{o:>10}' for o in OUTCOMES))
    for name, counter in counters.items():
        tell(f'{name:42}' + ''.join(f'{counter[o]:10}' for o in OUTCOMES))


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
