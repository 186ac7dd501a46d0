"""What a process is started with, whoever reads the command line.

``plait.runtime.run(options) -> int`` runs a sidecar and gives its exit code; ``plait.runtime.validate(options)``
provisions everything, runs nothing and gives the frozen ``Bootstrap``. Both raise ConfigErrors and PluginError.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class RunOptions:
    """Envoy's flags of the same names, and Plait's own.

    ``config_yaml`` is merged over the file at ``config_path``; one of them is there. ``concurrency`` 0 runs everything
    in one process. ``mode`` is ``serve`` or ``validate``. ``plugins`` None lets the configuration say which are loaded,
    a tuple composes the process from exactly those; ``no_plugins`` are never loaded. The address of the admin server
    is written to ``admin_address_path`` unless that is empty.
    """

    config_path: str = ""
    config_yaml: str = ""
    concurrency: int = 0
    service_cluster: str = ""
    service_node: str = ""
    log_level: str = "info"
    drain_time_s: float = 600.0
    mode: str = "serve"
    plugins: tuple[str, ...] | None = None
    no_plugins: tuple[str, ...] = ()
    admin_address_path: str = ""
