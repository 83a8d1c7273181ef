"""Widgets over the records; each also has a static form."""
