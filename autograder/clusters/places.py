"""Where on a cluster a notebook can run now: its workers, who come and go, and how much each is doing."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Any

from distributed import Client

from autograder.clusters.workers import describe
from autograder.errors import ClusterLost
from autograder.versions import differences, versions

__all__ = ["Place", "Places"]

_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(eq=False)
class Place:
    """One worker process.

    Attributes
    ----------
    address, id : str
        The address may be another process's later; the id never is.
    threads : int
        How many notebooks it may run at a time.
    running : int
    is_reserved : bool
        Whether one notebook is to have it alone.
    """

    address: str
    id: str
    threads: int
    running: int = 0
    is_reserved: bool = False


class Places:
    """The workers of a cluster that have the same packages as this machine.

    Parameters
    ----------
    client : Client
    patience : float
        After how many seconds without any worker the cluster is given up.

    Attributes
    ----------
    refused : dict
        By address, what differs on workers that are not used.
    """

    def __init__(self, client: Client, patience: float) -> None:
        self.refused: dict[str, list[str]] = {}
        self._client, self._patience = client, patience
        self._places: dict[str, Place] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._last_seen = time.monotonic()
        self._failure = ""
        self._look()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(10)

    def count(self) -> int:
        """How many notebooks can run at a time now."""
        with self._changed:
            return sum(place.threads for place in self._places.values())

    def holds(self, place: Place) -> bool:
        """Whether this worker process is still there."""
        with self._changed:
            return self._places.get(place.address) is place

    def take(self, *, alone: bool, cancelled: threading.Event) -> Place | None:
        """Wait for a place; None if it is cancelled meanwhile.

        Parameters
        ----------
        alone : bool
            Whether nothing else may run in that worker process: if it ends then, it is known why.
        cancelled : threading.Event

        Raises
        ------
        ClusterLost
            If no worker has been there for a long time.
        """
        reserved: Place | None = None
        with self._changed:
            while not cancelled.is_set() and not self._is_closed:
                self._require_hope()
                if alone:
                    reserved = self._reserve(reserved)
                    if reserved is not None and reserved.running == 0:
                        reserved.running = 1
                        return reserved
                else:
                    free = [p for p in self._places.values() if p.running < p.threads and not p.is_reserved]
                    if free:
                        place = min(free, key=lambda place: place.running / place.threads)
                        place.running += 1
                        return place
                self._changed.wait(0.5)
            if reserved is not None:
                reserved.is_reserved = False
        return None

    def give_back(self, place: Place, *, alone: bool) -> None:
        """The notebook has ended."""
        with self._changed:
            place.running -= 1
            place.is_reserved = place.is_reserved and not alone
            self._changed.notify_all()

    def forget(self, place: Place) -> None:
        """Another process has taken this one's address; it will be asked who it is."""
        with self._changed:
            if self._places.get(place.address) is place:
                del self._places[place.address]

    def _reserve(self, place: Place | None) -> Place | None:
        """The place that was reserved before, or if it has gone another one."""
        if place is not None and self._places.get(place.address) is place:
            return place
        free = [other for other in self._places.values() if not other.is_reserved]
        if not free:
            return None
        chosen = min(free, key=lambda other: other.running)
        chosen.is_reserved = True
        return chosen

    def _require_hope(self) -> None:
        if self._failure:
            raise ClusterLost(self._failure)
        waited = time.monotonic() - self._last_seen
        if not self._places and waited > self._patience:
            raise ClusterLost(
                f"the cluster has had no worker that can be used for {waited:.0f} s{self._why()}; start workers, then "
                "grade again: what has been recorded is kept"
            )

    def _why(self) -> str:
        return "".join(f"; {address} differs: {', '.join(what)}" for address, what in sorted(self.refused.items()))

    def _keep_looking(self) -> None:
        while not self._is_closed:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            try:
                self._look()
            except Exception as error:  # the scheduler has gone, in one of many ways
                with self._changed:
                    if not self._is_closed:
                        self._failure = (
                            f"the scheduler does not answer any more ({type(error).__name__}: {error}); start it "
                            "again, then grade again: what has been recorded is kept"
                        )
                        self._changed.notify_all()
                return

    def _look(self) -> None:
        """Ask the scheduler who is there, and those who are new who they are."""
        present: dict[str, int] = dict(self._client.nthreads())
        with self._changed:
            new = [address for address in present if address not in self._places and address not in self.refused]
        described: dict[str, Any] = {}
        if new:
            with contextlib.suppress(OSError):  # it has gone again
                described = self._client.run(describe, workers=new, on_error="return")
        with self._changed:
            for address in [address for address in self._places if address not in present]:
                del self._places[address]
            self.refused = {address: what for address, what in self.refused.items() if address in present}
            for address, answer in described.items():
                if isinstance(answer, OSError):
                    continue
                if isinstance(answer, BaseException):
                    self.refused[address] = [f"the grader cannot be imported there ({answer})"]
                elif what := differences(versions(), answer["versions"]):
                    self.refused[address] = what
                else:
                    self._places[address] = Place(address, answer["id"], answer["threads"])
            if self._places:
                self._last_seen = time.monotonic()
            self._changed.notify_all()
