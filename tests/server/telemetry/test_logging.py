"""What is said of a bid has no part in what becomes of it."""

from __future__ import annotations

import io

import pytest
import structlog

from smartconnectors_server.telemetry import Telemetry


def test_a_log_that_cannot_be_written_fails_no_call() -> None:
    full = io.StringIO()
    full.close()
    logger = structlog.wrap_logger(structlog.WriteLogger(full))
    with pytest.raises(ValueError, match="closed file"):
        logger.info("bid")
    Telemetry(logger=logger).event("bid", request_id="r")
