"""The edge for software: what a program asks over HTTPS in its holder's name, in JSON. ``docs/api.md`` is its contract."""
