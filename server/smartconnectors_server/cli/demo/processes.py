"""The processes that the demo talks to: started as by a user, stopped with SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from smartconnectors_server.platforms import PLATFORMS

READY_WITHIN_S = 90.0
STOPPED_WITHIN_S = 60.0


class ProcessFailed(Exception):
    """A process did not become ready; the message has its last words."""


class Process:
    """`smart-connectors COMMAND ...` as a process of its own. An asynchronous context manager.

    Attributes:
        ready: its first line of output, which is JSON and says where it listens.
    """

    ready: dict[str, Any]

    def __init__(
        self, arguments: tuple[str, ...], *, log: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        """`log`: where its standard error goes. `variables`: added to a clean environment."""
        self._arguments = arguments
        self._log = log
        self._environment = {**_clean_environment(), **(variables or {})}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "smartconnectors_server",
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                line = await self._process.stdout.readline()
            self.ready = json.loads(line)
        except (TimeoutError, ValueError):
            await self._stop()
            raise ProcessFailed(
                f"`smart-connectors {' '.join(self._arguments)}` did not become ready:\n"
                f"{self.last_words()}"
            ) from None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOPPED_WITHIN_S):
                # Whatever else it prints is read, so that a full pipe cannot keep it from ending.
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()

    def last_words(self, lines: int = 15) -> str:
        """The end of what it wrote to standard error."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


def _clean_environment() -> dict[str, str]:
    """This process's environment without what would change a scenario: accounts, budgets, and
    proxies, which nothing on this machine's own addresses needs.
    """
    unwanted = {
        name
        for platform in PLATFORMS.values()
        for name in (*platform.environment, platform.budget_variable, platform.endpoint_variable)
    }
    # A child process is given the parent's environment; nothing is read from it here.
    parents = os.environ.items()  # noqa: TID251
    return {
        name: value
        for name, value in parents
        if name.removesuffix("_FILE") not in unwanted and not name.lower().endswith("_proxy")
    }
