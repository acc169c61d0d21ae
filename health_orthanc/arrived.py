# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether all images came that a machine says it made."""
import datetime as dt
from collections import defaultdict

from trytond.i18n import gettext
from trytond.model import fields
from trytond.modules.health_imaging.request_list import wanted
from trytond.modules.health_imaging.tables import once
from trytond.pyson import Eval

from . import acquired

#: How long images may take, and for how long it is said that some are missing.
PATIENCE, MEMORY = dt.timedelta(minutes=30), dt.timedelta(days=7)


class ArrivedMixin:
    """Mixin of requests: how many of their images are there."""
    __slots__ = ()

    images_arrived = fields.Function(fields.Char("Images Arrived",
            states={'invisible': ~Eval('images_arrived')},
            help="How many images are here of those that the machine says it "
            "made."),
        'get_images_arrived')
    images_missing = fields.Function(fields.Boolean("Images Missing",
            help="Whether images are missing half an hour after the exam "
            "ended."),
        'get_images_missing', searcher='search_images_missing')

    @classmethod
    def get_images_arrived(cls, requests, name):
        made = cls.made_images([r.id for r in requests])
        number, together = defaultdict(int), defaultdict(set)
        for images, ids in made:
            for id_ in ids:
                number[id_] += images
                together[id_] |= ids
        here = acquired.count_together(set().union(*together.values()))
        return {
            r.id: gettext('health_orthanc.msg_images_arrived',
                here=_number(here, together[r.id]), made=number[r.id])
            if r.id in number else None
            for r in requests}

    @classmethod
    @once
    def _without_all_images(cls):
        """Return the ids of requests some of whose images did not come in
        time."""
        now = dt.datetime.now()
        made = cls.made_images(since=now - MEMORY, until=now - PATIENCE)
        here = acquired.count_together(
            set().union(*(ids for _, ids in made)))
        return {
            id_ for images, ids in made
            if _number(here, ids) < images for id_ in ids}

    @classmethod
    def get_images_missing(cls, requests, name):
        missing = cls._without_all_images()
        return {r.id: r.id in missing for r in requests}

    @classmethod
    def search_images_missing(cls, name, clause):
        missing = sorted(cls._without_all_images())
        return ['OR', ('id', '<', 0), *(
                ('id', 'in' if one else 'not in', missing)
                for one in wanted(clause, {True, False}))]


def _number(here, ids):
    "Return how many images of requests are here; one study may be of several."
    return sum({
            study: number for id_ in ids
            for study, number in here[id_].items()}.values())
