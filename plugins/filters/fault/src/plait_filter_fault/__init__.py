"""The fault filter for Plait: aborts and delays on purpose."""
