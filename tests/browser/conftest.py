"""Fixtures: one Chromium for all tests, and for each a service of its own, so that nothing is shared."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser, chromium
from tests.browser.service import Proxy, Service


@pytest.fixture(scope="session")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield Browser(driver)


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
    running = []

    def start(*arguments: str) -> Browser:
        context = chromium(tmp_path_factory.mktemp("chromium"), *arguments)
        running.append(context)
        return Browser(context.__enter__())

    yield start
    for context in running:
        context.__exit__(None, None, None)
