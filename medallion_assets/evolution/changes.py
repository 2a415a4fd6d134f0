"""What changed between two shapes of a table: what each change means, what it costs, and what must be decided.

Belongs here: the decisions about changes of a shape. Does not belong here: where the shapes come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from medallion_assets.contracts.model import Contract
from medallion_assets.evolution.shape import ColumnShape, TableShape
from medallion_assets.lake.schema import holds, may_become

Kind = Literal[
    "new table",
    "no contract",
    "other name",
    "add",
    "widen",
    "narrow",
    "retype",
    "rename",
    "retire",
    "remove",
    "source",
    "default",
    "required",
    "optional",
    "drop",
    "keep",
    "partition",
    "key",
    "freeze",
    "evolve",
    "items",
]
Cost = Literal["nothing", "metadata", "fill", "rebuild"]

MEANINGS: Final[Mapping[Kind, str]] = {
    "new table": "Its first change creates the table.",
    "no contract": "The table stays as it is, and gets no changes any more.",
    "other name": "A new, empty table would get the changes, and the old one none any more.",
    "add": "The column is null where an item has no such attribute.",
    "widen": "Old rows are read as the wider type.",
    "narrow": "Iceberg cannot make a type narrower.",
    "retype": "Iceberg cannot read old values as the other type.",
    "rename": "The column keeps its values under the new name.",
    "retire": "The column leaves the table; older snapshots keep it. Its attribute is dropped.",
    "remove": "The column stays, null in new rows, and the attribute of old rows is in no column.",
    "source": "Rows that were not written since have the value of the other attribute.",
    "default": "Rows without a value get the default only when they are made again.",
    "required": "A change without a value goes to quarantine; the table's rows stay.",
    "optional": "The column may be null.",
    "drop": "The attribute leaves _extra.",
    "keep": "The attribute is in _extra of rows that are written from now on.",
    "partition": "The files of the table are laid out otherwise.",
    "key": "Rows are told apart by other columns.",
    "freeze": "A change with an attribute that is not declared goes to quarantine.",
    "evolve": "Attributes that are not declared are kept in _extra.",
    "items": "Other items have a row from now on; the rows of earlier changes stay.",
}


@dataclass(frozen=True)
class Change:
    """One change of a table's shape.

    - column: what changed: a column, an attribute, or nothing for the table itself
    - before, after: its type, name or layout; empty if there is none
    - needs: what must be decided or done before the change is allowed; empty if nothing
    """

    table: str
    kind: Kind
    column: str
    before: str
    after: str
    cost: Cost
    needs: str = ""

    @property
    def meaning(self) -> str:
        """What becomes of the table."""
        return MEANINGS[self.kind]


def new_table(name: str) -> Change:
    """Return the change of a table that gets a contract."""
    return Change(name, "new table", "", "", "", "nothing")


def no_contract(name: str) -> Change:
    """Return the change of a table whose contract is gone."""
    return Change(name, "no contract", "", "", "", "nothing", "Put the contract back, or agree that the table ends.")


def other_name(before: str, after: str) -> Change:
    """Return the change of a table that is called otherwise in the lake."""
    return Change(after, "other name", "", before, after, "rebuild", f"Keep `name: {before}`.")


def compare(name: str, before: TableShape, after: TableShape, contract: Contract) -> list[Change]:
    """Return the changes of a table from one shape to another, which `contract` declares."""
    return [
        *_column_changes(name, before, after, contract),
        *_attribute_changes(name, before, after),
        *_layout_changes(name, before, after),
    ]


def _rebuild(table: str) -> str:
    return f"Run `medallion rebuild silver.{table}`."


def _column_changes(table: str, before: TableShape, after: TableShape, contract: Contract) -> Iterator[Change]:
    renamed = {one.name: one.renamed_from for one in contract.columns.values() if one.renamed_from}
    retired = {column.name for column in contract.retired.values()}
    gone = {name: column for name, column in before.columns.items() if name not in after.columns}
    for name, column in after.columns.items():
        earlier = before.columns.get(name)
        if earlier is None:
            undecided = {one: shape for one, shape in gone.items() if one not in retired}
            old, decided = _earlier_name(name, column, undecided, renamed)
            earlier = gone.pop(old) if old is not None else None
            if old is not None:
                needs = "" if decided else f"Say `renamed_from: {old}` in the column."
                yield Change(table, "rename", name, old, name, "metadata", needs)
        if earlier is None:
            yield _added(table, name, column, before)
        else:
            said = contract.by_name[name].retyped_from if name in contract.by_name else None
            # What a word agrees to is still to be done in a running lake.
            agreed = said is not None and str(said) == earlier.text and before.rows is None
            yield from _changed(table, name, earlier, column, agreed=agreed)
    for name, column in gone.items():
        if name in retired:
            yield Change(table, "retire", name, column.text, "", "metadata")
        else:
            needs = "Move the column from `columns` to `retired`."
            yield Change(table, "remove", name, column.text, "", "nothing", needs)


def _earlier_name(
    name: str, column: ColumnShape, gone: Mapping[str, ColumnShape], renamed: Mapping[str, str]
) -> tuple[str | None, bool]:
    """Return what a column was called, and whether the contract says so; None if it is new."""
    if renamed.get(name) in gone:
        return renamed[name], True
    if column.attribute is not None:
        for old, earlier in gone.items():
            if (earlier.attribute, earlier.reading) == (column.attribute, column.reading):
                return old, False
    return None, False


def _added(table: str, name: str, column: ColumnShape, before: TableShape) -> Change:
    """Return the change of a new column. Its values are in `_extra` unless the attribute was read or dropped before."""
    read = {one.attribute for one in before.columns.values()} | (before.dropped or frozenset())
    if column.attribute in read and column.attribute is not None:
        needs = f"Old rows get the values only from Bronze. {_rebuild(table)}"
        return Change(table, "add", name, "", column.text, "rebuild", needs)
    if column.default is not None:
        needs = f"Old rows get the default only when they are made again. {_rebuild(table)}"
        return Change(table, "add", name, "", column.text, "rebuild", needs)
    return Change(table, "add", name, "", column.text, "fill")


def _changed(table: str, name: str, before: ColumnShape, after: ColumnShape, *, agreed: bool) -> Iterator[Change]:
    kind = type_change(before, after)
    if kind == "widen":
        yield Change(table, kind, name, before.text, after.text, "metadata")
    elif kind is not None:
        needs = f"{_rebuild(table)} Agree by `retyped_from: {before.text}`, or declare it under another name: `rename`."
        needs = "" if agreed else needs
        yield Change(table, kind, name, before.text, after.text, "rebuild", needs)
    if None not in (before.attribute, after.attribute):
        was, now = (f"{one.attribute} {one.reading}".rstrip() for one in (before, after))
        if was != now:
            yield Change(table, "source", name, was, now, "rebuild", _rebuild(table))
    if before.attribute is not None and before.default != after.default:
        was, now = (one.default or "null" for one in (before, after))
        yield Change(table, "default", name, was, now, "rebuild", _rebuild(table))
    if before.required and not after.required:
        yield Change(table, "optional", name, "required", "optional", "metadata")
    elif after.required and not before.required:
        yield Change(table, "required", name, "optional", "required", "nothing")


def type_change(before: ColumnShape, after: ColumnShape) -> Literal["widen", "narrow", "retype"] | None:
    """Return how a column's type changed; None if it did not."""
    if before.text == after.text:
        return None
    if before.stored == after.stored:  # text and json are stored alike, and so are lists and sets
        return None if "struct" in after.text else "retype"
    if holds(before.stored, after.stored):
        return "narrow"  # a struct has a field less
    if may_become(before.stored, after.stored):
        return "widen"
    return "narrow" if may_become(after.stored, before.stored) else "retype"


def _attribute_changes(table: str, before: TableShape, after: TableShape) -> Iterator[Change]:
    """Yield the attributes that are dropped, or kept, and that no column reads or read."""
    if before.dropped is None or after.dropped is None:
        return
    was, is_now = ({one.attribute for one in shape.columns.values()} for shape in (before, after))
    for attribute in sorted(after.dropped - before.dropped):
        if attribute not in was:
            yield Change(table, "drop", attribute, "in _extra", "dropped", "fill")
    for attribute in sorted(before.dropped - after.dropped):
        if attribute not in is_now:
            needs = f"Old rows get it only from Bronze. {_rebuild(table)}"
            yield Change(table, "keep", attribute, "dropped", "in _extra", "rebuild", needs)
    if before.freezes is not None and before.freezes != after.freezes:
        names = {True: "freeze", False: "evolve", None: ""}
        kind: Kind = "freeze" if after.freezes else "evolve"
        yield Change(table, kind, "", names[before.freezes], names[after.freezes], "nothing")


def _layout_changes(table: str, before: TableShape, after: TableShape) -> Iterator[Change]:
    def shown(pairs: tuple[tuple[str, str], ...]) -> str:
        return ", ".join(f"{transform} of {column}" for column, transform in pairs) or "none"

    if before.items is not None and after.items is not None and before.items != after.items:
        yield Change(table, "items", "", before.items, after.items, "rebuild", _rebuild(table))
    if set(before.partition) != set(after.partition):
        yield Change(
            table, "partition", "", shown(before.partition), shown(after.partition), "rebuild", _rebuild(table)
        )
    if before.key and before.key != after.key:
        yield Change(table, "key", "", ", ".join(before.key), ", ".join(after.key), "rebuild", _rebuild(table))
