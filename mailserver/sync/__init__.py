"""What Pli fetches by itself: signed trust lists over HTTPS, reports about notices from an ordinary mailbox."""
