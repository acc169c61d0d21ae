# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web server before the viewers: nginx with the site of his-utils/nginx,
on a port of the loopback interface."""
import base64
import os
from pathlib import Path

import requests
from proteus import Model
from proteus.config import set_xmlrpc_session
from services import HOST, Process, Service, request

NGINX = '/usr/sbin/nginx'
SITE = Path(__file__).parents[1] / 'nginx' / 'imaging-viewer-locations.conf'
# One process, of the user who starts it, with all files in its folder.
_CONFIGURATION = '''
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    include /etc/nginx/mime.types;
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        set $imaging_viewer {url};
        set $imaging_database {database};
        set $imaging_trytond {trytond};
        set $imaging_orthanc {orthanc};
        root {root};
        include {folder}/imaging-login.conf;
        include {site};
    }}
}}
'''


class Gateway(Service):
    """nginx before an Orthanc and a trytond.

    :param folder: for its configuration and logs
    :param orthanc: services.Orthanc
    :param trytond: services.Trytond
    :param root: the folder in which OHIF is below ohif
    """
    port_count, patience = 1, 30

    def __init__(self, folder, orthanc, trytond, root):
        super().__init__(folder)
        self._orthanc, self._trytond, self._root = orthanc, trytond, root
        self.processes = [Process(
                [NGINX, '-p', self.folder, '-c', self.folder / 'nginx.conf',
                    '-e', self.folder / 'nginx.log'],
                self.folder / 'nginx.log')]

    def _configure(self):
        login = base64.b64encode(
            f'{self._orthanc.user}:{self._orthanc.password}'.encode())
        secret = self.folder / 'imaging-login.conf'
        secret.touch(mode=0o600)
        secret.write_text(f'set $imaging_login "Basic {login.decode()}";\n')
        (self.folder / 'nginx.conf').write_text(_CONFIGURATION.format(
                folder=self.folder, host=HOST, port=self.ports[0],
                url=self.url, database=self._trytond.database,
                trytond=f'{HOST}:{self._trytond.port}',
                orthanc=f'{HOST}:{self._orthanc.http_port}',
                root=self._root, site=SITE))

    def _ready(self):
        try:
            # Nobody is let in, so there is somebody.
            return request('GET', f'{self.url}/dicom-web/studies',
                timeout=5).status_code == 401
        except OSError:
            return False


def guard(stack, story, root):
    """From now on open the images of the story through nginx, and check that
    no account of Orthanc is needed; where nginx is, and a viewer.

    :param stack: contextlib.ExitStack with which nginx ends
    :param story: story.Story that was told
    :param root: the folder in which OHIF is below ohif
    :return: whether it is so
    """
    if not (story.viewer and os.path.exists(NGINX)):
        return False
    story.say("\nThe way to the viewer")
    gateway = stack.enter_context(Gateway(
            story.folder / 'nginx', story.orthanc, story.server, root))
    base = f'{story.server.url}/{story.server.database}/'
    with set_xmlrpc_session(base, 'admin', story.password) as config:
        server, = Model.get('gnuhealth.orthanc.config', config).find([])
        server.viewer_address = gateway.url
        server.save()
    with set_xmlrpc_session(base, 'radiologist', story.password) as config:
        studies = [
            study for study in Model.get(
                'gnuhealth.imaging_orthanc.study', config).find([])
            if study.number_of_viewers][:2]
        statuses = _statuses(
            gateway, studies[0].click('open_viewer'), studies)
    story.check("a ticket opens one study, without an account of Orthanc",
        statuses == [200, 200, 403][:len(statuses)], statuses)
    return True


def _statuses(gateway, url, studies):
    "Return how an address, and then studies are answered."
    with requests.Session() as browser:
        browser.trust_env = False
        return [browser.get(asked, timeout=60).status_code
            for asked in [url, *(
                    f'{gateway.url}/dicom-web/studies'
                    f'/{study.study_instance_UID}/metadata'
                    for study in studies)]]
