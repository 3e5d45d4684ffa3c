"""Kinds: what a record can be: the wire words, checks and limits of every kind."""
