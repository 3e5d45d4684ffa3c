"""Recordings (MCAP): their channels become streams."""
