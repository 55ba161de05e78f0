"""An account's campaigns as `check-config --live` shows them."""

from __future__ import annotations

import pytest

from smartconnectors_server.cli.campaign_table import document_of, print_table
from smartconnectors_server.connector import AccountCampaigns, CampaignFacts

WHY_NOT = f"several active ad sets: {', '.join(str(10**17 + number) for number in range(100))}"
REFUSED = CampaignFacts("1", "Shop", "ACTIVE", "COST_CAP", why_not=WHY_NOT)


def test_that_there_are_more_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("meta eu", AccountCampaigns((REFUSED,), has_more=True))
    assert "meta eu, campaigns: the first 1; there are more" in capsys.readouterr().out


def test_a_refusal_that_names_a_hundred_is_cut_for_people(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table("meta", AccountCampaigns((REFUSED,)))
    printed = capsys.readouterr().out
    assert "refused: several active ad sets: 100000000000000000," in printed
    assert max(map(len, printed.splitlines())) < 200


def test_a_refusal_is_whole_for_scripts() -> None:
    (told,) = document_of(AccountCampaigns((REFUSED,)))["campaigns"]
    assert (told["knobs"], told["why_not"]) == ([], WHY_NOT)


def test_a_name_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    sly = CampaignFacts("1", "\x1b[2JShop\n2  Other", "ACTIVE", "COST_CAP", ("cost_cap",), "all")
    print_table("meta", AccountCampaigns((sly,)))
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert len(printed.splitlines()) == 4, "an empty one, the title, the heading, one campaign"


def test_an_account_without_campaigns_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("meta", AccountCampaigns(()))
    assert capsys.readouterr().out.splitlines()[1:] == ["meta, campaigns: 0", "There are none."]
