"""Smart connectors: an ad-bidding service that cannot overspend. `app.py` puts it together."""
