"""A gRPC server with grpcio's own health service: ``grpc_server.py PORT NAME``.

``/shop.Cart/Who`` answers NAME, ``/shop.Cart/Feel`` sets what the service's health is to the status that it is told.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE = "shop.Cart"


def main(port: str, name: str) -> None:
    servicer = health.HealthServicer()
    server = grpc.server(ThreadPoolExecutor(4))

    def who(request: bytes, context: grpc.ServicerContext) -> bytes:
        return name.encode()

    def feel(request: bytes, context: grpc.ServicerContext) -> bytes:
        servicer.set(SERVICE, health_pb2.HealthCheckResponse.ServingStatus.Value(request.decode()))
        return b""

    calls = {"Who": grpc.unary_unary_rpc_method_handler(who), "Feel": grpc.unary_unary_rpc_method_handler(feel)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, calls),))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    servicer.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
