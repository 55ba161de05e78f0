"""What Google says of the account itself. Pure."""

from __future__ import annotations

from smartconnectors_server.connector import AccountFacts
from smartconnectors_server.platforms.google_ads.state import Row, UnreadableRow

ACCOUNT_QUERY = (
    "SELECT customer.id, customer.descriptive_name, customer.currency_code, customer.time_zone "
    "FROM customer"
)


def account_of(row: Row) -> AccountFacts:
    """The account in a row of ACCOUNT_QUERY. Google does not tell which quota it has.

    Raises UnreadableRow.
    """
    customer = row.get("customer")
    if not isinstance(customer, dict):
        raise UnreadableRow("an unreadable row (no account)")
    told = [customer.get(key, "") for key in ("id", "descriptiveName", "currencyCode", "timeZone")]
    account_id, name, currency_code, time_zone = map(str, told)
    if not account_id or not currency_code:
        raise UnreadableRow("an unreadable row (an account without id or currency)")
    return AccountFacts(account_id, name, currency_code, time_zone)
