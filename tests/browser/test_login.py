"""Logging in and out, as somebody does who has a token, or the link that the server prints."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser
from tests.browser.service import Service
from tests.browser.test_everyone import complaints
from tests.tokens import Tokens


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    found = Tokens(tmp_path)
    found.add("alice")
    found.add("bob")
    return found


@pytest.fixture
def service(tmp_path: Path, tokens: Tokens) -> Iterator[Service]:
    """A running service that wants tokens."""
    variables = {"QCHAT_TOKENS_FILE": str(tokens.path)}
    with Service(tmp_path / "sessions", tmp_path / "log", variables=variables) as running:
        yield running


def wanted(browser: Browser, url: str) -> None:
    browser.driver.get(url)
    browser.see("#token")


def log_in(browser: Browser, secret: str) -> None:
    browser.see("#token").clear()
    browser.see("#token").send_keys(secret, Keys.ENTER)


def test_in_and_out(browser: Browser, service: Service, tokens: Tokens) -> None:
    """A wrong token is told, a right one opens the page, and after logging out nothing is left of it."""
    wanted(browser, service.url)
    assert browser.driver.switch_to.active_element.get_attribute("id") == "token"
    assert complaints(browser) == []
    log_in(browser, "wrong")
    browser.see_text("wrong", "[role=alert]")
    log_in(browser, tokens.secrets["alice"])
    assert browser.ask("say hello") == "hello"
    session = browser.session
    assert browser.js("return document.cookie") == ""
    assert not [one for one in browser.js("return Object.values(localStorage)") if "qchat_" in one]
    browser.driver.refresh()
    browser.see_text("hello", ".answer")
    browser.click(".log-out")
    browser.see("#token")
    assert "say hello" not in str(browser.js("return Object.values(localStorage)"))
    wanted(browser, f"{service.url}#/s/{session}")
    log_in(browser, tokens.secrets["bob"])
    browser.see("#prompt")
    browser.driver.refresh()
    browser.see_text("does not exist")


def test_the_link(browser: Browser, service: Service) -> None:
    """The link that the server prints logs in, leaves no trace in the address, and works once."""
    assert service.process is not None
    assert service.process.stdout is not None
    link = service.process.stdout.readline().split()[-1]
    browser.open(link)
    assert "login=" not in browser.driver.current_url
    assert browser.ask("say hello") == "hello"
    browser.driver.get("about:blank")
    browser.open(link)  # used up, and no reason to be thrown out
    browser.driver.delete_all_cookies()
    browser.driver.get("about:blank")
    wanted(browser, link)
    browser.see_text("not good any more", "[role=alert]")
    assert link.partition("=")[2] not in service.log.read_text()


def test_a_token_that_is_revoked(browser: Browser, service: Service, tokens: Tokens) -> None:
    """When the token is revoked the page asks for another, and goes on where it was with that."""
    wanted(browser, service.url)
    log_in(browser, tokens.secrets["alice"])
    assert browser.ask("say hello") == "hello"
    tokens.revoke("alice")
    browser.send("say again")
    browser.see("#token")
    tokens.add("laptop", principal="alice")
    log_in(browser, tokens.secrets["laptop"])
    browser.ended(2)
    assert browser.text(".answer") == "hello\nagain"


def test_chinese(browser: Browser, service: Service) -> None:
    """The login speaks both languages."""
    wanted(browser, service.url)
    browser.click(".login .button.plain")
    browser.see_text("令牌", ".login")
    browser.click(".login .button.plain")
    browser.see_text("Token", ".login")
