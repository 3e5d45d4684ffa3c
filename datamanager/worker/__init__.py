"""Worker: makes tiers and rollups out of the way of an ack."""
