"""One platform's sandbox as a process of its own, on a port that stays the same over restarts.

python -m tests.browser.one_sandbox google_ads 12345

Prints one line of JSON with its endpoint and its control address when it takes calls.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

from smartconnectors_server.connector.control import ControlServer
from smartconnectors_server.platforms import PLATFORMS


async def serve(platform: str, port: int) -> None:
    """For ever."""
    sandbox = PLATFORMS[platform].sandbox()
    endpoint = await sandbox.start("127.0.0.1", port)
    control = await ControlServer({platform: sandbox}).start()
    ready = {"endpoint": endpoint, "control": control}
    print(json.dumps(ready), flush=True)  # noqa: T201 - what is waited for
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
