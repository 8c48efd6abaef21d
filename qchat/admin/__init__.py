"""qchat-admin: the operator's tool."""

from qchat.admin.cli import main

__all__ = ["main"]
