"""Reads and saves notebook files."""

import os
import warnings

import nbformat
from nbformat.reader import NotJSONError
from nbformat.validator import normalize
from nbformat.warnings import MissingIDFieldWarning


class BrokenNotebook(Exception):
    """What is not a notebook; says what was expected, what was found, and what to do."""

    def __init__(self, path, problem):
        super().__init__(f"{path} is not a notebook: {problem}. Restore it, for example with `git checkout -- {path}`")


def checked(notebook, path):
    """The notebook with ids for its cells; fails if it does not have the form that Jupyter's format prescribes."""
    try:
        _, notebook = normalize(notebook)
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        place = "/".join(str(step) for step in error.absolute_path)
        found = error.message if len(error.message) <= 200 else error.message[:200] + "…"
        raise BrokenNotebook(path, f"at {place}, {found}" if place else found) from None
    return notebook


def read(path):
    """The notebook in a file, in version 4 of the format."""
    try:
        with warnings.catch_warnings():
            # `checked` gives ids to the cells that have none.
            warnings.simplefilter("ignore", MissingIDFieldWarning)
            notebook = nbformat.read(path, as_version=4)
    except NotJSONError as error:
        raise BrokenNotebook(path, f"it should hold JSON, but {error.__cause__}") from None
    except UnicodeDecodeError as error:
        raise BrokenNotebook(path, f"it should hold JSON, but is no text ({error})") from None
    except OSError:
        raise
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
    """Beside first, then renamed, so that an interrupted save leaves the old notebook."""
    partial = path + ".part"
    nbformat.write(notebook, partial)
    os.replace(partial, path)
