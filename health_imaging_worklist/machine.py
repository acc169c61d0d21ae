# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of the hospital: what each is called, may do, and when."""
import datetime as dt
from collections import Counter

from sql import Literal
from sql.aggregate import Count, Max
from sql.conditionals import Coalesce
from sql.operators import Equal

from trytond.i18n import gettext
from trytond.model import (
    DeactivableMixin, Exclude, ModelSQL, ModelView, Unique, fields)
from trytond.modules.health_imaging.calls import (
    CheckedCalls, checked, search_words)
from trytond.modules.health_imaging.institution import (
    current_company, local_datetime)
from trytond.modules.health_imaging.minute import Minute
from trytond.modules.health_imaging.modality_tabs import TabsMixin
from trytond.modules.health_imaging.rights import check_rights
from trytond.modules.health_imaging.tables import execute, moment, write_each
from trytond.modules.health_imaging.workflow import (
    check_unique, refuse_changed, refuse_given)
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If
from trytond.rpc import RPC
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import without_check_access

from . import attributes, migration
from .exceptions import ApplicationEntityError, CharsetError

_UNKNOWN = 'gnuhealth.imaging_worklist.machine.unknown'
# What nodes tell of a machine.
_TOLD = frozenset({'last_asked', 'worklist_age'})
#: How many askers a node may tell of in one call.
MOST = 500


class Machine(
        TabsMixin, CheckedCalls, DeactivableMixin, ModelSQL, ModelView):
    "Imaging Machine"
    __name__ = 'gnuhealth.imaging_worklist.machine'

    name = fields.Char("Name", required=True)
    aetitle = fields.Char("AE Title", required=True,
        help="The application entity title of the machine, as set on it.")
    modality = fields.Many2One('gnuhealth.imaging.test.type', "Modality",
        ondelete='RESTRICT',
        help="What the machine does. Leave it empty where it does several.")
    room = fields.Char("Room")
    charset = fields.Char("Character Set",
        help="The DICOM term for the characters that the machine reads, where "
        "it is not that of the worklist template.")
    weight_limit = fields.Float("Weight Limit", digits=(16, 1),
        domain=['OR',
            ('weight_limit', '=', None),
            ('weight_limit', '>', 0),
            ],
        help="The heaviest patient that the table carries, in kg.")
    hours = fields.One2Many(
        'gnuhealth.imaging_worklist.machine.hours', 'machine',
        "Opening Hours",
        help="When exams are done. Without hours they are at any time.")
    exams = fields.Many2Many(
        'gnuhealth.imaging_worklist.exam-machine', 'machine', 'exam',
        "Exams",
        domain=[
            If(Bool(Eval('modality')),
                ('test_type', '=', Eval('modality', -1)), ()),
            ],
        help="What can be done on the machine.")
    company = fields.Many2One('company.company', "Company",
        help="Leave it empty where all companies use the machine.")
    last_asked = Minute("Last Asked", readonly=True,
        help="When the machine last asked for its worklist.")
    worklist_age = fields.TimeDelta("Age of Worklist", readonly=True,
        help="How old the worklist was that the machine got: for so long had "
        "the node not heard of GNU Health.")
    last_step = fields.Function(Minute("Last Step",
            help="When the machine last began an exam."), 'get_last_step')
    entries = fields.Function(fields.Integer("Entries",
            help="How many requests the machine is told of when it asks now."),
        'get_entries')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('aetitle_exclude', Exclude(table, (table.aetitle, Equal),
                    (Coalesce(table.company, -1), Equal),
                    where=table.active == Literal(True)),
                'health_imaging_worklist.msg_machine_aetitle_unique'),
            ]
        cls._order.insert(0, ('name', 'ASC'))
        cls.__rpc__.update({
                'autocomplete_charset': RPC(
                    instantiate=0, cache=dict(days=1)),
                'get_machines': RPC(decorator=checked()),
                'note_asked': RPC(readonly=False, decorator=checked(
                        node=is_text, asked=lambda asked: is_bounded(
                            asked, MOST))),
                })
        cls._buttons['move_requests'] = {}

    @staticmethod
    def default_company():
        company = current_company()
        return company.id if company else None

    def get_rec_name(self, name):
        return f'{self.name} ({self.aetitle})'

    @classmethod
    def search_rec_name(cls, name, clause):
        return search_words(['name', 'aetitle', 'room'], clause)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', If(Eval('active', True), '', 'muted')),
            ]

    @fields.depends('charset')
    def autocomplete_charset(self):
        """Return the DICOM terms that begin like what is typed, or are for
        the language that is."""
        return attributes.find_charsets(self.charset)

    @classmethod
    def create(cls, vlist):
        refuse_given(cls, vlist, _TOLD)
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        refuse_changed(cls, args, _TOLD)
        super().write(*args)

    @classmethod
    def copy(cls, machines, default=None):
        default = {**dict.fromkeys(_TOLD), **(default or {})}
        # Two active machines have not one title.
        default.setdefault('active', False)
        return super().copy(machines, default=default)

    @classmethod
    def validate_fields(cls, machines, field_names):
        super().validate_fields(machines, field_names)
        for machine in machines:
            machine._check_aetitle()
            machine._check_charset()
        active = [m for m in machines if m.active]
        for company in {m.company for m in active}:
            check_unique(
                [m for m in active if m.company == company], 'aetitle',
                'health_imaging_worklist.msg_machine_aetitle_unique', [
                    ('active', '=', True),
                    ('company', '=', company.id if company else None)])

    def _check_aetitle(self):
        if self.aetitle != attributes.application_entity(self.aetitle):
            raise ApplicationEntityError(gettext(
                    'health_imaging_worklist.msg_machine_aetitle_invalid',
                    aetitle=self.aetitle, machine=self.name))

    def _check_charset(self):
        if self.charset and not attributes.is_charset(self.charset):
            raise CharsetError(gettext(
                    'health_imaging_worklist.msg_machine_charset_invalid',
                    charset=self.charset, machine=self.rec_name,
                    charsets=', '.join(attributes.CHARSETS)))

    @classmethod
    def get_last_step(cls, machines, name):
        step = Pool().get(
            'gnuhealth.imaging_worklist.performed_step').__table__()
        last = dict.fromkeys((m.id for m in machines))
        for some in grouped_slice(list(last)):
            last.update((id_, moment(at)) for id_, at in execute(step.select(
                        step.machine, Max(step.start), group_by=step.machine,
                        where=reduce_ids(step.machine, list(some)))))
        return last

    @classmethod
    @without_check_access
    def get_entries(cls, machines, name):
        """Count what a node gives to machines: what is for their title, and
        what is for none and of their modality, of any where they have none.
        """
        pool = Pool()
        Request = pool.get('gnuhealth.imaging.test.request')
        request = Request.__table__()
        exam = pool.get('gnuhealth.imaging.test').__table__()
        type_ = pool.get('gnuhealth.imaging.test.type').__table__()
        machine = cls.__table__()
        title = Coalesce(machine.aetitle, exam.aetitle, '')
        counts = Counter()
        for aetitle, modality, number in execute(request
                .join(exam, condition=request.requested_test == exam.id)
                .join(type_, condition=exam.test_type == type_.id)
                .join(machine, 'LEFT', condition=request.machine == machine.id)
                .select(title, type_.code, Count(request.id),
                    where=(request.state == 'requested')
                    & (request.worklist_status == 'todo'),
                    group_by=[title, type_.code])):
            counts[aetitle or None, None if aetitle else modality] += number
        of_none = sum(n for (title, _), n in counts.items() if not title)
        return {
            m.id: counts[m.aetitle, None] + (
                counts[None, m.modality.code] if m.modality else of_none)
            for m in machines}

    @classmethod
    @ModelView.button_action('health_imaging_worklist.wizard_move_requests')
    def move_requests(cls, machines):
        """Open the wizard that gives the requests to other machines."""

    def is_open(self, begin, end, zone):
        """Return whether exams are done all the time between two moments.

        :param datetime.datetime begin: naive, UTC
        :param datetime.datetime end: naive, UTC
        :param datetime.tzinfo zone: of the institution
        """
        if not self.hours:
            return True
        begin, end = (
            local_datetime(at, zone).replace(tzinfo=None)
            for at in [begin, end])
        return any(
            first <= begin and end <= last for first, last in (
                hours.on(begin.date()) for hours in self.hours
                if hours.day.index == begin.weekday()))

    # RPC of the modality node

    @classmethod
    def get_machines(cls):
        """Return the active machines of the user's companies.

        :rtype: list of dicts with ae_title, name, modality and charset, str
        """
        check_rights(cls.__name__, 'read')
        User = Pool().get('res.user')
        with without_check_access():
            return [{
                    'ae_title': m.aetitle,
                    'name': m.name,
                    'modality': m.modality.code if m.modality else '',
                    'charset': m.charset or '',
                    } for m in cls.search(['OR',
                            ('company', '=', None),
                            ('company', 'in', list(User.get_companies())),
                            ])]

    @classmethod
    def note_asked(cls, node, asked):
        """Note which machines asked a node for their worklist, and who asked
        and is none.

        :param str node: UUID of the node's store
        :param asked: list of dicts with ae_title, address, at, known and, of
            machines, age: the seconds since the node heard of GNU Health
        """
        Unknown = Pool().get(_UNKNOWN)
        check_rights(_UNKNOWN, 'create')
        last, others = {}, {}
        for one in filter(lambda o: isinstance(o, dict), asked):
            title, address = (
                short(one.get(name)) for name in ['ae_title', 'address'])
            at = parsed(one.get('at'))
            if one.get('known'):
                if title not in last or at > last[title][0]:
                    last[title] = [at, duration(one.get('age'))]
            elif title:
                others[title, address] = at
        with without_check_access():
            machines = cls.search([('aetitle', 'in', list(last))])
            # No stamp: what it is told of did not change, and who edits the
            # machine is not disturbed.
            write_each(cls, ['last_asked', 'worklist_age'], {
                    m.id: last[m.aetitle] for m in machines
                    if not m.last_asked or m.last_asked < last[m.aetitle][0]},
                stamp=False)
            Unknown.note(short(node), others)


class Hours(CheckedCalls, ModelSQL, ModelView):
    "Opening Hours of an Imaging Machine"
    __name__ = 'gnuhealth.imaging_worklist.machine.hours'

    machine = fields.Many2One('gnuhealth.imaging_worklist.machine', "Machine",
        required=True, ondelete='CASCADE')
    day = fields.Many2One('ir.calendar.day', "Day", required=True)
    begin = fields.Time("From", required=True, format='%H:%M')
    end = fields.Time("To", required=True, format='%H:%M',
        domain=[If(Bool(Eval('begin')), ('end', '>', Eval('begin')), ())],
        help="23:59 is the end of the day.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [
            ('machine', 'ASC'), ('day.index', 'ASC'), ('begin', 'ASC')]

    def get_rec_name(self, name):
        return f'{self.day.rec_name} {self.begin:%H:%M}-{self.end:%H:%M}'

    def on(self, day):
        """Return when exams are done on a day.

        :param datetime.date day: a day of this name
        :return: pair of datetime, naive, local
        """
        end = dt.datetime.combine(day, self.end)
        if self.end >= dt.time(23, 59):
            end = dt.datetime.combine(day, dt.time()) + dt.timedelta(1)
        return dt.datetime.combine(day, self.begin), end


class ExamMachine(CheckedCalls, ModelSQL):
    "Imaging Exam - Machine"
    __name__ = 'gnuhealth.imaging_worklist.exam-machine'

    exam = fields.Many2One('gnuhealth.imaging.test', "Exam",
        required=True, ondelete='CASCADE')
    machine = fields.Many2One('gnuhealth.imaging_worklist.machine', "Machine",
        required=True, ondelete='CASCADE')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('exam_machine_unique', Unique(table, table.exam, table.machine),
                'health_imaging_worklist.msg_exam_machine_unique'),
            ]

    @classmethod
    def __register__(cls, module):
        is_new = not migration.is_there(cls)
        super().__register__(module)
        if is_new:
            migration.make_machines(cls)


def is_text(value):
    """Return whether an argument of an RPC is a text of moderate length.

    :param value: the argument
    """
    return isinstance(value, str) and 0 < len(value) <= 200


def is_bounded(values, most):
    """Return whether an argument of an RPC is a list that is not too long.

    :param values: the argument
    :param int most: how long it may be
    """
    return isinstance(values, (list, tuple)) and len(values) <= most


def short(value):
    """Return what a node says as a text of one line and moderate length.

    :param value: what should be a text
    """
    text = value if isinstance(value, str) else ''
    return attributes.cut(attributes.clean(text[:400]).strip(), 64)


def parsed(value):
    """Return a moment that a node says, now where it is none or to come.

    :param value: what should be a text in ISO format, UTC
    :return: datetime, naive, UTC, in whole seconds
    """
    now = dt.datetime.now()
    try:
        at = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        at = now
    if at.tzinfo or not dt.datetime(2000, 1, 1) < at < now:
        at = now
    return at.replace(microsecond=0)


def duration(value):
    """Return the seconds that a node says as a time, None where they are none.

    :param value: what should be a number of seconds
    :rtype: datetime.timedelta
    """
    if type(value) is int and 0 <= value < 10 ** 9:
        return dt.timedelta(seconds=value)
