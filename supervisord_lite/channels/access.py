"""Mode and owner of what a channel has at a path."""

import os

from supervisord_lite.core.channel import Access


def set_access(what: int | str, access: Access) -> None:
    """Give a file, by descriptor or by path, its owner and then its mode, as far as they are set:
    a change of owner can take bits of the mode away (chown(2)). OSError.
    """
    if access.uid is not None or access.gid is not None:
        uid, gid = (-1 if one is None else one for one in (access.uid, access.gid))
        os.chown(what, uid, gid)
    if access.mode is not None:
        os.chmod(what, access.mode)
