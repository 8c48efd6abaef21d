"""The settings: read once from the environment, then frozen. Nothing else reads the environment."""

import ipaddress
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import attrs
from attrs import field, frozen
from dotenv import dotenv_values

from qchat.adapters.policy import Mode, Network
from qchat.environment import SECRETS, choice, command_line, flag, listed, matching, number, setting
from qchat.model.turn import Output

ProxyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """A variable has a value that is not allowed; the text is one line that names all three."""


HOST_NAME = r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]*:[0-9a-f:.]*"
ORIGIN = r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?"


@frozen(kw_only=True)
class Settings:
    """What the operator decided. Times are in seconds, sizes in bytes."""

    host: str = setting(
        "HOST", "127.0.0.1", "address to listen on; only loopback without tokens or a proxy's users"
    )
    port: int = number("PORT", 8080, "port to listen on; 0 takes a free one", least=0, most=65535)
    debug: bool = flag("DEBUG", False, "log at level debug")
    sessions_base_dir: Path = setting(
        "SESSIONS_BASE_DIR", Path("sessions"), "base directory of the workspaces", Path
    )
    auto_cleanup_sessions: bool = flag(
        "AUTO_CLEANUP_SESSIONS", True, "remove the directory of a session that expires"
    )
    session_expiry: float = number(
        "SESSION_EXPIRY", 3600.0, "seconds without activity until a session expires", least=60, whole=False
    )
    qcli_timeout: float = number(
        "QCLI_TIMEOUT", 600.0, "seconds that one turn may take", least=5, whole=False
    )
    max_history_length: int | None = number(
        "MAX_HISTORY_LENGTH", None, "caps message_count in a session's JSON; unlimited when unset", least=1
    )
    force_chinese: bool = flag("FORCE_CHINESE", False, "begin every prompt with 请用中文回答：")
    aws_default_region: str = setting("AWS_DEFAULT_REGION", "us-east-1", "passed on to the agent")
    agent: str = choice(
        "QCHAT_AGENT",
        "auto",
        ("auto", "q", "kiro", "local", "command"),
        "agent CLI; auto takes q or kiro-cli from PATH, else the local one",
    )
    agent_command: str = setting(
        "QCHAT_AGENT_COMMAND",
        "",
        "for QCHAT_AGENT=command: a program that reads a prompt and writes text",
        command_line,
        "a program and its arguments, quoted as for a shell",
    )
    local_model: Path | None = setting(
        "QCHAT_LOCAL_MODEL", None, "GGUF file of another model for the local agent", Path
    )
    sandbox: Mode = choice(
        "QCHAT_SANDBOX",
        "auto",
        ("auto", "required", "off", "external"),
        "auto takes the best isolation there is; required refuses to start below full; external is a"
        " container for the whole service",
    )
    agent_user: str = setting(
        "QCHAT_AGENT_USER", "", "whom agents run as when the service is root; by default qchat, else nobody"
    )
    agent_network: Network = setting(
        "QCHAT_AGENT_NETWORK",
        Network("ports", (53, 443)),
        "TCP ports that agents may connect to",
        Network.parse,
        Network.ALLOWED,
    )
    output: Output = choice(
        "QCHAT_OUTPUT", "markdown", ("markdown", "text", "raw"), "what the chunks of an answer carry"
    )
    cli_commands: str = choice(
        "QCHAT_CLI_COMMANDS",
        "deny",
        ("deny", "allow"),
        "whether a prompt may be a command of the CLI (/quit, !ls)",
    )
    max_turns: int = number("QCHAT_MAX_TURNS", 200, "turns that run at once", least=1)
    max_queued: int = number("QCHAT_MAX_QUEUED", 1000, "turns that wait; beyond it 503", least=0)
    max_streams: int = number("QCHAT_MAX_STREAMS", 2000, "event streams open at once; beyond it 503", least=1)
    max_sessions: int = number("QCHAT_MAX_SESSIONS", 100_000, "sessions; beyond it 503", least=1)
    max_output_bytes: int = number(
        "QCHAT_MAX_OUTPUT_BYTES", 256 * 1024**2, "bytes that one turn may write", least=1024
    )
    max_message_chars: int = number(
        "QCHAT_MAX_MESSAGE_CHARS", 100_000, "characters of a prompt", least=1, most=1_000_000
    )
    session_bytes: int = number(
        "QCHAT_SESSION_BYTES", 4 * 1024**3, "bytes that a session's workspace may take", least=1024
    )
    session_files: int = number(
        "QCHAT_SESSION_FILES", 100_000, "files and directories that a workspace may hold", least=1
    )
    shutdown_grace: float = number(
        "QCHAT_SHUTDOWN_GRACE", 5.0, "seconds that running turns get to end on shutdown", least=0, whole=False
    )
    heartbeat: float = number(
        "QCHAT_HEARTBEAT", 15.0, "seconds of silence after which a stream says ping", least=1, whole=False
    )
    stall_timeout: float = number(
        "QCHAT_STALL_TIMEOUT",
        30.0,
        "seconds after which a reader that takes nothing is cut",
        least=1,
        whole=False,
    )
    allowed_hosts: frozenset[str] = listed(
        "QCHAT_ALLOWED_HOSTS",
        "more Host names that requests may carry, besides the address itself",
        matching(HOST_NAME),
        "names without port or wildcard",
    )
    allowed_origins: frozenset[str] = listed(
        "QCHAT_ALLOWED_ORIGINS",
        "more origins whose pages may call the service (CORS), such as https://portal.example",
        matching(ORIGIN),
        "origins such as https://portal.example, without path or wildcard",
    )
    token: str = setting(
        "QCHAT_TOKEN",
        "",
        "the operator's token: requests need it, or one of QCHAT_TOKENS_FILE",
        matching(r"[!-~]{16,1000}"),
        "16 or more printable ASCII characters",
    )
    tokens_file: Path | None = setting(
        "QCHAT_TOKENS_FILE", None, "file of tokens, which qchat-admin token writes: requests need one", Path
    )
    trusted_proxies: frozenset[ProxyNetwork] = listed(
        "QCHAT_TRUSTED_PROXIES",
        "addresses of proxies whose X-Forwarded-For, -Proto and -Host are believed",
        ipaddress.ip_network,
        "addresses and networks such as 10.0.0.0/8",
    )
    user_header: str = setting(
        "QCHAT_USER_HEADER",
        "",
        "header in which trusted proxies name the user, such as X-Forwarded-User",
        matching(r"[A-Za-z0-9-]{1,100}"),
        "the name of a header",
    )
    login_failures: int = number(
        "QCHAT_LOGIN_FAILURES", 10, "wrong tokens that a client may send in a minute; beyond it 429", least=1
    )
    session_rate: int = number(
        "QCHAT_SESSION_RATE",
        300,
        "sessions that a principal may create in a minute, with access control; beyond it 429",
        least=1,
    )
    audit_log: str = setting(
        "QCHAT_AUDIT_LOG", "", "file of the audit log, or off; by default .qchat/audit.log"
    )
    lang: str = choice("QCHAT_LANG", "zh", ("zh", "en"), "language of error texts")
    log_file: Path | None = setting("QCHAT_LOG_FILE", None, "file that the log goes to as well", Path)
    log_format: str = choice(
        "QCHAT_LOG_FORMAT", "auto", ("auto", "console", "json"), "auto: console on a terminal, JSON otherwise"
    )
    traces: str = setting(
        "QCHAT_TRACES",
        "",
        "collector that traces go to by OTLP over HTTP, such as http://localhost:4318/v1/traces; takes the"
        " extra otel",
        matching(r"https?://[^\s/?#]+\S*"),
        "an address that begins with http:// or https://",
    )
    inherited: Mapping[str, str] = field(factory=dict, repr=False)
    """The environment that the service was started with: what agents may need of it is theirs to pick."""

    @property
    def access_control(self) -> bool:
        """Whether requests have to say who they are."""
        return bool(self.token or self.tokens_file or self.user_header)

    def audit_path(self, private: Path) -> Path | None:
        """Where the audit log goes; ``private`` is the service's own directory."""
        if self.audit_log == "off":
            return None
        return Path(self.audit_log) if self.audit_log else private / "audit.log"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Read the settings.

        :raises SettingsError: for a value that is not allowed.
        """
        values: dict[str, object] = {}
        for variable in variables():
            name = variable.metadata["name"]
            text = env.get(name, "").strip()
            if not text:
                continue
            try:
                values[variable.name] = variable.metadata["read"](text)
            except ValueError:
                shown = "(hidden)" if name in SECRETS else repr(text)
                raise SettingsError(
                    f"{name}={shown} is not allowed: it takes {variable.metadata['allowed']}"
                ) from None
        inherited = {name: value for name, value in env.items() if name != "QCHAT_TOKEN"}
        settings = cls(**values, inherited=inherited)  # type: ignore[arg-type]  # checked one by one
        settings._refuse_open_door()
        if not settings.loopback and "sandbox" not in values:
            settings = attrs.evolve(settings, sandbox="required")
        if settings.agent == "command" and not settings.agent_command:
            raise SettingsError(
                "QCHAT_AGENT='command' is not allowed without QCHAT_AGENT_COMMAND: it takes a program and its"
                " arguments, quoted as for a shell"
            )
        if settings.traces and find_spec("opentelemetry") is None:
            raise SettingsError(
                f"QCHAT_TRACES={settings.traces!r} is not allowed without the extra otel: it takes"
                " pip install 'qchat[otel]'"
            )
        return settings

    def _refuse_open_door(self) -> None:
        """Whoever reaches the port can run commands: beyond loopback that needs access control."""
        if self.user_header and not self.trusted_proxies:
            raise SettingsError(
                f"QCHAT_USER_HEADER={self.user_header!r} is not allowed without QCHAT_TRUSTED_PROXIES:"
                " anybody could send it"
            )
        if not (self.loopback or self.access_control):
            raise SettingsError(
                f"HOST={self.host!r} is not allowed without access control: set QCHAT_TOKENS_FILE (or"
                " QCHAT_TOKEN, or QCHAT_USER_HEADER), or take a loopback address (127.0.0.1, ::1, localhost)"
            )


def environment(file: Path | None = None) -> dict[str, str]:
    """The environment, and beneath it what ``file`` sets in lines of ``NAME=value``.

    :raises SettingsError: for a file that cannot be read.
    """
    if file is None:
        return dict(os.environ)
    try:
        with open(file, encoding="utf-8") as stream:
            found = dotenv_values(stream=stream, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--env-file {file}: {error}") from None
    return {**{name: value for name, value in found.items() if value is not None}, **os.environ}


def in_force(settings: Settings) -> dict[str, str]:
    """What every variable stands for, as it would be written in the environment; secrets are hidden."""
    return {v.metadata["name"]: written(v.metadata["name"], getattr(settings, v.name)) for v in variables()}


def written(name: str, value: object) -> str:
    """A value as it would be written in the environment; secrets are hidden."""
    if value is None or value == "":
        return ""
    if name in SECRETS:
        return "(hidden)"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(sorted(map(str, value))) if isinstance(value, frozenset | tuple | list) else str(value)


def variables() -> list["attrs.Attribute[Any]"]:
    """The fields that are read from the environment, with their metadata: name, meaning, allowed."""
    return [found for found in attrs.fields(Settings) if "name" in found.metadata]
