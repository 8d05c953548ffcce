"""Text without what only a terminal understands."""

import re

# Colors and the like (CSI), and what begins links and titles (OSC).
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")


def plain(text):
    return ESCAPE.sub("", text)


def printable(text):
    """With everything that has no shape written as Python would, so that a terminal shows what is there."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text
    )
