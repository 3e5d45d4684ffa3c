"""Simulator: robots that stream made or recorded data."""
