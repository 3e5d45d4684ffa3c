"""Playback: gives back any range of what was recorded."""
