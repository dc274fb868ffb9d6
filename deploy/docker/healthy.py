"""Health of a container, without curl and without imports that cost: exit code 0 if all of these answer.

healthy.py CHECK…

HOST:PORT              something listens
HOST:PORT+COUNT        on so many ports in a row
HOST:PORT+COUNT/PATH   and each of them answers 200 there
http://… [PATTERN]     answers 200 and, if a regular expression follows, with something that it finds
"""

from __future__ import annotations

import re
import socket
import sys
import urllib.request

TIMEOUT_S = 3


def listens(host: str, port: int) -> None:
    """Raise OSError if nobody listens there."""
    socket.create_connection((host, port), TIMEOUT_S).close()


def answers(url: str, pattern: str) -> None:
    """Raise OSError if it does not answer, or not with that."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        if not re.search(pattern, answer.read().decode("utf-8", "replace"), re.DOTALL):
            raise OSError(f"{url} has no {pattern}")


def main() -> int:
    """0, or 1 with a line that Docker keeps for `docker inspect`."""
    check, *rest = sys.argv[1:]
    try:
        if check.startswith("http://"):
            answers(check, rest[0] if rest else "")
        else:
            place, slash, path = check.partition("/")
            host, _, ports = place.partition(":")
            first, _, count = ports.partition("+")
            for port in range(int(first), int(first) + int(count or 1)):
                answers(f"http://{host}:{port}/{path}", "") if slash else listens(host, port)
    except OSError as error:
        print(f"{check}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
