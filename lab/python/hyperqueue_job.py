"""Hands a job over to HyperQueue and waits for it.

Reads a JSON object from standard input: the `server`'s folder (null for the usual one), and either `wait_for`, a job's
number, or what a new job is made of. Prints the job's number as soon as the server knows it, or nothing if the server
has no such job, and ends with it. A task that fails leaves no record, which is how the caller sees it.
"""

import json
import sys

from hyperqueue import Client, Job
from hyperqueue.ffi.protocol import ResourceRequest


def new_job(request):
    job = Job(
        name=request["name"], default_workdir=request["folder"], default_env=request["environment"], max_fails=None
    )
    for task in request["tasks"]:
        job.program(
            # Both streams into one log, in their order.
            ["/bin/sh", "-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "sh", task["log"], *task["command"]],
            name=task["name"],
            stdout=None,
            stderr=None,
            resources=ResourceRequest(cpus=request["cpus"]),
        )
    return job


def main():
    request = json.load(sys.stdin)
    try:
        client = Client(request["server"])
    except Exception as error:
        sys.exit(f"no server was found, which `hq server start` starts: {error}")
    number = request.get("wait_for")
    if number is None:
        number = client.submit(new_job(request)).id
        print(number, flush=True)
        client.connection.wait_for_jobs([number], lambda jobs: None)
        return
    said = False

    def say(jobs):
        nonlocal said
        if not said:
            said = True
            print(number, flush=True)

    try:
        client.connection.wait_for_jobs([number], say)
    except Exception:
        # The server was started anew since, and what it has not recorded is to be handed over again.
        return


if __name__ == "__main__":
    main()
