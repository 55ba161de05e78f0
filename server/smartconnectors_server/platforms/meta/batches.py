"""Many bids in Meta's batches, and what is answered to accepted changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.platforms.meta.wire import Change


def rounds_of(changes: Sequence[Change]) -> list[list[int]]:
    """Indexes of the changes, in batches that can be sent one after another: Meta takes no two ad
    sets of one campaign in one batch.
    """
    rounds: list[list[int]] = []
    used: list[set[str]] = []
    for index, change in enumerate(changes):
        for indexes, campaigns in zip(rounds, used, strict=True):
            if change.campaign_id not in campaigns:
                indexes.append(index)
                campaigns.add(change.campaign_id)
                break
        else:
            rounds.append([index])
            used.append({change.campaign_id})
    return rounds


def bid_answer(change: Change, trace_id: str) -> pb.PlaceBidResponse:
    """What the caller is told of a bid that Meta has accepted."""
    planned = change.answer
    assert isinstance(planned, pb.PlaceBidResponse)
    answer = pb.PlaceBidResponse()
    answer.CopyFrom(planned)
    answer.meta.trace_id = trace_id
    return answer


def budget_answer(change: Change) -> pb.UpdateCampaignBudgetResponse:
    """What the caller is told of a budget that Meta has accepted."""
    planned = change.answer
    assert isinstance(planned, pb.UpdateCampaignBudgetResponse)
    answer = pb.UpdateCampaignBudgetResponse()
    answer.CopyFrom(planned)
    return answer
