"""Logging: one event a line, a constant text plus fields, to stderr and to a file when asked."""

import logging
import logging.handlers
import sys
from pathlib import Path

import structlog
from aiohttp.http_exceptions import HttpProcessingError

from qchat.settings import Settings


def configure(settings: Settings, *, stderr: bool = True) -> None:
    """Send the log where the settings say. Prompts, answers and credentials are never logged."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=False),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handlers: list[logging.Handler] = [] if stderr else [logging.NullHandler()]
    if stderr:
        on_terminal = _on_terminal(settings)
        handlers.append(_handler(logging.StreamHandler(), on_terminal, shared, colors=sys.stderr.isatty()))
    if settings.log_file:
        # Follows the file when logrotate moves it away.
        handler = logging.handlers.WatchedFileHandler(_made(settings.log_file), encoding="utf-8")
        handlers.append(_handler(handler, settings.log_format == "console", shared, colors=False))
    logging.basicConfig(
        handlers=handlers, level=logging.DEBUG if settings.debug else logging.INFO, force=True
    )
    # What it says at level info is one line a request, which the events above say better.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_unquoted)


def _unquoted(record: logging.LogRecord) -> bool:
    """aiohttp quotes what is no HTTP, with the token that may be in it: only that it came is logged."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.msg, record.exc_info = f"{record.msg}: it is malformed", None
    return True


def _on_terminal(settings: Settings) -> bool:
    return settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _handler(
    handler: logging.Handler,
    console: bool,
    shared: list[structlog.types.Processor],
    *,
    colors: bool,
) -> logging.Handler:
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[remove, structlog.processors.format_exc_info, renderer]
        if not console
        else [remove, renderer],
    )
    handler.setFormatter(formatter)
    return handler
