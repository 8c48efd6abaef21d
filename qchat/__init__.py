"""qchat: the Amazon Q Developer CLI as a web service."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qchat.adapters.directories import SessionDirectoryManager

__all__ = ["SessionDirectoryManager", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: the package is imported by programs that must start fast.
    if name == "SessionDirectoryManager":
        from qchat.adapters.directories import SessionDirectoryManager  # noqa: PLC0415

        return SessionDirectoryManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
