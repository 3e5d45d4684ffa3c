"""Reading bits, as H.264 writes its headers (ITU-T H.264, sections 7.4.1 and 9.1)."""

from datamanager.errors import Refused

__all__ = ["Bits", "without_emulation"]

_MOST_ZEROS = 32


def without_emulation(data: bytes) -> bytes:
    """The bytes of a NAL unit without those that only keep a start code from appearing."""
    return data.replace(b"\0\0\3", b"\0\0")


class Bits:
    """Bits from the most significant one on; what reads beyond the end is refused."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        """The next bits, as a number.

        Raises:
            Refused: `bad_payload`: there are not so many.
        """
        if count > self._left:
            raise Refused("bad_payload", "a parameter set of the stream is cut off")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """The next number of variable length, from 0 on.

        Raises:
            Refused: `bad_payload`: it is no such number.
        """
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _MOST_ZEROS:
                raise Refused("bad_payload", "a parameter set of the stream is broken")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        """The next number of variable length with a sign.

        Raises:
            Refused: as `golomb`.
        """
        value = self.golomb()
        return (value + 1) // 2 if value & 1 else -(value // 2)
