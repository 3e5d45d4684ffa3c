"""When a child that died is started again: at once, and later each time it dies young."""

from dataclasses import dataclass

__all__ = ["RestartPolicy"]


@dataclass(slots=True)
class RestartPolicy:
    """Decides the pause before a restart. Pure: it is told how long a child lived and never looks at a clock.

    A child that lived `young_s` or longer comes back at once: it was killed, or met a rare fault. One that dies
    young again and again is broken in itself, and each pause is twice the last, up to `longest_s`.
    """

    young_s: float = 3.0
    first_s: float = 0.1
    longest_s: float = 5.0
    young_deaths: int = 0

    def after(self, lived_s: float) -> float:
        """Takes note of a death.

        Args:
            lived_s: seconds from the child's start to its end.

        Returns:
            Seconds to wait before it is started again.
        """
        if lived_s >= self.young_s:
            self.young_deaths = 0
            return 0.0
        self.young_deaths += 1
        exponent = min(self.young_deaths - 1, 30)  # far past any longest_s, and never an overflow
        return min(self.first_s * 2.0**exponent, self.longest_s)
