"""Everything that handlers need, frozen, and the one place that builds it."""

from typing import TYPE_CHECKING, Self

from aiohttp import web
from attrs import frozen

from qchat.adapters.auditlog import AuditLog
from qchat.adapters.database import Database
from qchat.adapters.files import Files
from qchat.adapters.launcher import Launcher
from qchat.adapters.logins import Logins
from qchat.adapters.process import Spawner
from qchat.adapters.quota import Quota, Quotas
from qchat.adapters.schema import MIGRATIONS
from qchat.adapters.statedir import StateDir
from qchat.adapters.store import Store
from qchat.metrics import Metrics
from qchat.model.buckets import Buckets
from qchat.model.frame import Framer
from qchat.service.access import MINUTE, Access
from qchat.service.chat import Chat
from qchat.service.cleanup import Cleanup
from qchat.service.endings import Endings
from qchat.service.executor import Executor
from qchat.service.feed import Feed
from qchat.service.history import History
from qchat.service.idle import IdleClock
from qchat.service.janitor import Janitor
from qchat.service.listings import Listings
from qchat.service.observer import Observers
from qchat.service.records import Records
from qchat.service.repeats import Repeats
from qchat.service.sessions import Sessions
from qchat.service.turns import Turns
from qchat.service.uploads import Uploads
from qchat.settings import Settings

if TYPE_CHECKING:
    from qchat.tracing import Tracing


@frozen(kw_only=True)
class Context:
    """The collaborators of one running service."""

    settings: Settings
    state: StateDir
    database: Database
    store: Store
    files: Files
    listings: Listings
    uploads: Uploads
    spawner: Spawner
    launcher: Launcher
    framer: Framer
    feed: Feed
    turns: Turns
    sessions: Sessions
    chat: Chat
    history: History
    records: Records
    repeats: Repeats
    janitor: Janitor
    cleanup: Cleanup
    access: Access
    audit: AuditLog
    metrics: Metrics
    tracing: "Tracing | None"

    @classmethod
    def build(cls, settings: Settings, state: StateDir, max_turns: int) -> Self:
        """Build the collaborators; nothing is opened or started."""
        metrics = Metrics()
        tracing = _tracing(settings.traces)
        database = Database(
            state.database, MIGRATIONS, on_full=state.drop_ballast, on_commit=metrics.commits.observe
        )
        store = Store(database)
        framer = Framer(settings.lang)
        idle = IdleClock()
        launcher = Launcher.create(settings, state)
        spawner = Spawner(inherit=(state.lock_fd,), confinement=launcher.sandbox.confinement)
        feed = Feed(
            find=store.turn,
            transcript=state.transcript,
            framer=framer,
            max_streams=settings.max_streams,
            heartbeat=settings.heartbeat,
        )
        files = Files(state.base, state.private)
        quota = Quota(bytes=settings.session_bytes, entries=settings.session_files)
        records = Records(state=state, spawner=spawner, launcher=launcher)
        observer = Observers((metrics, tracing) if tracing else (metrics,))
        executor = Executor(
            settings=settings,
            store=store,
            state=state,
            feed=feed,
            spawner=spawner,
            launcher=launcher,
            files=files,
            quotas=Quotas(quota=quota),
            observer=observer,
        )
        turns = Turns(
            settings=settings,
            store=store,
            feed=feed,
            idle=idle,
            endings=Endings(store=store, state=state, feed=feed, idle=idle, observer=observer),
            executor=executor,
            launcher=launcher,
            records=records,
            max_turns=min(settings.max_turns, max_turns),
            observer=observer,
        )
        sessions = Sessions(
            store=store,
            state=state,
            feed=feed,
            turns=turns,
            idle=idle,
            max_sessions=settings.max_sessions,
            expiry=settings.session_expiry,
            new=Buckets(size=settings.session_rate, seconds=MINUTE) if settings.access_control else None,
        )
        metrics.watch(
            gauges={
                "qchat_turns_running": ("turns that run", lambda: turns.running),
                "qchat_turns_queued": ("turns that wait", lambda: turns.waiting),
                "qchat_streams_open": ("event streams that are open", lambda: feed.streams),
                "qchat_sessions": ("sessions there are", store.count_sessions),
                "qchat_agent_available": ("1 when an agent CLI answers", lambda: launcher.available),
            },
            counters={
                "qchat_streams_opened": ("event streams that were opened", lambda: feed.opened),
                "qchat_streams_resumed": ("those that went on behind an id", lambda: feed.resumed),
            },
            level=lambda: launcher.sandbox.report.level,
        )
        return cls(
            settings=settings,
            metrics=metrics,
            tracing=tracing,
            state=state,
            database=database,
            store=store,
            files=files,
            listings=Listings(files=files),
            uploads=Uploads(files=files, quota=quota),
            spawner=spawner,
            launcher=launcher,
            framer=framer,
            feed=feed,
            turns=turns,
            sessions=sessions,
            chat=Chat(store=store, sessions=sessions, turns=turns),
            records=records,
            repeats=Repeats(store=store),
            history=History(transcript=state.transcript),
            janitor=Janitor(
                store=store,
                state=state,
                feed=feed,
                sessions=sessions,
                idle=idle,
                expiry=settings.session_expiry,
                cleanup=settings.auto_cleanup_sessions,
                swept=metrics.swept,
            ),
            cleanup=Cleanup(store=store, state=state, sessions=sessions),
            access=Access.create(settings, Logins(database)),
            audit=AuditLog(settings.audit_path(state.private)),
        )


def _tracing(url: str) -> "Tracing | None":
    if not url:
        return None
    from qchat.tracing import Tracing  # noqa: PLC0415  # costs nothing where it is off, and is an extra

    return Tracing.to(url)


CONTEXT = web.AppKey("context", Context)


def context(request: web.Request) -> Context:
    """The context of the application that a request came to."""
    return request.config_dict[CONTEXT]
