"""What a registry plugin implements: services and their instances, watched and (where it can) registered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import attrs

from plait.api.config import Address


@attrs.frozen
class Service:
    """A service of a registry; ``name``, ``version`` and ``group`` together are its key."""

    name: str
    version: str = ""
    group: str = ""
    protocol: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict, hash=False)

    @property
    def key(self) -> str:
        """The name of the cluster that the service becomes: ``name[:version[:group]]``."""
        return ":".join((self.name, self.version, self.group)).rstrip(":")


@attrs.frozen
class Instance:
    """One place where a service answers."""

    address: Address
    weight: int = 1
    healthy: bool = True
    zone: str = ""
    metadata: Mapping[str, str] = attrs.field(factory=dict, hash=False)


class RegistrySink(ABC):
    """Where a registry tells what it sees."""

    @abstractmethod
    def update(self, service: Service, instances: Sequence[Instance]) -> None:
        """All instances of ``service`` as of now (level, not delta)."""

    @abstractmethod
    def remove(self, service: Service) -> None:
        """The service was really deleted: never call it because the registry cannot be reached."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """The registry cannot be read now; what was told stays in force."""


class Registry(ABC):
    """A connection to a registry."""

    @abstractmethod
    async def watch(self, sink: RegistrySink) -> None:
        """Tell ``sink`` everything there is, then every change, until cancelled. The first full picture comes first."""

    async def register(self, service: Service, instance: Instance) -> None:
        """Offer an instance; it lasts until ``deregister`` or until this object is closed."""
        raise self.unsupported("register")

    async def deregister(self, service: Service, instance: Instance) -> None:
        """Withdraw an instance that was registered here."""
        raise self.unsupported("deregister")

    async def close(self) -> None:
        """Withdraw what was registered and let go of connections."""

    def unsupported(self, what: str) -> Exception:
        """The error of a registry that cannot do ``what``."""
        from plait.api.errors import PlaitError

        return PlaitError(f"{type(self).__name__} cannot {what}")
