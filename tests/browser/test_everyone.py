"""For everyone: by keyboard, by ear, in both languages and themes, on a phone."""

from collections.abc import Callable

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser
from tests.browser.service import Service
from tests.harness import ROOT, bash

AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
TEXT = (
    r"say # Title\n\nText with [a link](https://example.com) and `code`.\n\n> quote\n\n"
    r"```python\nprint(1)  # comment\n```\n\n|a|b|\n|-|-|\n|1|2|\n"
)
RICH = "\n".join([TEXT, bash("echo x > made.txt"), "say After the tool."])


def complaints(page: Browser) -> list[str]:
    """What axe-core finds that is serious, or worse."""
    page.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
    found = page.driver.execute_async_script(
        """const [done] = arguments; axe.run(document).then((result) => done(result.violations),
            (error) => done([{id: String(error), impact: 'critical', nodes: []}]))"""
    )
    return [
        f"{one['id']} ({one['impact']}): {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def look_everywhere(page: Browser) -> dict[str, list[str]]:
    found = {"empty": complaints(page)}
    page.ask(RICH)
    page.see(".file-row")
    page.click(".tool-head")
    page.see(".tool-body")
    found["conversation"] = complaints(page)
    page.send("stderr Error: no\nexit 1")
    page.see(".problem")
    page.click(".turn:last-child .turn-foot [aria-pressed]")
    page.see(".raw pre")
    found["error"] = complaints(page)
    page.keys(Keys.ESCAPE)
    page.chord(Keys.ALT, "h")
    page.see("dialog")
    found["help"] = complaints(page)
    page.keys(Keys.ESCAPE)
    return {state: list_ for state, list_ in found.items() if list_}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe(page: Browser, theme: str) -> None:
    """axe-core has no serious finding, in any state, in either theme."""
    page.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    background = page.js("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == (theme == "dark")
    assert look_everywhere(page) == {}


def test_phone(page: Browser, service: Service) -> None:
    """At 360 pixels nothing is cut off, panels are drawers, and axe-core has no serious finding."""
    page.cdp("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    page.open(service.url)
    page.ask(RICH)
    page.ask(f"say {'word' * 200}\\n\\n|{'a long head|' * 8}\\n|{'-|' * 8}\\n|{'cell|' * 8}")
    assert page.js("return document.documentElement.scrollWidth") <= 360
    assert page.js("const b = document.querySelector('.conversation'); return b.scrollWidth <= b.clientWidth")
    assert complaints(page) == []
    page.click("[aria-label^='Show files']")
    page.see(".files .file-row")
    right = "return document.querySelector('.files').getBoundingClientRect().right"
    page.until(lambda: page.js(right) <= 360, "the files")
    assert complaints(page) == []
    page.click(".files [aria-label='Close']")
    page.click("[aria-label='Show sessions']")
    page.click(".sidebar .new-chat")
    page.until(lambda: not page.all(".turn"), "a new chat")
    page.ask("say hello")
    service.kill()
    page.see(".connection.waiting")
    right = "return document.querySelector('.header > button:last-child').getBoundingClientRect().right"
    assert page.js(right) <= 360


def test_chinese(other_browser: Callable[..., Browser], service: Service) -> None:
    """A browser whose language is Chinese gets a Chinese page, and can switch; the choice stays."""
    page = other_browser("--lang=zh-CN")
    page.open(service.url)
    page.see_text("新会话", ".new-chat")
    assert page.js("return document.documentElement.lang") == "zh-CN"
    page.send("stderr Error: no\nexit 1")
    page.see_text("AI 因错误而结束", ".problem")
    assert complaints(page) == []
    page.click(".facts-row .button")
    page.see_text("New chat", ".new-chat")
    page.see_text("The agent ended with an error", ".problem")
    page.driver.refresh()
    page.see_text("New chat", ".new-chat")
    assert page.js("return document.documentElement.lang") == "en"


def test_theme_switch(page: Browser) -> None:
    """The theme can be chosen, and stays chosen."""
    for theme in ("light", "dark"):
        page.click(".facts-row .icon-button")
        page.see(f"[data-theme={theme}] body")
    page.driver.refresh()
    page.see("#prompt")
    assert page.js("return document.documentElement.dataset.theme") == "dark"


def test_keyboard(page: Browser) -> None:
    """The keyboard alone suffices: to ask, stop, unfold, find, rename, delete, undo, and look at files."""
    focused = "return document.activeElement"
    page.until(lambda: page.js("return document.activeElement.id") == "prompt", "the prompt has the focus")
    page.keys("say by keyboard", Keys.ENTER)
    page.see_text("by keyboard", ".answer")
    page.keys("say more", Keys.ENTER)
    page.ended(2)
    page.keys("hang", Keys.ENTER)
    page.see(".turn.running")
    page.chord(Keys.ALT, "s")
    page.see(".turn.cancelled")
    page.keys(bash("echo x > k.txt").replace("\n", " "), Keys.ENTER)
    page.ended(4)
    page.js("document.querySelector('.tool-head').focus()")
    page.keys(Keys.ENTER)
    page.see(".tool-body")
    page.chord(Keys.CONTROL, "k")
    page.until(lambda: page.js("return document.activeElement.id") == "search", "the search has the focus")
    page.keys(Keys.TAB)
    assert "say by keyboard" in page.js(focused).text
    page.keys(Keys.F2)
    page.see(".renaming input")
    page.keys("named by keyboard", Keys.ENTER)
    page.see_text("named by keyboard", ".sidebar")
    page.until(lambda: "named by keyboard" in page.js(focused).text, "the focus is back")
    page.keys(Keys.TAB, Keys.ENTER)
    page.see("[role=menu]")
    page.keys(Keys.ARROW_UP, Keys.ENTER)
    page.see(".toast")
    page.chord(Keys.ALT, "z")
    page.until(lambda: page.all(".session"), "undone")
    page.js("document.querySelector('.session a').focus()")
    page.keys(Keys.ENTER)
    page.see(".file-row")
    page.js("document.querySelector('.tree-row').focus()")
    page.keys(Keys.ENTER)
    page.see("dialog .preview-text")
    page.keys(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"), "closed")
    assert "k.txt" in page.js(focused).text


def test_everything_has_focus(page: Browser) -> None:
    """Tab reaches every control in turn, shows where it is, and is caught nowhere."""
    page.ask(RICH)
    page.see(".file-row")
    page.js("document.querySelector('.skip').focus()")
    seen = []
    for _ in range(60):
        page.keys(Keys.TAB)
        label = page.js(
            """const e = document.activeElement; if (e === document.body) return null;
            const visible = e.id === 'prompt' || getComputedStyle(e).outlineStyle !== 'none';
            return [e.getAttribute('aria-label') || e.textContent.slice(0, 30), visible]"""
        )
        if label is None:
            break
        seen.append(label)
    assert label is None, seen
    assert all(visible for _, visible in seen), [name for name, visible in seen if not visible]
    names = {name for name, _ in seen}
    wanted = {"New chat", "Search sessions", "Message to the agent", "Upload", "Hide files (1)"}
    assert wanted | {"Keyboard shortcuts", "Copy answer", "Delete made.txt"} <= names


def test_announced(page: Browser) -> None:
    """A screen reader hears that an answer is complete, once, and not its every word."""
    page.see("#prompt")
    page.js(
        """window.heard = [];
        const region = document.querySelector('.visually-hidden[aria-live=polite]');
        new MutationObserver(() => window.heard.push(region.textContent))
            .observe(region, {childList: true, characterData: true, subtree: true})"""
    )
    page.ask("flood 1000 0.002\nsay the last words")
    page.until(lambda: len(page.js("return window.heard")) >= 2, "two announcements")
    heard = page.js("return window.heard")
    assert heard[0] == "The agent is answering."
    assert heard[-1].startswith("Answer complete:")
    assert len(heard) == 2


def test_honest(page: Browser) -> None:
    """The agent, the isolation level and the time at which a session expires are visible."""
    page.ask("say hello")
    page.see_text("Amazon Q CLI", ".facts")
    assert "isolation" in page.text(".facts")
    page.see_text("Expires in", ".header")
    page.hover(".session")
    page.click(".session .menu button")
    page.click("[role=menuitem]:nth-child(2)")
    page.see_text("Does not expire", ".header")
