"""Inference: models that enrich what comes in."""
