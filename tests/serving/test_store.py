"""What was acknowledged is there, in both databases alike."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from blemish.errors import BlemishError, ConfigError
from blemish.serving.database import Database, migrate
from blemish.serving.records import Filter
from blemish.serving.store import Store
from blemish.serving.tables import images, metadata, reviews

from .conftest import Add, Clock, png

DAY = 24 * 3600 * 1000
LATER = 10**15


def test_an_inspection_comes_back_as_it_went(store: Store, add: Add) -> None:
    id = add(product="nut", p_value=0.004, category="scratch", image=7)
    found = store.inspection(id)
    assert found.result["source"] == "ö 0.png"  # what the client calls it
    assert found.result["category"] == "scratch"
    assert found.review is None
    upload = store.upload(found.image)
    assert upload.content == png(7)
    assert (upload.media_type, upload.size) == ("image/png", (16, 16))
    assert store.blobs.read(found.anomaly_map) == png(1000)
    assert store.blobs.read(found.mask) == png(2000)
    assert len(id) == 32


def test_one_image_is_stored_once(store: Store, add: Add) -> None:
    one, other = add(image=1), add(image=1)
    assert one < other  # ids are in the order of time
    assert store.inspection(one).image == store.inspection(other).image
    assert len(list(store.blobs)) == 1 + 2 * 2


def test_pages_of_inspections(store: Store, add: Add) -> None:
    ids = [add() for _ in range(7)]
    seen: list[str] = []
    before = None
    while page := store.inspections(before=before, limit=3):
        seen += [one.id for one in page]
        before = seen[-1]
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (Filter(), [0, 1, 2, 3]),
        (Filter(product="bolt"), [2]),
        (Filter(defective=True), [1, 2]),
        (Filter(defective=False), [0, 3]),
        (Filter(category="scratch"), [1]),
        (Filter(product="nut", defective=True), [1]),
        (Filter(reviewed=True), [1]),
        (Filter(reviewed=False), [0, 2, 3]),
        (Filter(model="none"), []),
    ],
)
def test_filters(store: Store, add: Add, only: Filter, expected: list[int]) -> None:
    ids = [
        add(product="nut"),
        add(product="nut", p_value=0.004, category="scratch"),
        add(product="bolt", p_value=0.004),
        add(product="unknown product", p_value=1.0),
    ]
    store.add_review(ids[1], "confirmed")
    assert [one.id for one in store.inspections(only)] == [ids[number] for number in reversed(expected)]


def test_the_queue_begins_with_what_teaches_most(store: Store, add: Add) -> None:
    normal, surer = add(p_value=0.5), add(p_value=0.001, category="scratch")
    unknown, uncertain = add(p_value=0.001, category="unknown defect"), add(p_value=0.02)
    order = [uncertain, unknown, surer, normal]
    assert [one.id for one in store.queue()] == order
    assert [one.id for one in store.queue(limit=2)] == order[:2]
    review = store.add_review(uncertain, "rejected")
    assert [one.id for one in store.queue()] == order[1:]
    store.undo(review.id)
    assert [one.id for one in store.queue()] == order


def test_the_newest_review_that_was_not_taken_back_counts(store: Store, add: Add) -> None:
    id = add(p_value=0.001)
    first = store.add_review(id, "confirmed", category="dent", reviewer="Ö", mask=png(9))
    second = store.add_review(id, "rejected")
    assert store.inspection(id).review == second
    store.undo(second.id)
    assert store.inspection(id).review == first
    assert first.mask is not None
    assert store.blobs.read(first.mask) == png(9)
    with pytest.raises(BlemishError, match="take back"):
        store.undo(second.id)
    assert [one.id for one in store.inspections()] == [id]


def test_reviews_that_make_no_sense(store: Store, add: Add) -> None:
    id = add()
    with pytest.raises(BlemishError, match="no inspection"):
        store.add_review("0" * 32, "confirmed")
    with pytest.raises(ConfigError, match="decision"):
        store.add_review(id, "perhaps")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="neither"):
        store.add_review(id, "rejected", category="dent")


def test_models_are_promoted_and_rolled_back(store: Store, tmp_path: Path) -> None:
    first = store.versions.add_model("line", tmp_path / "1")
    second = store.versions.add_model("line, taught", tmp_path / "2", parent=first.id)
    assert store.versions.models() == (first, second)
    for model in (first, second, first):
        store.versions.promote(model.id)
    assert [model for model, _ in store.versions.promotions()] == [first.id, second.id, first.id]
    with pytest.raises(ConfigError, match="no model"):
        store.versions.promote("x")


def test_tallies(store: Store, add: Add, clock: Clock) -> None:
    early = [add(p_value=0.001, category="dent"), add(p_value=0.001, category="dent"), add(), add()]
    clock.now += DAY
    add(product="bolt")
    store.add_review(early[2], "confirmed")
    store.add_review(early[3], "rejected")  # right that it is normal
    store.add_review(early[0], "confirmed", category="dent")
    store.add_review(early[1], "rejected")
    found = store.tallies()
    rows = [(one.product, one.category, one.inspected, one.defective) for one in found]
    assert rows == [("nut", None, 2, 0), ("nut", "dent", 2, 2), ("bolt", None, 1, 0)]
    counts = [(one.confirmed, one.false_alarms, one.renamed, one.missed) for one in found]
    assert counts == [(0, 0, 0, 1), (1, 1, 0, 0), (0, 0, 0, 0)]
    store.add_review(early[1], "confirmed", category="scratch")
    assert [(one.confirmed, one.renamed) for one in store.tallies()] == [(0, 0), (2, 1), (0, 0)]
    assert store.names("nut") == ("dent", "scratch")
    assert found[2].day - found[0].day == DAY
    assert [one.product for one in store.tallies(clock.now - DAY // 2)] == ["bolt"]


def test_teachings(store: Store, tmp_path: Path) -> None:
    line = store.versions.add_model("line", tmp_path / "1")
    first = store.versions.add_teaching(line.id, {"learn": ["ä"]})
    assert store.versions.teaching(first.id) == first
    assert (first.state, first.lesson, first.outcome) == ("running", {"learn": ["ä"]}, None)
    done = store.versions.end_teaching(first.id, "finished", {"rows": []}, name="line 2", folder=tmp_path / "2")
    assert (done.state, done.outcome) == ("finished", {"rows": []})
    learned = store.versions.models()[-1]
    assert (learned.id, learned.name, learned.folder, learned.parent) == (
        done.model,
        "line 2",
        tmp_path / "2",
        line.id,
    )
    second = store.versions.add_teaching(line.id, {})
    failed = store.versions.end_teaching(second.id, "failed", {"error": "x", "remedy": "y"})
    assert failed.model is None
    assert store.versions.teachings() == (failed, done)
    with pytest.raises(ConfigError, match="nothing to discard"):
        store.versions.discard_teaching(second.id)
    store.versions.discard_teaching(first.id)
    assert store.versions.teaching(first.id).state == "discarded"
    assert store.versions.models() == (line,)
    with pytest.raises(BlemishError, match="no teaching"):
        store.versions.teaching("0")


def test_a_model_that_was_promoted_is_not_discarded(store: Store, tmp_path: Path) -> None:
    line = store.versions.add_model("line", tmp_path / "1")
    teaching = store.versions.add_teaching(line.id, {})
    done = store.versions.end_teaching(teaching.id, "finished", {}, name="line 2", folder=tmp_path / "2")
    assert done.model is not None
    store.versions.promote(done.model)
    store.versions.promote(line.id)
    with pytest.raises(ConfigError, match="promoted"):
        store.versions.discard_teaching(teaching.id)


def test_what_is_old_goes_unless_somebody_reviewed_it(store: Store, add: Add, clock: Clock) -> None:
    reviewed, old = add(image=1), add(image=2)
    store.add_review(reviewed, "confirmed", mask=png(9))
    clock.now += DAY
    new = add(image=2)  # shares its image with the old one
    assert store.removal.remove(older_than=clock.now - DAY // 2) == 1
    assert [one.id for one in store.inspections()] == [new, reviewed]
    assert store.upload(store.inspection(new).image).content == png(2)
    assert len(list(store.blobs)) == 2 + 4 + 1  # images, maps and masks of two, one corrected mask
    with pytest.raises(BlemishError, match="no inspection"):
        store.inspection(old)


def test_the_oldest_go_until_there_is_space(store: Store, add: Add) -> None:
    ids = [add() for _ in range(120)]
    store.add_review(ids[0], "confirmed")
    limit = store.blobs.size // 2
    removed = store.removal.remove(most_bytes=limit)
    assert 50 <= removed <= 110
    assert store.blobs.size <= limit
    left = [one.id for one in store.inspections(limit=200)]
    assert left == [*ids[:removed:-1], ids[0]]
    assert store.removal.remove(most_bytes=0) == len(left)
    assert list(store.blobs) == []


def test_files_without_a_row_go(store: Store, add: Add) -> None:
    id = add()
    lost = store.blobs.add(b"written before a crash")
    assert store.removal.remove_orphans(0) == 0  # too young
    assert store.removal.remove_orphans(LATER) == 1
    with pytest.raises(BlemishError, match="no stored file"):
        store.blobs.read(lost)
    assert store.blobs.read(store.inspection(id).anomaly_map)


def test_nothing_is_lost_while_orphans_are_removed(store: Store, add: Add) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def remove() -> None:
        try:
            while not stop.is_set():
                store.removal.remove_orphans(LATER)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=remove)
    thread.start()
    ids = [add(image=number % 3) for number in range(30)]
    stop.set()
    thread.join()
    assert failures == []
    for id in ids:
        found = store.inspection(id)
        assert store.upload(found.image).content
        assert store.blobs.read(found.anomaly_map)
        assert store.blobs.read(found.mask)


def test_writers_wait_for_one_another(store: Store, url: str, tmp_path: Path, clock: Clock, add: Add) -> None:
    id = add()
    failures: list[BaseException] = []

    def review() -> None:
        try:
            other = Store(url, tmp_path / "files")
            for _ in range(10):
                other.add_review(id, "confirmed")
            other.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=review) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.database.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(reviews)) == 40


def test_files_of_another_database(store: Store, add: Add, tmp_path: Path) -> None:
    id = add()
    with pytest.raises(ConfigError, match="does not belong"):
        Store(f"sqlite:///{tmp_path / 'other.db'}", tmp_path / "files")
    url = store.database.engine.url.render_as_string(hide_password=False)
    with pytest.raises(ConfigError, match="does not belong"):
        Store(url, tmp_path / "other files")
    Store(url, tmp_path / "files").close()
    assert store.blobs.read(store.inspection(id).anomaly_map)


def test_the_newest_counts_though_the_clock_is_set_back(store: Store, add: Add, url: str, tmp_path: Path) -> None:
    id = add()
    store.add_review(id, "confirmed")
    early = Clock()
    early.now -= DAY
    again = Store(url, tmp_path / "files", early)
    newest = again.add_review(id, "rejected")
    assert again.inspection(id).review == newest
    again.close()


def test_a_review_while_inspections_are_removed(store: Store, add: Add, url: str, tmp_path: Path, clock: Clock) -> None:
    """What was answered counts; what was removed cannot be reviewed any more."""
    ids = [add() for _ in range(60)]
    other = Store(url, tmp_path / "files", clock)
    answered: list[str] = []

    def review() -> None:
        for id in ids:
            with suppress(BlemishError):
                answered.append(other.add_review(id, "confirmed").inspection)

    thread = threading.Thread(target=review)
    thread.start()
    for number in range(1, 7):
        store.removal.remove(older_than=int(ids[10 * number - 1][:12], 16) + 1)
    thread.join()
    left = {one.id for one in store.inspections(limit=100)}
    assert set(answered) <= left
    other.close()


def test_nothing_is_kept_of_a_failed_batch(store: Store, add: Add) -> None:
    with pytest.raises(sa.exc.DBAPIError), store.database.writing() as connection:
        connection.execute(reviews.insert().values(id="1", inspection="none", decision="confirmed", created=1))
    with store.database.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(reviews)) == 0


def test_a_database_of_the_revision_before(url: str, tmp_path: Path) -> None:
    before = Database.__new__(Database)
    from blemish.serving import database

    before.engine = database._engine(url)
    with before.writing() as connection:
        migrate(connection, "0002")
        row = {"digest": "0" * 64, "media_type": "image/png", "bytes": 1, "width": 1, "height": 1, "created": 1}
        connection.execute(images.insert().values(row))
        assert not sa.inspect(connection).has_table("teachings")
    before.close()
    for _ in range(2):  # a second start changes nothing
        now = Database(url)
        with now.reading() as connection:
            assert connection.scalar(sa.select(images.c.digest)) == "0" * 64
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
        now.close()


def test_a_database_of_a_later_version(url: str) -> None:
    database = Database(url)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(BlemishError, match="another version"):
        Database(url)


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite+nothing:///x"])
def test_addresses_of_no_database(url: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        Database(url)


def test_a_database_that_does_not_answer() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(BlemishError, match="cannot be used") as caught:
        Database("postgresql://somebody:secret@127.0.0.1:1/line")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "0" * 63, "0" * 65, "A" * 64])
def test_names_that_are_no_digests(store: Store, name: str) -> None:
    with pytest.raises(BlemishError):
        store.blobs.path(name)
