"""What the cells of a notebook show, collected as a notebook program does: the outputs of each cell, in order."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from typing import Any

__all__ = ["Outputs", "OutputLimit", "Stream", "shortened"]

CELL_BYTES = 5_000_000
KEPT_OF_TOO_MUCH = 10_000
_OVERWRITTEN = re.compile(r".*\r(?=[^\n])")


class OutputLimit(KeyboardInterrupt):
    """A cell has shown too much; like an interruption, it is no `Exception`."""


class Outputs:
    """The outputs of the cell that runs, and of earlier ones that can still change.

    Parameters
    ----------
    most : int
        The bytes that all cells together may show.
    """

    def __init__(self, most: int) -> None:
        self._left = most
        self._cell: list[dict[str, Any]] = []
        self._displayed: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self._cells: dict[int, list[dict[str, Any]]] = {}
        self._index = -1
        self._clear_next = False
        self._size = 0
        self.changed: set[int] = set()
        self.is_flooded = False
        self.is_muted = False

    def begin(self, index: int) -> None:
        """The next cell starts."""
        self._index, self._cell, self._size = index, [], 0
        self._clear_next = self.is_flooded = False
        self._cells[index] = self._cell
        self.changed = {index}

    def finish(self, index: int) -> list[dict[str, Any]]:
        """The outputs of a cell that has run, each stream in one piece."""
        outputs = merged_streams(self._cells[index])
        if self.is_flooded:
            outputs = shortened(outputs)
        if index == self._index:
            self._left -= min(self._left, len(json.dumps(outputs)))
        if not any(place == index for places in self._displayed.values() for place, _ in places):
            del self._cells[index]  # nothing can change it any more
        return outputs

    def limit(self) -> int:
        """How many bytes this cell may show."""
        return min(CELL_BYTES, self._left)

    def stream(self, name: str, text: str) -> None:
        """Something was printed."""
        if self.is_muted:
            return
        self._take(len(text.encode("utf-8", "replace")))
        last = self._cell[-1] if self._cell else None
        if last is None or last.get("name") != name or self._clear_next:
            self._add({"output_type": "stream", "name": name, "text": []})
            last = self._cell[-1]
        last["text"].append(text)

    def display(self, data: dict[str, Any], metadata: dict[str, Any], display_id: str | None, *, update: bool) -> None:
        """Something was displayed, or a display is to change."""
        output = {"output_type": "display_data", "data": _plain(data), "metadata": _plain(metadata)}
        self._take(len(json.dumps(output)))
        for place, shown in self._displayed.get(display_id, []) if display_id else []:
            shown.update(data=output["data"], metadata=output["metadata"])
            self.changed.add(place)
        if not update:
            self._add(output)
            if display_id:
                self._displayed.setdefault(display_id, []).append((self._index, output))

    def result(self, data: dict[str, Any], metadata: dict[str, Any], count: int) -> None:
        """The value of the last expression."""
        output = {"output_type": "execute_result", "execution_count": count}
        output |= {"data": _plain(data), "metadata": _plain(metadata)}
        self._take(len(json.dumps(output)))
        self._add(output)

    def error(self, name: str, value: str, traceback: list[str]) -> None:
        """An exception reached the end of the cell; always kept."""
        lines = [str(line)[:KEPT_OF_TOO_MUCH] for line in traceback[:100]]
        self._add({"output_type": "error", "ename": name, "evalue": value[:KEPT_OF_TOO_MUCH], "traceback": lines})

    def clear(self, *, wait: bool) -> None:
        """Forget what the cell has shown so far, at once or as soon as it shows more."""
        self._clear_next = wait
        if not wait:
            self._forget()

    def _forget(self) -> None:
        self._cell.clear()
        for places in self._displayed.values():
            places[:] = [place for place in places if place[0] != self._index]

    def _add(self, output: dict[str, Any]) -> None:
        if self._clear_next:
            self._clear_next = False
            self._forget()
        if not self.is_muted:
            self._cell.append(output)

    def _take(self, size: int) -> None:
        self._size += size
        if self._size > self.limit() and not self.is_muted:
            self.is_flooded = True
            raise OutputLimit


class Stream(io.TextIOBase):
    """What stands for ``sys.stdout`` or ``sys.stderr``."""

    def __init__(self, outputs: Outputs, name: str, descriptor: int) -> None:
        super().__init__()
        self._outputs, self._name, self._descriptor = outputs, name, descriptor

    name = property(lambda self: f"<{self._name}>")
    encoding = property(lambda self: "UTF-8")
    errors = property(lambda self: "backslashreplace")

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._outputs.stream(self._name, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def take_printed(self) -> None:
        """Add what was written to the descriptor itself, by programs and libraries that are not Python."""
        size = os.fstat(self._descriptor).st_size
        if size:
            data = os.pread(self._descriptor, min(size, self._outputs.limit() + 1), 0)
            os.ftruncate(self._descriptor, 0)
            self.write(data.decode("utf-8", "replace"))


def merged_streams(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each stream in one piece, standard output before errors, with carriage returns applied."""
    merged: list[dict[str, Any]] = []
    streams: dict[str, dict[str, Any]] = {}
    for output in outputs:
        if output["output_type"] != "stream":
            merged.append(output)
        elif output["name"] in streams:
            streams[output["name"]]["text"] += "".join(output["text"])
        else:
            streams[output["name"]] = {**output, "text": "".join(output["text"])}
            merged.append(streams[output["name"]])
    for stream in streams.values():
        if "\r" in stream["text"]:
            stream["text"] = _OVERWRITTEN.sub("", stream["text"])
    for place in range(len(merged) - 1):
        if [output.get("name") for output in merged[place : place + 2]] == ["stderr", "stdout"]:
            merged[place : place + 2] = reversed(merged[place : place + 2])
    return merged


def shortened(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The beginning of too much output, and the errors."""
    kept = []
    for output in outputs:
        if output["output_type"] == "stream" and not kept:
            text = output["text"]
            cut = text[:KEPT_OF_TOO_MUCH]
            kept.append({**output, "text": cut + ("\n... the rest is left out ..." if cut != text else "")})
        elif output["output_type"] == "error":
            kept.append(output)
    return kept


def _plain(value: Any) -> Any:
    """The value as JSON has it."""

    def other(item: Any) -> str:
        return base64.b64encode(item).decode() if isinstance(item, bytes) else str(item)

    return json.loads(json.dumps(value, default=other))
