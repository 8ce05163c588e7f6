"""Chaos: a whole server under load while its parts are killed, stopped and cut off, and what must hold afterwards."""
