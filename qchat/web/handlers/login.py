"""Logins of browsers: a token becomes a cookie that no script can read."""

import time

from aiohttp import web

from qchat.context import context
from qchat.errors import PayloadTooLarge, QchatError, ValidationError
from qchat.web.access import GRANT, cookie_name, grant
from qchat.web.audit import audit
from qchat.web.caller import caller
from qchat.web.operation import Operation
from qchat.web.parameters import Flag
from qchat.web.views import GrantView
from qchat.web.wire import LoginBody, json_response, read_json

EVERYWHERE = Flag("everywhere", "all logins of whoever asks end")


@Operation(answers={200: GrantView})
async def show(request: web.Request) -> web.Response:
    """Who asks, as the service sees it."""
    return json_response(GrantView.of(grant(request)))


@Operation(answers={200: GrantView}, body=LoginBody, raises=(PayloadTooLarge,))
async def create(request: web.Request) -> web.Response:
    """Log in: ``{token}`` gets the cookie. A token, or the secret of the link that the start prints."""
    ctx = context(request)
    token = (await read_json(request)).get("token")
    if not isinstance(token, str) or not token.strip():
        raise ValidationError("token: it takes a token, as text")
    if not ctx.access.required:
        raise ValidationError("the service has no access control: no login is needed")
    try:
        cookie, found = await ctx.access.log_in(token.strip(), caller(request).client)
    except QchatError as error:
        audit(request, "login", outcome=error.code)
        raise
    request[GRANT] = found
    audit(request, "login")
    assert found.expires is not None
    response = json_response(GrantView.of(found))
    response.set_cookie(
        cookie_name(request),
        cookie,
        max_age=max(1, int(found.expires - time.time())),
        path="/",
        secure=caller(request).scheme == "https",
        httponly=True,
        samesite="Strict",
    )
    return response


@Operation(answers={204: None}, parameters=(EVERYWHERE,))
async def delete(request: web.Request) -> web.Response:
    """End this login; with ``everywhere=1`` all logins of the principal. Harmless without one."""
    everywhere = EVERYWHERE.read(request)
    found = request.get(GRANT)
    if found is not None and found.via != "local":
        await context(request).access.log_out(found, everywhere=everywhere)
        audit(request, "logout")
    response = web.Response(status=204)
    response.del_cookie(
        cookie_name(request),
        path="/",
        secure=caller(request).scheme == "https",
        httponly=True,
        samesite="Strict",
    )
    return response
