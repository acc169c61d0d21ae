# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web server before the viewers: nginx with the site of his-utils/nginx,
on a port of the loopback interface."""
import base64
import os
from pathlib import Path

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


def is_here():
    """Return whether there is an nginx."""
    return os.path.exists(NGINX)
