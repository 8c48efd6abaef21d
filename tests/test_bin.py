"""The programs in bin/, run as a newcomer runs them: a fresh checkout, in a path with spaces."""

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import qchat
from tests.harness import FAKES, ROOT

pytestmark = pytest.mark.timeout(400)  # packages are downloaded

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is, or could be, committed."""
    path = tmp_path_factory.mktemp("bin") / "a check out"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    return path


def environment(path: str = SYSTEM_PATH, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "TMPDIR", "HOME"))}
    return {**kept, "PATH": path, "PORT": "0", "QCHAT_PYTHON": python(), **more}


def python() -> str:
    """The interpreter that runs the tests, not that of their environment."""
    return os.path.realpath(sys.executable)


@contextmanager
def running(program: Path, env: dict[str, str]) -> Iterator[tuple[list[str], str]]:
    """A server that serves: the three lines that it says, and its address."""
    process = subprocess.Popen(
        [program], env=env, cwd="/", stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().rstrip("\n") for _ in range(3)]
    try:
        yield lines, lines[0].split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        process.stdout.close()


def get(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=10) as response:
        body = response.read()
        assert isinstance(body, bytes)
        return body


@pytest.fixture(scope="module")
def ready(checkout: Path) -> Path:
    """The checkout with its environment: made by two starts at once, after one that was killed."""
    env = environment(f"{FAKES}:{SYSTEM_PATH}")
    killed = subprocess.Popen([checkout / "bin/qchat-server"], env=env, start_new_session=True)
    while not (checkout / ".venv.new/bin/python").exists():
        assert killed.poll() is None
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (checkout / ".venv").exists()
    with (
        running(checkout / "bin/qchat-server", env | {"SESSIONS_BASE_DIR": str(checkout / "one")}),
        running(checkout / "bin/qchat-server", env | {"SESSIONS_BASE_DIR": str(checkout / "two")}),
    ):
        pass
    return checkout


def test_server(ready: Path, tmp_path: Path) -> None:
    """Started through a link, from elsewhere, it serves, and says where, with what, and in which place."""
    link = tmp_path / "qchat-server"
    link.symlink_to(ready / "bin/qchat-server")
    with running(link, environment(f"{FAKES}:{SYSTEM_PATH}")) as (lines, url):
        assert b'"status"' in get(f"{url}/health")
        assert b"<html" in get(url)
    assert str(FAKES / "q") in lines[1]
    assert lines[2].endswith(str(ready / "sessions"))


def test_second_start_changes_nothing(ready: Path) -> None:
    """A second start needs neither network nor pip, and leaves the environment as it is."""
    before = (ready / ".venv").stat().st_ino, (ready / ".venv/recipe").stat().st_mtime_ns
    env = environment(f"{FAKES}:{SYSTEM_PATH}", PIP_NO_INDEX="1", QCHAT_LOG_FILE="")
    with running(ready / "bin/qchat-server", env):
        pass
    assert before == ((ready / ".venv").stat().st_ino, (ready / ".venv/recipe").stat().st_mtime_ns)


def test_admin(ready: Path) -> None:
    """The admin tool runs in the same environment, and gets its arguments as they are."""
    done = subprocess.run(
        [ready / "bin/qchat-admin", "--no such option"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--no such option" in done.stderr


def test_what_pip_installs_can_be_called(ready: Path) -> None:
    """The programs in the environment name the place where it is."""
    version = subprocess.check_output([ready / ".venv/bin/qchat-server", "--version"], text=True)
    assert version.startswith("qchat ")


def test_without_network_and_agent(ready: Path) -> None:
    """When the local model is needed and cannot be installed, it says so in one sentence, and serves."""
    env = environment(PIP_NO_INDEX="1", PIP_FIND_LINKS="", SESSIONS_BASE_DIR=str(ready / "offline"))
    process = subprocess.Popen(
        [ready / "bin/qchat-server"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[-1]
        assert b'"status"' in get(f"{url}/health")
        process.terminate()
        said = [line for line in process.stderr if line.startswith("The local language model")]
    assert len(said) == 1
    assert "could not be installed" in said[0]


def test_out_of_date(ready: Path) -> None:
    """When a build fails it says so, and what was there stays."""
    lock = ready / "requirements/run.txt"
    text = lock.read_text()
    lock.write_text(text.replace("==", "==0.0.0.dev0+none.", 1))
    try:
        done = subprocess.run(
            [ready / "bin/qchat-admin"],
            env=environment(PIP_NO_INDEX="1", PIP_FIND_LINKS=""),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        lock.write_text(text)
    assert done.returncode == 1
    assert "could not install the packages" in done.stderr
    assert (ready / ".venv/bin/qchat-server").exists()


@pytest.mark.parametrize("program", ["qchat-server", "qchat-admin", "test", "lock"])
def test_no_python(program: str, tmp_path: Path) -> None:
    """Without a Python that will do it says which is needed, and what to install."""
    shutil.copytree(ROOT / "bin", tmp_path / "bin")
    done = subprocess.run(
        [tmp_path / "bin" / program],
        env=environment(SYSTEM_PATH, QCHAT_PYTHON="/no/such/python"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "sudo apt-get install python3 python3-venv" in done.stderr


CONVERSATION = """
import asyncio, sys
from qchat.client import Client

async def main():
    async with Client(sys.argv[1]) as service:
        print(await (await service.create_session()).ask("say hello"))

asyncio.run(main())
"""


def build_wheel(checkout: Path, place: Path, pip: list[str]) -> Path:
    """By way of the source archive. What builds them is in the tests' environment, locked."""
    sdist: list[str | Path] = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "sdist",
        "-d",
        place / "sdist",
    ]
    subprocess.run(sdist, cwd=checkout, check=True, timeout=120, stdout=subprocess.DEVNULL)
    (archive,) = (place / "sdist").iterdir()
    wheel: list[str | Path] = [
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        place / "wheel",
        archive,
    ]
    subprocess.run(wheel, check=True, timeout=300)
    (found,) = (place / "wheel").iterdir()
    return found


def test_wheel(checkout: Path, tmp_path: Path) -> None:
    """The wheel that is built from the source archive serves in an environment of its own, outside the
    checkout: the page, the client, the licence and all."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = build_wheel(checkout, tmp_path, pip)
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    assert {name.partition("/")[0] for name in names} == {"qchat", f"qchat-{qchat.__version__}.dist-info"}
    assert "qchat/py.typed" in names
    assert f"qchat-{qchat.__version__}.dist-info/licenses/LICENSE" in names
    subprocess.run([python(), "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    install: list[str | Path] = [tmp_path / "venv/bin/python", *pip[1:], "install", "--no-deps"]
    subprocess.run([*install, "-r", ROOT / "requirements/run.txt"], check=True, timeout=300)
    subprocess.run([*install, wheel], check=True, timeout=120)
    env = environment(
        f"{FAKES}:{SYSTEM_PATH}", SESSIONS_BASE_DIR=str(tmp_path / "sessions"), QCHAT_SANDBOX="off"
    )
    with running(tmp_path / "venv/bin/qchat-server", env) as (_, url):
        assert b"<html" in get(url)
        asked: list[str | Path] = [tmp_path / "venv/bin/python", "-c", CONVERSATION, url]
        assert subprocess.check_output(asked, cwd=tmp_path, text=True, timeout=60) == "hello\n"
