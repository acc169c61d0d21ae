# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies as GNU Health kept them before 5.0, read-only, for migration."""
from trytond.model import ModelSQL, ModelView, fields


class FormerStudy(ModelSQL, ModelView):
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
    merge_id = fields.Char("Merge ID", readonly=True)
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

    def get_rec_name(self, name):
        return ' '.join(filter(None, [
                    self.date and self.date.isoformat(), self.description])) \
            or self.uuid

    def get_orthanc_explorer_link(self, name):
        if self.server:
            return f'{self.server.link}#study?uuid={self.uuid}'

    def get_no_link(self, name):
        return None
