# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies as GNU Health kept them before 5.0, read-only, for migration."""
from trytond.model import ModelSQL, ModelView, fields
from trytond.modules.health_imaging.calls import checked, is_id
from trytond.modules.health_imaging.kept import Kept
from trytond.modules.health_imaging.rights import check_rights
from trytond.pool import Pool
from trytond.rpc import RPC
from trytond.transaction import without_check_access

from . import carry_over


class FormerStudy(Kept, ModelSQL, ModelView):
    "Former Orthanc Study"
    __name__ = 'gnuhealth.orthanc.study'

    patient = fields.Many2One(
        'gnuhealth.orthanc.patient', "Patient", readonly=True)
    uuid = fields.Char("Orthanc ID", required=True, readonly=True)
    instance_uid = fields.Char("Study Instance UID", readonly=True)
    description = fields.Char("Description", readonly=True)
    date = fields.Date("Date", readonly=True)
    ident = fields.Char("Study ID", readonly=True)
    institution = fields.Char("Institution", readonly=True)
    ref_phys = fields.Char("Referring Physician", readonly=True)
    req_phys = fields.Char("Requesting Physician", readonly=True)
    requested_procedure_id = fields.Char(
        "Requested Procedure ID", readonly=True)
    merge_id = fields.Char("Study Instance UID of the Request", readonly=True)
    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", readonly=True)
    imaging_test = fields.Many2One(
        'gnuhealth.imaging.test.result', "Result", readonly=True)
    orthanc_explorer_link = fields.Function(
        fields.Char("Orthanc Explorer"), 'get_orthanc_explorer_link')
    ohif_viewer_link = fields.Function(
        fields.Char("OHIF Viewer"), 'get_no_link')
    stone_viewer_link = fields.Function(
        fields.Char("Stone Viewer"), 'get_no_link')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__rpc__.update({
                'carry_over_links': RPC(readonly=False, decorator=checked(
                        kind=lambda kind: kind in ['study', 'patient'],
                        after=lambda id_: is_id(id_) and id_ >= 0,
                        limit=lambda n: is_id(n) and n > 0,
                        dry_run=lambda dry: isinstance(dry, bool))),
                'missing_synchronizations': RPC(decorator=checked()),
                })

    @classmethod
    def carry_over_links(cls, kind, after=0, limit=500, dry_run=True):
        """Carry over what people linked before 5.0, for the script.

        :param str kind: study, or patient for what is left then
        :param int after: id of the last one that was done
        :param int limit: how many are done at once
        :param bool dry_run: whether nothing is written
        :return: dict with next, the id to go on after or None, and rows
        """
        cls._check_administrator()
        do = {
            'study': carry_over.former_studies,
            'patient': carry_over.orthanc_patients}[kind]
        with without_check_access():
            last, rows = do(after, min(limit, 2000), dry_run)
        return {'next': last, 'rows': rows}

    @classmethod
    def missing_synchronizations(cls):
        """Return the labels of the servers that have former studies and were
        never compared completely."""
        cls._check_administrator()
        pool = Pool()
        Server = pool.get('gnuhealth.orthanc.config')
        Run = pool.get('gnuhealth.orthanc.sync_run')
        with without_check_access():
            servers = {s.server for s in cls.search([('server', '!=', None)])}
            done = {r.server for r in Run.search([
                        ('full', '=', True), ('state', '=', 'done')])}
            return sorted(s.label for s in Server.browse(servers - done))

    @staticmethod
    def _check_administrator():
        check_rights('gnuhealth.orthanc.config', 'write')
        check_rights('gnuhealth.imaging_orthanc.study', 'write')

    def get_rec_name(self, name):
        return ' '.join(filter(None, [
                    self.date and self.date.isoformat(), self.description])) \
            or self.uuid

    def get_orthanc_explorer_link(self, name):
        if self.server:
            return f'{self.server.link}#study?uuid={self.uuid}'

    def get_no_link(self, name):
        return None
