"""The serializations whose bodies are read, by their numbers."""

from __future__ import annotations

from plait_protocol_dubbo.form import Form
from plait_protocol_dubbo.frame import FASTJSON, FASTJSON2, GSON, HESSIAN2, NATIVE_HESSIAN, PROTOBUF_JSON
from plait_protocol_dubbo.hessian_form import HessianForm
from plait_protocol_dubbo.json_form import JsonForm
from plait_protocol_dubbo.jsonb_form import JsonbForm

HESSIAN = HessianForm()
_JSON = JsonForm()

FORMS: dict[int, Form] = {
    HESSIAN2: HESSIAN,
    NATIVE_HESSIAN: HESSIAN,
    FASTJSON2: JsonbForm(),
    FASTJSON: _JSON,
    GSON: _JSON,
    PROTOBUF_JSON: _JSON,
}
