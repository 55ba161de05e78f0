"""Smart connectors: an ad-bidding service that cannot overspend. `core.py` puts it together."""
