"""How an operation runs: cost limits, batch loading and keyset pagination."""
