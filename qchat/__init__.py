"""qchat: the Amazon Q Developer CLI as a web service."""

__version__ = "0.1.0"
