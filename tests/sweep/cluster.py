"""A HyperQueue server with two workers, each a process of its own that can be killed.

Its package starts workers as threads of the server's process alone. So each worker's process starts a server too, which
nobody uses, and its worker is then shown the way to the first one.

Usage: cluster.py FOLDER. Prints the workers' process numbers in one line, and serves until standard input ends.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from hyperqueue.cluster import LocalCluster, WorkerConfig


def worker(server, own):
    own.mkdir()
    cluster = LocalCluster(str(own))
    current = own / "hq-current"
    current.unlink()
    current.symlink_to((server / "hq-current").resolve())
    cluster.start_worker(WorkerConfig(cores=1))
    print("ready", flush=True)
    sys.stdin.read()


def main():
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        worker(folder / "server", folder / sys.argv[2])
        return
    server = folder / "server"
    server.mkdir()
    # It prints a table of its own.
    with contextlib.redirect_stdout(sys.stderr):
        cluster = LocalCluster(str(server))
    workers = []
    for name in ("worker-1", "worker-2"):
        command = [sys.executable, __file__, str(folder), name]
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        while (line := started.stdout.readline()) != "ready\n":
            if not line:
                sys.exit(f"{name} ended before it was ready")
        workers.append(started)
    print("workers", *(started.pid for started in workers), flush=True)
    sys.stdin.read()
    cluster.stop()
    for started in workers:
        started.kill()
        started.wait()
    os._exit(0)


if __name__ == "__main__":
    main()
