"""JSON-RPC 2.0 envelopes, for the protocols that speak it. Knows no method."""

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class RpcError(Exception):
    """A request that cannot be answered, in JSON-RPC's terms."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def success(request_id: Any, result: Any) -> dict[str, Any]:
    """The answer to a request that could be carried out."""
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def failure(request_id: Any, error: RpcError) -> dict[str, Any]:
    """The answer to a request that could not; `request_id` is None when it could not be read."""
    said = {"code": error.code, "message": error.message}
    if error.data is not None:
        said["data"] = error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": said}
