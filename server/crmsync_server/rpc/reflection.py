"""Reflection under both of its names, so that older and newer tools list and describe services.

The library has v1alpha only. v1 has the same messages, so the same servicer answers both. The
details of errors are described too: no method names them, and tools would show them as raw bytes.
"""

from collections.abc import Sequence

import grpc
import grpc.aio
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # it ships no types
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def serve_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Describe these services, by their full names, and reflection itself."""
    names = (*services, V1ALPHA, V1)
    servicer = reflection.aio.ReflectionServicer(  # type: ignore[attr-defined]  # not in its stubs
        names, pool=_pool(services)
    )
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, methods) for name in (V1ALPHA, V1)]
    )


def _pool(services: Sequence[str]) -> DescriptorPool:
    """Return a pool of its own: the process's own one knows no v1, and is left as it is."""
    pool = DescriptorPool()
    known = descriptor_pool.Default()
    added: set[str] = set()
    for name in (*services, V1ALPHA):
        _add(pool, known.FindFileContainingSymbol(name), added)
    _add(pool, error_details_pb2.DESCRIPTOR, added)
    pool.AddSerializedFile(_v1().SerializeToString())
    return pool


def _add(pool: DescriptorPool, file: FileDescriptor, added: set[str]) -> None:
    if file.name in added:
        return
    added.add(file.name)
    for dependency in file.dependencies:
        _add(pool, dependency, added)
    pool.AddSerializedFile(file.serialized_pb)


def _v1() -> FileDescriptorProto:
    alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    told = text_format.MessageToString(alpha)
    return text_format.Parse(told.replace("v1alpha", "v1"), FileDescriptorProto())
