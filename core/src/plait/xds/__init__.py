"""The config store, its sources, and the one translation from Envoy's protobufs to the frozen model."""

from plait.xds.document import Document, MappingNode, Node, ScalarNode, SequenceNode, read_file

__all__ = ["Document", "MappingNode", "Node", "ScalarNode", "SequenceNode", "read_file"]
