"""The process that runs one notebook: ``python -m autograder.worker NOTEBOOK JOURNAL FOLDER``.

It imports nothing of the course and knows nothing of grades. After each cell it appends a line to the journal, so that
whatever happens later, what came before is kept. The journal's last line says how the notebook ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # nbformat's validator would load a grammar of internet addresses, longer than all the rest of the start takes.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

import nbformat  # noqa: E402
from nbclient import NotebookClient  # noqa: E402
from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: E402
from nbformat.notebooknode import NotebookNode  # noqa: E402

from autograder.processes import adopt_orphans, kill_descendants  # noqa: E402

__all__ = ["main"]

OUTPUT_LIMIT = 5_000_000  # characters of one cell's output
KEPT_OF_TOO_MUCH = 10_000
_TIME_LIMIT = "TimeLimit"


class _Client(NotebookClient):
    """A notebook client that interrupts a cell which prints without end."""

    printed = 0
    flooded = False

    def output(self, outs: list, msg: dict, display_id: str | None, cell_index: int) -> NotebookNode | None:
        content = msg["content"]
        self.printed += len(content.get("text", "")) + sum(len(str(data)) for data in content.get("data", {}).values())
        if self.printed <= OUTPUT_LIMIT or msg["msg_type"] == "error":
            return super().output(outs, msg, display_id, cell_index)
        if not self.flooded:
            self.flooded = True
            self._interrupting = asyncio.ensure_future(self.km.interrupt_kernel())
        return None


class _Journal:
    """JSON lines, each in the file before the next cell begins."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def write(self, **record: Any) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


def _error(name: str, message: str) -> NotebookNode:
    return nbformat.v4.new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"])


async def _run(client: _Client, journal: _Journal, folder: str, cell_timeout: int, deadline: float) -> None:
    """Run the cells and journal each; the kernel is killed at the end, however that comes."""
    end: dict[str, Any] = {"status": "ok"}
    async with client.async_setup_kernel(cwd=folder):
        process = client.km.provisioner.process
        journal.write(event="kernel", pid=process.pid)
        for index, cell in enumerate(client.nb.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                end = {"status": "timeout", "index": index, "message": "the notebook's time was used up"}
                break
            client.timeout = max(1, min(cell_timeout, int(left)))
            client.printed, client.flooded = 0, False
            began = time.monotonic()
            stopped: dict[str, Any] | None = None
            replies: list[dict] = []
            client.on_cell_executed = lambda replies=replies, **event: replies.append(event["execute_reply"])
            try:
                await client.async_execute_cell(cell, index)
            except CellTimeoutError:
                message = f"stopped after {client.timeout} s, and did not react to that"
                stopped = {"status": "timeout", "index": index, "message": message}
            except DeadKernelError:
                message = f"the Python interpreter {_cause_of_death(process)}"
                stopped = {"status": "crashed", "index": index, "message": message}
            timed_out = bool(replies) and replies[0]["content"].get("ename") == _TIME_LIMIT
            note = stopped
            if client.flooded:
                cell.outputs = _shortened(cell.outputs)
                note = note or {"status": "timeout", "message": f"stopped after printing {OUTPUT_LIMIT // 10**6} MB"}
            elif timed_out:
                note = {"status": "timeout", "message": f"stopped after {client.timeout} s"}
            if note:
                name = "InterpreterDied" if note["status"] == "crashed" else _TIME_LIMIT
                cell.outputs.append(_error(name, note["message"]))
            seconds = round(time.monotonic() - began, 3)
            note = {"status": note["status"], "message": note["message"]} if note else None
            count = cell.execution_count
            journal.write(event="cell", index=index, outputs=cell.outputs, count=count, seconds=seconds, note=note)
            if stopped:
                end = stopped
                break
    journal.write(event="end", **end)


def _shortened(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The beginning of too much output, and the errors."""
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            output.text = output.text[:KEPT_OF_TOO_MUCH] + "\n... the rest is left out ..."
        if output.output_type in ("stream", "error"):
            kept.append(output)
    return kept[:1] + [output for output in kept[1:] if output.output_type == "error"]


def _cause_of_death(process: Any) -> str:
    """What the kernel's exit status says; it has ended already."""
    code = process.poll()
    if code is None or code >= 0:
        return f"ended itself (exit status {code})" if code is not None else "ended"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    meaning = {"SIGSEGV": "segmentation fault", "SIGKILL": "killed, perhaps for want of memory", "SIGABRT": "aborted"}
    return f"died of {name}" + (f" ({meaning[name]})" if name in meaning else "")


def main() -> None:
    """Run the notebook named on the command line."""
    parser = argparse.ArgumentParser(description="Run one notebook and journal each cell's outputs.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("journal", type=Path)
    parser.add_argument("folder", help="the folder in which the notebook runs")
    parser.add_argument("--cell-timeout", type=int, required=True, metavar="S")
    parser.add_argument("--notebook-timeout", type=int, required=True, metavar="S")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.notebook_timeout
    adopt_orphans()
    # A notebook that comes from the first process is valid: it is the instructor's with other text in some cells.
    client = _Client(
        nbformat.read(arguments.notebook, as_version=4),
        allow_errors=True,
        coalesce_streams=True,
        interrupt_on_timeout=True,
        error_on_timeout={"ename": _TIME_LIMIT, "evalue": "", "traceback": []},
        iopub_timeout=10,
        raise_on_iopub_timeout=True,
        record_timing=False,
        shutdown_kernel="immediate",
        skip_cells_with_tag="",
        startup_timeout=120,
        store_widget_state=False,
    )
    sockets = tempfile.mkdtemp(prefix="k")  # no ports, and a path that is short enough for a socket
    if os.name == "posix":
        client.create_kernel_manager()
        client.km.transport = "ipc"
        client.km.ip = f"{sockets}/s"
    client.reset_execution_trackers()
    journal = _Journal(arguments.journal)
    try:
        asyncio.run(_run(client, journal, arguments.folder, arguments.cell_timeout, deadline))
    except Exception as error:
        journal.write(event="failed", message=f"{type(error).__name__}: {error}")
        raise
    finally:
        kill_descendants(os.getpid())
        shutil.rmtree(sockets, ignore_errors=True)


if __name__ == "__main__":
    main()
