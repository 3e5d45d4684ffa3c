"""`datamanager models` and `datamanager enrich`: what is asked of a server by those who run it."""
