"""The type of the context that every servicer method is handed."""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import grpc.aio

# The generated servicers name another type for each method; none of it matters to a handler.
# Quoted, for only the stubs know it as generic.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
