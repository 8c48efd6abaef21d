"""How much comes over the wire, and how soon something is seen. Long tasks are measured, not asserted on
machines that are shared: see docs/page.md."""

from tests.browser.chromium import Browser
from tests.browser.service import Service

BUDGET = 300 * 1024


def test_size(page: Browser) -> None:
    """Everything that the page loads is under 300 KB as it is sent."""
    page.ask(r"say ```python\nprint(1)\n```")
    page.until(lambda: page.all(".hljs-built_in"), "the colours, which come last")
    sizes = page.js(
        """const loaded = ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type));
        return loaded.filter((entry) => entry.name.endsWith('/') || entry.name.includes('/ui/'))
            .map((entry) => [entry.name, entry.encodedBodySize])"""
    )
    total = sum(size for _, size in sizes)
    assert 50_000 < total < BUDGET, sizes


def test_first_paint(page: Browser, service: Service) -> None:
    """The first paint comes within half a second, in the best of three tries."""
    times = []
    paint = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    for _ in range(3):
        page.driver.get("about:blank")
        page.open(service.url)
        times.append(page.until(lambda: page.js(paint), "a paint"))
    assert min(times) < 500, times


def test_long_answer(page: Browser) -> None:
    """An answer of a megabyte is drawn whole, and the page answers keys meanwhile."""
    page.send("flood 100000 0\nwrite 1000000\nflood 100000 0")
    page.see(".answer p")
    page.see("#prompt").send_keys("typed")
    assert page.see("#prompt").get_property("value") == "typed"
    page.ended(1, seconds=90)
    blocks = page.js("return [...document.querySelectorAll('.segment > *')].map((e) => e.textContent)")
    assert "".join(blocks).count("x") == 1_000_000
    numbers = " ".join(blocks).replace("x", " ").split()
    assert numbers == 2 * [f"{number:09}" for number in range(10_000)]
