"""Analytics of telemetry that learn while they look: windows, anomaly scores, predictions, drift. Pure, without I/O."""
