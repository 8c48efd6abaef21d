"""What the page lives through: reloads, restarts, failing proxies, no network, too many tabs."""

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser
from tests.browser.service import Proxy, Service

PIECES = [f"{number:09}" for number in range(300)]
FLOOD = "flood 3000 0.01"
"""An answer of 300 numbers, in about three seconds."""


def whole(page: Browser) -> None:
    """The answer has every number once."""
    page.until(lambda: PIECES[-1] in page.text(".answer"), "the last number")
    assert page.text(".answer").split() == PIECES


def test_reload(page: Browser) -> None:
    """A reload in the middle of an answer misses nothing and repeats nothing."""
    page.send(FLOOD)
    for number in (20, 80, 140):
        page.see_text(PIECES[number], ".answer")
        page.driver.refresh()
    whole(page)


@pytest.mark.parametrize("way", ["shared worker", "leading tab", "every tab for itself"])
def test_connection_cut(page: Browser, proxy: Proxy, way: str) -> None:
    """A connection that is cut in the middle of an answer goes on where it was, whatever holds the stream."""
    without = {
        "leading tab": "delete window.SharedWorker",
        "every tab for itself": "delete window.SharedWorker; delete window.BroadcastChannel",
    }.get(way, "")
    script = page.cdp("Page.addScriptToEvaluateOnNewDocument", source=without)
    try:
        page.driver.get("about:blank")
        page.open(proxy.url)
        page.send(FLOOD)
        for number in (20, 140):
            page.see_text(PIECES[number], ".answer")
            proxy.switch("pass")
        whole(page)
    finally:
        page.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


def test_proxy_fails(browser: Browser, proxy: Proxy) -> None:
    """A proxy's 502 is not the end: the page says that it is cut off, and continues by itself."""
    browser.open(proxy.url)
    browser.send(FLOOD)
    browser.see_text(PIECES[20], ".answer")
    proxy.switch("502")
    browser.see(".connection.waiting")
    proxy.switch("pass")
    whole(browser)
    browser.see(".connection.live")


def test_server_killed(page: Browser, service: Service) -> None:
    """After kill -9 and a restart the page shows what there is, says that it broke off, and runs nothing."""
    page.send("say Half an answer.\nhang")
    page.see_text("Half an answer.", ".answer")
    service.kill()
    page.see(".connection.waiting")
    service.start()
    page.see_text("The server stopped while answering", ".problem")
    page.see(".connection.live")
    assert "Half an answer." in page.text(".answer")
    assert len(page.all(".turn")) == 1
    turns = page.fetch(f"/api/v1/sessions/{page.session}/turns")["turns"]
    assert [turn["state"] for turn in turns] == ["interrupted"]
    assert page.ask("say On we go.") == "On we go."


def test_sent_while_down(browser: Browser, service: Service, proxy: Proxy) -> None:
    """A prompt that is sent while the server is away survives a reload, and runs once when it is back."""
    browser.open(proxy.url)
    browser.ask("say hello")
    proxy.switch("502")
    browser.see(".connection.waiting")
    browser.send("say sent while away")
    browser.see_text("Not sent yet", ".letter")
    proxy.switch("pass")
    browser.driver.refresh()
    browser.see_text("sent while away", ".turn.completed .answer")
    browser.until(lambda: not browser.all(".letter"), "no letter left")
    turns = browser.fetch(f"/api/v1/sessions/{browser.session}/turns")["turns"]
    assert [turn["prompt"] for turn in turns] == ["say hello", "say sent while away"]


def test_first_prompt_while_down(browser: Browser, proxy: Proxy) -> None:
    """A first prompt for which no session can be made stays where it was typed, and says why."""
    browser.open(proxy.url)
    proxy.switch("502")
    browser.send("say not lost")
    browser.see(".toast.problem")
    browser.until(lambda: browser.see("#prompt").get_property("value") == "say not lost", "the prompt")
    proxy.switch("pass")
    browser.keys(Keys.ENTER)
    browser.see_text("not lost", ".turn.completed .answer")


def test_drafts(page: Browser, service: Service) -> None:
    """What has been typed in several tabs outlives a reload of each."""
    links = []
    for number in range(2):
        page.open(f"{service.url}#/")
        page.ask(f"say session {number}")
        links.append(page.driver.current_url)
        page.driver.get("about:blank")
    tabs = [page.new_tab(link) for link in links]
    for number, tab in enumerate(tabs):
        page.to_tab(tab)
        page.see("#prompt").send_keys(f"draft {number}")
    for number, tab in enumerate(tabs):
        page.to_tab(tab)
        page.driver.refresh()
        assert page.see("#prompt").get_property("value") == f"draft {number}"


def test_answer_to_sending_lost(browser: Browser, proxy: Proxy) -> None:
    """When the server takes a prompt and its word of that is lost, asking again runs nothing twice."""
    browser.open(proxy.url)
    browser.ask("say hello")
    browser.js(
        """const real = window.fetch; let lost = 0;
        window.fetch = async (url, options) => {
            const response = await real(url, options);
            if (options?.method === 'POST' && lost++ < 2) throw new TypeError('the answer is lost');
            return response; }"""
    )
    browser.send("say once")
    browser.until(lambda: not browser.all(".letter"), "sent")
    browser.see_text("once", ".turn:last-child .answer")
    turns = browser.fetch(f"/api/v1/sessions/{browser.session}/turns")["turns"]
    assert [turn["prompt"] for turn in turns] == ["say hello", "say once"]


def test_offline(page: Browser) -> None:
    """Offline is shown, and what was missed is there when the network is back."""
    page.ask("say hello")
    page.cdp("Network.enable")
    page.network(online=False)
    page.see_text("You are offline", ".connection")
    page.send("say written offline")
    page.see_text("Not sent yet", ".letter")
    page.network(online=True)
    page.see_text("written offline", ".turn.completed .answer")
    page.see_text("Connected", ".connection")


@pytest.mark.parametrize("way", ["shared worker", "leading tab"])
def test_seven_tabs(page: Browser, service: Service, way: str) -> None:
    """Seven tabs with seven sessions over HTTP/1.1: the seventh works, and so does the first again."""
    script = None
    handles = []
    sessions = []
    source = "delete window.SharedWorker" if way == "leading tab" else ""
    for number in range(7):
        page.driver.switch_to.new_window("tab")
        script = page.cdp("Page.addScriptToEvaluateOnNewDocument", source=source)
        page.open(service.url)
        assert page.ask(f"say tab {number}") == f"tab {number}"
        handles.append(page.driver.current_window_handle)
        sessions.append(page.session)
    assert script is not None
    streams = page.fetch("/health")["open_streams"]
    assert 1 <= streams <= 4
    page.to_tab(handles[0])
    assert page.ask("say and again") == "and again"
    # A session without a stream is looked after as well: its turn, begun elsewhere, shows.
    page.post_turn(sessions[2], "say from elsewhere")
    page.to_tab(handles[2])
    page.see_text("from elsewhere", ".turn:last-child .answer")


def test_leader_closes(page: Browser, service: Service) -> None:
    """Without shared workers one tab holds all streams; when it is closed, another takes over."""
    tabs = []
    for _ in range(2):
        page.driver.switch_to.new_window("tab")
        page.cdp("Page.addScriptToEvaluateOnNewDocument", source="delete window.SharedWorker")
        page.open(service.url)
        tabs.append(page.driver.current_window_handle)
    page.to_tab(tabs[0])
    page.ask("say hello")
    link = page.driver.current_url
    page.to_tab(tabs[1])
    page.driver.get(link)
    page.see_text("hello", ".answer")
    page.send(FLOOD)
    page.see_text(PIECES[20], ".turn:last-child .answer")
    page.to_tab(tabs[0])
    page.driver.close()
    page.to_tab(tabs[1])
    page.until(lambda: PIECES[-1] in page.text(".turn:last-child .answer"), "the last number")
    assert page.text(".turn:last-child .answer").split() == PIECES
