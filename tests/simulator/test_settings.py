"""The configuration: what it may say, and errors that name the key."""

from pathlib import Path

import pytest

from datamanager.errors import ConfigError
from datamanager.simulator.settings import Settings, read_settings, with_options


def settings_of(text: str, tmp_path: Path) -> Settings:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return read_settings(file)


def test_without_a_file_there_are_three_robots_at_the_rates_of_the_design() -> None:
    settings = Settings()
    assert settings.robot_ids() == ["robot-001", "robot-002", "robot-003"]
    assert settings.duration_s == 300
    rates = settings.streams
    assert [rates.pose.rate_hz, rates.joint_states.rate_hz] == [100, 100]
    assert [rates.force_torque.rate_hz, rates.imu.rate_hz, rates.system.rate_hz] == [30, 30, 1]
    assert all(frames.burst for frames in (rates.front_rgb, rates.front_depth, rates.cloud))


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert settings_of("", tmp_path) == Settings()


def test_a_file_sets_robots_rates_and_bursts_and_leaves_the_rest(tmp_path: Path) -> None:
    settings = settings_of(
        """
        robots: [arm-1, arm-2]
        duration_s: 12
        streams:
          pose: {rate_hz: 250}
          log: {rate_hz: 0}
          front_rgb: {rate_hz: 2, width: 320, height: 240, burst: {rate_hz: 30, every_s: 60, for_s: 1}}
        """,
        tmp_path,
    )
    assert settings.robot_ids() == ["arm-1", "arm-2"]
    assert settings.streams.pose.rate_hz == 250
    assert settings.streams.front_rgb.burst is not None
    assert settings.streams.front_rgb.burst.every_s == 60
    assert settings.streams.imu == Settings().streams.imu


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("robots: 0", "robots: "),
        ("robots: many", "robots: "),
        ("robots: [a, a]", "robots: two of them have the same id"),
        ("robots: [a/b]", "robots: 'a/b'"),
        ("robot: 3", "unknown field `robot`"),
        ("duration_s: -1", "duration_s: "),
        ("seed: 1.5", "seed: "),
        ("streams: {poses: {rate_hz: 1}}", "streams: .*unknown field `poses`"),
        ("streams: {pose: {rate_hz: 1001}}", r"streams\.pose\.rate_hz: "),
        ("streams: {pose: {rate_hz: fast}}", r"streams\.pose\.rate_hz: "),
        ("streams: {pose: {}}", r"streams\.pose: .*`rate_hz`"),
        ("streams: {front_rgb: {rate_hz: 5, width: 7}}", r"streams\.front_rgb\.width: "),
        (
            "streams: {cloud: {rate_hz: 1, burst: {rate_hz: 2, every_s: 1, for_s: 2}}}",
            r"streams\.cloud\.burst: for_s 2",
        ),
        ("- 1", "Expected `object`, got `array`"),
        ("robots: [", "is no YAML"),
        ("a: *b", "is no YAML"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"config\.yaml.*{named}"):
        settings_of(text, tmp_path)


def test_the_file_that_the_readme_shows_is_right(tmp_path: Path) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("```yaml\nrobots:")[2].partition("```")[0]
    settings = settings_of(f"robots:{shown}", tmp_path)
    assert settings.robot_ids() == ["arm-1", "arm-2"]
    assert settings.streams.front_rgb == Settings().streams.front_rgb


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read"):
        read_settings(tmp_path / "absent.yaml")


def test_the_command_line_goes_before_the_file_and_is_checked_too() -> None:
    settings = with_options(Settings(duration_s=5), robots=7, duration_s=None)
    assert (settings.robots, settings.duration_s) == (7, 5)
    with pytest.raises(ConfigError, match="the command line: robots: "):
        with_options(settings, robots=0)
