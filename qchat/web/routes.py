"""The whole URL surface."""

from aiohttp import web

from qchat.web.handlers import chat, document, files, login, meta, openai, sessions, turns, uploads
from qchat.web.openapi import document as describe

API = "/api/v1"
SESSION = API + "/sessions/{session_id:[^/]+}"  # whatever it is, it is a name that no session has
TURN = SESSION + "/turns/{turn:[^/]+}"
FILE = SESSION + "/files/{path:(?s:.+)}"  # a name may hold any byte, a line break too


def add_routes(app: web.Application) -> None:
    # A HEAD runs the whole handler of a GET, so streams do not take it.
    app.add_routes(
        [
            web.get("/", meta.root),
            web.get("/ui/{name}", meta.static),
            web.get("/health", meta.health),
            web.get("/livez", meta.alive),
            web.get("/readyz", meta.ready),
            web.get("/metrics", meta.metrics),
            web.get(f"{API}/openapi.json", document.show),
            web.get(f"{API}/docs", document.browse),
            web.get(f"{API}/login", login.show),
            web.post(f"{API}/login", login.create),
            web.post(f"{API}/logout", login.delete),
            web.post(f"{API}/chat", chat.chat),
            web.post(f"{API}/chat/stream", chat.chat_stream),
            web.get(f"{API}/chat/stream", chat.chat_event_source, allow_head=False),
            web.post("/v1/chat/completions", openai.complete),
            web.get("/v1/models", openai.models),
            web.get("/v1/models/{model:.+}", openai.model),
            web.get(f"{API}/sessions", sessions.index),
            web.post(f"{API}/sessions", sessions.create),
            web.get(SESSION, sessions.show),
            web.delete(SESSION, sessions.delete),
            web.patch(SESSION, sessions.patch),
            web.get(f"{SESSION}/files", files.index),
            web.post(f"{SESSION}/files", uploads.post),
            web.get(FILE, files.download),
            web.put(FILE, uploads.put),
            web.delete(FILE, files.delete),
            web.get(f"{SESSION}/archive", files.archive, allow_head=False),
            web.get(f"{SESSION}/messages", sessions.messages),
            web.get(f"{SESSION}/events", turns.session_events, allow_head=False),
            web.get(f"{SESSION}/turns", turns.index),
            web.post(f"{SESSION}/turns", turns.create),
            web.get(TURN, turns.show),
            web.get(f"{TURN}/events", turns.events, allow_head=False),
            web.get(f"{TURN}/output", turns.output),
            web.post(f"{TURN}/cancel", turns.cancel),
        ]
    )
    app[document.DOCUMENT] = describe(app)
