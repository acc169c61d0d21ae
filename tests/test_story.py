# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of the demonstration, on the back-end of the tests, with a real
PACS, modality and office."""
import pytest
import seed
from story import Story

# On SQLite the demonstration itself tells it, in test_demo.py.
AE_TITLES = {exam.aetitle: exam.aetitle for exam in seed.EXAMS}


class Beginning(Story):
    "The story until the modalities have read the worklist."

    def _steps(self):
        return super()._steps()[:5]


@pytest.mark.postgresql
def test_story(trytond_server, make_orthanc, tmp_path):
    lines = []
    story = Story(trytond_server, make_orthanc(modalities=AE_TITLES), tmp_path,
        lines.append)
    assert story.run(), '\n'.join(lines)
    assert story.right > 50


@pytest.mark.sqlite
def test_story_sees_names_that_a_pacs_damages(
        trytond_server, make_orthanc, tmp_path):
    lines = []
    orthanc = make_orthanc(modalities=AE_TITLES, default_encoding='Latin1')
    story = Beginning(trytond_server, orthanc, tmp_path, lines.append)
    assert not story.run()
    wrong = [line for line in lines if 'WRONG' in line]
    assert 'name, sex, birth date' in wrong[0]


@pytest.mark.sqlite
def test_story_sees_a_pacs_that_is_down(
        trytond_server, make_orthanc, tmp_path):
    lines = []
    orthanc = make_orthanc(modalities=AE_TITLES)
    orthanc.stop()
    assert not Story(trytond_server, orthanc, tmp_path, lines.append).run()
    assert any('WRONG  it answers' in line for line in lines)
