"""Which foreign key an embedded relation means.

As in PostgREST (https://docs.postgrest.org/en/stable/references/api/resource_embedding.html): a relation is named by its
table, by the foreign key's column or by its constraint; a hint tells several keys apart. A table that refers to itself
has two relationships by one key: its name means the rows that refer to this one, the column means the row referred to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent_worker.db.access.catalog import Catalog, ForeignKey, Relation
from agent_worker.db.access.query import Embed
from agent_worker.db.access.refusals import AmbiguousRelationship, NoRelationship, Path


@dataclass(frozen=True, slots=True)
class Link:
    """How rows of one relation are found from a row of another.

    Attributes:
        columns: Pairs of a column here and the column there that has to be equal.
        is_to_one: Whether there is one row at most.
    """

    key: ForeignKey
    target: Relation
    columns: tuple[tuple[str, str], ...]
    is_forward: bool
    is_to_one: bool


def find(catalog: Catalog, origin: Relation, embed: Embed) -> Link:
    """Return the one link that an embedded relation means.

    Raises:
        NoRelationship: No foreign key fits.
        AmbiguousRelationship: Several do.
    """
    found = [link for link in _links(catalog, origin) if _fits(link, embed, _is_self(link, origin))]
    if not found:
        raise NoRelationship(origin.schema, origin.name, embed.relation, embed.hint)
    if len(found) > 1:
        raise AmbiguousRelationship(origin.name, embed.relation, tuple(_path(link, origin) for link in found))
    return found[0]


def _links(catalog: Catalog, origin: Relation) -> Iterator[Link]:
    name = (origin.schema, origin.name)
    for key in catalog.foreign_keys_of.get(name, ()):
        if key.origin == name and (target := catalog.tables.get(key.target)):
            columns = tuple(zip(key.columns, key.target_columns, strict=True))
            yield Link(key, target, columns, is_forward=True, is_to_one=True)
        if key.target == name and (target := catalog.tables.get(key.origin)):
            columns = tuple(zip(key.target_columns, key.columns, strict=True))
            is_unique = frozenset(key.columns) in target.unique_keys
            yield Link(key, target, columns, is_forward=False, is_to_one=is_unique)


def _is_self(link: Link, origin: Relation) -> bool:
    return (link.target.schema, link.target.name) == (origin.schema, origin.name)


def _fits(link: Link, embed: Embed, is_self: bool) -> bool:  # noqa: FBT001 - a fact, not a switch
    by_key = {link.key.constraint, *(link.key.columns if len(link.key.columns) == 1 else ())}
    if embed.hint is not None:
        is_hinted = embed.hint in by_key and embed.relation == link.target.name
        return is_hinted and not (is_self and link.is_forward)
    if is_self:
        return embed.relation in by_key if link.is_forward else embed.relation == link.target.name
    if embed.relation in {link.target.name, link.key.constraint}:
        return True
    return link.is_forward and embed.relation in by_key


def _path(link: Link, origin: Relation) -> Path:
    here, there = zip(*link.columns, strict=True)
    return Path(link.key.constraint, origin.name, here, link.target.name, there, link.is_to_one)
