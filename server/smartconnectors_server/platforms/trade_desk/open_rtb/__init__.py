"""An OpenRTB 2.5 bid response for a bid request: pure, from JSON to JSON.

`request` reads the auction, `rules` are those of the whole auction and of a price, `banner`,
`video` and `native` fit a creative into an impression, `secure` finds what is loaded by plain http,
`notices` makes the URLs, `author` puts it together.
"""

from __future__ import annotations

from smartconnectors_server.platforms.trade_desk.open_rtb.author import (
    Ask,
    Authored,
    author,
    too_late,
)
from smartconnectors_server.platforms.trade_desk.open_rtb.offer import Offer
from smartconnectors_server.platforms.trade_desk.open_rtb.request import auction_target

__all__ = ["Ask", "Authored", "Offer", "auction_target", "author", "too_late"]
