"""A peer that is gone."""

__all__ = ["Closed"]


class Closed(Exception):
    """The peer has closed the connection; raised by what receives from it and sends to it."""
