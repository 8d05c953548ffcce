"""Files and folders that are not whole yet, by the rules of `kernel-helpers/base/src/files/mod.rs`.

Their names begin with `.partial-`, and their writer holds them locked. Whoever writes into the same folder next removes what
killed processes have left.
"""

import contextlib
import fcntl
import os
import pathlib
import secrets
import shutil
import tempfile
import time

PARTIAL = ".partial-"
# Between making one and locking it, nobody takes this long.
UNLOCKED = 60


def write_whole(path, content):
    """Writes beside and renames into place, so that the file is never there in part."""
    path = pathlib.Path(path)
    sweep(path.parent)
    partial = path.with_name(PARTIAL + secrets.token_hex(8))
    try:
        # Exclusively, and with the permissions of any other new file.
        with open(partial, "xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_in(parent):
    """A folder that is removed afterwards, or swept if this process does not come to that."""
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=parent) as folder:
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield pathlib.Path(folder)
        finally:
            os.close(lock)


def sweep(folder):
    """Removes what has no writer any more."""
    for path in folder.glob(f"{PARTIAL}*"):
        # What cannot be removed costs nothing but space.
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > UNLOCKED and not is_locked(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_locked(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
