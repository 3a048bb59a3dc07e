"""What Pli fetches by itself: signed trust lists, over HTTPS."""
