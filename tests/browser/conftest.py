"""Fixtures: one Chromium for all tests, and for each a service of its own, so that nothing is shared."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from tests.browser.chromium import Browser, chromium
from tests.browser.service import Proxy, Service
from tests.harness import ROOT


@pytest.fixture(scope="session")
def npm() -> list[str]:
    """The page built from its sources, and with it what tests take from npm: the command to run npm."""
    spec = importlib.util.spec_from_file_location("build_page", ROOT / "ui" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    builder = ModuleType("build_page")
    builder.__file__ = spec.origin
    spec.loader.exec_module(builder)
    builder.build()
    found: list[str] = builder.find_npm() or builder.private_npm()
    builder.packages(found, dev=True)
    return found


@pytest.fixture(scope="session")
def shared_browser(npm: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert npm
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A running service; the page is at its address."""
    with Service(tmp_path / "sessions", tmp_path / "log") as running:
        yield running


@pytest.fixture
def proxy(service: Service) -> Iterator[Proxy]:
    """A way to the service that can fail."""
    with Proxy(service.port) as running:
        yield running


@pytest.fixture
def browser(shared_browser: Browser) -> Iterator[Browser]:
    """The browser, with one empty tab at the beginning and nothing left at the end."""
    shared_browser.reset()
    yield shared_browser
    problems = shared_browser.problems()
    shared_browser.reset()
    assert not problems


@pytest.fixture
def page(browser: Browser, service: Service) -> Browser:
    """The browser, with the page open."""
    browser.open(service.url)
    return browser


@pytest.fixture
def other_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Browser]]:
    """Starts more browsers: of another language, say."""
    with ExitStack() as running:
        yield lambda *arguments: running.enter_context(
            chromium(tmp_path_factory.mktemp("chromium"), *arguments)
        )
