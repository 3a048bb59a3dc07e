"""The operator's log: one JSON object a line on standard error. Names of fields are fixed by the caller; values
never hold content, subjects, mail addresses, names of people or insurance numbers.
"""

import json
import logging
import secrets
import sys
import time

_RESERVED = frozenset(vars(logging.makeLogRecord({})))
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


class JsonFormatter(logging.Formatter):
    """time, level, where, what, then the fields given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line of JSON."""
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "where": record.name,
            "what": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _RESERVED}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["at"] = _places(record.exc_info[1])
        return _encode(line)


def _places(error: BaseException) -> list[str]:
    """File and line of each frame: where it failed, without the values (a message may hold private data)."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places[-12:]


def set_up_logging(level: str = "INFO") -> None:
    """Send every logger's lines to standard error as JSON; libraries that log commands are kept quiet (S1)."""
    # no line names a thread, a process or a place in the source, and finding them out costs more than the line
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 # the name that the standard library's logging guide gives for it
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    quiet = "mail.log mail.debug aiosmtplib aioimaplib asyncio uvicorn uvicorn.access alembic"
    for noisy in quiet.split():
        logging.getLogger(noisy).setLevel(logging.WARNING)


def incident_id() -> str:
    """The short id shown to a person in place of an error's text, and written in the log."""
    return secrets.token_hex(4)
