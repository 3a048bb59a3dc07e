"""Pure values that every layer shares: no I/O, no clock, standard library only."""
