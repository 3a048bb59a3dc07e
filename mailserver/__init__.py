"""Pli: a secure health messaging server."""
