"""Running a part of a test as another user."""

import json
import os
import traceback
import warnings
from collections.abc import Callable
from typing import Any

NOBODY = 65534


def in_child(function: Callable[[], Any], uid: int | None = None) -> Any:
    """Run ``function`` in a forked process, as ``uid`` if one is given.

    Its result, which JSON has to be able to say, is ours; and so is its failure.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests; ours needs none
        pid = os.fork()
    if pid == 0:
        _work(function, uid, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert said, f"the child ended with status {status}"
    failure, result = json.loads(said)
    assert not failure, failure
    return result


def _work(function: Callable[[], Any], uid: int | None, writer: int) -> None:
    try:
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        said: tuple[str, Any] = ("", function())
    except BaseException:  # noqa: BLE001  # whatever it is, the parent reports it
        said = (traceback.format_exc(), None)
    with open(writer, "w", encoding="utf-8", errors="backslashreplace") as pipe:
        json.dump(said, pipe)
    os._exit(0)
