"""Where the sockets of the live view lie: a folder of the user's own, closed to everybody else.

    $XDG_RUNTIME_DIR/clearloop    if there is one
    /tmp/clearloop-UID            else

A folder in /tmp may have been put there by anybody, so what is not a real folder of ours with the mode 0700 is not
used, neither to listen in nor to look for others.
"""

import os
import stat

SUFFIX = ".sock"
LONGEST_PATH = 100  # a UNIX socket's path has room for 104 to 108 bytes


class Refused(OSError):
    """The folder is not safe to use; the text says why."""


def own():
    """The folder that this process listens in."""
    return candidates()[0]


def candidates(uid=None):
    """The folders in which processes of a user (default: ours) may listen, whatever their environment is."""
    found = []
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    own_uid = os.geteuid()
    uid = own_uid if uid is None else uid
    if uid == own_uid and runtime.startswith("/"):
        found.append(os.path.join(runtime, "clearloop"))
    found.append(f"/run/user/{uid}/clearloop")
    found.append(f"/tmp/clearloop-{uid}")
    if not (uid == own_uid and runtime.startswith("/")):
        found.remove(f"/run/user/{uid}/clearloop")
        found.append(f"/run/user/{uid}/clearloop")
    return [path for path in dict.fromkeys(found) if len(os.fsencode(path)) + 20 <= LONGEST_PATH]


def make(path):
    """Make the folder if need be; raises Refused when it is not one that only we can look into."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    check(path, os.geteuid())


def check(path, uid):
    """Raise Refused unless `path` is a real folder of the user `uid` that nobody else may enter."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise Refused(f"{path} is not a folder")
    if found.st_uid != uid:
        raise Refused(f"{path} belongs to the user {found.st_uid}, not {uid}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise Refused(f"{path} is open to others: its mode is {stat.S_IMODE(found.st_mode):o}, not 700")
