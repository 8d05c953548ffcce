"""nbclient's execution of a notebook, with outputs as JupyterLab keeps them."""

import re

from nbclient import NotebookClient

from notebook_file import drop_empty_outputs

MOVES = re.compile("([\r\b])")


class Screen:
    """What a stream shows, by JupyterLab's rules: text after a carriage return takes the place of the line's."""

    def __init__(self):
        self.done, self.line, self.column = [], "", 0

    def write(self, text):
        for part in MOVES.split(text):
            if part == "\r":
                self.column = 0
            elif part == "\b":
                self.back()
            else:
                self.put(part)

    def put(self, text):
        first, newline, rest = text.partition("\n")
        end = self.column + len(first)
        self.line, self.column = self.line[: self.column] + first + self.line[end:], end
        if newline:
            self.done += [self.line, newline]
            lines, newline, self.line = rest.rpartition("\n")
            self.done += [lines, newline]
            self.column = len(self.line)

    def back(self):
        if self.column > 0:
            self.line = self.line[: self.column - 1] + self.line[self.column + 1 :]
            self.column -= 1

    def text(self):
        return "".join(self.done) + self.line


class Client(NotebookClient):
    """Writes what one stream prints in a row into one output.

    nbclient's own `coalesce_streams` moves all that a cell prints before its first figure, and outputs away from the
    places by which they are updated.
    """

    # The stream output that is being printed, and what it shows.
    printing, screen = None, None

    def output(self, outs, msg, display_id, cell_index):
        # What is to be cleared by the next output takes no more text.
        last = outs[-1] if outs and not self.clear_before_next_output else None
        is_stream = msg["msg_type"] == "stream"
        if is_stream and last is not None and last is self.printing and last.name == msg["content"]["name"]:
            self.screen.write(msg["content"]["text"])
            return last
        self.settle()
        out = super().output(outs, msg, display_id, cell_index)
        if is_stream and out is not None:
            self.printing, self.screen = out, Screen()
            self.screen.write(out.text)
        return out

    def settle(self):
        """Brings the last output to what it shows."""
        if self.printing is not None:
            self.printing.text = self.screen.text()
            self.printing = None

    def finish(self):
        """Brings the notebook to what it shows; to be called once, before it is saved.

        Not earlier, as a display that is empty may still be updated, at the place where it is.
        """
        self.settle()
        drop_empty_outputs(self.nb)
