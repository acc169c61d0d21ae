# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the soak tells: readable by who does not know the test."""
from parts import NEVER_SPARED, PAUSED, RESTART

_WHO = """\
A doctor orders exams, a radiographer does them at two machines, a radiologist
reports and signs, the front desk corrects, merges, moves and cancels.  Who
gets no answer looks whether it was done, or does it again.  Meanwhile each
process is killed (kill -9) once a minute and started again {restart} s later,
the PACS is stopped for {paused} s once a minute, and PostgreSQL is restarted
once.  At the end everything that people were told must be there, and once.
"""
_SPARED = """\
From minute {since:g} on only {never} are killed; the others may not grow.
"""


def readable(hospital, counts):
    """Return the report, text.

    :param hospital: day.Hospital
    :param counts: counts.Counts, which may not have come to its end
    """
    parts = hospital.parts
    verdict = f"{len(counts.wrong)} WRONG" if counts.wrong else (
        "nothing is wrong" if counts.compared else "NOT FINISHED")
    title = (f"Soak of {parts.minutes:g} minutes, seed {hospital.seed}: "
        f"{verdict}")
    blocks = [
        [title, '=' * len(title)], _story(parts),
        [f"WRONG: {text}" for text in counts.wrong], _phases(hospital, counts),
        _compared(counts), _processes(parts), _answers(hospital.journal),
        _others(hospital.journal, counts)]
    return '\n\n'.join('\n'.join(lines) for lines in blocks if lines) + '\n'


def _story(parts):
    text = _WHO.format(restart=RESTART, paused=PAUSED)
    if parts.spared_since < parts.minutes:
        text += _SPARED.format(since=parts.spared_since,
            never=' and '.join(sorted(NEVER_SPARED)))
    return text.splitlines()


def _table(title, heads, rows, widths):
    "Return the lines of a table, the first column on the left."
    first, *others = widths
    return [title, '-' * len(title), *(
            f'{str(name):<{first}}' + ''.join(
                f'{value:>{width}}' for value, width in zip(values, others))
            for name, *values in [['', *heads], *rows])]


def _phases(hospital, counts):
    rows = [(name, f'{seconds:.0f}') for name, seconds in
        hospital.phases.items()]
    rows += [(f'- until no {name} waited', f'{seconds:.0f}')
        for name, seconds in counts.waited.items()]
    return _table("How long it took", ['seconds'], rows, [34, 10])


def _compared(counts):
    rows = [(name, *pair) for name, pair in counts.compared.items()]
    return _table("What people were told, and what is there",
        ['told', 'there'], rows, [34, 10, 10])


def _processes(parts):
    warm = {part: pair for part, *pair in parts.memory()}
    rows = [
        (part.name, part.kills, part.deaths, part.left, len(part.leaked),
            *(f'{size:.0f}' for size in [part.peak, *warm.get(part, [])]))
        for part in parts.parts.values()]
    heads = ['killed', 'ended', 'files left', 'files that', 'MiB']
    more = ['', '', 'itself', 'by kills', 'stayed', 'at most']
    if warm:
        heads, more = heads + ['MiB', 'MiB'], more + ['half', 'end']
    return [
        *_table("Processes, their temporary files, and their memory",
            heads, [more, *rows], [14, 8, 8, 12, 12, 9, 9, 9]),
        *(f"{name}: {count}" for name, count in parts.events.items())]


def _answers(journal):
    rows = []
    for name, seconds in sorted(journal.seconds.items()):
        seconds = sorted(seconds)
        rows.append((name, len(seconds), journal.lost[name],
                f'{seconds[len(seconds) // 2]:.2f}', f'{seconds[-1]:.2f}',
                f'{max(journal.until_done[name], default=0):.2f}'))
    return _table("What people did, in seconds, the slowest first",
        ['times', 'lost', 'median', 'slowest', 'until done'],
        sorted(rows, key=lambda row: -float(row[4])),
        [26, 8, 8, 10, 10, 12])


def _others(journal, counts):
    lines = [f"{name}: {count}" for name, count in
        [*counts.counts.items(), *journal.done.items()]]
    for title, counter in [
            ("No answer", journal.no_answers), ("Refused", journal.refused)]:
        lines += ["", title, '-' * len(title), *(
                f"{count:>6} x {' '.join(str(text).split())[:150]}"
                for text, count in counter.most_common())]
    return lines
