"""The config store, its sources, and the one translation from Envoy's protobufs to the frozen model."""
