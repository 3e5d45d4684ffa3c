"""What is given up: the least important first, the oldest first, and never what must be done."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.inference.shedding import IMPORTANCE, choose_shed

NOW_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Frame:
    name: int
    urgency: str
    must: bool
    asked_ns: int

    @property
    def age_s(self) -> float:
        return (NOW_NS - self.asked_ns) / 1e9


def frame(name: int, age_s: float = 0.0, urgency: str = "normal", *, must: bool = False) -> Frame:
    return Frame(name, urgency, must, NOW_NS - round(age_s * 1e9))


def shed_names(frames: list[Frame], **how: float) -> list[tuple[int, str]]:
    return [(f.name, why) for f, why in choose_shed(frames, NOW_NS, **how).shed]  # type: ignore[arg-type]  # its keywords


def test_nothing_is_shed_without_a_bound() -> None:
    frames = [frame(n, age_s=1e6) for n in range(3)]
    assert choose_shed(frames, NOW_NS).kept == frames


@pytest.mark.parametrize(("age_s", "goes"), [(0.999, False), (1.0, False), (1.001, True)])
def test_age_is_held_to_its_bound(age_s: float, goes: bool) -> None:
    assert shed_names([frame(1, age_s)], max_age_s=1.0) == ([(1, "age")] if goes else [])


@pytest.mark.parametrize(("room", "gone"), [(5, 0), (4, 0), (3, 1), (0, 4)])
def test_the_queue_is_held_to_its_bound(room: int, gone: int) -> None:
    assert len(shed_names([frame(n) for n in range(4)], room=room)) == gone


def test_least_important_first_then_oldest_first() -> None:
    frames = [frame(1, 9, "emergency"), frame(2, 5, "high"), frame(3, 1), frame(4, 2), frame(5, 7, "high")]
    assert [name for name, _ in shed_names(frames, room=0)] == [4, 3, 5, 2, 1]


def test_what_must_be_done_is_kept_though_there_is_no_room() -> None:
    frames = [frame(1, 99, must=True), frame(2, 99), frame(3, 1, must=True)]
    decided = choose_shed(frames, NOW_NS, max_age_s=1, room=0)
    assert [f.name for f in decided.kept] == [1, 3]


def test_those_too_old_make_room_first() -> None:
    frames = [frame(1, 0.1), frame(2, 5, "emergency"), frame(3, 0.2)]
    assert shed_names(frames, max_age_s=1, room=2) == [(2, "age")]


_frames = st.lists(
    st.builds(
        Frame,
        name=st.integers(0, 10**6),
        urgency=st.sampled_from(sorted(IMPORTANCE)),
        must=st.booleans(),
        asked_ns=st.integers(NOW_NS - 10**10, NOW_NS),
    ),
    max_size=40,
    unique_by=lambda frame: frame.name,  # of two that are alike nobody could say which was kept
)


@given(_frames, st.floats(0, 10), st.none() | st.integers(0, 40))
def test_of_any_frames_the_right_ones_go(frames: list[Frame], max_age_s: float, room: int | None) -> None:
    decided = choose_shed(frames, NOW_NS, max_age_s=max_age_s, room=room)
    shed = [f for f, _ in decided.shed]
    assert not any(f.must for f in shed)
    assert sorted([*decided.kept, *shed], key=repr) == sorted(frames, key=repr)
    assert decided.kept == [f for f in frames if f in decided.kept]
    assert all((why == "age") == (NOW_NS - f.asked_ns > max_age_s * 1e9) for f, why in decided.shed)
    free = [f for f in decided.kept if not f.must]
    assert all(NOW_NS - f.asked_ns <= max_age_s * 1e9 for f in free)
    for_room = [f for f, why in decided.shed if why == "full"]
    if room is not None:
        assert len(decided.kept) <= room or not free
    if for_room:
        assert room is not None
        assert len(decided.kept) >= room  # none too many
        last = for_room[-1]
        for f in free:  # whatever is kept mattered more, or is younger
            assert (IMPORTANCE[f.urgency], f.asked_ns) >= (IMPORTANCE[last.urgency], last.asked_ns)
