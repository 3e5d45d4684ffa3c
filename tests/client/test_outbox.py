"""The outbox against a server that loses connections, acks late, and forgets what was not durable."""

from collections.abc import Callable, Iterable

import hypothesis.strategies as st
from hypothesis import given, settings

from datamanager.client.numbering import Numbering
from datamanager.client.outbox import Entry, Outbox

MAX_BYTES = 10_000


def outbox(**limits: int) -> Outbox:
    made = Outbox(Numbering(), MAX_BYTES)
    made.window = limits.get("window", 100)
    made.window_bytes = limits.get("window_bytes", 100_000)
    return made


def put(box: Outbox, streams: Iterable[str], size: int = 10, *, maybe_sent: bool = False) -> list[Entry]:
    made = []
    for stream in streams:
        place = box.numbering.take(stream)
        entry = Entry(place, stream, place, bytes(size), maybe_sent=maybe_sent)
        entry.order = box.held
        box.add(entry)
        made.append(entry)
    return made


def numbers(entries: Iterable[Entry]) -> list[tuple[str, int, bool]]:
    return [(entry.stream, entry.seq, entry.redelivery) for entry in entries]


def test_messages_go_in_order_and_each_stream_counts_for_itself() -> None:
    box = outbox()
    put(box, "aba")
    assert numbers(box.take(1000)) == [("a", 0, False), ("b", 0, False), ("a", 1, False)]
    assert box.take(1000) == []


def test_an_ack_releases_all_up_to_its_number_in_its_stream_alone() -> None:
    box = outbox()
    put(box, "aabaa")
    box.take(1000)
    assert numbers(box.acked({"a": 1})) == [("a", 0, False), ("a", 1, False)]
    assert (box.held, box.in_flight, box.held_bytes, box.in_flight_bytes) == (3, 3, 30, 30)
    assert box.acked({"a": 0}) == []


def test_an_ack_of_what_was_never_sent_releases_nothing() -> None:
    box = outbox(window=1)
    put(box, "aa")
    box.take(1000)
    assert len(box.acked({"a": 5})) == 1
    assert box.held == 1


def test_no_more_messages_are_on_the_way_than_the_window_allows() -> None:
    box = outbox(window=2)
    put(box, "aaaa")
    assert len(box.take(1000)) == 2
    assert box.take(1000) == []
    box.acked({"a": 0})
    assert len(box.take(1000)) == 1


def test_no_more_bytes_are_on_the_way_than_the_window_allows() -> None:
    box = outbox(window_bytes=25)
    put(box, "aaa")
    assert len(box.take(1000)) == 2


def test_a_message_larger_than_the_window_goes_alone() -> None:
    box = outbox(window_bytes=25)
    put(box, "a")
    put(box, "b", size=100)
    assert len(box.take(1000)) == 1
    assert box.take(1000) == []
    box.acked({"a": 0})
    assert numbers(box.take(1000)) == [("b", 0, False)]


def test_a_frame_ends_at_its_size_but_bears_at_least_one_message() -> None:
    box = outbox()
    put(box, "aaaa", size=40)
    assert len(box.take(100)) == 2
    assert len(box.take(1)) == 1


def test_a_message_larger_than_the_server_takes_is_released_and_told() -> None:
    box = outbox()
    put(box, "a", size=MAX_BYTES)
    put(box, "a", size=MAX_BYTES + 1)
    put(box, "a")
    assert [entry.seq for entry in box.take(1000)] == [0]
    assert numbers(box.take(1000)) == [("a", 2, False)]
    assert [entry.seq for entry in box.oversize] == [1]
    assert (box.held, box.in_flight) == (2, 2)


def test_after_a_disconnect_all_that_is_held_goes_again_in_order_marked() -> None:
    box = outbox(window=3)
    put(box, "abab")
    box.take(1000)
    box.acked({"b": 0})
    box.disconnected()
    assert box.in_flight == 0
    box.welcomed({})
    assert numbers(box.take(1000)) == [("a", 0, True), ("a", 1, True), ("b", 1, False)]


def test_the_welcome_drops_what_the_server_has() -> None:
    box = outbox()
    put(box, "aaa")
    box.take(1000)
    box.disconnected()
    released, renumbered = box.welcomed({"a": 1})
    assert [entry.seq for entry in released] == [0, 1]
    assert not renumbered
    assert numbers(box.take(1000)) == [("a", 2, True)]


def test_what_was_never_sent_is_numbered_on_from_the_welcome() -> None:
    box = outbox()
    put(box, "aa")
    released, renumbered = box.welcomed({"a": 41, "elsewhere": 7})
    assert (released, renumbered) == ([], True)
    assert numbers(box.take(1000)) == [("a", 42, False), ("a", 43, False)]
    put(box, ["a", "elsewhere"])
    assert numbers(box.take(1000)) == [("a", 44, False), ("elsewhere", 8, False)]


def test_what_was_sent_keeps_its_number_when_the_welcome_is_ahead() -> None:
    box = outbox(window=1)
    put(box, "aaa")
    box.take(1000)
    box.disconnected()
    released, _ = box.welcomed({"a": 9})
    assert [entry.seq for entry in released] == [0]
    assert numbers(box.take(1000)) == [("a", 10, False)]


def test_a_rejected_message_is_released_once_and_not_sent_again() -> None:
    box = outbox()
    put(box, "aaa")
    box.take(1000)
    assert box.rejected("a", 1).seq == 1
    assert box.rejected("a", 1) is None
    assert box.rejected("a", 9) is None
    assert box.rejected("b", 0) is None
    box.disconnected()
    box.welcomed({})
    assert numbers(box.take(1000)) == [("a", 0, True), ("a", 2, True)]
    assert [entry.seq for entry in box.acked({"a": 2})] == [0, 2]
    assert (box.held, box.held_bytes, box.in_flight, box.in_flight_bytes) == (0, 0, 0, 0)


def test_what_came_from_the_disk_and_is_known_to_be_acked_is_not_taken() -> None:
    box = outbox()
    box.acked({"a": 1})
    put(box, "aaa", maybe_sent=True)
    assert numbers(box.take(1000)) == [("a", 2, True)]


def test_the_lowest_order_is_that_of_the_oldest_message_held() -> None:
    box = outbox()
    assert box.lowest_order() is None
    put(box, "aba")
    box.take(1000)
    box.acked({"a": 0})
    assert box.lowest_order() == 1
    box.rejected("b", 0)
    assert box.lowest_order() == 2


class ModelServer:
    """Takes messages, makes them durable later, forgets on a crash what is not, and knows re-sent ones."""

    def __init__(self) -> None:
        self.durable: dict[tuple[str, int], bytes] = {}
        self.arrived: list[tuple[str, int, bytes]] = []
        self.conflicts = 0

    def take(self, entries: list[Entry]) -> None:
        for entry in entries:
            known = {(s, q): b for s, q, b in self.arrived} | self.durable
            before = known.get((entry.stream, entry.seq))
            if before is not None and not entry.redelivery:
                self.conflicts += 1
            if before is not None and before != entry.body:
                self.conflicts += 1
            self.arrived.append((entry.stream, entry.seq, entry.body))

    def flush(self) -> dict[str, int]:
        acked: dict[str, int] = {}
        for stream, seq, body in self.arrived:
            self.durable[stream, seq] = body
            acked[stream] = max(seq, acked.get(stream, -1))
        self.arrived = []
        return acked

    def crash(self) -> None:
        self.arrived = []

    def welcome(self) -> dict[str, int]:
        acked: dict[str, int] = {}
        for stream, seq in sorted(self.durable):
            acked[stream] = max(seq, acked.get(stream, -1))
        return acked


class World:
    """A robot and a server, and what can happen between them."""

    def __init__(self, before: int, window: int) -> None:
        self.box = outbox(window=window)
        self.server = ModelServer()
        self.server.durable = {("a", seq): b"older" for seq in range(before)}
        self.logged: dict[str, list[bytes]] = {"a": [], "b": []}
        self.connected = False

    def log_a(self) -> None:
        self.log("a")

    def log_b(self) -> None:
        self.log("b")

    def log(self, stream: str) -> None:
        body = f"{stream}{len(self.logged[stream])}".encode()
        self.logged[stream].append(body)
        order = sum(map(len, self.logged.values()))
        self.box.add(Entry(order, stream, self.box.numbering.take(stream), body))

    def send(self) -> None:
        if not self.connected:
            self.box.disconnected()
            self.box.welcomed(self.server.welcome())
            self.connected = True
        self.server.take(self.box.take(4))

    def flush(self) -> None:
        acked = self.server.flush()
        if self.connected:
            self.box.acked(acked)

    def flush_unheard(self) -> None:
        self.server.flush()
        self.connected = False

    def crash(self) -> None:
        self.server.crash()
        self.connected = False

    def cut(self) -> None:
        self.connected = False

    def flow(self) -> None:
        self.box.window = 6 - self.box.window


HAPPENINGS = [
    World.log_a,
    World.log_b,
    World.send,
    World.flush,
    World.flush_unheard,
    World.crash,
    World.cut,
    World.flow,
]


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(st.sampled_from(HAPPENINGS), max_size=80), before=st.integers(0, 3), window=st.integers(1, 5))
def test_whatever_happens_every_message_arrives_once_and_in_order(
    steps: list[Callable[[World], None]], before: int, window: int
) -> None:
    world = World(before, window)
    for step in [*steps, World.cut]:
        step(world)
    while world.box.held:
        world.send()
        world.flush()
    assert world.server.conflicts == 0
    for stream, bodies in world.logged.items():
        stored = [body for (s, _), body in sorted(world.server.durable.items()) if s == stream and body != b"older"]
        assert stored == bodies
    assert (world.box.in_flight, world.box.in_flight_bytes, world.box.held_bytes) == (0, 0, 0)
