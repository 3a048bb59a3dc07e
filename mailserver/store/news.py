"""What a transaction changed that others keep in mind; told after its commit. A batch that failed may tell too much."""

from enum import StrEnum

from sqlalchemy import Connection

_KEY = "news"


class News(StrEnum):
    QUEUE = "queue"
    """What waits may be due sooner than the queue's workers know."""
    RECIPIENTS = "recipients"
    """Who takes mail, or who is away."""


def add_news(connection: Connection, news: News) -> None:
    """Inside a Unit."""
    connection.info.setdefault(_KEY, set()).add(news)


def take_news(connection: Connection) -> set[News]:
    """What was added since the last call."""
    found: set[News] = connection.info.pop(_KEY, set())
    return found
