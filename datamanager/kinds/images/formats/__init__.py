"""One module a format, each with a `FORMAT`; all of them stand in `datamanager.kinds.images.table`."""
