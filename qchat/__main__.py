"""qchat-server: settings, logging, run."""

import argparse
import asyncio
import errno
import signal
import sys
from pathlib import Path

import structlog
from aiohttp import web

import qchat
from qchat import configuration, log
from qchat.adapters import eventloop
from qchat.adapters.sandbox import SandboxError
from qchat.adapters.statedir import AlreadyRunning
from qchat.adapters.tokens import TokensError
from qchat.app import create_app
from qchat.context import CONTEXT
from qchat.errors import QchatError
from qchat.settings import Settings, SettingsError, environment
from qchat.web.connections import CONNECTIONS
from qchat.web.runner import Runner

SHUTDOWN_TIMEOUT = 1.0
"""Seconds that handlers get when all streams and turns have been ended; aiohttp takes them twice."""


def main() -> None:
    """Serve until SIGTERM or SIGINT; a second signal hurries. Exits 2 for settings, 1 for surroundings."""
    asked = _arguments()
    if asked.help_markdown:
        print(configuration.as_markdown(), end="")
        return
    try:
        env = environment(asked.env_file)
        defaults = {"SESSIONS_BASE_DIR": asked.default_base}
        settings = Settings.from_env({**defaults, **env})
    except SettingsError as error:
        sys.exit(_complaint(error, 2))
    if asked.check:
        lines = configuration.report(settings, defaults=defaults, file=env, environ=environment())
        print(*lines, sep="\n")
        return
    log.configure(settings)
    for sentence in configuration.unknown(env):
        structlog.get_logger().warning(sentence)
    try:
        eventloop.run(serve(settings))
    except (AlreadyRunning, SandboxError, TokensError, QchatError, OSError) as error:
        sys.exit(_complaint(error, 1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qchat-server",
        description="Serve the Amazon Q Developer CLI over HTTP.",
        epilog=f"Settings come from the environment:\n\n{configuration.as_help()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"qchat {qchat.__version__}")
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="read settings from NAME=value lines, too"
    )
    parser.add_argument("--check", action="store_true", help="print what is in force and why, and exit")
    parser.add_argument("--help-markdown", action="store_true", help="print the page docs/configuration.md")
    # For bin/qchat-server: where sessions are when nothing else says so.
    parser.add_argument("--default-base", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _complaint(error: Exception, code: int) -> int:
    print(f"qchat-server: {error}", file=sys.stderr)
    return code


async def serve(settings: Settings) -> None:
    """Run the service until a signal ends it."""
    app = create_app(settings)
    runner = Runner(app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_TIMEOUT)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _on_signal, app, stop)
    try:
        await runner.setup()
        site = web.TCPSite(runner, settings.host.strip("[]"), settings.port, backlog=app[CONNECTIONS].backlog)
        try:
            await site.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise OSError(f"port {settings.port} on {settings.host} is taken: set PORT to another") from None
        introduction = asyncio.create_task(_introduce(app, runner))
        await stop.wait()
        introduction.cancel()
    finally:
        await runner.cleanup()


def _on_signal(app: web.Application, stop: asyncio.Event) -> None:
    if stop.is_set():
        app[CONTEXT].turns.hurry()
    stop.set()


async def _introduce(app: web.Application, runner: web.AppRunner) -> None:
    ctx = app[CONTEXT]
    host, port = runner.addresses[0][:2]
    host = f"[{host}]" if ":" in host else host
    print(f"Listening on  http://{host}:{port}", flush=True)
    if ctx.access.required:
        # In the fragment, which browsers send to nobody: it gets into no log and no Referer.
        here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
        print(f"Log in at     http://{here}:{port}/#login={ctx.access.new_link()}", flush=True)
    await ctx.launcher.measured.wait()
    print(f"Agent         {ctx.launcher.describe()}")
    print(f"Sessions in   {ctx.state.base}", flush=True)


if __name__ == "__main__":
    main()
