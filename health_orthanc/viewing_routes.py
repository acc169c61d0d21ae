# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the web server before the viewers asks: see his-utils/nginx.

It tells which Viewer Address it is, and has secrets in headers: addresses
stand in logs.
"""
import hashlib

from trytond.i18n import gettext
from trytond.protocols.wrappers import (
    HTTPStatus, Response, abort, redirect, with_pool, with_transaction)
from trytond.transaction import Transaction
from trytond.wsgi import app

from .archive.dicomweb import rewritten
from .viewing import COOKIE

_VIEWING = 'gnuhealth.orthanc.viewing'


def _server(request):
    "Return the Viewer Address, and the name of its cookie."
    address = request.headers.get('X-Imaging-Viewer', '')
    # Ports of one computer share their cookies.
    name = f'imaging-{hashlib.sha256(address.encode()).hexdigest()[:8]}'
    is_secure = address.startswith('https:')
    return address, f'__Host-{name}' if is_secure else name, is_secure


@app.route('/<database_name>/imaging/view', methods=['GET'])
@with_pool
@with_transaction(readonly=False)
def view(request, pool):
    """Open a viewer for who has a ticket.

    :param request: with the ticket in a header
    :param pool: of the database
    """
    server, name, is_secure = _server(request)
    if request.method != 'GET':
        abort(HTTPStatus.METHOD_NOT_ALLOWED)
    opened = pool.get(_VIEWING).redeem(
        request.headers.get('X-Imaging-Ticket'), request.cookies.get(name),
        server)
    if opened:
        cookie, address = opened
        response = redirect(address, HTTPStatus.SEE_OTHER)
        response.set_cookie(name, cookie, max_age=COOKIE, secure=is_secure,
            httponly=True, samesite='Lax')
    else:
        response = Response(
            _refusal(request, pool), HTTPStatus.FORBIDDEN,
            content_type='text/plain; charset=utf-8')
    response.headers['Referrer-Policy'] = 'no-referrer'
    response.headers['Cache-Control'] = 'no-store'
    return response


def _refusal(request, pool):
    "Return what somebody reads whose ticket opens nothing, in his language."
    Lang = pool.get('ir.lang')
    codes = [lang.code for lang in Lang.search([('translatable', '=', True)])]
    found = request.accept_languages.best_match(codes)
    with Transaction().set_context(language=found or Transaction().language):
        return gettext('health_orthanc.msg_no_ticket')


@app.route('/<database_name>/imaging/authorize', methods=['GET'])
@with_pool
@with_transaction(readonly=True)
def authorize(request, pool):
    """Answer whether a viewer may ask something, and what it may ask instead.

    :param request: with the cookie, and the other request in headers
    :param pool: of the database
    """
    server, name, _ = _server(request)
    target = request.headers.get('X-Original-URI', '')
    Viewing, cookie = pool.get(_VIEWING), request.cookies.get(name)
    studies = Viewing.opened(cookie, server)
    asked = rewritten(target, studies)
    if asked is None or not studies:
        # Another process may have opened one more just now.
        studies = Viewing.opened(cookie, server, fresh=True)
        asked = rewritten(target, studies)
    if not studies:
        abort(HTTPStatus.UNAUTHORIZED)
    if (asked is None
            or request.headers.get('X-Original-Method') not in {
                'GET', 'HEAD'}):
        abort(HTTPStatus.FORBIDDEN)
    return Response(
        status=HTTPStatus.NO_CONTENT, headers={'X-Imaging-Path': asked})
