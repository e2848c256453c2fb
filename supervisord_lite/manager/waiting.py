"""Waiting for instances and roll-outs to settle after a request, without polling.

Whoever waits is asked again whenever something about its subject has changed, and once more when
a time has come that it named itself (a run counts as started only once it is stable).
"""

import asyncio
import time
from collections.abc import Mapping

from supervisord_lite.core.command import Announce
from supervisord_lite.core.span import span
from supervisord_lite.manager.questions import NotYet, Question, Verdict


class Waiters:
    """All that wait in one manager. A subject is an instance's name or a worker's; `announced`
    is to be told of every change of state, `rollout_changed` of every change of a roll-out.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, set[_Waiting]] = {}

    def announced(self, change: Announce) -> None:
        for waiting in tuple(self._by_name.get(change.instance, ())):
            waiting.look(change.instance)

    def rollout_changed(self, worker: str) -> None:
        """It matters to those who wait for the worker or for any of its instances."""
        for waiting in tuple(self._by_name.get(worker, ())):
            waiting.look_at_all_of(worker)

    async def settle(self, questions: Mapping[str, Question], timeout: float) -> dict[str, Verdict]:
        """Ask each subject's question until all have an answer or the time is up."""
        waiting = _Waiting(dict(questions))
        names = {name for subject in questions for name in (subject, _worker(subject))}
        for name in names:
            self._by_name.setdefault(name, set()).add(waiting)
        try:
            for subject in questions:
                waiting.look(subject)
            await asyncio.wait((waiting.done,), timeout=timeout)
        finally:
            waiting.cancel()
            for name in names:
                self._by_name[name].discard(waiting)
                if not self._by_name[name]:
                    del self._by_name[name]
        return waiting.verdicts(timeout)


class _Waiting:
    """One request's subjects that have not settled."""

    def __init__(self, questions: dict[str, Question]) -> None:
        self._open = questions
        self._answers: dict[str, Verdict] = {}
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self.done: asyncio.Future[None] = self._loop.create_future()
        if not questions:
            self.done.set_result(None)

    def look(self, subject: str) -> None:
        question = self._open.get(subject)
        if question is None:
            return
        answer = question(time.monotonic())
        if isinstance(answer, Verdict):
            self._answers[subject] = answer
            del self._open[subject]
            if not self._open and not self.done.done():
                self.done.set_result(None)
        elif answer.at is not None:
            self._timers.append(self._loop.call_at(answer.at, self.look, subject))

    def look_at_all_of(self, worker: str) -> None:
        for subject in [one for one in self._open if _worker(one) == worker]:
            self.look(subject)

    def verdicts(self, timeout: float) -> dict[str, Verdict]:
        late = {subject: _too_late(question, timeout) for subject, question in self._open.items()}
        return self._answers | late

    def cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()


def _too_late(question: Question, timeout: float) -> Verdict:
    answer = question(time.monotonic())
    if isinstance(answer, NotYet):
        waited = round(timeout, 0 if timeout >= 1 else 2)  # part of it may have gone before
        text = f"timed out: {answer.what} after {span(waited)}"
        return Verdict(ok=False, message=text, timed_out=True)
    return answer  # it has come in this very moment


def _worker(subject: str) -> str:
    return subject.partition(":")[0]
