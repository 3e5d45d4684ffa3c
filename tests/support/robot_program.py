"""A robot that is killed by tests: logs rising ids with a spool, and prints each once `log` returned.

Usage: robot_program.py URL SESSION SPOOL_DIR FIRST_ID; it closes in order when its standard input ends.
"""

import sys
import threading
import time

from datamanager.client import ClientSettings, Robot

PERIOD_S = 0.004
SPOOL_SYNC_S = 0.1


def main(url: str, session: str, spool_dir: str, first: int) -> None:
    """Logs until told to stop."""
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    settings = ClientSettings(spool_sync_s=SPOOL_SYNC_S, linger_s=0.02, segment_bytes=20_000)
    with Robot(url, "robot", session, spool_dir=spool_dir, settings=settings) as robot:
        ids = robot.stream("ids")
        number = first
        while not stop.is_set():
            if not ids.log(number, {"id": number}):
                raise SystemExit("no room")
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            number += 1
            time.sleep(PERIOD_S)
        robot.close(timeout_s=60)
        if robot.stats.pending:
            raise SystemExit(f"left behind: {robot.stats}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
