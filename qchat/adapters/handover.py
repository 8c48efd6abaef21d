"""Giving a directory that the service made, or adopted, to the user that agents run as."""

import os
import stat

from qchat.adapters.identity import Owner
from qchat.adapters.tree import Walk

_MOST = 10_000_000


def hand_over(fd: int, owner: Owner) -> None:
    """Give ``owner`` a directory with everything in it, if it is not the owner's already.

    Once it is, an agent may have put anything there, and nothing in it is given away any more. A file
    that has another name is left: that name may be in a place which is nobody's to give.

    :raises OSError: when it is not ours to give.
    """
    if os.stat(fd).st_uid == owner.uid:
        return
    walk = Walk(root=fd, most=_MOST)
    for name, status in walk:
        if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
            plain = name.removesuffix(b"/")
            os.chown(plain, owner.uid, owner.gid, dir_fd=walk.here, follow_symlinks=False)
    # An O_PATH descriptor takes no fchown. The directory itself comes last: an interruption begins anew.
    os.chown(f"/proc/self/fd/{fd}", owner.uid, owner.gid)
