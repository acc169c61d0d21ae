# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a report while it is written: prepared texts, macros and pick
lists, and the wizard that resolves these."""
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval
from trytond.transaction import check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from . import picks
from .doors import ReloadingWizard, selected_records
from .exceptions import NotNumberError, PickOpenError, PicksChangedError
from .minute import now
from .report_template import FIELDS
from .rights import check_rights
from .sections import SECTIONS
from .workflow import differs

_RESULT = 'gnuhealth.imaging.test.result'
_PARENTS = [f'_parent_template.{name}' for name in FIELDS.values()]


class ReportTextMixin:
    """Mixin of results: how their text is written.

    It stands behind the workflow, which keeps what it stamps from people.
    """
    __slots__ = ()

    text_changed_at = fields.DateTime("Text Changed at", readonly=True,
        states={'invisible': ~Eval('text_changed_at')})

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._stamped |= {'text_changed_at'}
        for name in ['pick', 'expand']:
            cls._buttons[name] = {'invisible': Eval('state') != 'draft'}

    @fields.depends('template', *SECTIONS, *_PARENTS)
    def on_change_template(self):
        if not self.template:
            return
        for section, name in FIELDS.items():
            text = getattr(self.template, name)
            if text:
                setattr(self, section, '\n\n'.join(filter(None, [
                                getattr(self, section), text])))
        self.template = None

    @classmethod
    def create(cls, vlist):
        return super().create([
                cls._written(v, any(v.get(name) for name in SECTIONS))
                for v in vlist])

    @classmethod
    def write(cls, *args):
        actions, written = iter(args), []
        for results, values in zip(actions, actions):
            names = values.keys() & set(SECTIONS)
            written += [results, cls._written(values, any(
                        differs(r, n, values[n])
                        for r in results for n in names))]
        super().write(*written)

    @classmethod
    def _written(cls, values, changed):
        """Return values with macros expanded and the time, if they change."""
        if not changed:
            return values
        Macro = Pool().get('gnuhealth.imaging.macro')
        names = [name for name in SECTIONS if name in values]
        texts = Macro.expand([values[name] for name in names])
        return {
            **values, **dict(zip(names, texts)),
            'text_changed_at': now()}

    @ModelView.button_change(*SECTIONS)
    def expand(self):
        """Replace the macros in the text."""
        check_rights(_RESULT, 'write')
        Macro = Pool().get('gnuhealth.imaging.macro')
        texts = [getattr(self, name) for name in SECTIONS]
        for name, text in zip(SECTIONS, Macro.expand(texts)):
            setattr(self, name, text)

    @classmethod
    @ModelView.button_action('health_imaging.wizard_pick')
    def pick(cls, results):
        """Open the wizard that resolves pick lists."""

    def open_picks(self):
        """Return the pick lists that are left, pairs of the name of the
        section and picks.Pick."""
        return [
            (name, pick) for name in SECTIONS
            for pick in picks.find(getattr(self, name))]

    def check_picks(self):
        """Raise PickOpenError when a pick list is left."""
        left = self.open_picks()
        if left:
            raise PickOpenError(gettext(
                    'health_imaging.msg_picks_open', result=self.rec_name,
                    picks='\n'.join(
                        f"{self.__names__(name)['field']}: "
                        f"{pick.before} {pick.source}"
                        for name, pick in left)))


class PickStart(ModelView):
    "Pick"
    __name__ = 'gnuhealth.imaging.test.result.pick.start'

    picks = fields.One2Many(
        'gnuhealth.imaging.test.result.pick.line', None, "Pick Lists",
        help="What is left empty stays open.")


class PickLine(ModelView):
    "Pick List"
    __name__ = 'gnuhealth.imaging.test.result.pick.line'

    section = fields.Char("Section", readonly=True)
    before = fields.Char("Text", readonly=True)
    choice = fields.Selection('get_choices', "Choice", sort=False,
        states={'invisible': ~Eval('options')})
    value = fields.Char("Value", states={'invisible': Eval('options', False)})
    unit = fields.Char("Unit", readonly=True)
    # Where it stands, as it was when the window opened.
    place = fields.Char("Place", readonly=True)
    number = fields.Integer("Number", readonly=True)
    source = fields.Char("Pick List", readonly=True)
    options = fields.Text("Options", readonly=True)

    @fields.depends('options')
    def get_choices(self):
        """Return what the line chooses from."""
        check_rights(_RESULT, 'write')
        return [(None, ""), *(
                (option, option)
                for option in (self.options or '').splitlines())]

    def chosen(self):
        """Return the text that takes the place of the pick list, or None.

        :raises NotNumberError: it is to be a number and is none
        """
        options = (getattr(self, 'options', None) or '').splitlines()
        if options:
            choice = getattr(self, 'choice', None)
            return choice if choice in options else None
        value = (getattr(self, 'value', None) or '').strip()
        if value and getattr(self, 'unit', None) \
                and not picks.is_number(value):
            raise NotNumberError(gettext(
                    'health_imaging.msg_pick_number', value=value,
                    source=self.source))
        return value or None


class Pick(ReloadingWizard, Wizard):
    "Pick"
    __name__ = 'gnuhealth.imaging.test.result.pick'

    start = StateView('gnuhealth.imaging.test.result.pick.start',
        'health_imaging.imaging_test_result_pick_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Fill In", 'fill', 'tryton-ok', default=True),
            ])
    fill = StateTransition()

    _rights = {_RESULT: ['write']}
    _models = {_RESULT}

    def _result(self):
        Result = Pool().get(_RESULT)
        result, *_ = selected_records(self, Result)
        with check_access():
            Result.pick([result])
        Result.check_draft([result])
        return result

    def default_start(self, field_names):
        result, lines, counts = self._result(), [], {}
        for name, pick in result.open_picks():
            number = counts[name] = counts.get(name, -1) + 1
            lines.append({
                    'section': result.__names__(name)['field'],
                    'before': pick.before[-80:], 'unit': pick.unit,
                    'place': name, 'number': number, 'source': pick.source,
                    'options': '\n'.join(pick.options)})
        return {'picks': lines}

    def transition_fill(self):
        Result = Pool().get(_RESULT)
        result, chosen = self._result(), {}
        for line in getattr(self.start, 'picks', None) or ():
            text = line.chosen()
            if text:
                self._check_place(result, line)
                chosen.setdefault(line.place, {})[line.number] = text
        if chosen:
            with check_access():
                Result.write([result], {
                        name: picks.fill(getattr(result, name), texts)
                        for name, texts in chosen.items()})
        return 'end'

    @staticmethod
    def _check_place(result, line):
        """Raise PicksChangedError unless a pick list is where it was."""
        found = [
            pick.source for name, pick in result.open_picks()
            if name == line.place]
        if found[line.number:line.number + 1] != [line.source]:
            raise PicksChangedError(gettext(
                    'health_imaging.msg_picks_changed',
                    result=result.rec_name))
