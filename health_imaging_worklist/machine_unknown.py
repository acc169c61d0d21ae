# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asked a node for a worklist and is no machine of the hospital."""
from trytond.model import ModelSQL, ModelView, Unique, fields
from trytond.modules.health_imaging.kept import Kept
from trytond.modules.health_imaging.minute import Minute
from trytond.modules.health_imaging.rights import check_rights
from trytond.modules.health_imaging.tables import write_each
from trytond.pool import Pool

_MACHINE = 'gnuhealth.imaging_worklist.machine'
#: How many of them are kept, those that asked last.
KEPT = 500


class UnknownMachine(Kept, ModelSQL, ModelView):
    "Asked, Not Known"
    __name__ = 'gnuhealth.imaging_worklist.machine.unknown'

    aetitle = fields.Char("AE Title", required=True, readonly=True)
    address = fields.Char("Address", readonly=True)
    node = fields.Char("Node", readonly=True)
    at = Minute("Last Asked", required=True, readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('asked_unique', Unique(table, table.aetitle, table.address),
                'health_imaging_worklist.msg_unknown_unique'),
            ]
        cls._order = [('at', 'DESC'), ('id', 'DESC')]
        cls._buttons['make_machine'] = {}

    def get_rec_name(self, name):
        return f'{self.aetitle} ({self.address})'

    @classmethod
    def note(cls, node, asked):
        """Keep who asked; of too many those that asked last.

        :param str node: UUID of the node's store
        :param asked: dict of datetime by pair of AE title and address
        """
        found = {(r.aetitle, r.address): r for r in cls.search([
                    ('aetitle', 'in', [title for title, _ in asked])])}
        write_each(cls, ['node', 'at'], {
                found[key].id: (node, at) for key, at in asked.items()
                if key in found and found[key].at < at})
        cls.create([{
                    'aetitle': title, 'address': address, 'node': node,
                    'at': at,
                    } for (title, address), at in asked.items()
                if (title, address) not in found])
        cls.delete(cls.search([], offset=KEPT))

    @classmethod
    @ModelView.button_action('health_imaging_worklist.act_machine_form')
    def make_machine(cls, records):
        """Make machines of those that asked, and open them."""
        check_rights(_MACHINE, 'create')
        Machine = Pool().get(_MACHINE)
        titles = dict.fromkeys(r.aetitle for r in records)
        machines = Machine.create([
                {'name': title, 'aetitle': title} for title in titles])
        cls.delete(cls.search([('aetitle', 'in', list(titles))]))
        return {
            'res_id': [m.id for m in machines],
            'domains': [],
            }
