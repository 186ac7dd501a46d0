"""A YAML or JSON file of services and instances as a registry: watched, and written by ``register``.

``document`` reads the text, ``writing`` puts it back, ``registry`` watches. This module only says that they exist, so
that loading the plugin costs nothing.
"""

import attrs

import plait


@attrs.frozen
class FileSettings:
    """Settings of ``plait.registries.file``. A file whose name ends in .yaml or .yml is YAML, any other JSON."""

    path: str
    poll_interval_s: float = 1.0


def _registry(settings: FileSettings) -> plait.Registry:
    from plait_registry_file.registry import FileRegistry

    return FileRegistry(settings.path, settings.poll_interval_s)


@plait.hookimpl
def plait_registries() -> list[plait.RegistryType]:
    return [plait.RegistryType("plait.registries.file", FileSettings, _registry, can=frozenset({"register"}))]
