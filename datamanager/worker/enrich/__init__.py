"""Enrichment: has models look at frames, and writes what they say."""
