"""Traces by OpenTelemetry, of the extra ``otel``; nothing here is imported unless QCHAT_TRACES is set.

A request is a span, which continues the caller's trace (``traceparent``). A turn is a span below the one
of the request that began it, with the start of its agent below it, and its first byte as an event.
No span has anything of a prompt or an answer.
"""

import threading
import time
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from attrs import define, field
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

import qchat
from qchat.model.turn import Turn

FLUSH_SECONDS = 2.0
"""How long the service's end may wait for a collector that does not answer."""


@define(eq=False)
class Tracing:
    """The traces of one service; an observer of its turns."""

    provider: TracerProvider
    _turns: dict[tuple[str, int], Span] = field(factory=dict)

    @classmethod
    def to(cls, url: str) -> "Tracing":
        """Send them to a collector that takes OTLP over HTTP, in batches, in a thread."""
        resource = Resource.create({"service.name": "qchat", "service.version": qchat.__version__})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        return cls(provider)

    @property
    def _tracer(self) -> Tracer:
        return self.provider.get_tracer("qchat", qchat.__version__)

    def middleware(self) -> Middleware:
        """A span for each request, as long as its answer takes."""

        @web.middleware
        async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            route = resource.canonical if resource else ""
            with self._tracer.start_as_current_span(
                f"{request.method} {route}".strip(),
                context=extract(request.headers),
                kind=SpanKind.SERVER,
                attributes={"http.request.method": request.method, "http.route": route},
            ) as span:
                response = await handler(request)
                span.set_attribute("http.response.status_code", response.status)
                if response.status >= 500:
                    span.set_status(StatusCode.ERROR)
                return response

        return traced

    async def lifetime(self, _: web.Application) -> AsyncIterator[None]:
        """At the end what is left is sent, unless nobody takes it."""
        yield
        sending = threading.Thread(target=self.provider.shutdown, daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)

    # Told by the service: see qchat.service.observer

    def submitted(self, turn: Turn) -> None:
        self._span(turn)

    def spawned(self, turn: Turn, seconds: float) -> None:
        now = time.time_ns()
        parent = set_span_in_context(self._span(turn))
        self._tracer.start_span("spawn", parent, start_time=now - int(seconds * 1e9)).end(now)

    def first_byte(self, turn: Turn) -> None:
        self._span(turn).add_event("first byte")

    def ended(self, turn: Turn) -> None:
        assert turn.ending is not None
        span = self._span(turn)
        del self._turns[turn.session_id, turn.number]
        span.set_attributes({"qchat.reason": turn.ending.reason, "qchat.bytes": turn.ending.bytes})
        if turn.ending.code:
            span.set_status(Status(StatusCode.ERROR, turn.ending.code))
        span.end(int(turn.ending.ended * 1e9))

    def _span(self, turn: Turn) -> Span:
        """That of a turn; one that waited for a restart of the service begins a trace of its own."""
        key = (turn.session_id, turn.number)
        if key not in self._turns:
            self._turns[key] = self._tracer.start_span(
                "turn",
                start_time=int(turn.created * 1e9),
                attributes={"qchat.session_id": turn.session_id, "qchat.turn": turn.number},
            )
        return self._turns[key]
