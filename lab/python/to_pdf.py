"""Typesets a notebook as a PDF: pandoc reads it, a filter marks code and output, Typst lays it out.

usage: to_pdf.py NOTEBOOK PDF [AUTHOR DATE]

A notebook may come from anywhere, so nothing in it is code here. Pandoc reads it in its sandbox, and what it read is
made harmless before it becomes Typst. Typst sees one folder, with pictures that were copied into it: from the notebook,
and from files in the notebook's folder. Nothing is fetched.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pypandoc

import notebook_file
import partial
from harmless import CELL, harmless
from pictures import Pictures
from plain_text import plain, printable

SCRIPTS = pathlib.Path(__file__).resolve().parent
STYLE = SCRIPTS.parent / "pdf"
# Where `cargo lab` sweeps, too.
TEMPORARY = pathlib.Path(os.environ.get("LAB_OWN", SCRIPTS.parent.parent / ".lab")) / "temporary"
# Of an output that is there in several forms, the first of these is shown.
PREFERENCE = ["image/png", "image/svg+xml", "image/jpeg", "text/markdown", "text/latex", "text/plain"]
# Of longer outputs, so much is printed.
FIRST_LINES, LAST_LINES, LONGEST_LINE = 200, 100, 2000
# More text than this, which makes five hundred pages, is not typeset; each cell and output counts for some of its own.
LONGEST, FRAME = 1_000_000, 100
# How many seconds pandoc and Typst may take together, which need two for a long notebook.
TIME_LIMIT = 120
# An address where nobody answers.
OFFLINE = dict.fromkeys(["HTTPS_PROXY", "https_proxy"], "http://127.0.0.1:0") | {"NO_PROXY": "", "no_proxy": ""}


def shortened(text):
    """What is printed of a text; nobody reads two thousand pages, and Typst takes half a millisecond for each line."""
    lines = [
        line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}… ({len(line) - LONGEST_LINE:,} characters more)"
        for line in plain(text).split("\n")
    ]
    left_out = len(lines) - FIRST_LINES - LAST_LINES
    if left_out > 1:
        lines[FIRST_LINES:-LAST_LINES] = [f"… {left_out:,} lines are left out here; the notebook has them …"]
    return "\n".join(lines)


def shown(data, pictures):
    """Of an output's forms the one that is to be printed."""
    best = next((mime for mime in PREFERENCE if data.get(mime)), None)
    if best is None:
        return {}
    if best.startswith("image/"):
        return {"text/markdown": f"![]({pictures.of_output(data[best])})"}
    if best == "text/latex":
        formula = data[best]
        return {"text/markdown": formula if "$" in formula else f"$${formula.strip()}$$"}
    return {best: shortened(data[best]) if best == "text/plain" else data[best]}


def prepare(notebook, pictures):
    """Leaves of every output the one form that is to be printed, and of collapsed cells only the output."""
    notebook_file.drop_empty_outputs(notebook)
    for cell in notebook.cells:
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.source = ""
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data = shown(output.data, pictures)
            if "traceback" in output:
                output.traceback = shortened("\n".join(output.traceback)).split("\n")
            if "text" in output:
                output.text = shortened(output.text)
    return notebook


def length(notebook):
    """How many characters there are to typeset."""
    texts = [cell.source for cell in notebook.cells]
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        texts += [*output.get("data", {}).values(), *output.get("traceback", []), output.get("text", "")]
    return sum(len(text) + FRAME for text in texts)


class Typesetting:
    """The way of one notebook through pandoc and Typst, in a folder that is removed afterwards."""

    def __init__(self, notebook, folder, beside):
        self.folder = pathlib.Path(folder)
        self.pictures = Pictures(folder, beside)
        self.notebook = prepare(notebook, self.pictures)
        if (characters := length(self.notebook)) > LONGEST:
            raise RuntimeError(f"the notebook has {characters:,} characters of text, of which a PDF may have {LONGEST:,}")
        self.deadline = time.monotonic() + TIME_LIMIT
        # To be called by their names alone, as pandoc takes a path with `#` or `%` for an address.
        for file in STYLE.iterdir():
            shutil.copyfile(file, self.folder / file.name)

    def pandoc(self, text, *options):
        command = [pypandoc.get_pandoc_path(), "+RTS", "-M4g", "-RTS", "--sandbox", *options]
        done = self.run("pandoc", command, input=text)
        if done.returncode != 0:
            raise RuntimeError(f"pandoc failed: {done.stderr.strip()}")
        return done.stdout

    def run(self, name, command, **options):
        # Halves of characters, as JavaScript's strings may hold, become question marks.
        options |= {"cwd": self.folder, "capture_output": True, "encoding": "utf-8", "errors": "replace"}
        # Of its own, so that it ends even if this process is killed.
        command = ["/bin/sh", "-c", f'ulimit -t {TIME_LIMIT}; exec "$@"', "sh", *command]
        try:
            return subprocess.run(command, timeout=max(self.deadline - time.monotonic(), 0), **options)
        except subprocess.TimeoutExpired:
            problem = f"{name} was not done after {TIME_LIMIT} seconds; the notebook has too long or too nested a text"
            raise RuntimeError(problem) from None

    def read(self):
        """What pandoc reads in the notebook."""
        # Attachments are ours to copy; pandoc would mix up those of different cells.
        cells = [{**cell, "id": CELL, "attachments": {}} for cell in self.notebook.cells]
        # All of what `prepare` has left, and columns as in `reading.lua`.
        options = ["--from=ipynb", "--ipynb-output=all", "--columns=10000", "--to=json", "--lua-filter=reading.lua"]
        return json.loads(self.pandoc(json.dumps({**self.notebook, "cells": cells}, ensure_ascii=False), *options))

    def write(self, document):
        """Leaves the document as Typst source in the folder."""
        options = ["--from=json", "--to=typst", "--standalone", "--wrap=none", "--syntax-highlighting=idiomatic"]
        options += ["--lua-filter=notebook.lua", "--template=template.typ"]
        document["meta"] |= {name: {"t": "MetaString", "c": text} for name, text in self.about().items()}
        source = self.pandoc(json.dumps(document), *options)
        (self.folder / "notebook.typ").write_text(source, encoding="utf-8")

    def about(self):
        """What the first page tells: the scale, if it is a smaller one, and whose work this is, where that is asked for."""
        metadata = self.notebook.metadata
        scale = metadata.get("lab", {}).get("scale", "full")
        about = {} if scale == "full" else {"smaller-scale": str(scale)}
        authors = metadata.get("authors")
        if isinstance(authors, list):
            names = [str(author.get("name", "")) for author in authors if isinstance(author, dict)]
            about |= {"fields": "yes", "author": ", ".join(filter(None, names)), "date": str(metadata.get("date", ""))}
        return about

    def typeset(self, document):
        """Fails if a picture is broken, which then is known to be."""
        self.write(harmless(document, self.notebook.cells, self.pictures))
        command = [sys.executable, SCRIPTS / "typeset.py", self.folder]
        done = self.run("Typst", command, env=os.environ | OFFLINE)
        if done.returncode != 0:
            raise RuntimeError(f"Typst failed: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout else None

    def pdf(self):
        document = self.read()
        failure = self.typeset(document)
        if failure and failure["broken"]:
            self.pictures.broken = failure["broken"]
            failure = self.typeset(document)
        if failure:
            raise RuntimeError(f"Typst failed: {failure['error']}")
        return (self.folder / "notebook.pdf").read_bytes()


def export(notebook, beside):
    """The PDF of a notebook, as bytes; `beside` is the folder that it lies in, if it is known."""
    with partial.folder_in(TEMPORARY) as folder:
        try:
            return Typesetting(notebook, folder, beside).pdf()
        except RecursionError:
            raise RuntimeError("the notebook's text is nested too deeply") from None


def main(path, pdf, author="", date=""):
    notebook = notebook_file.read(path)
    if author:
        notebook.metadata["authors"] = [{"name": author}]
    if date:
        notebook.metadata["date"] = date
    partial.write_whole(pdf, export(notebook, os.path.dirname(os.path.abspath(path))))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (notebook_file.BrokenNotebook, RuntimeError, OSError) as error:
        sys.exit(printable(str(error)))
