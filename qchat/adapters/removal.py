"""Removing a hostile tree: however deep, whatever its permissions, and interruptible.

Directories are not descended into. What a directory holds is moved up beside it and removed there, so
two open descriptors suffice for any depth, and what has been done so far stays done when the removal
is interrupted. Every step names one component relative to a descriptor and none follows a link: a
directory that is swapped for a link meanwhile costs the link, never what it points to.
"""

import errno
import os
import secrets
from collections.abc import Callable, Iterable
from itertools import islice

from attrs import Factory, define, frozen

from qchat.adapters.beneath import force_directory
from qchat.adapters.eventloop import give_way

_BATCH = 1000
_MOST_IN_PLACE = 64
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


@frozen
class Removal:
    """How far a removal came."""

    done: bool
    """Nothing is left."""
    why: str = ""
    """What stands in the way; empty when it was interrupted."""


@define(eq=False)
class _Top:
    """A directory that is being emptied."""

    name: str
    fd: int
    stuck: set[str] = Factory(set)


class _Interrupted(Exception):
    pass


def remove_tree(parent: int, name: str, stop: Callable[[], bool] = lambda: False) -> Removal:
    """Remove what ``name`` is in the directory ``parent``, with everything in it.

    ``stop`` is asked between any two steps, such as the ``is_set`` of an event; after an interruption
    the same call goes on. What cannot be removed (a mount, another user's files) is left and told.
    """
    removal = _Remover(stop)
    try:
        if not removal.discard(parent, name):
            fd = force_directory(parent, os.fsencode(name))
            try:
                removal.empty(_Top(name, fd))
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=parent)
    except _Interrupted:
        return Removal(False)
    except FileNotFoundError:
        return Removal(True)
    except OSError as error:
        return Removal(False, removal.why or str(error.strerror))
    return Removal(True)


@define(eq=False)
class _Remover:
    stop: Callable[[], bool]
    why: str = ""

    def discard(self, parent: int, name: str) -> bool:
        """Remove one entry; false for a directory that is not empty.

        :raises OSError: when it cannot be removed.
        """
        give_way()
        if self.stop():
            raise _Interrupted
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except (IsADirectoryError, PermissionError) as error:
            return self._discard_directory(parent, name, error)
        return True

    @staticmethod
    def _discard_directory(parent: int, name: str, refusal: OSError) -> bool:
        try:
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            raise refusal from None  # a file that may not be removed, or a directory swapped for one
        except OSError as error:
            if error.errno in _NOT_EMPTY:
                return False
            raise
        return True

    def empty(self, top: _Top) -> None:
        """Remove all that is in ``top`` and can be removed."""
        tops = [top]
        try:
            while tops:
                names = _some_names(tops[-1])
                for name in names:
                    if (inner := self._remove(tops[-1], name)) is not None:
                        if len(tops) == _MOST_IN_PLACE:
                            os.close(inner.fd)
                            tops[-1].stuck.add(name)
                            continue
                        tops.append(inner)
                        break
                else:
                    if not names:
                        self._close(tops)
        finally:
            for left in tops[1:]:
                os.close(left.fd)

    @staticmethod
    def _close(tops: list[_Top]) -> None:
        finished = tops.pop()
        if tops:
            os.close(finished.fd)
            if finished.stuck:
                tops[-1].stuck.add(finished.name)

    def _remove(self, top: _Top, name: str) -> _Top | None:
        """Remove one entry of ``top``; a directory that has to be emptied in place is given back."""
        try:
            if self.discard(top.fd, name):
                return None
            inner = _Top(name, force_directory(top.fd, os.fsencode(name)))
            keep = False
            try:
                keep = not self._flatten(top, inner)
            finally:
                if not keep:
                    os.close(inner.fd)
            return inner if keep else None
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT):  # swapped: the next pass sees
                self._note(top, name, error)
        return None

    def _flatten(self, top: _Top, inner: _Top) -> bool:
        """Empty ``inner`` into ``top``; false when the file system cannot move its directories."""
        while names := _some_names(inner):
            for name in names:
                try:
                    if not self.discard(inner.fd, name):
                        self._move_up(top, inner, name)
                except OSError as error:
                    if error.errno == errno.EXDEV:  # overlayfs, for directories of a lower layer
                        return False
                    self._note(inner, name, error)
        if inner.stuck:
            top.stuck.add(inner.name)
        return True

    @staticmethod
    def _move_up(top: _Top, inner: _Top, name: str) -> None:
        target = f".{secrets.token_hex(16)}"
        try:
            os.rename(name, target, src_dir_fd=inner.fd, dst_dir_fd=top.fd)
        except PermissionError:  # moving a directory changes its "..", which takes write permission
            os.close(force_directory(inner.fd, os.fsencode(name)))
            os.rename(name, target, src_dir_fd=inner.fd, dst_dir_fd=top.fd)

    def _note(self, top: _Top, name: str, error: OSError) -> None:
        top.stuck.add(name)
        self.why = self.why or f"{error.strerror}: {name!a}"


def _some_names(top: _Top) -> list[str]:
    """The next entries to try, so that a directory of millions is not held in memory."""
    with os.scandir(top.fd) as entries:
        fresh: Iterable[str] = (entry.name for entry in entries if entry.name not in top.stuck)
        return list(islice(fresh, _BATCH))
