"""Takes out of pandoc's reading of a notebook all that would do more on Typst's side than show something."""

import re
from itertools import chain

from pictures import LeftOut

# An element's attributes are its name, its classes, and what pandoc would pass to Typst as code.
CLASS = re.compile(r"[\w+-]+")
NAME = re.compile(r"[\w-]+")
NO_ATTRIBUTES = ["", [], []]
# Pandoc makes a label of it.
LABEL = re.compile(r"\\label\s*\{[^{}]*\}")
LONGEST_NAME = 100
# The name that every cell is to have when pandoc reads it.
CELL = "cell-of-the-notebook"


def is_attributes(node):
    return (
        len(node) == 3
        and isinstance(node[0], str)
        and isinstance(node[1], list)
        and isinstance(node[2], list)
        and all(isinstance(name, str) for name in node[1])
        and all(isinstance(pair, list) and len(pair) == 2 for pair in node[2])
    )


def note(picture, reason):
    """What stands in a picture's place."""
    if len(picture) > LONGEST_NAME:
        picture = picture[:LONGEST_NAME] + "…"
    words = f"[The picture {picture} is left out: {reason}.]".split()
    inlines = [inline for word in words for inline in ({"t": "Space"}, {"t": "Str", "c": word})]
    return {"t": "Emph", "c": inlines[1:]}


class Harmless:
    """A copy of one cell's blocks in which nothing is code, and whose pictures are files of ours."""

    def __init__(self, pictures, cell):
        self.pictures, self.attachments = pictures, cell.get("attachments", {})

    def copy(self, node):
        if not isinstance(node, list):
            return node
        if is_attributes(node):
            return ["", [name for name in node[1] if CLASS.fullmatch(name)], []]
        parts = (self.element(child) if isinstance(child, dict) else [self.copy(child)] for child in node)
        return list(chain.from_iterable(parts))

    def element(self, node):
        """What takes the element's place: itself, something else, or nothing."""
        special = getattr(self, node["t"].lower(), None) if node["t"] in SPECIAL else None
        if special:
            return special(*node["c"])
        return [{**node, "c": self.copy(node["c"])} if "c" in node else node]

    def image(self, attributes, description, target):
        # Pandoc writes the cell's name in place of the scheme.
        attachment = target[0].removeprefix(f"{CELL}-")
        address = target[0] if attachment == target[0] else f"attachment:{attachment}"
        try:
            name = self.pictures.name(address, self.attachments)
        except LeftOut as reason:
            return [note("of an output" if address in self.pictures.outputs else address, reason)]
        return [{"t": "Image", "c": [NO_ATTRIBUTES, self.copy(description), [name, ""]]}]

    def header(self, level, attributes, content):
        name = attributes[0] if NAME.fullmatch(attributes[0]) else ""
        return [{"t": "Header", "c": [level, [name, *self.copy(attributes)[1:]], self.copy(content)]}]

    def math(self, kind, source):
        return [{"t": "Math", "c": [kind, LABEL.sub("", source)]}]

    def cite(self, citations, content):
        return self.copy(content)

    # Tags come without what stands between them.
    def rawinline(self, kind, text):
        return [] if kind == "html" else [{"t": "Code", "c": [NO_ATTRIBUTES, text]}]

    def rawblock(self, kind, text):
        return [] if kind == "html" else [{"t": "CodeBlock", "c": [NO_ATTRIBUTES, text]}]


SPECIAL = {"Image", "Header", "Math", "Cite", "RawInline", "RawBlock"}


def harmless(document, cells, pictures):
    """The document of these cells, without its metadata."""
    blocks = []
    for cell, block in zip(cells, document["blocks"], strict=True):
        if cell.cell_type == "raw":
            blocks.append({"t": "CodeBlock", "c": [NO_ATTRIBUTES, cell.source]})
        else:
            blocks += Harmless(pictures, cell).element(block)
    return {**document, "meta": {}, "blocks": blocks}
