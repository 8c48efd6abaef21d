"""What the agent said on stderr: without styles, banners and secrets, and not too much of it."""

import re

MAX_BYTES = 4096
REDACTED = "[redacted]"

_MOVES = re.compile(r"\r|\x1b\[[0-9;]*[A-HJKf]")
"""What goes elsewhere on the terminal, as a spinner does: what follows is not behind what there was."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_BANNERS = re.compile(
    r"[\s\u2500-\u28ff]*"  # drawings and spinners
    r"|[\u2500-\u257f\u2800-\u28ff].*"  # what stands in boxes, or beside a spinner
    r"|All tools are now trusted.*"
    r"|Agents can sometimes do unexpected things.*"
    r"|Learn more at https://docs\.aws\.amazon\.com/.*"
    r"|. You are chatting with .*"
    r"|WARNING: Retry #.*"
    r"|Picking up where we left off.*"
    r"|Location:|\s+crates/\S+:[0-9]+|Backtrace omitted\..*|Run with RUST_BACKTRACE=.*"
)
_NAMED_SECRET = re.compile(
    r"((?:token|secret|password|passwd|api[_-]?key|credential|signature|authorization|cookie)[\w-]{0,40}"
    r"\\{0,4}[\"']?\s{0,4}[:=]\s{0,4}\\{0,4}[\"']?(?:bearer\s+|basic\s+)?)(?:[^\s\"',;&}\\]|\\(?![\"'])){6,}",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"(?i:\b(?:bearer|basic)\s+)[\w.~+/=-]{12,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"
    r"|\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?"
    r"|\bao[ar][A-Za-z0-9]{16}[\w:+/=-]*"
    r"|\b(?:FwoGZXIvYXdz|FQoGZXIvYXdz|IQoJb3JpZ2lu)[\w+/=%-]*"
    r"|\b(?:sk|pk|rk|ksk|gh[a-z]|github_pat|glpat|xox[a-z]|hf|npm|pypi)[-_][\w-]{12,}"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
    r"|(?s:-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z))"
)
_LONG = re.compile(r"[\w+/=-]{40,}")
_SEGMENT = 32
"""Characters of a name in a path, beyond which it may be part of a key that happens to have slashes."""


def report(stderr: str) -> str:
    """The lines of ``stderr`` that say something, as plain text without secrets."""
    text = _CONTROLS.sub("", _ESCAPES.sub("", _MOVES.sub("\n", stderr)))
    lines = [line.rstrip() for line in text.split("\n")]
    return redact("\n".join(line for line in lines if not _BANNERS.fullmatch(line)))


def redact(text: str) -> str:
    """``text`` with a sign in place of whatever looks like a credential."""
    text = _NAMED_SECRET.sub(rf"\1{REDACTED}", text)
    return _LONG.sub(lambda match: _random(match[0]), _SECRET.sub(REDACTED, text))


def shorten(text: str) -> str:
    """The beginning of ``text``, in 4 KiB of UTF-8."""
    data = text.strip().encode()
    if len(data) <= MAX_BYTES:
        return data.decode()
    return data[: MAX_BYTES - 4].decode(errors="ignore").rstrip() + " …"


def _random(word: str) -> str:
    """A key rather than a path or a name: long, of small and capital letters and digits."""
    path = word.startswith("/") or word.count("/") > 3
    parts = [part for part in word.split("/") if len(part) >= _SEGMENT] if path else [word]
    return REDACTED if any(map(_mixed, parts)) else word


def _mixed(word: str) -> bool:
    return all(any(kind(character) for character in word) for kind in (str.isdigit, str.isupper, str.islower))
