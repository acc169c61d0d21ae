#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints how the labelled studies are linked, as a confusion table for each of
three synchronizations, and how many studies are decided in a second."""
import argparse
import gc
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.labelled_studies import (  # noqa: E402
    STORIES, TIMES, Hospital, decide_each_time, make, outcome)

from trytond.modules.health_orthanc.matching import (  # noqa: E402
    Index, decide, keys)

OUTCOMES = ['request', 'patient', 'review', 'unlinked', 'wrong']
TRUTHS = {
    'request': "request can be told", 'patient': "patient can be told",
    None: "neither can be told"}
ORDINARY = {'worklist': 60, 'walk_in': 25, 'uid_of_the_modality': 15}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=10,
        help="how many labelled sets to make (default 10)")
    parser.add_argument('--kinds', action='store_true',
        help="print a line for each kind of study")
    arguments = parser.parse_args()
    by_time, by_kind = count(range(arguments.seeds))
    for time_, by_truth in enumerate(by_time, 1):
        table(f"synchronization {time_}",
            {TRUTHS[t]: by_truth[t] for t in TRUTHS})
        summary(by_truth)
    if arguments.kinds:
        table("kind", by_kind)
    speed("labelled set", make(0).times[-1])
    speed("ordinary days", ordinary(5000))
    wrong = sum(c['wrong'] for by_truth in by_time for c in by_truth.values())
    return 1 if wrong else 0


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
    print(f'{title:42}' + ''.join(f'{o:>10}' for o in OUTCOMES))
    for name, counter in counters.items():
        print(f'{name:42}' + ''.join(f'{counter[o]:10}' for o in OUTCOMES))
    print()


def summary(by_truth):
    linkable = sum(sum(by_truth[t].values()) for t in TRUTHS if t)
    linked = sum(by_truth[t][t] for t in TRUTHS if t)
    total = sum(sum(c.values()) for c in by_truth.values())
    wrong = sum(c['wrong'] for c in by_truth.values())
    print(f"{total} studies, {linkable} rightly linkable, "
        f"{linked / linkable:.2%} of these linked, {wrong} wrong links\n")


def ordinary(size):
    "Return a Hospital with studies as on most days."
    hospital = Hospital(0)
    for name, percent in ORDINARY.items():
        for _ in range(size * percent // 100):
            STORIES[name][0](hospital, name)
    return hospital


def speed(title, state):
    "Print the processor time of keys, index and decisions."
    studies = [s.study for s in state.studies]
    # What was made for the tables must not be searched for garbage.
    gc.collect()
    gc.freeze()
    start = time.process_time()
    found = [keys(s) for s in studies]
    spent = time.process_time() - start
    requests, patients = state.look_up(found)
    start = time.process_time()
    index = Index(requests, patients)
    for study in studies:
        decide(study, index)
    spent += time.process_time() - start
    print(f"{title}: {len(studies) / spent:,.0f} decisions a second, "
        "keys and index included")


if __name__ == '__main__':
    sys.exit(main())
