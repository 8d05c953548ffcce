"""Executes one notebook in place and tells about it on standard output, one JSON object a line.

usage: execute.py NOTEBOOK METADATA

METADATA is a JSON object for the notebook's metadata under "lab", written only when every cell has run.
"""

import json
import os
import sys

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError


# The kernel adds an output of this type to a cell that ended by `?` or by a panic (lab/src/kernel/relay.rs).
FAILURE = "application/x-lab-failure"


class CellFailed(Exception):
    """A cell ended by `?` or by a panic, which evcxr itself reports as success."""


def say(**message):
    print(json.dumps(message), flush=True)


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


def save(notebook, path):
    """Beside first, then renamed, so that an interrupted save leaves the old notebook."""
    partial = path + ".part"
    nbformat.write(notebook, partial)
    os.replace(partial, path)


def main(path, metadata):
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("lab", None)
    notebook.metadata["kernelspec"] = {"display_name": "Rust", "language": "rust", "name": "rust"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    number = {index: position + 1 for position, index in enumerate(code)}
    heading = headings(notebook)
    say(event="start", cells=len(code))

    def on_start(cell, cell_index):
        if cell_index in number:
            say(event="cell", number=number[cell_index], heading=heading[cell_index])

    def on_executed(cell, cell_index, execute_reply):
        failed = False
        for output in list(cell.get("outputs", [])):
            if output.get("data", {}).pop(FAILURE, None) is not None:
                failed = True
                if not output.data:
                    cell.outputs.remove(output)
        if failed and "raises-exception" not in cell.metadata.get("tags", []):
            raise CellFailed

    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="rust",
        startup_timeout=900,
        record_timing=False,
        coalesce_streams=True,
        on_cell_start=on_start,
        on_cell_executed=on_executed,
        resources={"metadata": {"path": os.path.dirname(path)}},
    )
    failure = None
    try:
        client.execute()
    except CellExecutionError as error:
        failure = f"{error.evalue}" if error.evalue else str(error)
    except CellFailed:
        failure = "the cell ended by an error or a panic"
    except DeadKernelError:
        failure = "the kernel died"
    if failure is None:
        notebook.metadata["lab"] = metadata
        save(notebook, path)
        say(event="done")
        return 0
    # The cell that failed is the last that has a count or an output.
    done = [index for index in code if notebook.cells[index].outputs or notebook.cells[index].execution_count]
    index = done[-1] if done else code[0]
    save(notebook, path)
    outputs = notebook.cells[index].outputs
    traceback = ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]
    traceback += [output.text for output in outputs if output.get("name") == "stderr"]
    say(
        event="failed",
        number=number[index],
        heading=heading[index],
        source=notebook.cells[index].source,
        error="\n".join(traceback) or failure,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1]), json.loads(sys.argv[2])))
