"""Typesets a notebook as a PDF: pandoc reads it, a filter marks code and output, Typst lays it out.

usage: to_pdf.py NOTEBOOK PDF
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import nbformat
import pypandoc
import typst

import notebook_file
from plain_text import plain

STYLE = pathlib.Path(__file__).resolve().parent.parent / "pdf"
# Of an output that is there in several forms, the first of these is shown.
PREFERENCE = ["image/png", "image/svg+xml", "image/jpeg", "text/markdown", "text/latex", "text/plain"]
# Of longer outputs, so much is printed.
FIRST_LINES, LAST_LINES, LONGEST_LINE = 200, 100, 2000


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


def prepare(notebook):
    """Leaves of every output the one form that is to be printed, and of collapsed cells only the output."""
    notebook_file.drop_empty_outputs(notebook)
    for cell in notebook.cells:
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.source = ""
        for output in cell.get("outputs", []):
            if "data" in output:
                best = next((mime for mime in PREFERENCE if mime in output.data), None)
                output.data = {best: output.data[best]} if best else {}
                if best == "text/plain":
                    output.data[best] = shortened(output.data[best])
            if "traceback" in output:
                output.traceback = shortened("\n".join(output.traceback)).split("\n")
            if "text" in output:
                output.text = shortened(output.text)
    return notebook


def to_typst(notebook, folder):
    """The notebook as Typst source; its pictures go into `folder`."""
    command = [pypandoc.get_pandoc_path(), "--from=ipynb", "--to=typst", "--standalone", "--wrap=none"]
    command += ["--syntax-highlighting=idiomatic", "--extract-media=."]
    command += ["--lua-filter=notebook.lua", "--template=template.typ"]
    # By their names alone, as pandoc takes a path with `#` or `%` for an address.
    for file in ("notebook.lua", "template.typ"):
        shutil.copyfile(STYLE / file, pathlib.Path(folder) / file)
    scale = notebook.metadata.get("lab", {}).get("scale", "full")
    if scale != "full":
        command += [f"--metadata=smaller-scale:{scale}"]
    done = subprocess.run(command, input=nbformat.writes(notebook), capture_output=True, text=True, cwd=folder)
    if done.returncode != 0:
        raise RuntimeError(f"pandoc failed: {done.stderr.strip()}")
    return done.stdout


def export(notebook):
    """The PDF of a notebook, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "notebook.typ"
        source.write_text(to_typst(prepare(notebook), folder), encoding="utf-8")
        # Only the fonts that Typst carries, so that the PDF is the same everywhere.
        return typst.compile(source, root=folder, ignore_system_fonts=True)


def main(notebook, pdf):
    content = export(notebook_file.read(notebook))
    partial = pdf + ".part"
    with open(partial, "wb") as file:
        file.write(content)
    os.replace(partial, pdf)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2])
    except (notebook_file.BrokenNotebook, RuntimeError, OSError) as error:
        sys.exit(f"{getattr(error, 'diagnostic', None) or error}")
