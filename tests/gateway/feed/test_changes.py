"""What subscribers are told of committed rows: shapes, order, filters, who sees what."""

from __future__ import annotations

import re

import pytest

from agent_worker.gateway.realtime.binding import BindingRefused
from agent_worker.gateway.realtime.changes import Changes
from tests.gateway.feed.conftest import Sql, flowing
from tests.gateway.feed.ears import Ear, anon, binding, service, user


async def follow(changes: Changes, ear: Ear, *bindings: object) -> Ear:
    await changes.add(ear, bindings or (binding(),))  # type: ignore[arg-type]
    return ear


async def test_an_insert_an_update_and_a_delete_have_the_shapes_that_clients_know(
    changes: Changes, owner: Sql
) -> None:
    ear = await follow(changes, Ear(service()), binding("news"))
    owner.run("INSERT INTO news VALUES (1, 'one', NULL)")
    owner.run("UPDATE news SET body = 'two' WHERE id = 1")
    owner.run("DELETE FROM news")
    inserted, updated, deleted = await ear.heard(3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", inserted.pop("commit_timestamp"))
    columns = [
        {"name": "id", "type": "int4"},
        {"name": "body", "type": "text"},
        {"name": "big", "type": "text"},
    ]
    assert inserted == {
        "schema": "public",
        "table": "news",
        "type": "INSERT",
        "columns": columns,
        "record": {"id": 1, "body": "one", "big": None},
        "errors": None,
    }
    assert (updated["type"], updated["record"]["body"], updated["old_record"]) == ("UPDATE", "two", {"id": 1})
    assert deleted["type"] == "DELETE"
    assert deleted["old_record"] == {"id": 1}
    assert "record" not in deleted
    assert deleted["columns"] == columns


async def test_a_row_is_told_to_its_owner_and_to_no_other_user(changes: Changes, owner: Sql) -> None:
    mine, theirs = Ear(user()), Ear(user())
    await follow(changes, mine)
    await follow(changes, theirs)
    for number in range(20):
        owner.run("INSERT INTO notes (id, owner) VALUES (%s, %s)", number, mine.caller.user_id)
        owner.run("UPDATE notes SET body = 'x' WHERE id = %s", number)
    owner.run("INSERT INTO notes (id, owner) VALUES (100, %s)", theirs.caller.user_id)
    await mine.heard(40)
    assert [change["record"]["id"] for change in await theirs.heard(1)] == [100]
    assert {change["record"]["owner"] for change in mine.data} == {str(mine.caller.user_id)}


async def test_columns_that_a_role_may_not_read_are_not_told_to_it(changes: Changes, owner: Sql) -> None:
    mine, all_seeing = Ear(user()), Ear(service())
    await follow(changes, mine)
    await follow(changes, all_seeing)
    owner.run("INSERT INTO notes (id, owner, hidden) VALUES (1, %s, 'secret')", mine.caller.user_id)
    (seen,) = await mine.heard(1)
    assert "hidden" not in seen["record"]
    assert "hidden" not in [column["name"] for column in seen["columns"]]
    assert (await all_seeing.heard(1))[0]["record"]["hidden"] == "secret"


async def test_a_visitor_without_rights_is_told_no_value(changes: Changes, owner: Sql) -> None:
    ear = await follow(changes, Ear(anon()))
    owner.run("INSERT INTO notes (id, body) VALUES (1, 'secret')")
    owner.run("DELETE FROM notes")
    inserted, deleted = await ear.heard(2)
    assert inserted["errors"] == ["Error 401: Unauthorized"]
    assert (inserted["record"], inserted["columns"]) == ({}, [])
    assert deleted["old_record"] == {}


async def test_a_delete_is_told_to_everybody_by_its_key_alone(changes: Changes, owner: Sql) -> None:
    owner.run("ALTER TABLE notes REPLICA IDENTITY FULL")
    owner.run("INSERT INTO notes (id, owner, body) VALUES (1, %s, 'secret')", user().user_id)
    stranger = await follow(changes, Ear(user()))
    owner.run("DELETE FROM notes")
    (deleted,) = await stranger.heard(1)
    assert deleted["old_record"] == {"id": 1}


async def test_a_row_that_moves_to_another_owner_does_not_take_its_past_along(
    changes: Changes, owner: Sql
) -> None:
    owner.run("ALTER TABLE notes REPLICA IDENTITY FULL")
    before, after = Ear(user()), Ear(user())
    await follow(changes, before)
    await follow(changes, after)
    owner.run("INSERT INTO notes (id, owner, body) VALUES (1, %s, 'past')", before.caller.user_id)
    await before.heard(1)
    owner.run("UPDATE notes SET owner = %s, body = 'now'", after.caller.user_id)
    (told,) = await after.heard(1)
    assert told["old_record"] == {"id": 1}
    assert len(before.data) == 1


async def test_the_whole_old_row_is_told_where_everybody_sees_everything(
    changes: Changes, owner: Sql
) -> None:
    owner.run("ALTER TABLE news REPLICA IDENTITY FULL")
    owner.run("INSERT INTO news VALUES (1, 'one', NULL)")
    ear = await follow(changes, Ear(anon()), binding("news", event="UPDATE"))
    owner.run("UPDATE news SET body = 'two'")
    (told,) = await ear.heard(1)
    assert told["old_record"] == {"id": 1, "body": "one", "big": None}


async def test_a_table_without_a_key_is_told_as_an_error(changes: Changes, owner: Sql) -> None:
    owner.run("CREATE TABLE loose (body text); GRANT SELECT ON loose TO anon")
    owner.run("ALTER PUBLICATION supabase_realtime ADD TABLE loose")
    ear = await follow(changes, Ear(anon()), binding("loose"))
    owner.run("INSERT INTO loose VALUES ('x')")
    (told,) = await ear.heard(1)
    assert (told["errors"], told["record"]) == (["Error 400: Bad Request, no primary key"], {})


async def test_a_row_above_a_megabyte_comes_without_its_long_values(changes: Changes, owner: Sql) -> None:
    ear = await follow(changes, Ear(anon()), binding("news"))
    owner.run("INSERT INTO news VALUES (1, 'short', repeat('x', 1100000))")
    (told,) = await ear.heard(1)
    assert told["errors"] == ["Error 413: Payload Too Large"]
    assert told["record"] == {"id": 1, "body": "short"}


async def test_the_limit_of_a_row_can_be_raised(owner: Sql) -> None:
    async with flowing(owner.url, most_record_bytes=4_000_000) as changes:
        ear = await follow(changes, Ear(anon()), binding("news"))
        owner.run("INSERT INTO news VALUES (1, 'short', repeat('x', 1100000))")
        (told,) = await ear.heard(1)
    assert len(told["record"]["big"]) == 1_100_000


async def test_a_long_value_that_an_update_left_alone_is_absent(changes: Changes, owner: Sql) -> None:
    owner.run("ALTER TABLE news ALTER big SET STORAGE EXTERNAL")
    owner.run("INSERT INTO news VALUES (1, 'one', repeat('x', 10000))")
    ear = await follow(changes, Ear(anon()), binding("news", event="UPDATE"))
    filtered = await follow(changes, Ear(anon()), binding("news", event="UPDATE", filter="big=neq.x"))
    owner.run("UPDATE news SET body = 'two'")
    owner.run("UPDATE news SET big = 'short'")
    told, _ = await ear.heard(2)
    assert told["record"] == {"id": 1, "body": "two"}
    assert told["errors"] is None
    await filtered.heard(1)
    assert filtered.records("big") == ["short"]


async def test_selected_columns_come_with_the_key(changes: Changes, owner: Sql) -> None:
    ear = await follow(changes, Ear(service()), binding(select=("body",)))
    owner.run("INSERT INTO notes (id, body) VALUES (1, 'x')")
    (told,) = await ear.heard(1)
    assert told["record"] == {"id": 1, "body": "x"}
    assert told["columns"] == [{"name": "id", "type": "int4"}, {"name": "body", "type": "text"}]


async def test_one_subscriber_with_several_bindings_is_told_once_with_all_their_ids(
    changes: Changes, owner: Sql
) -> None:
    ear = await follow(
        changes,
        Ear(service()),
        binding(id=5, event="INSERT"),
        binding(id=6, filter="id=eq.2"),
        binding(None, id=7),
        binding("*", schema="*", id=8),
        binding(id=9, event="DELETE"),
    )
    owner.run("INSERT INTO notes (id) VALUES (1), (2)")
    await ear.heard(2)
    assert ear.ids == [[5, 7, 8], [5, 6, 7, 8]]


FILTERS = {
    "id=eq.2": [2],
    "id=neq.2": [1, 3],
    "id=not.eq.2": [1, 3],
    "id=gt.1,id=lt.3": [2],
    "id=in.(1,3)": [1, 3],
    "id=not.in.(1,3)": [2],
    'body=in.("a,b",c)': [1, 3],
    'body=eq."a,b"': [1],
    "body=like.a%": [1, 2],
    "body=ilike.A_B": [1],
    "body=match.^a": [1, 2],
    "body=imatch.^C$": [3],
    "body=gte.b": [3],
    "size=eq.1.50": [1],
    "size=gt.1.5": [2],
    "size=is.null": [3],
    "size=isdistinct.1.5": [2, 3],
    "size=not.isdistinct.1.5": [1],
    "done=is.true": [1],
    "done=eq.yes": [1],
    "done=in.(true,false)": [1, 2],
    "done=lt.true": [2],
    "done=not.is.true": [2, 3],
    "done=is.unknown": [3],
    "at=lt.2026-01-02 01:00:00+01": [1],
    "at=eq.2026-01-02T00:00:00Z": [2],
    "  ": [1, 2, 3],
}


async def test_a_filter_lets_through_what_it_says(changes: Changes, owner: Sql) -> None:
    ears = {written: Ear(service()) for written in FILTERS}
    for written, ear in ears.items():
        await follow(changes, ear, binding(filter=written), binding(filter="id=eq.99"))
    owner.run(
        "INSERT INTO notes (id, body, size, done, at) VALUES (1, 'a,b', 1.5, true, '2026-01-01Z'),"
        " (2, 'abc', 2, false, '2026-01-02Z'), (3, 'c', NULL, NULL, '2026-01-03Z')"
    )
    owner.run("INSERT INTO notes (id, body) VALUES (99, NULL)")
    for ear in ears.values():
        while 99 not in ear.records("id"):
            await ear.heard(len(ear.data) + 1)
    passed = {
        written: [number for number in ear.records("id") if number != 99] for written, ear in ears.items()
    }
    assert passed == FILTERS


async def test_a_deleted_row_passes_a_filter_on_its_key_only(changes: Changes, owner: Sql) -> None:
    owner.run("INSERT INTO notes (id, body) VALUES (1, 'x'), (2, 'x')")
    by_key = await follow(changes, Ear(service()), binding(event="DELETE", filter="id=eq.2"))
    by_body = await follow(changes, Ear(service()), binding(event="DELETE", filter="body=eq.x"))
    everything = await follow(changes, Ear(service()), binding(event="DELETE"))
    owner.run("DELETE FROM notes")
    await everything.heard(2)
    assert [change["old_record"] for change in await by_key.heard(1)] == [{"id": 2}]
    assert by_body.data == []


REFUSED = [
    (binding("missing"), r"Please check Realtime is enabled .*event: \*, schema: public, table: missing"),
    (binding(schema="pg_catalog", table="pg_authid"), "Please check Realtime is enabled"),
    (binding("x'; DROP TABLE notes; --"), "Please check Realtime is enabled"),
    (binding(filter="nope=eq.1"), "invalid column for filter nope"),
    (binding(filter="hidden=eq.1"), "invalid column for filter hidden"),
    (binding(filter="id=eq.one"), 'invalid input syntax for type integer: "one"'),
    (binding(filter="id=eq.1); DROP TABLE notes; --"), "invalid input syntax"),
    (binding(filter="id=like.1"), "operator like is not supported on column id of type integer"),
    (binding(filter="body=match.("), "invalid regular expression"),
    (binding(filter="id=in.1,2"), "must be wrapped by parentheses"),
    (binding(filter=f"id=in.({','.join(map(str, range(101)))})"), "Maximum 100"),
    (binding(filter="id=foo.1"), r'Error parsing `filter` params: \["foo", "1"\]'),
    (binding(filter="undefined"), r'Error parsing `filter` params: \["undefined"\]'),
    (binding(filter="id=eq.1,,id=eq.2"), "empty segments"),
    (binding(filter="body=is.true"), "requires a boolean column"),
    (binding(select=("nope",)), "invalid column for select nope"),
    (binding("*", select=("id",)), "not supported for wildcard"),
    (binding(filter="body=eq.\0"), "cannot store"),
    (binding(filter="body=eq.\ud800"), "cannot store"),
    (binding("\ud800"), "Please check Realtime is enabled"),
]


async def test_a_binding_that_cannot_be_served_is_refused_in_upstreams_words(
    changes: Changes, owner: Sql
) -> None:
    ear = Ear(user())
    for asked, words in REFUSED:
        with pytest.raises(BindingRefused, match=words):
            await follow(changes, ear, binding("news"), asked)
    owner.run("INSERT INTO news VALUES (1)")
    probe = await follow(changes, Ear(anon()), binding("news"))
    owner.run("INSERT INTO news VALUES (2)")
    await probe.heard(1)
    assert ear.data == [], "a refused join leaves nothing behind"


async def test_changes_arrive_in_the_order_of_their_commits(changes: Changes, owner: Sql) -> None:
    ear = await follow(changes, Ear(service()))
    owner.run("INSERT INTO notes (id, size) SELECT n, 0 FROM generate_series(1, 10) n")
    for number in range(1, 300):
        owner.run("UPDATE notes SET size = %s WHERE id = %s", number, number % 10 + 1)
    await ear.heard(309)
    assert ear.records("size")[10:] == list(range(1, 300))


async def test_a_refreshed_token_of_another_user_ends_what_the_first_one_saw(
    changes: Changes, owner: Sql
) -> None:
    first, second = user(), user()
    ear = await follow(changes, Ear(first))
    owner.run("INSERT INTO notes (id, owner) VALUES (1, %s)", first.user_id)
    await ear.heard(1)
    ear.caller = second
    owner.run("INSERT INTO notes (id, owner) VALUES (2, %s)", first.user_id)
    owner.run("INSERT INTO notes (id, owner) VALUES (3, %s)", second.user_id)
    await ear.heard(2)
    assert ear.records("id") == [1, 3]


async def test_nothing_is_told_after_a_subscriber_left(changes: Changes, owner: Sql) -> None:
    leaving, staying = await follow(changes, Ear(service())), await follow(changes, Ear(service()))
    owner.run("INSERT INTO notes (id) VALUES (1)")
    await leaving.heard(1)
    changes.remove(leaving)
    changes.remove(leaving)
    owner.run("INSERT INTO notes (id) VALUES (2)")
    await staying.heard(2)
    assert len(leaving.data) == 1


async def test_a_user_whose_claims_break_a_policy_harms_nobody(changes: Changes, owner: Sql) -> None:
    broken, fine = Ear(user("auth0|no-uuid")), Ear(user())
    await follow(changes, broken)
    await follow(changes, fine)
    owner.run("INSERT INTO notes (id, owner) VALUES (1, %s)", fine.caller.user_id)
    await fine.heard(1)
    assert broken.data == []


async def test_policies_may_call_functions_that_need_the_usual_search_path(
    changes: Changes, owner: Sql
) -> None:
    owner.run("CREATE TABLE members (id uuid PRIMARY KEY); GRANT SELECT ON members TO authenticated")
    owner.run(
        "CREATE FUNCTION is_member() RETURNS boolean LANGUAGE sql STABLE AS"
        " $$ SELECT EXISTS (SELECT FROM members WHERE id = auth.uid()) $$"
    )
    owner.run("CREATE POLICY members ON notes FOR SELECT TO authenticated USING (is_member())")
    member, stranger = Ear(user()), Ear(user())
    owner.run("INSERT INTO members VALUES (%s)", member.caller.user_id)
    await follow(changes, member)
    await follow(changes, stranger)
    owner.run("INSERT INTO notes (id) VALUES (1)")
    await member.heard(1)
    assert stranger.data == []


async def test_a_policy_or_a_right_that_changes_counts_from_the_next_change_on(
    changes: Changes, owner: Sql
) -> None:
    ear = await follow(changes, Ear(anon()), binding("news"))
    owner.run("INSERT INTO news VALUES (1, 'open')")
    await ear.heard(1)
    owner.run("REVOKE SELECT ON news FROM anon; GRANT SELECT (id) ON news TO anon")
    owner.run("INSERT INTO news VALUES (2, 'secret')")
    await ear.heard(2)
    owner.run("ALTER TABLE news ENABLE ROW LEVEL SECURITY")
    owner.run("INSERT INTO news VALUES (3, 'secret')")
    owner.run("CREATE POLICY everything ON news FOR SELECT TO anon USING (id > 3)")
    owner.run("INSERT INTO news VALUES (4, 'secret')")
    await ear.heard(3)
    assert [change["record"] for change in ear.data] == [
        {"id": 1, "body": "open", "big": None},
        {"id": 2},
        {"id": 4},
    ]


async def test_a_table_is_followed_by_a_wildcard_once_it_is_published(changes: Changes, owner: Sql) -> None:
    ear = await follow(changes, Ear(service()), binding("*"))
    owner.run("CREATE TABLE later (id integer PRIMARY KEY); GRANT SELECT ON later TO service_role")
    owner.run("INSERT INTO later VALUES (1)")
    owner.run("ALTER PUBLICATION supabase_realtime ADD TABLE later")
    owner.run("INSERT INTO later VALUES (2)")
    owner.run("ALTER PUBLICATION supabase_realtime DROP TABLE later")
    owner.run("INSERT INTO later VALUES (3)")
    owner.run("INSERT INTO news VALUES (1)")
    await ear.heard(2)
    assert [(change["table"], change["record"]["id"]) for change in ear.data] == [("later", 2), ("news", 1)]


async def test_a_key_of_several_columns_and_odd_names_is_checked(changes: Changes, owner: Sql) -> None:
    owner.run(
        'CREATE TABLE "Odd ""Name" ("a b" text, "C\'" timestamptz, owner uuid, PRIMARY KEY ("a b", "C\'"));'
        ' ALTER TABLE "Odd ""Name" ENABLE ROW LEVEL SECURITY; GRANT SELECT ON "Odd ""Name" TO authenticated;'
        ' CREATE POLICY mine ON "Odd ""Name" FOR SELECT TO authenticated USING (owner = (SELECT auth.uid()));'
        ' ALTER PUBLICATION supabase_realtime ADD TABLE "Odd ""Name"'
    )
    mine, theirs = Ear(user()), Ear(user())
    await follow(changes, mine, binding('Odd "Name'))
    await follow(changes, theirs, binding('Odd "Name'))
    key = 'it\'s {"a"},\\'
    owner.run(
        'INSERT INTO "Odd ""Name" VALUES (%s, \'2026-01-01 12:00:00.5+02\', %s)', key, mine.caller.user_id
    )
    (told,) = await mine.heard(1)
    assert told["record"]["a b"] == key
    assert told["record"]["C'"] == "2026-01-01T10:00:00.5+00:00"
    assert theirs.data == []
