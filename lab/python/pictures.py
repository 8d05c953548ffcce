"""The pictures of a notebook that is typeset: which of them may be read, and where they are put."""

import base64
import pathlib
import re
from urllib.parse import unquote, unquote_to_bytes

LARGEST = 64 << 20
NETWORK = re.compile("(https?|ftp):|//", re.IGNORECASE)
BEGINNINGS = [
    ("png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("jpg", re.compile(rb"\xff\xd8\xff")),
    ("gif", re.compile(rb"GIF8[79]a")),
    ("webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("svg", re.compile(rb"(\xef\xbb\xbf)?\s*<(svg|[?!].{,10000}<svg)\b", re.DOTALL)),
]


class LeftOut(Exception):
    """Why a picture is left out."""


def decoded(data):
    """The bytes of a picture as a notebook holds it: SVG as text, what is no text in base64."""
    try:
        return data.encode() if "<" in data else base64.b64decode(data)
    except ValueError:
        raise LeftOut("it is damaged") from None


def data_address(address):
    """The bytes that stand in an address that begins with `data:`."""
    head, _, data = address.partition(",")
    return decoded(unquote(data)) if head.endswith(";base64") else unquote_to_bytes(data)


class Pictures:
    """Puts the pictures of one notebook into a folder, under names that the notebook has no say in.

    Besides the notebook itself only the files below `beside`, the notebook's own folder, are read.
    """

    def __init__(self, folder, beside):
        self.folder = pathlib.Path(folder)
        self.beside = None if beside is None else pathlib.Path(beside).resolve()
        self.outputs, self.names = {}, {}
        # The names of those that Typst cannot read, and why.
        self.broken = {}

    def of_output(self, data):
        """The address, for `name`, of a picture that a cell shows."""
        address = f"output:{len(self.outputs)}"
        self.outputs[address] = data
        return address

    def name(self, address, attachments):
        """The name of the file that now holds the picture; fails with `LeftOut`."""
        content = self.content(address, attachments)
        if content not in self.names:
            kind = next((kind for kind, beginning in BEGINNINGS if beginning.match(content)), None)
            if kind is None:
                raise LeftOut("it is none of PNG, JPEG, GIF, WebP and SVG")
            name = f"picture-{len(self.names)}.{kind}"
            (self.folder / name).write_bytes(content)
            self.names[content] = name
        name = self.names[content]
        if name in self.broken:
            raise LeftOut(self.broken[name])
        return name

    def content(self, address, attachments):
        if address in self.outputs:
            return decoded(self.outputs[address])
        if address.startswith("attachment:"):
            forms = attachments.get(unquote(address.removeprefix("attachment:")))
            if not forms:
                raise LeftOut("its cell has no such attachment")
            return decoded(next(iter(forms.values())))
        if address.startswith("data:"):
            return data_address(address)
        if NETWORK.match(address):
            raise LeftOut("nothing is fetched from the network")
        return self.file(unquote(address.removeprefix("file://")))

    def file(self, path):
        if self.beside is None:
            raise LeftOut("the notebook's folder is not known")
        try:
            # After every symbolic link.
            path = (self.beside / path).resolve()
            if not path.is_relative_to(self.beside):
                raise LeftOut("it lies outside of the notebook's folder")
            if not path.is_file():
                raise LeftOut("there is no such file in the notebook's folder")
            if path.stat().st_size > LARGEST:
                raise LeftOut(f"it is larger than {LARGEST >> 20} MiB")
            return path.read_bytes()
        except (OSError, RuntimeError, ValueError) as error:
            raise LeftOut(f"it cannot be read ({error})") from None
