"""Analytics of telemetry in workers: what is new in a stream is looked at, and what was learned of it is kept."""
