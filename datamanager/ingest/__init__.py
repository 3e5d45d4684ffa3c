"""Ingest: takes in what robots send, and acknowledges what is durable."""
