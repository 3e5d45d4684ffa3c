"""Kind `time_series`: samples with named channels, one at a time or as columns."""
