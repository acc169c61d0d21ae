# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hostile worklist templates cost: each is rendered and converted in a
process of its own, which is measured and cannot take more than it is given.

As a program it reads a JSON list of templates, pairs of text and type, and
writes a JSON list of what they came to.
"""
import json
import os
import resource
import subprocess
import sys
import time
from decimal import Decimal

#: The most that a process may take, CPU seconds and bytes beyond the first.
SECONDS, MEMORY = 20, 1 << 30
# What a hostile person may have written into the record of a patient.
EMOJI = '\U0001f600'


def explode(templates):
    """Return a list of dicts for a list of pairs of text and type: ``error``
    (class and sentence, None), ``seconds``, ``mib``, or ``killed``."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', __file__], text=True, check=True,
        input=json.dumps(templates), capture_output=True,
        timeout=60 + len(templates) * SECONDS)
    return json.loads(done.stdout)


def _values():
    from trytond.modules.health_imaging_worklist import rendering
    return {
        **rendering.sample_variables(),
        'text': EMOJI * 60_000, 'letters': 'a' * 60_000, 'word': 'a',
        'number': Decimal('1e30'), 'list': list('abc' * 100),
        }


def _attempt(source, template_type):
    from trytond.modules.health_imaging_worklist import dataset, rendering
    text = rendering.render(
        rendering.compile(source), _values())
    dataset.to_bytes(
        dataset.complete(text, template_type, 'ISO_IR 192'), 'ISO_IR 192')


def _measured(source, template_type):
    from trytond.modules.health_imaging_worklist.dataset import DatasetError
    from trytond.modules.health_imaging_worklist.rendering import TemplateError
    begin = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = None
    try:
        _attempt(source, template_type)
    except (TemplateError, DatasetError) as raised:
        error = [type(raised).__name__, str(raised)[:500]]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        'error': error, 'seconds': time.process_time() - begin,
        'mib': (after - before) / 1024}


def _in_a_process(source, template_type):
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        used = int(open('/proc/self/statm').read().split()[0])
        limit = used * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            result = json.dumps(_measured(source, template_type))
        except BaseException as error:
            result = json.dumps({'killed': repr(error)[:500]})
        os.write(writing, result.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        result = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(result) if result else {'killed': "limit"}


if __name__ == '__main__':
    # What is imported and kept once is no cost of a template.
    _measured('$PatientName ${"%d" % 1}', 'dump2dcm')
    print(json.dumps([_in_a_process(*pair) for pair in json.load(sys.stdin)]))
