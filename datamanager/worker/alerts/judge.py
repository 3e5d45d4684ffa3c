"""Holds the rules against a stream: the handler of jobs of kind `alerts`.

For each rule that holds for the stream: read what is new, judge it, write the state with the new position and the turns
in it over the one that was read, and only then tell of the turns. Whoever dies leaves a state that owes turns, and the
next one tells them: under ids that make telling them again no second telling.
"""

from dataclasses import replace

from datamanager.clock import Clock
from datamanager.observability import METRICS, get_logger
from datamanager.storage.alert_jobs import place_of
from datamanager.storage.alert_rules import AlertRule, AlertRules
from datamanager.storage.alert_states import AlertState, AlertStates, Place
from datamanager.storage.alerts import Alerts, alert_event, alert_id_of, ending_of, turn_of
from datamanager.storage.events import EventLog
from datamanager.storage.follow import Follower
from datamanager.storage.jobs import Job
from datamanager.storage.mongo import Document
from datamanager.storage.result_values import ResultValues
from datamanager.storage.sessions import Streams
from datamanager.worker.alerts.evaluate import Turn, Watch, evaluate
from datamanager.worker.alerts.sources import Source, source_of

__all__ = ["AlertJudge"]

_log = get_logger(__name__)
_MOST_TURNS = 100  # of one state at a time: its document stays small, whatever a channel does


class AlertJudge:
    """Judges streams, and tells of what that comes to.

    Args:
        rules: which rules there are.
        states: how they stand.
        alerts: what they have fired.
        events: told of each turn.
        streams: which streams there are, and of what kind.
        follower: brings new samples.
        results: brings new results.
        clock: the server's.
    """

    def __init__(
        self,
        rules: AlertRules,
        states: AlertStates,
        alerts: Alerts,
        events: EventLog,
        streams: Streams,
        follower: Follower,
        results: ResultValues,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._states = states
        self._alerts = alerts
        self._events = events
        self._streams = streams
        self._follower = follower
        self._results = results
        self._clock = clock
        self._again: dict[Place, bool] = {}

    async def __call__(self, job: Job) -> None:
        """Does one job.

        Raises:
            Unavailable: MongoDB or Redis does not answer; what is owed stays owed.
        """
        place = place_of(job)
        if (
            place in self._again
        ):  # a job for it is being done here: one reading more, and that has seen what this one would
            self._again[place] = True
            return
        self._again[place] = True
        try:
            while self._again[place]:
                self._again[place] = False
                await self.judge(place)
        finally:
            del self._again[place]

    async def judge(self, place: Place) -> None:
        """Judges what is new of a stream by every rule that holds for it; clears what rules have fired that hold no more.

        Raises:
            Unavailable: as above.
        """
        rules = {rule.name: (rule, put_ns) for rule, put_ns in await self._rules.enabled() if rule.matches(*place)}
        states = await self._states.of(place)
        for state in states.values():
            if state.rule not in rules:
                await self.end(state, "rule_gone")
        described = await self._streams.get(*place) if rules else None
        source = source_of(described, self._follower, self._results) if described is not None else None
        if described is None or source is None:
            return
        for name, (rule, put_ns) in rules.items():
            if name in states or _may_have(described, rule.channel):
                state = states.get(name) or AlertState(rule=name, place=place, condition=rule.condition, put_ns=put_ns)
                await self._hold(rule, put_ns, source, state)

    async def silence(self, state: AlertState, rule: AlertRule) -> None:
        """Fires a rule on absence: no value came for longer than it allows.

        Raises:
            Unavailable: as above.
        """
        turn = Turn("fired", state.last_ns + rule.for_ns, None, state.last_ns)
        changed = replace(state, phase="firing", since_ns=state.last_ns)
        await self._write(state, changed, rule, [turn])

    async def end(self, state: AlertState, reason: str) -> AlertState | None:
        """Clears what a state has fired, for another reason than a value; gives the state as it is then, or None.

        Raises:
            Unavailable: as above.
        """
        if state.owed:
            told = await self._tell(state)
            return await self.end(told, reason) if told is not None else None
        if state.phase != "firing":
            return state
        now_ns = self._clock.now_ns()
        alert = await self._alerts.get(state.alert_id)
        owed = [] if alert is None else [ending_of(alert, t_ns=max(state.last_ns, 0), at_ns=now_ns, reason=reason)]
        changed = replace(state, phase="ok", since_ns=0, alert_id="", owed=owed)
        written = await self._states.swap(state, changed, now_ns)
        return await self._tell(written) if written is not None else None

    async def _hold(self, rule: AlertRule, put_ns: int, source: Source, state: AlertState) -> None:
        """Holds one rule against a stream until nothing is new."""
        while True:
            after = await self._step(rule, put_ns, source, state)
            if after is state:
                return
            # Whoever was quicker has brought it further: go on from there.
            state = after or (await self._states.of(state.place)).get(rule.name, state)

    async def _step(self, rule: AlertRule, put_ns: int, source: Source, state: AlertState) -> AlertState | None:
        """One change of a state: the same state when nothing is new, None when somebody else has changed it."""
        if state.owed:
            return await self._tell(state)
        if (state.condition, state.put_ns) != (rule.condition, put_ns):
            return await self._begin_anew(rule, put_ns, state)
        fresh = await source.read(rule.channel, state.position, put_ns)
        if fresh.position == state.position:
            return state
        watch = Watch(state.phase, state.since_ns, state.last_ns)
        after, turns = evaluate(rule, watch, fresh.t_ns, fresh.values, _MOST_TURNS)
        changed = replace(
            state,
            # With turns left the same samples come again: those that were judged are known by their time.
            position=fresh.position if len(turns) < _MOST_TURNS else state.position,
            phase=after.phase,
            since_ns=after.since_ns,
            last_ns=after.last_ns,
            heard_ns=self._clock.now_ns() if after.last_ns != watch.last_ns else state.heard_ns,
        )
        return await self._write(state, changed, rule, turns)

    async def _begin_anew(self, rule: AlertRule, put_ns: int, state: AlertState) -> AlertState | None:
        """Takes note that a rule was put again: it holds for what came in from then on."""
        if state.phase == "firing" and state.condition != rule.condition:
            return await self.end(state, "rule_changed")
        phase = "ok" if state.phase == "pending" else state.phase
        changed = replace(state, condition=rule.condition, put_ns=put_ns, phase=phase, position=None)
        return await self._states.swap(state, changed, self._clock.now_ns())

    async def _write(
        self, state: AlertState, changed: AlertState, rule: AlertRule, turns: list[Turn]
    ) -> AlertState | None:
        """Writes a state and the turns that it owes by now, and tells of them."""
        now_ns = self._clock.now_ns()
        alert_id, owed = state.alert_id, list(state.owed)
        for turn in turns:
            if turn.state == "fired":
                alert_id = alert_id_of(rule, state.place, turn.t_ns)
            owed.append(
                turn_of(
                    rule,
                    state.place,
                    turn.state,
                    alert_id=alert_id,
                    t_ns=turn.t_ns,
                    since_ns=turn.since_ns,
                    value=turn.value,
                    at_ns=now_ns,
                )
            )
            alert_id = alert_id if turn.state == "fired" else ""
        written = await self._states.swap(state, replace(changed, alert_id=alert_id, owed=owed), now_ns)
        return await self._tell(written) if written is not None and owed else written

    async def _tell(self, state: AlertState) -> AlertState | None:
        """Records turns, publishes them, and notes that they are told; None as for `_step`."""
        for turn in state.owed:
            await self._alerts.record(turn)
        await self._events.publish([alert_event(turn) for turn in state.owed])
        told = await self._states.swap(state, replace(state, owed=[]), self._clock.now_ns())
        for turn in state.owed if told is not None else ():
            METRICS.alerts.labels(turn["said"]).inc()
            _log.info("alert", said=turn["said"], rule=turn["rule"], stream=turn["stream"], alert_id=turn["alert_id"])
        return told


def _may_have(described: Document, channel: str) -> bool:
    return described["kind"] != "time_series" or any(c["name"] == channel for c in described["channels"])
