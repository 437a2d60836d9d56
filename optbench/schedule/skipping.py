"""Runs whose budget has no room for a few steps: one seed shows it, the others are recorded without being done."""

from collections.abc import Iterable, Iterator

from optbench.records.record import Record, Request
from optbench.schedule.workers import lost


class Hopeless:
    """Knows the runs that timed out before `least_steps` steps, whatever their seed; 0 steps: none."""

    def __init__(self, least_steps: int, known: Iterable[Record]) -> None:
        self.skipped: list[Record] = []
        self._least, self._shown = least_steps, {}
        for record in known:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take a record into account."""
        if record.status == "timed-out" and record.steps < self._least:
            self._shown.setdefault(_without_seed(record.request), record)

    def sift(self, requests: Iterable[Request]) -> Iterator[Request]:
        """The requests that are worth doing; the records of the others are kept in `skipped`."""
        for request in requests:
            if shown := self._shown.get(_without_seed(request)):
                self.skipped.append(
                    lost(
                        request,
                        "timed-out",
                        f"not done, as seed {shown.request.seed}: {shown.error}",
                    )
                )
            else:
                yield request


def _without_seed(request: Request) -> str:
    return request.model_copy(update={"seed": 0}).identity
