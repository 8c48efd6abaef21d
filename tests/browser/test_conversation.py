"""A conversation, from the first prompt to the last word."""

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import Browser
from tests.browser.service import Service
from tests.harness import bash

MARKDOWN = (
    r"say # A title\n\nSome **bold** text with `code`.\n\n1. one\n2. two\n\n"
    r"| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint(1)\n```\n\nThe end."
)
END = """const box = document.querySelector('.conversation');
    return box.scrollHeight - box.clientHeight - box.scrollTop"""
"""How far the end is from the view, in pixels."""


def test_first_prompt(page: Browser) -> None:
    """The first prompt makes a session, names it, and shows its answer as rendered markdown."""
    page.ask(MARKDOWN)
    assert page.text(".answer h1") == "A title"
    assert page.text(".answer strong") == "bold"
    assert [item.text for item in page.all(".answer ol > li")] == ["one", "two"]
    assert [cell.text for cell in page.all(".answer td")] == ["1", "2"]
    assert page.text(".answer .code pre") == "print(1)"
    page.until(lambda: page.all(".answer .code .hljs-built_in"), "colours")
    page.see_text("say # A title", ".session.current")
    turns = page.fetch(f"/api/v1/sessions/{page.session}/turns")["turns"]
    assert [turn["state"] for turn in turns] == ["completed"]


def test_stream_is_the_whole(page: Browser) -> None:
    """What was drawn piece by piece equals what a reload draws at once."""
    steps = MARKDOWN.removeprefix("say ").split(" ")
    page.ask("\n".join(f"say {word} \nsleep 0.01" if word else "" for word in steps))
    streamed = page.all(".answer")[0].get_property("innerHTML")
    page.driver.refresh()
    page.ended(1)
    html = "return document.querySelector('.answer')?.innerHTML"
    page.until(lambda: page.js(html) == streamed, "the same again")


def test_tool_card(page: Browser) -> None:
    """A tool call is a card with name, argument, state and seconds, which unfolds to its output."""
    page.ask(f"say I look.\n{bash('echo found-it')}\nsay Done.")
    head = page.see(".tool.completed .tool-head")
    assert head.text.split("\n")[:2] == ["execute_bash", "echo found-it"]
    assert "finished" in head.text
    assert " s" in head.text
    assert head.get_attribute("aria-expanded") == "false"
    head.click()
    assert "found-it" in page.see(".tool-body").text
    assert page.text(".answer") == "I look.\nDone."


def test_running_tool(page: Browser) -> None:
    """A tool that is at work says so."""
    page.send(bash("echo begun; sleep 60"))
    page.see(".tool.started .spinner")
    page.click(".button.stop")
    page.see(".turn.cancelled")
    assert page.text(".tool-state") in ("failed", "no result reported")


def test_stop(page: Browser, service: Service) -> None:
    """Stop ends the turn, keeps what was written, and lets the next prompt go."""
    page.send("say Half of it.\nhang")
    page.see_text("Half of it.", ".answer")
    page.click(".button.stop")
    page.see_text("Stopped", ".ended")
    assert "Half of it." in page.text(".answer")
    assert page.ask("say On we go.") == "On we go."
    page.see_text("the agent does not remember it", ".notice")


def test_queue(page: Browser) -> None:
    """A prompt that waits shows its place, and can be taken back."""
    page.send("say First.\nhang")
    page.see_text("First.", ".answer")
    page.send("say second")
    page.send("say third")
    page.until(lambda: len(page.all(".turn.queued")) == 2, "two waiting")
    page.see_text("next in line", ".turn.queued")
    page.see_text("number 2 in line", ".turn.queued:last-child")
    page.all(".turn.queued:last-child .working .link")[0].click()
    page.see(".turn:last-child.cancelled")
    page.click(".button.stop")
    page.see_text("second", ".turn.completed .answer")


def test_queued_turn_begins(page: Browser) -> None:
    """A turn that has waited is shown as running when it begins, though it writes nothing yet."""
    page.send("say First.\nhang")
    page.see_text("First.", ".answer")
    page.send("hang")
    page.see_text("next in line", ".turn.queued")
    page.click(".button.stop")
    page.see(".turn:last-child.running .working")
    page.click(".button.stop")
    page.ended(2)


def test_old_word_of_a_turn(page: Browser) -> None:
    """A turn that the stream has seen begin does not wait again when an older word of it arrives."""
    page.ask("say hello")
    page.js(
        """const real = window.fetch;
        window.fetch = async (url, options) => {
            const response = await real(url, options);
            if (options?.method !== 'POST') return response;
            const row = await response.json();
            while (!document.querySelector('.turn.running')) await new Promise(requestAnimationFrame);
            window.late = true;
            return new Response(JSON.stringify({...row, state: 'queued'}), {status: 202}); }"""
    )
    page.send("hang")
    page.until(lambda: page.js("return window.late") and not page.all(".letter"), "the old word")
    assert not page.all(".turn.queued")
    page.see(".turn.running .working")
    page.click(".button.stop")
    page.ended(2)


def test_error_and_retry(page: Browser) -> None:
    """An error says what happened and what to do; pressing retry often runs the prompt once more."""
    page.send("stderr Error: no luck today\nexit 3")
    problem = page.see(".problem")
    assert "The agent ended with an error" in problem.text
    assert "What you can do" in problem.text
    page.js("const b = document.querySelector('.problem .button'); b.click(); b.click(); b.click()")
    page.until(lambda: len(page.all(".problem")) == 2, "the second run")
    page.driver.refresh()
    page.until(lambda: len(page.all(".problem")) == 2, "both after a reload")
    first, second = page.all(".problem")
    assert "It was run again" in first.text
    assert not first.find_elements(By.CSS_SELECTOR, ".button")
    assert second.find_elements(By.CSS_SELECTOR, ".button")
    turns = page.fetch(f"/api/v1/sessions/{page.session}/turns")["turns"]
    assert len(turns) == 2


def test_raw(page: Browser) -> None:
    """The raw view shows exactly what the CLI wrote, its escapes included."""
    page.ask("say Plain words.")
    page.click(".turn-foot [aria-pressed]")
    page.see_text("␛[38;5;10m> ␛[0mPlain words.", ".raw pre")


def test_copy(page: Browser) -> None:
    """Copy takes a code block's text as it is."""
    page.ask(r"say ```\nif x:\n\n<b>y</b>\n```")
    page.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.click("[data-copy]")
    page.see_text("Copied", "[data-copy]")
    read = "navigator.clipboard.readText().then(arguments[0], (e) => arguments[0](String(e)))"
    assert page.driver.execute_async_script(read).rstrip("\n") == "if x:\n\n<b>y</b>"


def test_reader_stays(page: Browser) -> None:
    """Whoever has scrolled up and selected text keeps both while the answer goes on."""
    paragraphs = [rf"say paragraph {number}\n\n" for number in range(40)]
    page.send("\n".join([*paragraphs, "sleep 0.5", "flood 3000 0.005", "sleep 60"]))
    page.see_text("paragraph 39", ".answer")
    page.js(
        """const box = document.querySelector('.conversation'); box.scrollTop = 200;
        const p = document.querySelectorAll('.answer p')[2]; getSelection().selectAllChildren(p);"""
    )
    page.see_text("000000299", ".answer")
    assert page.js("return document.querySelector('.conversation').scrollTop") == 200
    assert page.js("return getSelection().toString()") == "paragraph 2"
    page.click(".to-latest")
    page.until(lambda: page.js(END) < 48, "the end")
    page.click(".button.stop")
    page.ended(1)


def test_end_is_followed(page: Browser) -> None:
    """Whoever reads the end stays there, however fast the answer grows, and when the window narrows."""
    page.ask("say hello")
    page.js(
        """window.left = 0;
        new MutationObserver(() => { window.left += !!document.querySelector('.to-latest') })
            .observe(document.body, {childList: true, subtree: true})"""
    )
    paragraph = rf"say {'words ' * 60}\n\n"
    page.post_turn(page.session, "\n".join(150 * [paragraph, "sleep 0.003"]))
    page.ended(2)
    page.until(lambda: page.js(END) < 2, "the end")
    page.cdp("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    page.until(lambda: page.js("return innerWidth") == 360 and page.js(END) < 2, "the end in a narrow window")
    assert page.js("return window.left") == 0


def test_small_steps_up(page: Browser) -> None:
    """A reader who scrolls up a little while the answer grows is not pulled back."""
    page.ask("say hello")
    paragraphs = [rf"say paragraph {number}\n\n" for number in range(40)]
    page.post_turn(page.session, "\n".join([*paragraphs, "flood 3000 0.005", "hang"]))
    page.see_text("000000020", ".answer")
    wheel = {"type": "mouseWheel", "x": 600, "y": 300, "deltaX": 0, "deltaY": -8}
    page.cdp("Input.dispatchMouseEvent", **wheel)
    page.see_text("000000299", ".answer")
    page.until(lambda: page.js(END) > 40, "the end has gone on without its reader")
    page.see(".to-latest")
    page.click(".button.stop")
    page.ended(2)


def test_sessions(page: Browser) -> None:
    """Sessions are created, found, renamed, switched by link, and deleted eight seconds after one asks."""
    page.ask("say alpha answer")
    first = page.session
    page.click(".new-chat")
    page.until(lambda: not page.all(".turn"), "an empty page")
    page.ask("say beta answer")
    assert page.session != first
    page.see_text("say alpha", ".sidebar")
    page.see("#search").send_keys("alpha")
    page.until(lambda: len(page.all(".session")) == 1, "one found")
    page.see("#search").clear()
    page.see("#search").send_keys(" ", Keys.BACKSPACE)
    page.until(lambda: len(page.all(".session")) == 2, "both again")
    page.all(f".session a[href='#/s/{first}']")[0].send_keys(Keys.F2)
    page.see(".renaming input").send_keys("renamed", Keys.ENTER)
    page.see_text("renamed", ".sidebar")
    assert page.fetch(f"/api/v1/sessions/{first}")["title"] == "renamed"
    page.click(f".session a[href='#/s/{first}']")
    page.see_text("alpha answer", ".answer")
    page.see(f".session a[href='#/s/{first}']").send_keys(Keys.DELETE)
    page.see_text("will be deleted", ".toast")
    page.until(lambda: len(page.all(".session")) == 1, "hidden")
    page.click(".toast .link")
    page.until(lambda: len(page.all(".session")) == 2, "undone")
    page.see(f".session a[href='#/s/{first}']").send_keys(Keys.DELETE)
    page.see_text("will be deleted", ".toast")
    assert page.fetch(f"/api/v1/sessions/{first}")["session_id"] == first
    page.until(lambda: page.fetch(f"/api/v1/sessions/{first}").get("code") == "SESSION_NOT_FOUND", "deleted")


def test_deep_link(page: Browser, service: Service) -> None:
    """A deep link opens its session; one to a session that is gone says so."""
    page.ask("say linked")
    link = page.driver.current_url
    page.driver.get("about:blank")
    page.open(link)
    page.see_text("linked", ".answer")
    page.driver.get("about:blank")
    page.open(f"{service.url}#/s/00000000-0000-4000-8000-000000000000")
    page.see_text("does not exist any more", ".message")


def test_two_tabs(page: Browser, service: Service) -> None:
    """What one tab asks, another one of the same session shows, with its answer."""
    page.ask("say from the first tab")
    first = page.driver.current_window_handle
    page.new_tab(page.driver.current_url)
    page.see_text("from the first tab", ".answer")
    page.ask("say from the second tab")
    page.to_tab(first)
    page.see_text("from the second tab", ".turn:last-child .answer")
    assert len(page.all(".turn")) == 2


def test_history(page: Browser) -> None:
    """A long history opens at its end, each time, and shows earlier turns when one scrolls there."""
    page.ask("say turn number 1")
    session = page.session
    for number in range(2, 26):
        page.post_turn(session, f"say turn number {number}")
    last = {"turn": 25, "state": "completed"}
    page.until(lambda: page.fetch(f"/api/v1/sessions/{session}")["last_turn"] == last, "all turns", 60)
    page.driver.refresh()
    page.see_text("turn number 25", ".turn:last-child .answer")
    assert len(page.all(".turn")) == 20
    page.js("document.querySelector('.conversation').scrollTop = 0")
    page.until(lambda: len(page.all(".turn")) == 25, "earlier turns")
    first = page.all(".turn")[0].find_element(By.CSS_SELECTOR, ".answer")
    assert str(first.get_property("textContent")).strip() == "turn number 1"
    page.click(".new-chat")
    page.until(lambda: not page.all(".turn"), "a new chat")
    page.click(".session a")
    page.see_text("turn number 25", ".turn:last-child .answer")
    assert len(page.all(".turn")) == 20
