"""The guarded process in which entries are read and run, seen from inside.

It is started by :mod:`micronet_resources.entries.guard` as a script, limits itself before it reads anything, and
answers each question with one line of JSON on a descriptor of its own, because a runtime may print to standard output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

Reply = Callable[[dict[str, Any]], None]


def _limit_myself(memory: int, processor_seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    limits = {
        resource.RLIMIT_AS: (memory, memory),
        resource.RLIMIT_CPU: (processor_seconds, processor_seconds + 1),  # the first sends SIGXCPU, the second SIGKILL
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, wanted in limits.items():
        _, most = resource.getrlimit(kind)
        resource.setrlimit(kind, wanted if most < 0 else tuple(min(value, most) for value in wanted))


def _answer(question: dict[str, Any], blobs: list[bytes], reply: Reply) -> None:
    from micronet_resources.entries import tasks
    from micronet_resources.onnx_graph.errors import AGAIN, EntryError

    def report(done: int, total: int) -> None:
        reply({"done": done, "total": total})

    try:
        result = tasks.TASKS[question.pop("do")](*blobs, **question, report=report)
    except EntryError as error:
        reply({"refused": str(error)})
    except MemoryError:
        reply({"refused": "the entry needs more memory than it may use."})
    except RecursionError:
        reply({"refused": "the entry is nested too deeply."})
    except Exception as error:  # whatever else a damaged file makes a parser raise
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        reply({"refused": f"the file is damaged, or holds no network that can be measured ({text}). {AGAIN}"})
    else:
        reply({"result": result})


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise SystemExit("the question ended early")
    return data


def main() -> None:
    """Answer until there are no more questions."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    _limit_myself(**json.loads(sys.argv[1]))
    # At the end of the path: what is installed beside the interpreter goes first.
    sys.path.append(str(Path(__file__).resolve().parents[2]))

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    while line := sys.stdin.buffer.readline():
        question = json.loads(line)
        blobs = [_read_exactly(sys.stdin.buffer, size) for size in question.pop("sizes")]
        _answer(question, blobs, reply)


if __name__ == "__main__":
    main()
