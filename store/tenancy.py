"""A store as one tenant sees it: a hidden root label stands before its namespaces. Added and removed here only.

The default tenant's items have no label, so what was stored before there were tenants stays where it is.
"""

from collections.abc import Callable, Iterable
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)

from config.errors import BadRequest

# No namespace a caller names begins with it; a dot would part labels, so none is in a label.
MARK = "@tenant:"
Namespace = tuple[str, ...]


class ReservedLabel(BadRequest, ValueError):
    """A namespace's first label looks like a tenant's."""

    shown_to_clients = True
    default_detail = f'A namespace cannot begin with "{MARK}".'


def label_of(tenant: str) -> str:
    """The tenant's root label; "" for the default tenant, which has none."""
    return f"{MARK}{tenant.replace('%', '%25').replace('.', '%2E')}" if tenant else ""


class TenantStore(BaseStore):
    """A view of `inner` that has only the tenant's items, under the namespaces the tenant gave them."""

    def __init__(self, inner: BaseStore, tenant: str) -> None:
        self.inner = inner
        self.root: Namespace = (label_of(tenant),) if tenant else ()
        self.supports_ttl, self.ttl_config = inner.supports_ttl, inner.ttl_config

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As the inner store does. Raises ReservedLabel and whatever that raises."""
        given = list(ops)
        return self._shown(given, self.inner.batch([self._inside(op) for op in given]))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As the inner store does. Raises ReservedLabel and whatever that raises."""
        given = list(ops)
        return self._shown(given, await self.inner.abatch([self._inside(op) for op in given]))

    def _inside(self, op: Op) -> Op:
        """The operation as the inner store knows it. Raises ReservedLabel."""
        if isinstance(op, GetOp | PutOp):
            return op._replace(namespace=self._rooted(op.namespace))
        if isinstance(op, SearchOp):
            return op._replace(namespace_prefix=self._rooted(op.namespace_prefix))
        if isinstance(op, ListNamespacesOp):
            depth = None if op.max_depth is None else op.max_depth + len(self.root)
            return op._replace(match_conditions=self._rooted_conditions(op), max_depth=depth)
        raise TypeError(f"{type(op).__name__} is no operation of a store")

    def _rooted(self, namespace: Namespace) -> Namespace:
        refuse_reserved(namespace)
        return (*self.root, *namespace)

    def _rooted_conditions(self, op: ListNamespacesOp) -> tuple[MatchCondition, ...] | None:
        """Below the root, whatever else is asked for."""
        given = op.match_conditions or ()
        rooted = [
            MatchCondition("prefix", self._rooted(one.path)) if one.match_type == "prefix" else one for one in given
        ]
        if self.root and not any(one.match_type == "prefix" for one in rooted):
            rooted.append(MatchCondition("prefix", self.root))
        return tuple(rooted) or None

    def _shown(self, ops: list[Op], results: list[Result]) -> list[Result]:
        return [self._outside(op, result) for op, result in zip(ops, results, strict=True)]

    def _outside(self, op: Op, result: Any) -> Any:
        """What the inner store answered, without the root; nothing of another tenant's where there is none."""
        if isinstance(op, SearchOp):
            return [self._bared(item) for item in result if self._is_ours(item.namespace)]
        if isinstance(op, ListNamespacesOp):
            # A suffix may end in the root itself; below it there is nothing left to show.
            return [space[len(self.root) :] for space in result if self._is_ours(space) and space != self.root]
        return None if result is None else self._bared(result)

    def _is_ours(self, namespace: Namespace) -> bool:
        return namespace[: len(self.root)] == self.root if self.root else not is_reserved(namespace)

    def _bared(self, item: Item) -> Item:
        fields = {"value": item.value, "key": item.key, "created_at": item.created_at, "updated_at": item.updated_at}
        make: Callable[..., Item] = Item
        if isinstance(item, SearchItem):
            make, fields["score"] = SearchItem, item.score
        return make(namespace=tuple(item.namespace)[len(self.root) :], **fields)


def is_reserved(namespace: Namespace) -> bool:
    """Whether the namespace is a tenant's."""
    return bool(namespace) and str(namespace[0]).startswith(MARK)


def refuse_reserved(namespace: Namespace) -> None:
    """Raises ReservedLabel."""
    if is_reserved(namespace):
        raise ReservedLabel
