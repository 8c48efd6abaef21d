"""The API document, for programs and for people."""

from typing import Any

from aiohttp import hdrs, web

from qchat.web.docpage import POLICY, page
from qchat.web.operation import Media, Operation
from qchat.web.wire import json_response

DOCUMENT = web.AppKey("document", dict[str, Any])


@Operation(answers={200: Media(("application/json",))})
async def show(request: web.Request) -> web.Response:
    """This document."""
    return json_response(request.config_dict[DOCUMENT])


@Operation(answers={200: Media(("text/html",))})
async def browse(request: web.Request) -> web.Response:
    """This document, for people."""
    headers = {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        hdrs.CACHE_CONTROL: "no-cache",
    }
    text = page(request.config_dict[DOCUMENT])
    return web.Response(text=text, content_type="text/html", headers=headers)
