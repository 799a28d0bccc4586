"""The type of the context that every servicer method is handed."""

from typing import Any, TypeAlias

import grpc.aio

# The generated servicers name another type for each method; none of it matters to a handler.
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
