"""Pli web pages for patients and professionals."""
