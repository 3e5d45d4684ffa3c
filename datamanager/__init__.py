"""datamanager: takes in what robots record, keeps it, and plays any time range back."""

__all__ = ["__version__"]

__version__ = "0.1.0"
