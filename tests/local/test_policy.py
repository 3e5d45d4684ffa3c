from datamanager.local.policy import RestartPolicy


def test_one_that_lived_long_comes_back_at_once() -> None:
    assert RestartPolicy(young_s=3).after(3.0) == 0


def test_one_that_dies_young_again_and_again_waits_twice_as_long_each_time() -> None:
    policy = RestartPolicy(young_s=3, first_s=0.1, longest_s=5)
    assert [round(policy.after(2.9), 1) for _ in range(7)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


def test_the_pause_stays_bounded_for_ever() -> None:
    policy = RestartPolicy()
    assert [policy.after(0.0) for _ in range(5000)][-1] == policy.longest_s


def test_a_long_life_forgives_all_young_deaths() -> None:
    policy = RestartPolicy(young_s=3, first_s=0.1)
    pauses = [policy.after(lived_s) for lived_s in (0, 0, 0, 3, 0)]
    assert pauses == [0.1, 0.2, 0.4, 0.0, 0.1]
