# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is asked before a link changes: programs that skip warnings
are not asked."""
from collections import Counter

from trytond.i18n import gettext
from trytond.modules.health_imaging.direction import isolated
from trytond.pool import Pool
from trytond.transaction import without_check_access

from .. import matching
from ..exceptions import LinkDiffersWarning, SignedLinkError, UndoLinkWarning
from . import candidate, facts
from .link import Change, requests_of


@without_check_access
def ask_to_link(links):
    """Ask about what the images say otherwise than the patients of links.

    :param dict links: Link by id of the study
    :return: tuples of matching.Difference by id of the study, where something
        differs
    :raises LinkDiffersWarning: the user is asked, and may go on
    """
    pool = Pool()
    Patient, Study = map(pool.get, [
            'gnuhealth.patient', 'gnuhealth.imaging_orthanc.study'])
    of = {id_: link.patient for id_, link in links.items() if link.patient}
    known = facts.patient_facts(set(of.values()))
    doubts = {
        study.id: matching.doubts(
            facts.study_facts(study), known[of[study.id]])
        for study in facts.read_studies(of) if of[study.id] in known}
    doubts = {id_: some for id_, some in sorted(doubts.items()) if some}
    _ask('imaging_link_differs', LinkDiffersWarning,
        [(id_, of[id_], some) for id_, some in doubts.items()], [
            gettext('health_orthanc.msg_link_differs',
                study=study.rec_name, patient=Patient(of[study.id]).rec_name,
                differences=text_of(d[:3] for d in doubts[study.id]))
            for study in Study.browse(list(doubts))])
    return doubts


def text_of(differences):
    """Return differences as a person reads them, a line for each.

    :param differences: attribute, value of the study and value here, each
    """
    Candidate = Pool().get('gnuhealth.imaging_orthanc.link_candidate')
    return '\n'.join(
        f'{Candidate.__names__(attribute)["field"]}: '
        + isolated(candidate.beside(attribute, theirs, own))
        for attribute, theirs, own in differences)


def _ask(name, Warning_, key, sentences):
    """Raise a warning unless the user has agreed to the same before.

    :param str name: name of the warning
    :param Warning_: its class
    :param key: what the question is about, whatever the language
    :param sentences: list of str
    """
    Warning = Pool().get('res.user.warning')
    name = Warning.format(name, key)
    if sentences and Warning.check(name):
        raise Warning_(name, '\n\n'.join(sentences))


def ask_to_undo(changes):
    """Ask before the last changes of links are taken back.

    :param changes: list of link.Change, those that undo the last ones
    :raises SignedLinkError: a study would leave a signed result
    :raises UndoLinkWarning: the user is asked, and may go on
    """
    pool = Pool()
    Attachment, Result, Study = map(pool.get, [
            'ir.attachment', 'gnuhealth.imaging.test.result',
            'gnuhealth.imaging_orthanc.study'])
    left = {(c.study, c.left('imaging_test')) for c in changes
        if c.left('imaging_test')}
    for study, result in sorted(left):
        if Result(result).state == 'final':
            raise SignedLinkError(gettext(
                    'health_orthanc.msg_undo_signed',
                    study=Study(study).rec_name,
                    result=Result(result).rec_name))
    pictures = Counter(
        picture.imaging_study.id
        for picture, twin in Attachment.leaving(left) if not twin)
    sentences = []
    for change in changes:
        lost, gained = _named(change, Change.left), _named(
            change, Change.gained)
        if pictures[change.study]:
            lost.append(gettext('health_orthanc.msg_undo_pictures',
                    count=pictures[change.study]))
        for what, some in [('takes', lost), ('returns', gained)]:
            if some:
                sentences.append(gettext(
                        f'health_orthanc.msg_undo_{what}',
                        study=Study(change.study).rec_name,
                        what='; '.join(some)))
    _ask('imaging_undo_link', UndoLinkWarning,
        [*changes, sorted(pictures.items())], sentences)


def _named(change, of):
    """Return the patient, request and result that a change takes or gives,
    as people call them."""
    Study = Pool().get('gnuhealth.imaging_orthanc.study')
    return [
        f'{Study.__names__(name)["field"]} '
        + isolated(Study._fields[name].get_target()(id_).rec_name)
        for name, ids in [
            ('patient', {of(change, 'patient')}),
            ('request', requests_of(change, of)),
            ('imaging_test', {of(change, 'imaging_test')})]
        for id_ in sorted(filter(None, ids))]
