# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the page of the documentation with what benchmarks told before and
after."""
import ast
import os
import platform
import re
import subprocess
from collections import Counter, namedtuple
from importlib import metadata
from pathlib import Path

from services import ORTHANC
from support.postgres import OPTIONS, find_programs

#: What a file of benchmarks told with two states.
#:
#: path: of the file
#: numbers: with what numbers it was run, in words
#: before, after: lists of dicts, see support.benchmarks.LINES
Section = namedtuple('Section', 'path numbers before after')

COLUMNS = [
    "What", "Rows", "Calls before", "Calls after", "Seconds before",
    "Seconds after", "Floor before", "Floor after", "× floor before",
    "× floor after"]

HEAD = '''\
Benchmarks
##########

This page is made by ``sh his-utils/test.sh -e compare``; do not edit it.

Each file of benchmarks was run with the modules and scripts of two commits,
one after the other on the same machine; the benchmarks themselves are those of
the second one.  A floor is the least that the same work can cost; each ratio
is to the floor that was measured in the same process.  A screen one of whose
statements takes more than five seconds is not waited for: ``inf``.

.. list-table::

   * - Before
     - Commit {before}
   * - After
     - Commit {after}
   * - Date
     - {begin:%Y-%m-%d %H:%M} UTC, {minutes} minutes
   * - Machine
     - {machine}
   * - Load of the last minutes, at the end
     - {load}
   * - Programs
     - {programs}
   * - PostgreSQL
     - A cluster for each run, with {options}
'''


def page(sections, begin, end, before, after):
    """Return the text of the page.

    :param sections: list of Section
    :param datetime.datetime begin, end: of the run, in UTC
    :param str before, after: the commits, as they are described
    """
    head = HEAD.format(
        before=before, after=after, begin=begin,
        minutes=round((end - begin).total_seconds() / 60),
        machine=machine(), programs=programs(),
        load=', '.join(f'{value:.1f}' for value in os.getloadavg()),
        options=', '.join(
            f'``{name} = {value}``' for name, value in OPTIONS.items()
            if 'listen' not in name and 'unix' not in name))
    return head + ''.join(map(section_text, sections))


def machine():
    "Return what is known of this computer."
    def value(path, name):
        return re.search(
            rf'^{name}\s*: *(.*)', Path(path).read_text(), re.M).group(1)
    memory = int(value('/proc/meminfo', 'MemTotal').split()[0]) / 2 ** 20
    return (f"{os.cpu_count()} cores, {value('/proc/cpuinfo', 'model name')}, "
        f"{memory:.0f} GiB of memory, Linux {platform.release()}")


def programs():
    "Return the versions of what was measured with."
    postgres, orthanc = (
        re.search(r'\d+(\.\d+)+', subprocess.run(
                [program, '--version'], text=True, check=True,
                capture_output=True).stdout).group()
        for program in [find_programs() / 'postgres', ORTHANC])
    return (f"PostgreSQL {postgres}, Python {platform.python_version()}, "
        f"trytond {metadata.version('trytond')}, "
        f"GNU Health {metadata.version('gnuhealth')}, Orthanc {orthanc}")


def section_text(section):
    "Return the text of a section."
    source = section.path.read_text()
    title = f"tests/benchmarks/{section.path.name}"
    intro = ' '.join(ast.get_docstring(ast.parse(source)).split())
    fake = " A fake PACS stands for Orthanc." if 'fake' in source else ""
    text = [
        '', title, '=' * len(title), '',
        escaped(f"{intro} Run with {section.numbers}.{fake}"),
        '', '.. csv-table::', '   :header: ' + ', '.join(map(quoted, COLUMNS)),
        '',
        *('   ' + ', '.join(map(quoted, row)) for row in rows(section)), '']
    for name, lines in [("before", section.before), ("after", section.after)]:
        failures = [
            f"{line['test'].rpartition('/')[2]}: {line['failure']}"
            for line in lines if 'failure' in line]
        if failures:
            text += [f"Not measured {name}:", '',
                *(f'- {escaped(failure)}' for failure in failures), '']
    return '\n'.join(text)


def rows(section):
    "Yield the rows of the table of a section, lists of texts."
    before, after = keyed(section.before), keyed(section.after)
    for key in {**after, **before}:
        lines = before.get(key, {}), after.get(key, {})
        if 'text' in lines[0] or 'text' in lines[1]:
            yield [escaped(both(lines, 'text'))] + [''] * (len(COLUMNS) - 1)
            continue
        yield [
            escaped(lines[1].get('what') or lines[0]['what']),
            both(lines, 'rows'),
            *(line.get('calls', '') for line in lines),
            *(number(line.get(name)) for name in ['seconds', 'floor']
                for line in lines),
            *(number(line.get('floor') and line['seconds'] / line['floor'])
                for line in lines)]


def keyed(lines):
    """Return what was told, a dict by test, text and place: numbers in the
    text may differ between before and after."""
    found, seen = {}, Counter()
    for line in lines:
        text = line.get('what') or line.get('text')
        if text:
            key = line['test'], re.sub(r'\d[\d.]*', '#', text)
            seen[key] += 1
            found[*key, seen[key]] = line
    return found


def number(value):
    "Return a number with three digits, nothing for None."
    if value is None:
        return ''
    return f'{value:.0f}' if value >= 100 else f'{value:.3g}'


def both(lines, name):
    "Return a value of before and after, once where that is the same."
    return ' → '.join(dict.fromkeys(
            str(line[name]).strip() for line in lines if name in line))


def escaped(text):
    "Return a text in which nothing is a mark."
    text = re.sub(r'([\\*`|_]|(?<=:):)', r'\\\1', text.replace('``', ''))
    # Such as a dash of a list
    return text if text[:1].isalpha() else f'\\ {text}'


def quoted(text):
    "Return a text as a field of a table."
    return '"' + text.replace('"', '""') + '"'
