"""Refuses requests that name no tenant, and tells the filters behind it which one it is."""

import attrs

import plait


@attrs.frozen
class Tenant:
    header: str = "x-tenant"


class TenantFilter(plait.StreamFilter):
    def __init__(self, settings: Tenant) -> None:
        self._header = settings.header

    def on_request(self, stream: plait.Stream) -> plait.Verdict:
        tenant = stream.request.headers.get(self._header)
        if tenant is None:
            return stream.reply(401, "no tenant\n")
        stream.attributes["acme.tenant"] = tenant
        return plait.CONTINUE


@plait.hookimpl
def plait_filters() -> list[plait.FilterType]:
    return [plait.FilterType("acme.filters.tenant", Tenant, TenantFilter)]
