"""The platform's machine: one sandbox in a network namespace of its own, as a process.

    python -m tests.partition.far_side PLATFORM DESCRIPTOR

Hands its TUN device over through the Unix socket DESCRIPTOR. Then writes the sandbox's endpoint,
and after each line that it reads the sandbox's journal so far, each as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys

from tests.partition import namespaces

ADDRESS = "10.99.0.2"


async def _serve(platform: str) -> None:
    from smartconnectors_server.platforms import PLATFORMS

    sandbox = PLATFORMS[platform].sandbox()
    _say(await sandbox.start(ADDRESS))
    while await asyncio.to_thread(sys.stdin.readline):
        entries = [entry for entry in sandbox.journal() if entry.changes and entry.applied]
        _say([{"at_ns": entry.at_ns, "facts": entry.facts} for entry in entries])
    await sandbox.close()


def _say(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serves until standard input ends."""
    platform, descriptor = sys.argv[1], int(sys.argv[2])
    namespaces.enter()
    device = namespaces.tun("far0", f"{ADDRESS}/24")
    with socket.socket(fileno=descriptor) as parent:
        socket.send_fds(parent, [b"wire"], [device])
    os.close(device)
    asyncio.run(_serve(platform))


if __name__ == "__main__":
    main()
