"""Lets Typst lay out `notebook.typ` as `notebook.pdf`, in a process of its own that can be ended.

usage: typeset.py FOLDER

Typst reads nothing outside of FOLDER. If it fails, this writes on standard output, as JSON, why, and which of the
pictures in FOLDER it cannot read.
"""

import json
import pathlib
import sys

import typst


def typeset(source, folder):
    # Only the fonts that Typst carries, so that the PDF is the same everywhere; and no packages.
    nothing = folder / "packages"
    return typst.compile(
        source, root=folder, ignore_system_fonts=True, package_path=nothing, package_cache_path=nothing
    )


def broken(folder):
    result = {}
    for picture in folder.glob("picture-*"):
        try:
            typeset(f'#image("{picture.name}")'.encode(), folder)
        except typst.TypstError as error:
            result[picture.name] = str(error)
    return result


def main(folder):
    try:
        (folder / "notebook.pdf").write_bytes(typeset(folder / "notebook.typ", folder))
    except typst.TypstError as error:
        print(json.dumps({"error": str(error), "broken": broken(folder)}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
