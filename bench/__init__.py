"""Figures: Pli beside this machine's own floor, and beside Postfix and Dovecot in the same run (``make bench``)."""
