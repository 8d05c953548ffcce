"""Executes one notebook in place and tells about it on standard output, one JSON object a line.

usage: execute.py NOTEBOOK KERNEL METADATA

METADATA is a JSON object for the notebook's metadata under "lab", written only when every cell has run.

Standard input is a pipe that nobody writes to. When it closes, `cargo lab run` wants the run to end or was killed: the
running cell is interrupted, the outputs so far are saved, and the kernel ends.
"""

import asyncio
import contextlib
import json
import os
import queue
import sys

from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, DeadKernelError

import notebook_file
from executing import Client
from plain_text import plain

# How long a stopped cell may take to end before its process is ended.
PATIENCE = 5
START_TIMEOUT = 900
# evcxr_jupyter passes on what a cell writes in threads of their own, which may be later than its word that the cell has ended:
# how long it must be silent before the next cell.
SILENCE = 0.2


class Stopped(Exception):
    """The run is to end before the next cell."""


def say(**message):
    try:
        print(json.dumps(message), flush=True)
    except BrokenPipeError:
        # Nobody listens any more; Python would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Run:
    """One notebook and how far its execution has come."""

    def __init__(self, path, kernel):
        self.path, self.stopping, self.reached = path, False, None
        self.notebook = notebook_file.read(path)
        self.manager = AsyncKernelManager(kernel_name=kernel)
        spec = self.manager.kernel_spec
        self.notebook.metadata.pop("lab", None)
        self.notebook.metadata["kernelspec"] = {
            "display_name": spec.display_name,
            "language": spec.language,
            "name": kernel,
        }
        for cell in self.notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        code = [index for index, cell in enumerate(self.notebook.cells) if is_code(cell)]
        self.number = {index: position + 1 for position, index in enumerate(code)}
        self.headings = headings(self.notebook)
        self.client = Client(
            self.notebook,
            km=self.manager,
            timeout=None,
            record_timing=False,
            on_cell_start=self.on_start,
            on_cell_executed=self.take_late_outputs if kernel == "evcxr" else None,
            resources={"metadata": {"path": os.path.dirname(path)}},
        )

    def on_start(self, cell, cell_index):
        if self.stopping:
            raise Stopped
        if cell_index in self.number:
            self.reached = cell_index
            say(event="cell", **self.place())

    async def take_late_outputs(self, cell, cell_index, execute_reply):
        """Gives the cell what its kernel passes on after it has ended."""
        request = execute_reply["parent_header"]["msg_id"]
        with contextlib.suppress(queue.Empty):
            while True:
                message = await self.client.kc.get_iopub_msg(timeout=SILENCE)
                if message["parent_header"].get("msg_id") == request:
                    self.client.process_message(message, cell, cell_index)

    def place(self):
        return {"number": self.number[self.reached], "heading": self.headings[self.reached]}

    async def execute(self):
        """Starts the kernel and runs all cells."""
        await self.manager.start_kernel(cwd=os.path.dirname(self.path))
        client = self.client.kc = self.manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=START_TIMEOUT)
        client.allow_stdin = False
        await self.client.async_execute()

    async def stop(self, execution):
        """Interrupts the cell, and ends the execution if that does not."""
        self.stopping = True
        say(event="stopping")
        if self.reached is not None:
            await self.manager.interrupt_kernel()
            await asyncio.wait([execution], timeout=PATIENCE)
        execution.cancel()
        await asyncio.wait([execution])

    async def run(self, metadata):
        """Runs all cells unless standard input closes before, and saves the notebook. Returns what ended the run."""
        closed = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), closed.set)
        execution, stop = asyncio.ensure_future(self.execute()), asyncio.ensure_future(closed.wait())
        try:
            await asyncio.wait([execution, stop], return_when=asyncio.FIRST_COMPLETED)
            loop.remove_reader(sys.stdin.fileno())
            if execution.done():
                stop.cancel()
            else:
                await self.stop(execution)
            failure = Stopped() if self.stopping else execution.exception()
            self.save(failure, metadata)
            return failure
        finally:
            await self.end_kernel()

    def save(self, failure, metadata):
        if failure is None:
            self.notebook.metadata["lab"] = metadata
        # If no cell has run, the notebook keeps the outputs that it had.
        if failure is None or self.reached is not None:
            self.client.finish()
            notebook_file.save(self.notebook, self.path)

    async def end_kernel(self):
        if self.manager.has_kernel:
            await self.manager.shutdown_kernel()
        if self.client.kc is not None:
            self.client.kc.stop_channels()

    def tell(self, failure):
        """Tells how the run ended."""
        say(event="complaints", cells=[self.number[index] for index in self.number if self.wrote_to_stderr(index)])
        if failure is None:
            say(event="done")
        elif isinstance(failure, Stopped):
            say(event="stopped", **(self.place() if self.reached is not None else {}))
        elif self.reached is None:
            sys.exit(f"the kernel did not start: {failure}")
        elif isinstance(failure, (CellExecutionError, DeadKernelError)):
            source = self.notebook.cells[self.reached].source
            say(event="failed", source=source, error=self.error(failure), **self.place())
        else:
            raise failure

    def wrote_to_stderr(self, index):
        return any(output.get("name") == "stderr" for output in self.notebook.cells[index].outputs)

    def error(self, failure):
        """What the failed cell shows of its failure."""
        outputs = self.notebook.cells[self.reached].outputs
        tracebacks = ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]
        return plain("\n".join(tracebacks)).strip() or getattr(failure, "evalue", "") or str(failure)


def is_code(cell):
    return cell.cell_type == "code" and cell.source.strip()


def headings(notebook):
    """For every cell, the last heading at or above it."""
    heading, result = "", []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = [line for line in cell.source.splitlines() if line.startswith("#")]
            if lines:
                heading = lines[-1].lstrip("#").strip()
        result.append(heading)
    return result


def main(path, kernel, metadata):
    try:
        run = Run(path, kernel)
    except notebook_file.BrokenNotebook as error:
        return say(event="broken", error=str(error))
    say(event="start", cells=len(run.number))
    run.tell(asyncio.run(run.run(metadata)))


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
