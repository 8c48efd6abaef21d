"""The API document, for programs and for people."""

from typing import Any

from aiohttp import web

from qchat.web.operation import Media, Operation
from qchat.web.wire import json_response

DOCUMENT = web.AppKey("document", dict[str, Any])


@Operation(answers={200: Media(("application/json",))})
async def show(request: web.Request) -> web.Response:
    """This document."""
    return json_response(request.config_dict[DOCUMENT])
