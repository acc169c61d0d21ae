# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital that works while its servers are killed one after the other, in a
PostgreSQL cluster of its own that is restarted, too.

``SOAK_MINUTES=60 python tests/soak/run.py``; arguments are those of pytest.
``day.py`` is the test, ``parts.py`` has the servers and who kills them,
``people.py`` who works, and ``counts.py`` what must be true at the end.
"""
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / 'support'))

from postgres import Cluster  # noqa: E402


class Given:
    "What the test gets of this program."

    def __init__(self, cluster):
        self._cluster = cluster

    @pytest.fixture
    def cluster(self):
        "The cluster in which the database is."
        return self._cluster


def main(arguments):
    "Run the soak and return its exit status."
    # What was committed must not be lost with it.
    with Cluster(synchronous_commit='on') as cluster:
        os.environ['POSTGRESQL_URI'] = cluster.uri
        return pytest.main(
            [str(HERE / 'day.py'), '-s', *arguments], [Given(cluster)])


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
