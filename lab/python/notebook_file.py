"""Reads and saves notebook files."""

import contextlib
import json
import re
import warnings

import nbformat
from nbformat.reader import NotJSONError
from nbformat.validator import normalize
from nbformat.warnings import DuplicateCellId, MissingIDFieldWarning

import partial
from plain_text import printable

# How many bytes a notebook may have, also in `notebook.rs`; and how many values, for each of which Python takes up to ten
# microseconds and hundreds of bytes.
LARGEST, MOST_VALUES = 100_000_000, 1_000_000
LONGEST_PROBLEM, BLOCK = 300, 1 << 20
# What may be half of a character outside of Unicode's first plane.
HALF = re.compile(rb"\\u[dD][89a-fA-F]")


class BrokenNotebook(Exception):
    """What is not a notebook; says what was expected, what was found, and what to do."""

    def __init__(self, path, problem):
        if len(problem) > LONGEST_PROBLEM:
            problem = problem[:LONGEST_PROBLEM] + "…"
        problem = printable(problem)
        super().__init__(f"{path} is not a notebook: {problem}. Restore it, for example with `git checkout -- {path}`")


def checked(notebook, path):
    """The notebook with ids for its cells; fails if it does not have the form that Jupyter's format prescribes."""
    try:
        with quiet():
            _, notebook = normalize(notebook)
            nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        place = "/".join(str(step) for step in error.absolute_path)
        found = error.message if len(error.message) <= 200 else error.message[:200] + "…"
        raise BrokenNotebook(path, f"at {place}, {found}" if place else found) from None
    return notebook


@contextlib.contextmanager
def quiet():
    """Without warnings of what `checked` mends: cells without ids, and with those of others."""
    with warnings.catch_warnings():
        for kind in (MissingIDFieldWarning, DuplicateCellId):
            warnings.simplefilter("ignore", kind)
        yield


def text(path):
    """What is in a file that may be a notebook."""
    with open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise BrokenNotebook(path, f"it has more than {LARGEST // 1_000_000} MB, which outputs can be removed to avoid")
    if values(content) > MOST_VALUES:
        raise BrokenNotebook(path, f"it holds more than {MOST_VALUES:,} values, which outputs can be removed to avoid")
    return content


def values(content):
    """At most so many values are in JSON, which are not all made to be counted."""
    content = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    count, inside = 1, False
    for start in range(0, len(content), BLOCK):
        parts = content[start : start + BLOCK].split(b'"')
        outside = b"".join(parts[inside::2])
        # Whatever is not the first in a list or an object stands behind a comma.
        count += sum(map(outside.count, (b",", b"[", b"{")))
        inside ^= len(parts) % 2 == 0
    return count


def read(path):
    """The notebook in a file, in version 4 of the format."""
    content = text(path)
    try:
        with quiet():
            notebook = nbformat.reads(content.decode(), as_version=4)
        if HALF.search(content):
            json.dumps(notebook, ensure_ascii=False).encode()
    except NotJSONError as error:
        raise BrokenNotebook(path, f"it should hold JSON, but {error.__cause__}") from None
    except UnicodeDecodeError as error:
        raise BrokenNotebook(path, f"it should hold JSON, but is no text ({error})") from None
    except UnicodeEncodeError:
        raise BrokenNotebook(path, "it should hold text, but holds a half of a character (a surrogate)") from None
    except RecursionError:
        raise BrokenNotebook(path, "it is nested too deeply") from None
    except Exception as error:  # Of whichever kind, it means that nbformat did not find what it looked for.
        problem = f"it should hold `nbformat` and a list of `cells`, but {type(error).__name__}: {error}"
        raise BrokenNotebook(path, problem) from None
    return checked(notebook, path)


def drop_empty_outputs(notebook):
    """Removes the outputs that show nothing, such as live displays that their cell has emptied at its end."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not shows_nothing(output)]


def shows_nothing(output):
    return "data" in output and all(form == "" for form in output.data.values())


def save(notebook, path):
    """An interrupted save leaves the old notebook."""
    content = nbformat.writes(notebook)
    partial.write_whole(path, f"{content.rstrip()}\n".encode())
