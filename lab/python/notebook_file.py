"""Reads and saves notebook files."""

import os

import nbformat
from nbformat.reader import NotJSONError

RESTORE = "Restore it with `git checkout -- FILE`, or by File > Revert Notebook to Checkpoint in JupyterLab."


class BrokenNotebook(Exception):
    """A file that is not a notebook; says what was expected, what was found, and what to do."""


def check(notebook, path):
    """Fails if the notebook does not have the form that Jupyter's format prescribes."""
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        place = "/".join(str(step) for step in error.absolute_path) or "the top"
        found = error.message if len(error.message) <= 200 else error.message[:200] + "…"
        raise BrokenNotebook(f"{path} is not a valid notebook: at {place}, {found}. {RESTORE}") from None


def read(path):
    """The notebook in a file, in version 4 of the format."""
    problem = f"{path} is not a notebook: it should hold JSON with `nbformat` and `cells`"
    try:
        notebook = nbformat.read(path, as_version=4)
    except NotJSONError as error:
        raise BrokenNotebook(f"{problem}, but is no JSON ({error.__cause__}). {RESTORE}") from None
    except UnicodeDecodeError as error:
        raise BrokenNotebook(f"{problem}, but is no text ({error}). {RESTORE}") from None
    except Exception as error:  # Of whichever kind, it means that nbformat did not find what it looked for.
        raise BrokenNotebook(f"{problem} ({type(error).__name__}: {error}). {RESTORE}") from None
    check(notebook, path)
    return notebook


def save(notebook, path):
    """Beside first, then renamed, so that an interrupted save leaves the old notebook."""
    partial = path + ".part"
    nbformat.write(notebook, partial)
    os.replace(partial, path)
