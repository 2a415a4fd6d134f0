"""`ingest.yaml` of a domain: who may use which verb on which table, and the attribute that counts an item's writes.

Belongs here: reading that file, and the one question it answers. What it does not allow is denied. Does not belong
here: who a caller is, which an authorizer in front of the function finds out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from medallion_assets.contracts.loader import Domain, load_yaml
from medallion_assets.contracts.model import Strict
from medallion_assets.errors import ContractError

FILE: Final = "ingest.yaml"

Verb = Literal["get", "list", "post", "put", "patch", "delete"]
Claims = Mapping[str, Any]
"""What the authorizer says of the caller: the claims of a token, or the context of a Lambda authorizer."""


class Allowed(Strict):
    """Callers with one value of one claim may use some verbs on some tables."""

    claim: str = Field(min_length=1, description="A claim of the token, such as cognito:groups or scope.")
    value: str = Field(min_length=1, description="Its value; of cognito:groups and scope, one of its values.")
    tables: tuple[str, ...] = Field(min_length=1, description="Lake names of tables.")
    verbs: tuple[Verb, ...] = Field(min_length=1, description="get, list, post, put, patch, delete.")


class Policy(Strict):
    """The whole file."""

    version_attribute: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        description="The attribute in which the number of an item's writes is kept; its ETag is this number."
    )
    allow: tuple[Allowed, ...] = Field(description="Everything that is allowed; all else is denied.")
    inbox: tuple[str, ...] = Field(default=(), description="Lake names of tables that the inbound queue may write.")

    def allows(self, claims: Claims, verb: Verb, table: str) -> bool:
        """Return whether a caller with these claims may use the verb on the table."""
        return any(
            table in one.tables and verb in one.verbs and one.value in values_of(one.claim, claims.get(one.claim))
            for one in self.allow
        )

    @property
    def tables(self) -> frozenset[str]:
        """The lake names of all tables that somebody may use."""
        return frozenset(self.inbox).union(*(one.tables for one in self.allow))


def load_policy(domain: Domain) -> Policy:
    """Return the policy of a domain. Raises ContractError if it has none, and naming the file for each mistake."""
    path = domain.folder / FILE
    if not path.is_file():
        raise ContractError(f"{path}: no such file; it says who may write, so without it nobody may")
    policy = load_yaml(Policy, path)
    mistakes = [f"{path}: {text}" for text in _mistakes(policy, domain)]
    if mistakes:
        raise ContractError("\n".join(mistakes))
    return policy


def values_of(claim: str, found: Any) -> Sequence[str]:
    """Return the values of a claim.

    An HTTP API gives the list of a token's groups as one text, `[a b]`; OAuth's scopes are one text by definition. Any
    other text is one value, because it may be one that the caller chose.
    """
    if isinstance(found, list | tuple):
        return [str(one) for one in found]
    if not isinstance(found, str):
        return []
    if claim == "cognito:groups" and found.startswith("[") and found.endswith("]"):
        return found[1:-1].split()
    return found.split() if claim == "scope" else [found]


def _mistakes(policy: Policy, domain: Domain) -> list[str]:
    known = domain.by_name
    mistakes = [
        f"no table {name!r}; expected one of {', '.join(sorted(known))}" for name in sorted(policy.tables - set(known))
    ]
    version = policy.version_attribute
    for name in sorted(policy.tables & set(known)):
        contract = known[name]
        column = contract.attributes.get(version)
        if version in (contract.key.hash, contract.key.range):
            mistakes.append(f"version_attribute: {version!r} is of the key of {name}; expected another attribute")
        elif column is not None and not all(one.is_usual and one.type.kind in {"int", "bigint"} for one in column):
            mistakes.append(f"version_attribute: {version!r} is {column[0].expected} in {name}; expected bigint")
        elif contract.shape == "freeze" and column is None and version not in contract.dropped:
            mistakes.append(f"version_attribute: {name} has shape freeze; add {version!r} to its `drop` or columns")
    return mistakes
