# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the values that clients send to wizards and reports.

trytond sets any attribute that a client names, also on classes shared by all
users. Here only the fields in the views of a wizard are set.
"""
import datetime as dt
import json
from contextlib import contextmanager
from decimal import Decimal

from trytond.i18n import gettext
from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.protocols.jsonrpc import JSONDecoder
from trytond.transaction import Transaction, check_access, without_check_access
from trytond.wizard import StateView

from . import asking
from .calls import is_id
from .exceptions import (
    NothingSelectedError, ReasonMissingError, StrangeInputError)
from .rights import check_rights

# Python types of the values that clients send, by type of the field.
_KINDS = {
    'binary': (bytes, bytearray),
    'boolean': bool,
    'char': str,
    'date': dt.date,
    'datetime': dt.datetime,
    'float': (int, float, Decimal),
    'full_text': str,
    'integer': int,
    'numeric': (int, float, Decimal),
    'reference': str,
    'selection': str,
    'text': str,
    'time': dt.time,
    'timedelta': dt.timedelta,
    'timestamp': dt.datetime,
    }


class _Strange(Exception):
    """No client sends such a value."""


def _must(condition):
    """Raise _Strange unless a condition holds."""
    if not condition:
        raise _Strange


class CheckedWizard:
    """Wizard that checks the user's rights and the values of its views.

    trytond checks only the groups of the action and the model that the client
    itself names.
    """

    # Modes by name of the model.
    _rights = {}
    # Names of the models that it may be started on; None: any model.
    _models = None

    @classmethod
    def check_access(cls):
        """Raise AccessError unless the user may start the wizard.

        :raises StrangeInputError: it is not started on such records
        """
        cls.check_user()
        cls._check_context()
        super().check_access()

    @classmethod
    def check_user(cls):
        """Raise AccessError unless the user may use the wizard at all."""
        for model, modes in cls._rights.items():
            check_rights(model, *modes)
        cls._check_groups()

    @classmethod
    @without_check_access
    def _check_groups(cls):
        pool = Pool()
        ActionWizard = pool.get('ir.action.wizard')
        User = pool.get('res.user')
        if not Transaction().user:
            return
        groups = ActionWizard.get_groups(cls.__name__)
        if groups and not groups & set(User.get_groups()):
            raise AccessError(gettext(
                    'health_imaging.msg_wizard_refused',
                    wizard=_title(cls, 'ir.action.wizard')))

    @classmethod
    def _check_context(cls):
        """Raise _Strange when the wizard is not for what it is started on."""
        context = Transaction().context
        model, ids = context.get('active_model'), context.get('active_ids')
        with _clear_errors(cls, 'ir.action.wizard'):
            _must(model is None or isinstance(model, str))
            _must(not model or _exists(model))
            _must(ids is None or _are_ids(ids))
            for name in ['active_id', 'action_id']:
                id_ = context.get(name)
                _must(id_ is None or _are_ids([id_]))
        allowed = cls._models
        if model and allowed is not None and model not in {
                *allowed, 'ir.ui.menu'}:
            raise AccessError(gettext('ir.msg_access_wizard_model_error',
                    wizard=_title(cls, 'ir.action.wizard'), model=model))

    @classmethod
    def execute(cls, session_id, data, state_name):
        """Run a state with values that its views ask for.

        :param session_id: id of the session
        :param dict data: values of the views, by name of the state
        :param str state_name: name of the state to run
        :raises StrangeInputError: the client sent something else
        """
        cls.check_access()
        with _clear_errors(cls, 'ir.action.wizard'):
            cls._check_session(session_id)
            _must(isinstance(state_name, str))
            _must(state_name in {*cls.states, cls.end_state})
            named = cls._records_in(data)
        asking.check_records(named)
        result = super().execute(session_id, data, state_name)
        view = result.get('view')
        if view:
            Model = Pool().get(cls.states[view['state']].model_name)
            for kind in ['defaults', 'values']:
                asking.hide_names(Model, view[kind])
        return result

    @classmethod
    def delete(cls, session_id):
        with _clear_errors(cls, 'ir.action.wizard'):
            cls._check_session(session_id)
        return super().delete(session_id)

    @classmethod
    @without_check_access
    def _check_session(cls, session_id):
        """Raise _Strange unless the user began a session of this wizard."""
        Session = Pool().get('ir.session.wizard')
        _must(_are_ids([session_id]))
        sessions = Session.search([('id', '=', session_id)])
        _must(sessions)
        session, = sessions
        user = Transaction().user
        _must(not user or session.create_uid.id == user)
        cls._records_in(json.loads(session.data, object_hook=JSONDecoder()))

    @classmethod
    def _records_in(cls, data):
        """Return the records in the fields of views that a person fills in.

        :param dict data: values of the views, by name of the state
        :return: list of pairs of model and id
        :raises _Strange: these are not the values of the views
        """
        _must(isinstance(data, dict))
        found = []
        for name, values in data.items():
            state = cls.states.get(name)
            _must(isinstance(state, StateView))
            Model = Pool().get(state.model_name)
            found.extend(_records_in(Model, values))
        return found


def _records_in(Model, values):
    """Return the records in the values of a model.

    :param dict values: by name of the field
    :return: list of pairs of model and id
    :raises _Strange: these are not values of the model
    """
    _must(isinstance(values, dict))
    found = []
    for name, value in values.items():
        if name == 'id' or value is None:
            continue
        _must(name in Model._fields)
        field = Model._fields[name]
        records = _records_of(field, value)
        if not field.readonly:
            found.extend(records)
    return found


def _records_of(field, value):
    """Return the records in the value of a field, pairs of model and id."""
    if field._type in _KINDS:
        _must(isinstance(value, _KINDS[field._type]))
    if field._type in {'many2one', 'one2one'}:
        value = [value]
    elif field._type not in {'many2many', 'one2many'}:
        return []
    _must(isinstance(value, (list, tuple)))
    Target, found = field.get_target(), []
    for one in value:
        # Only the id of an existing record counts, not its values.
        if isinstance(one, dict) and not asking.is_stored(Target):
            found.extend(_records_in(Target, one))
        else:
            _must(_are_ids([one]))
            found.append((Target, one))
    return found


class CheckedReport:
    """Report that takes only ids, and only its own actions."""

    @classmethod
    def execute(cls, ids, data):
        """Print records.

        :param dict data: what the client adds
        :raises StrangeInputError: the client sent something else
        """
        cls.check_access()
        with _clear_errors(cls, 'ir.action.report'):
            _must(_are_ids(ids))
            _must(isinstance(data, dict))
            cls._check_action(data.get('action_id'), data.get('model'))
        return super().execute(list(dict.fromkeys(ids)), data)

    @classmethod
    @without_check_access
    def _check_action(cls, action, model):
        """Raise _Strange unless an action prints this report of a model."""
        ActionReport = Pool().get('ir.action.report')
        domain = [('report_name', '=', cls.__name__)]
        if action is not None:
            _must(_are_ids([action]))
            domain.append(('id', '=', action))
        actions = ActionReport.search(domain)
        _must(actions)
        _must(model is None or model in [a.model for a in actions])


def _are_ids(values):
    return isinstance(values, (list, tuple)) and all(map(is_id, values))


def _exists(model):
    try:
        return bool(Pool().get(model))
    except KeyError:
        return False


class ReloadingWizard(CheckedWizard):
    """Checked wizard after which the client reads its records again."""

    def end(self):
        """Let the client show what has changed."""
        return 'reload'


@contextmanager
def _clear_errors(cls, kind):
    """Turn _Strange into a translated StrangeInputError.

    :param cls: the wizard or report
    :param str kind: model of its actions
    """
    try:
        yield
    except _Strange:
        raise StrangeInputError(gettext(
                'health_imaging.msg_strange_input',
                name=_title(cls, kind))) from None


@without_check_access
def _title(cls, kind):
    """Return the name of a wizard or report in the user's language."""
    Action = Pool().get(kind)
    actions = Action.search(
        [(Action._action_name, '=', cls.__name__)], limit=1)
    return actions[0].name if actions else cls.__name__


def selected_records(wizard, *Models):
    """Return the records that a wizard was started on, each once.

    :param Models: the classes that the records may have
    :rtype: list of records
    :raises NothingSelectedError: there are none
    """
    records = wizard.records if wizard.model in Models else []
    check_selected(records)
    return list(dict.fromkeys(records))


def check_selected(records):
    """Raise NothingSelectedError unless there are records or ids."""
    if not records:
        raise NothingSelectedError(gettext(
                'health_imaging.msg_nothing_selected'))


def reasoned_records(wizard, Model, button):
    """Return the records and the reason of a wizard that a button opens.

    :param wizard: a wizard with the reason in its first view
    :param Model: the expected model
    :param str button: name of the button, whose access checks are run
    :return: list of records, and the reason
    :raises NothingSelectedError: there are no records
    :raises ReasonMissingError: there is no reason
    """
    records = selected_records(wizard, Model)
    with check_access():
        getattr(Model, button)(records)
    return records, given_reason(wizard.start)


def given_reason(start):
    """Return the reason typed in the first view of a wizard.

    :param start: record of the view
    :return: str without blanks at its ends
    :raises ReasonMissingError: it is empty
    """
    reason = (getattr(start, 'reason', None) or '').strip()
    if not reason:
        raise ReasonMissingError(gettext(
                'health_imaging.msg_reason_missing'))
    return reason
