"""Mixer's checks inside Plait's data plane: handlers, instances, rules and adapters."""
