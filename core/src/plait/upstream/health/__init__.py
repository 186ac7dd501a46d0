"""Active health checks: which hosts of a cluster are well, as they say themselves when asked."""

from plait.upstream.health.checker import HealthChecker

__all__ = ["HealthChecker"]
