# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes pytest run the scenarios, texts with examples for the interpreter,
each on a database of its own as trytond's unittest loader does.
"""
import doctest

import pytest


class ScenarioFile(pytest.File):
    "A file of examples; all of it is one test."

    def collect(self):
        yield ScenarioItem.from_parent(self, name=self.path.stem)


class ScenarioItem(pytest.Item):
    "Runs the examples of a file."

    def runtest(self):
        from trytond.tests.test_tryton import (
            doctest_checker, doctest_teardown, drop_db)
        case = doctest.DocFileTest(
            str(self.path), module_relative=False, encoding='utf-8',
            tearDown=doctest_teardown, checker=doctest_checker,
            optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
        # Other tests leave their database, and the models of its modules.
        drop_db()
        case.setUp()
        try:
            case.runTest()
        finally:
            case.tearDown()

    def repr_failure(self, excinfo):
        return str(excinfo.value)

    def reportinfo(self):
        return self.path, 0, f"scenario: {self.name}"
