# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tryton's desktop client opens every view of the modules, on records of the
main job, without an error: the administrator all that there are, each role
what its rights let it reach."""
import pytest
from proteus import Model
from sources import MODULES
from story import Story
from support.hospital import CONFIGURATION, IMAGING, make_roles

CRITICAL = ["Critical Findings"]
READING = ["Reading List", "Results to Sign"]
WORKLIST = ["Today's Worklist"]
ORDERS = ["My Orders"]
MISSING = ["Images Missing"]
STUDIES = ["Studies to Review"]
ARCHIVE = [*STUDIES, "Servers with Trouble", "Reports to Store"]
OF_ORTHANC = {
    "Orthanc / Patients with Studies", "Orthanc / Studies",
    "Orthanc / Get New Studies",
    "Orthanc / Upload DICOM Files"}
OF_IMAGING = {
    "New Order", "Requests", "Results", "Critical Findings",
    "Statistics / Requests per Month", "Statistics / Turnaround",
    "Statistics / Graph of Requests per Month",
    "Statistics / Graph of Turnaround", "Statistics / Critical Findings"}
OF_MACHINES = {"Worklist", "Calendar", "Steps of Machines"}
CATALOG = {
    "Exam Types", "Exams", "Report Texts", "Import Templates",
    "Reasons for Cancellation", "Words for Sides",
    "Critical Findings and Notices", "Worklist Templates", "Machines",
    "Asked, Not Known"}
SERVERS = {
    "Orthanc / Add Orthanc Server", "Orthanc / Servers",
    "Orthanc / Synchronizations", "Orthanc / Waiting Decisions",
    "Orthanc / Access Log", "Orthanc / Orthanc Patients"}
STUDY_ACTIONS = {"Orthanc: Get New Studies", "Orthanc: Upload DICOM Files"}


@pytest.fixture(scope='module')
def world(servers):
    "The hospital with the records that the story leaves."
    story = Story(
        servers.server, servers.orthanc, servers.folder, lambda line: None)
    assert story.run(), story.wrong
    make_roles(servers)
    return servers


def views(config):
    "Return what the client has to open, each as a dictionary."
    View = Model.get('ir.ui.view', config)
    return [
        {
            'id': view.id, 'name': f'{view.model} {view.name}',
            'model': view.model, 'type': view.type,
            'ids': None if view.type == 'board' else ids(view, config),
            }
        for view in View.find([
                ('module', 'in', MODULES), ('inherit', '=', None)])]


def ids(view, config):
    "Return the ids of records to show, none for what is only typed in."
    Class = Model.get(view.model, config)
    if 'rec_name' in Class._fields:
        return [record.id for record in Class.find([], limit=20)]


def test_the_administrator_opens_every_view(world, person):
    with world.session() as config:
        todo = views(config)
    assert len(todo) > 40
    admin = person('admin')
    problems = {
        view['name']: admin.attempt('open_view', view)[1] for view in todo}
    assert len(problems) == len(todo)
    wrong = {name: found for name, found in problems.items() if found}
    assert not wrong, '\n'.join(
        f'{name}: {problem}' for name, found in wrong.items()
        for problem in found)


def look_around(someone, way):
    "Open all entries of the menu below another one, and tell what is there."
    found = {}
    for entry in someone.entries(*way):
        someone.menu(*entry)
        found[' / '.join(entry[len(way):])] = someone.look()
    return found


@pytest.mark.parametrize('login, imaging, configuration, parts', [
        ('doctor', OF_IMAGING | OF_ORTHANC | {"My Orders"}, set(),
            CRITICAL + ORDERS),
        ('radiologist', OF_IMAGING | OF_ORTHANC | OF_MACHINES | {
                "My Orders", "Reading List", "Macros"}, set(),
            CRITICAL + ORDERS + READING + ARCHIVE),
        ('radiographer', OF_IMAGING | OF_ORTHANC | OF_MACHINES, set(),
            CRITICAL + WORKLIST + STUDIES + MISSING),
        ('imaging_admin', OF_IMAGING | OF_ORTHANC | OF_MACHINES | {
                "Reading List", "Macros"}, CATALOG,
            CRITICAL + READING + WORKLIST + STUDIES + MISSING + [
                "Servers with Trouble"]),
        ('it', OF_ORTHANC, SERVERS, ARCHIVE),
        ('pacs_user', OF_ORTHANC, set(), ARCHIVE),
        ], ids=lambda value: value if isinstance(value, str) else '')
def test_each_role_opens_its_menu(
        person, login, imaging, configuration, parts):
    someone = person(login)
    found = look_around(someone, IMAGING)
    assert set(found) == imaging | {"Dashboard"}
    assert sorted(found["Dashboard"]['parts']) == sorted(parts)
    assert found["Orthanc / Studies"]['rows']
    assert STUDY_ACTIONS <= set(found["Orthanc / Studies"]['action'])
    if "Requests" in found:
        assert found["Requests"]['views'] == ['tree', 'form']
        assert "Worklist" in found["Requests"]['pages']
        assert found["Statistics / Graph of Turnaround"]['views'] == ['graph']
    assert set(look_around(someone, CONFIGURATION)) == configuration
    someone.menu(*IMAGING, "Orthanc", "Studies")
    for name in found["Orthanc / Studies"]['action']:
        if name.startswith("Orthanc: "):
            someone.choose_tool('action', name)
            assert someone.look()['kind'] == 'wizard'
