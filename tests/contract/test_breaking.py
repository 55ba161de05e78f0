"""`make breaking` notices what breaks callers of a release, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUF = Path(sysconfig.get_path("scripts")) / "buf"
BID = "protos/smartconnectors/common/v1/bid.proto"
ERRORS = "protos/smartconnectors/common/v1/errors.proto"
ADS = "protos/smartconnectors/google_ads/v1/google_ads_service.proto"
CAMPAIGN = "string campaign_id = 3"
AUDIENCE = "string audience_id = 4 [(buf.validate.field).string.max_len = 128];"


def against_release(
    tmp_path: Path, file: str, old: str, new: str
) -> subprocess.CompletedProcess[str]:
    """`buf breaking` as the Makefile runs it; one text of one file is new since a release."""
    released, here = tmp_path / "released", tmp_path / "here"
    for copy in (released, here):
        shutil.copytree(ROOT / "protos", copy / "protos")
        shutil.copy(ROOT / "buf.yaml", copy)
    text = (here / file).read_text()
    assert old in text
    (here / file).write_text(text.replace(old, new))
    return subprocess.run(
        [BUF, "breaking", "--against", released],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        (BID, CAMPAIGN, "string campaign = 3", 'from "campaign_id" to "campaign"'),
        (BID, AUDIENCE, "", 'field "4" with name "audience_id"'),
        (BID, CAMPAIGN, "bytes campaign_id = 3", "changed type"),
        (BID, CAMPAIGN, "string campaign_id = 33", 'field "3" with name "campaign_id"'),
        (BID, "BID_STATUS_EXPIRED = 4", "BID_STATUS_TIMED_OUT = 4", "BID_STATUS_TIMED_OUT"),
        (ERRORS, "ERROR_REASON_NO_BID", "ERROR_REASON_NOT_BID", "ERROR_REASON_NOT_BID"),
        (ADS, "rpc PauseCampaign(", "rpc HoldCampaign(", "PauseCampaign"),
    ],
    ids=["renamed", "removed", "retyped", "renumbered", "status", "reason", "rpc"],
)
def test_what_breaks_a_caller_fails(
    tmp_path: Path, file: str, old: str, new: str, complaint: str
) -> None:
    compared = against_release(tmp_path, file, old, new)
    assert compared.returncode != 0
    assert complaint in compared.stdout


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (BID, AUDIENCE, f"{AUDIENCE}\n  // New.\n  string added = 4711;"),
        (BID, "BID_STATUS_EXPIRED = 4;", "BID_STATUS_EXPIRED = 4;\n  BID_STATUS_ADDED = 4711;"),
        (BID, "// What became of a bid.", "// What became of a bid, in other words."),
    ],
    ids=["field", "value", "comment"],
)
def test_what_a_caller_can_ignore_passes(tmp_path: Path, file: str, old: str, new: str) -> None:
    compared = against_release(tmp_path, file, old, new)
    assert compared.returncode == 0, compared.stdout
