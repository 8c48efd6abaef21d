"""A real, headless Chromium, and what tests do with the page in it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define
from selenium import webdriver
from selenium.common.exceptions import (
    NoAlertPresentException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, where Chromium's own sandbox does not
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1360,860",
)
WAIT = 20.0


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is needed for the tests of the page: sudo apt-get install {package}")
    return found


@contextmanager
def chromium(directory: Path, *arguments: str) -> Iterator["Browser"]:
    """A browser with a fresh profile in ``directory``."""
    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium", "chromium")
    downloads = directory / "downloads"
    downloads.mkdir()
    # Whatever it leaves behind lies there, too.
    profile = directory / "profile"
    for argument in (*ARGUMENTS, "--lang=en-US", f"--user-data-dir={profile}", *arguments):
        options.add_argument(argument)
    language = next((a.partition("=")[2] for a in reversed(arguments) if a.startswith("--lang=")), "en-US")
    options.add_experimental_option(
        "prefs", {"intl.accept_languages": language, "download.default_directory": str(downloads)}
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver_log = str(directory / "chromedriver.log")
    service = webdriver.ChromeService(_program("chromedriver", "chromium-driver"), log_output=driver_log)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver, downloads)
    finally:
        driver.quit()


@define(eq=False)
class Browser:
    """The page as its reader has it: what is seen, and what is done with keys and pointer."""

    driver: webdriver.Chrome
    downloads: Path

    # Windows

    def reset(self) -> None:
        """One empty tab, and the defaults of what tests change."""
        driver = self.driver
        with suppress(NoAlertPresentException):
            driver.switch_to.alert.dismiss()
        kept, *others = driver.window_handles
        for handle in others:
            driver.switch_to.window(handle)
            driver.close()
        driver.switch_to.window(kept)
        driver.get("about:blank")
        self.cdp("Emulation.clearDeviceMetricsOverride")
        self.cdp("Emulation.setEmulatedMedia", features=[])
        self.network(online=True)
        self.cdp("Network.clearBrowserCookies")  # they know no ports: the next service would get them
        for name in [path.name for path in self.downloads.iterdir()]:
            (self.downloads / name).unlink()
        self.console()

    def console(self) -> list[dict[str, Any]]:
        """What has been said there since this was asked last."""
        found: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return found

    def problems(self) -> list[str]:
        """What the console complained of, but for requests that tests make fail."""
        return [
            entry["message"]
            for entry in self.console()
            if entry["level"] == "SEVERE" and "Failed to load resource" not in entry["message"]
        ]

    def network(self, *, online: bool) -> None:
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.cdp("Network.emulateNetworkConditions", offline=not online, **speed)

    def cdp(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)

    def open(self, url: str) -> None:
        self.driver.get(url)
        self.see("#prompt")

    def new_tab(self, url: str) -> str:
        self.driver.switch_to.new_window("tab")
        self.open(url)
        return self.driver.current_window_handle

    def to_tab(self, handle: str) -> None:
        self.driver.switch_to.window(handle)

    # Seeing

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def see(self, css: str) -> WebElement:
        """The first visible element, once there is one."""
        element: WebElement = self.until(lambda: self._visible(css), css)
        return element

    def _visible(self, css: str) -> WebElement | None:
        return next((one for one in self.all(css) if one.is_displayed()), None)

    def text(self, css: str) -> str:
        return "\n".join(element.text for element in self.all(css))

    def until(self, condition: Callable[[], Any], what: str = "", seconds: float = WAIT) -> Any:
        """What ``condition`` gives once that is true."""
        ignored = [StaleElementReferenceException, NoSuchElementException]
        waiting = WebDriverWait(self.driver, seconds, 0.03, ignored)
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            shown = self.driver.find_element(By.TAG_NAME, "body").text
            complaint = f"not seen in {seconds} s: {what or condition}; the page says:\n{shown[-3000:]}"
            raise AssertionError(complaint) from None

    def see_text(self, text: str, css: str = "body") -> None:
        self.until(lambda: text in self.text(css), f"{text!r} in {css}")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def fetch(self, path: str) -> Any:
        """JSON from the API, asked for by the page."""
        script = """const [path, done] = arguments;
            fetch(path).then((response) => response.text()).then(done, (error) => done(String(error)))"""
        return json.loads(self.driver.execute_async_script(script, path))

    # Doing

    def keys(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def chord(self, modifier: str, key: str) -> None:
        ActionChains(self.driver).key_down(modifier).send_keys(key).key_up(modifier).perform()

    def click(self, css: str) -> None:
        self.until(lambda: self._clicked(css), f"click {css}")

    def hover(self, css: str) -> None:
        ActionChains(self.driver).move_to_element(self.see(css)).perform()

    def _clicked(self, css: str) -> bool:
        for element in self.all(css):
            if element.is_displayed() and element.is_enabled():
                element.click()
                return True
        return False

    def send(self, prompt: str) -> None:
        """Type a prompt and send it."""
        self.see("#prompt").click()
        actions = ActionChains(self.driver)
        for index, line in enumerate(prompt.split("\n")):
            if index:
                actions.key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT)
            actions.send_keys(line)
        actions.send_keys(Keys.ENTER).perform()

    def ask(self, prompt: str) -> str:
        """Send a prompt and wait for the end of its turn: the text of the answer."""
        before = len(self.all(".turn:not(.letter)"))
        self.send(prompt)
        self.until(lambda: len(self.all(".turn:not(.letter)")) > before, "a turn")
        self.ended(before + 1)
        answers = self.all(".turn:not(.letter)")[before].find_elements(By.CSS_SELECTOR, ".answer")
        return "\n".join(answer.text for answer in answers)

    def ended(self, count: int, seconds: float = WAIT) -> None:
        """Wait until so many turns have ended, and are drawn."""
        self.until(lambda: len(self.all(".turn-foot")) >= count, f"{count} ended turns", seconds)
        self.until(lambda: not self.all("[data-writing]"), "drawn", seconds)

    def post_turn(self, session: str, message: str) -> None:
        """Begin a turn as another client would."""
        script = """const [session, message, done] = arguments;
            fetch(`/api/v1/sessions/${session}/turns`, {
                method: 'POST', headers: {'Content-Type': 'application/json'},
                body: JSON.stringify({message, on_busy: 'queue'}),
            }).then((response) => done(response.status), (error) => done(String(error)))"""
        assert self.driver.execute_async_script(script, session, message) == 202

    @property
    def session(self) -> str:
        """The session in the address."""
        self.until(lambda: "#/s/" in self.driver.current_url, "a session in the address")
        return self.driver.current_url.rpartition("/")[2]
