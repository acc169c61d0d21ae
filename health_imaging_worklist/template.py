# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist templates: the text of the worklist entries of a modality."""
from functools import lru_cache

from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields
from trytond.model.exceptions import AccessError
from trytond.modules.health_imaging.calls import CheckedCalls
from trytond.pool import Pool
from trytond.rpc import RPC

from . import attributes, dataset, migration, rendering
from .exceptions import CharsetError, WorklistTemplateError
from .variables import OPEN_FIELDS, sample_variables

_compile = lru_cache(maxsize=256)(rendering.compile)


class WorklistTemplate(CheckedCalls, ModelSQL, ModelView):
    "Worklist Template"
    __name__ = 'gnuhealth.imaging_worklist.worklist_template'

    name = fields.Char("Name", required=True)
    template_type = fields.Selection([
            ('dump2dcm', "DICOM dump (dump2dcm)"),
            ('json', "JSON"),
            ], "Type", required=True, sort=False,
        help="The format that the template writes.")
    charset = fields.Char("Character Set",
        help="The DICOM term for the characters that the modality reads. "
        "ISO_IR 192 (UTF-8) has all scripts.")
    template = fields.Text("Template", required=True)
    comment = fields.Text("Comments")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order.insert(0, ('name', 'ASC'))
        cls.__rpc__['autocomplete_charset'] = RPC(
            instantiate=0, cache=dict(days=1))

    @classmethod
    def __register__(cls, module):
        migration.set_template_types(cls, module)
        super().__register__(module)
        migration.repair_charsets(cls)
        migration.repair_vrs(cls)

    @staticmethod
    def default_template_type():
        return 'dump2dcm'

    @staticmethod
    def default_charset():
        return 'ISO_IR 192'

    @classmethod
    def default_template(cls):
        return cls._general(cls.default_template_type())

    @classmethod
    def _general(cls, template_type):
        """Return the text of the general template of a type."""
        ModelData = Pool().get('ir.model.data')
        try:
            return cls(ModelData.get_id(
                    'health_imaging_worklist',
                    f'worklist_template_general_{template_type}')).template
        except (KeyError, AccessError):
            return None

    @fields.depends('template_type', 'template')
    def on_change_template_type(self):
        texts = {type_: self._general(type_)
            for type_, _ in self.__class__.template_type.selection}
        if not self.template or self.template in texts.values():
            self.template = texts.get(self.template_type)

    @fields.depends('charset')
    def autocomplete_charset(self):
        """Return the DICOM terms that begin like what is typed, or are for
        the language that is."""
        return attributes.find_charsets(self.charset)

    @classmethod
    def validate_fields(cls, templates, field_names):
        super().validate_fields(templates, field_names)
        for template in templates:
            template.check_charset()
            template.check_template()

    def check_charset(self):
        """Raise CharsetError unless the character set is a DICOM term."""
        if self.charset and not attributes.is_charset(self.charset):
            raise CharsetError(gettext(
                    'health_imaging_worklist.msg_charset_invalid',
                    charset=self.charset, template=self.rec_name,
                    charsets=', '.join(attributes.CHARSETS)))

    @property
    def valid_charset(self):
        """The SpecificCharacterSet (CS) of entries, mended where that can be,
        empty for ASCII only."""
        charset = self.charset or ''
        return attributes.repair_charset(charset) or charset

    def compiled(self):
        """Return the template ready for rendering, parsed once.

        :raises rendering.TemplateError: it cannot be read
        """
        return _compile(self.template)

    def to_entry(self, text):
        """Return the `dataset.Entry` of a rendered text, complete and right.

        :raises dataset.DatasetError: the text is no correct worklist entry
        """
        return dataset.complete(text, self.template_type, self.charset)

    @classmethod
    def open_fields(cls):
        """Return the fields that templates may read through "my", a dict of
        sets of names by model.  Other modules extend this."""
        return {model: set(names) for model, names in OPEN_FIELDS.items()}

    def get_sample_data(self):
        """Return the variables, a dict, of a patient who does not exist, with
        whom the template is tried."""
        Request = Pool().get('gnuhealth.imaging.test.request')
        return sample_variables(
            self.template_type, self.charset or '', self.open_fields(),
            Request.worklist_variables())

    def check_template(self):
        """Raise WorklistTemplateError unless the template makes a correct
        worklist entry of a sample patient."""
        try:
            variables = self.get_sample_data()
            compiled = rendering.compile(self.template, variables.keys())
            text = rendering.render(compiled, variables)
            dataset.to_bytes(self.to_entry(text), self.charset)
        except (rendering.TemplateError, dataset.DatasetError) as error:
            raise WorklistTemplateError(error_text(error, self)) from None


def error_text(error, template):
    """Return the translated sentences for what is wrong with an entry.

    :param error: rendering.TemplateError or dataset.DatasetError
    :param template: record of the template
    """
    sentences = map(_sentence, getattr(error, 'findings', [error]))
    return gettext('health_imaging_worklist.msg_template_wrong',
        template=template.rec_name, reason='\n'.join(sentences))


def _sentence(finding):
    """Return what is wrong, with the line and the attribute it is about."""
    values = {
        name: gettext(f'health_imaging_worklist.msg_kind_{value}')
        if name in {'kind', 'left', 'right'} else value
        for name, value in finding.values.items()}
    reason = gettext(
        f'health_imaging_worklist.{finding.message}_{finding.code}', **values)
    place = ', '.join(filter(None, [
                finding.line and gettext(
                    'health_imaging_worklist.msg_line', line=finding.line),
                finding.attribute]))
    return f'{place}: {reason}' if place else reason
