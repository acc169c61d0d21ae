# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of the hospital: killed by plan, started again as systemd
does, and how much memory they have."""
import math
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import seed
from scanner import NODE
from services import HOST, Process, Trytond

SCRIPT = (Path(__file__).parents[2]
    / 'his-utils/scripts/imaging/update_worklists_database.py')
#: After so many seconds systemd starts again what ended.
RESTART = 3
#: Who is killed in the second half of a long run, too.
NEVER_SPARED = {'orthanc', 'worker-1'}
#: The PACS does not answer for so many seconds, once a minute.
PAUSED = 10
#: So long a process that is spared gets the memory that it keeps, seconds.
WARMING = 180
#: Nobody needs a temporary file for so many seconds.
STAYS = 45
_PAGE = os.sysconf('SC_PAGE_SIZE')


class Health(Trytond):
    """A trytond with two workers and cron."""

    def __init__(self, folder, **options):
        super().__init__(folder, workers=2, **options)
        # As much at once on each computer
        for worker in self.processes[1:]:
            worker.command += ['-n', '1']
        self.processes.append(
            self._process('trytond-cron', self.folder / 'cron.log'))


def publishing(folder, health, worklists, password):
    """Return the Process of the worklist script, as a service.

    :param folder: of its log
    :param health: a Health
    :param worklists: the folder of the worklist files
    :param password: file with that of the user
    """
    return Process([
            sys.executable, SCRIPT, '-H', HOST, '-p', health.port,
            '-d', health.database, '-u', NODE.login, '--password-file',
            password, '-w', worklists, '-s', '1'],
        folder / 'worklist.log')


class Part:
    """A process that may be killed. It has a folder of its own for temporary
    files, as with PrivateTmp.

    :param process: services.Process, which does not run yet
    :param folder: in which the other one is made
    :ivar left: how many temporary files it had when it was killed
    :ivar leaked: temporary files that stayed too long, paths
    :ivar memory: of its last life: times and MiB
    :ivar peak: the most memory that it had in any life, MiB
    """

    def __init__(self, name, process, folder):
        self.name, self.process = name, process
        self.temporary = folder / f'tmp-{name}'
        self.temporary.mkdir()
        process.environment = {
            **(process.environment or os.environ),
            'TMPDIR': str(self.temporary)}
        self.kills = self.deaths = self.left = 0
        self.leaked, self._seen = set(), {}
        self.memory, self.peak = [], 0
        self._back_at = self._pid = None

    def kill(self):
        "Kill it and what it started, as the kernel does without memory."
        self.process.kill()
        self.kills += 1
        self._back_at = time.monotonic() + RESTART

    def supervise(self):
        "Start it again when it is time."
        if self.process.running:
            return
        if self._back_at is None:
            self.deaths += 1
            self._back_at = time.monotonic() + RESTART
        elif time.monotonic() >= self._back_at:
            self._back_at = None
            self.process.kill()
            self.left += len(leaks(self.temporary))
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary.mkdir(exist_ok=True)
            self.process.start()

    def measure(self):
        "Note the memory of it and its children, and its temporary files."
        now = time.monotonic()
        if self._pid != self.process.pid:
            self._pid, self.memory, self._seen = self.process.pid, [], {}
        if self._pid and self.process.running:
            size = _resident(self._pid)
            self.memory.append((now, size))
            self.peak = max(self.peak, size)
            self._seen = {
                path: self._seen.get(path, now)
                for path in leaks(self.temporary)}
            self.leaked.update(
                path for path, since in self._seen.items()
                if now - since > STAYS)


def _resident(group):
    "Return the resident memory of a group of processes, MiB."
    pages = 0
    for path in Path('/proc').glob('[0-9]*'):
        try:
            words = (path / 'stat').read_text().rpartition(')')[2].split()
            if int(words[2]) == group:
                pages += int((path / 'statm').read_text().split()[1])
        except OSError:
            continue
    return pages * _PAGE / 2 ** 20


def leaks(folder):
    """Return the files below a folder that are there for a while only.

    The places that programs share are files that stay, see programs.Slots.
    """
    places = str(Path(folder, f'gnuhealth-imaging-{os.getuid()}'))
    return [
        Path(place, name) for place, folders, files in os.walk(folder)
        for name in [*folders, *files]
        if os.path.join(place, name) != places and not (
            place == places and re.fullmatch(r'.+-\d+', name))]


class Parts:
    """All processes, and what is done to them.

    :param parts: list of Part, that of Orthanc named so
    :param cluster: support.postgres.Cluster
    :param minutes: how long it goes on
    """

    def __init__(self, parts, cluster, minutes):
        self.parts = {part.name: part for part in parts}
        self.minutes = minutes
        self.events = Counter()
        self._cluster = cluster
        self.begin = time.monotonic()
        self._measured = 0
        self.plan = sorted(self._plan(), key=lambda event: event[0])

    @property
    def spared_since(self):
        "The minute from which on most are spared; none in a short run."
        return self.minutes / 2 if self.minutes >= 10 else math.inf

    def memory(self):
        """Yield each Part that was spared, with its memory when it was warm
        and at the end, MiB."""
        warm = self.begin + 60 * self.spared_since + WARMING
        for name, part in self.parts.items():
            sizes = [size for at, size in part.memory if at >= warm]
            if sizes and name not in NEVER_SPARED:
                yield part, sizes[0], sizes[-1]

    def _plan(self):
        "Yield when something happens, in seconds, and what."
        yield self.minutes * 30, self._cluster.restart, 'database restarted'
        names = [*self.parts, '']
        for minute in range(max(1, round(self.minutes))):
            spared = minute >= self.spared_since
            for number, name in enumerate(names):
                second = 60 * minute + (number + .5) * 60 / len(names)
                if not name:
                    yield second, self._pause, 'PACS stopped for a while'
                    yield second + PAUSED, self._go_on, None
                elif not spared or name in NEVER_SPARED:
                    yield second, self.parts[name].kill, None

    def _pause(self):
        self._signal(signal.SIGSTOP)

    def _go_on(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        process = self.parts['orthanc'].process
        if process.running:
            os.kill(process.pid, number)

    def tick(self):
        "Do what is due."
        now = time.monotonic()
        while self.plan and self.plan[0][0] <= now - self.begin:
            _, action, name = self.plan.pop(0)
            action()
            self.events.update([name] if name else [])
        self.look_after()

    def look_after(self):
        "Start again what ended, and measure."
        for part in self.parts.values():
            part.supervise()
        if time.monotonic() - self._measured > 5:
            self._measured = time.monotonic()
            for part in self.parts.values():
                part.measure()
        time.sleep(0.2)

    def stop(self):
        "Kill all."
        for part in self.parts.values():
            part.process.kill()


#: Who may correct, merge, and so on, beside the users of the seed.
DESK = seed.Login('desk', seed.Person("Front", "Desk", *[None] * 4),
    ['health_imaging.group_health_imaging_front_desk'])
MERGER = seed.Login('merger', seed.Person("Record", "Office", *[None] * 4),
    ['party.group_party_admin', 'health.group_health_admin'])
