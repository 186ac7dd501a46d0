"""Prometheus exposition for Plait under Envoy's stat names."""
