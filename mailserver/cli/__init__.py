"""The ``pli`` command: every sub-command prints facts (``--json`` for machines) and exits with a fit code."""
