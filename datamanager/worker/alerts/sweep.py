"""Finds what alert rules have missed: jobs that got lost, turns that nobody told, rules that are gone, values that are absent."""

import asyncio
from collections.abc import Awaitable

from datamanager.clock import Clock
from datamanager.errors import Unavailable
from datamanager.observability import get_logger
from datamanager.storage.alert_jobs import alerts_job
from datamanager.storage.alert_rules import AlertRule, AlertRules
from datamanager.storage.alert_sessions import AlertSessions, DueSession
from datamanager.storage.alert_states import AlertStates, Place
from datamanager.storage.jobs import JobQueue
from datamanager.storage.sessions import Streams
from datamanager.worker.alerts.judge import AlertJudge
from datamanager.worker.outage import repeat

__all__ = ["AlertSweep"]

_log = get_logger(__name__)
_SESSION_S = 30.0  # a session that is being recorded is looked at so often, whatever became of its jobs
_OWED_NS = 5_000_000_000
_MOST = 1000  # of one sweep


class AlertSweep:
    """Looks for what was missed, again and again. Any number of workers may do so at once.

    Args:
        rules: which rules there are.
        states: how they stand.
        sessions: tells where something may be left.
        streams: which streams there are.
        judge: judges what nobody writes any more, and fires and clears what no value does.
        queue: where jobs go.
        clock: the server's.
        interval_s: seconds between two sweeps.
    """

    def __init__(
        self,
        rules: AlertRules,
        states: AlertStates,
        sessions: AlertSessions,
        streams: Streams,
        judge: AlertJudge,
        queue: JobQueue,
        clock: Clock,
        *,
        interval_s: float,
    ) -> None:
        self._rules = rules
        self._states = states
        self._sessions = sessions
        self._streams = streams
        self._judge = judge
        self._queue = queue
        self._clock = clock
        self._interval_s = interval_s

    async def run(self, stop: asyncio.Event) -> None:
        """Sweeps until `stop` is set."""
        await repeat(stop, self.sweep, self._interval_s)

    async def sweep(self) -> None:
        """One round.

        Raises:
            Unavailable: MongoDB or Redis does not answer.
        """
        rules = [rule for rule, _ in await self._rules.enabled()]
        owing = await self._states.owing(self._clock.now_ns() - _OWED_NS, _MOST)
        await self._queue.enqueue([alerts_job(place) for place in owing])
        await self._end_what_is_over({rule.name: rule for rule in rules})
        for rule in rules:
            if rule.op == "absent":
                await self._find_silent(rule)
        for session in await self._sessions.due(_SESSION_S, _MOST):
            await self._look(session, rules)

    async def _end_what_is_over(self, rules: dict[str, AlertRule]) -> None:
        async for state in self._states.firing():
            rule = rules.get(state.rule)
            if rule is None or not rule.matches(*state.place):
                await self._try(state.place, self._judge.end(state, "rule_gone"))
            elif rule.op == "absent" and not await self._sessions.is_recording(*state.place[:2]):
                await self._try(state.place, self._judge.end(state, "session_ended"))

    async def _find_silent(self, rule: AlertRule) -> None:
        for state in await self._states.silent(rule, self._clock.now_ns(), _MOST):
            if rule.matches(*state.place) and await self._sessions.is_recording(*state.place[:2]):
                await self._try(state.place, self._judge.silence(state, rule))

    async def _look(self, session: DueSession, rules: list[AlertRule]) -> None:
        """Has a session judged that is being recorded; judges one here that is not, for no later job would."""
        here = [rule for rule in rules if rule.matches_session(session.robot_id, session.session_id)]
        places: list[Place] = []
        if here:
            for described in await self._streams.all_of(session.robot_id, session.session_id):
                place = (session.robot_id, session.session_id, described["stream"])
                if any(rule.matches(*place) for rule in here):
                    places.append(place)
        if session.is_quiet:
            for place in places:
                await self._try(place, self._judge.judge(place))
        else:
            await self._queue.enqueue([alerts_job(place, "low") for place in places])
        await self._sessions.looked(session, is_done=session.is_quiet)

    async def _try(self, place: Place, work: Awaitable[object]) -> None:
        """Does what is to be done for one stream; what is wrong with one is nothing to the others."""
        try:
            await work
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001  # whatever it is, the sweep goes on
            _log.exception("a stream cannot be judged", stream="/".join(place))
