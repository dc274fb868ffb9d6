"""The Publisher against librdkafka's own mock of a cluster: no network beyond this process, no JVM."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from headrace.client import AsyncPublisher, NotDelivered, Publisher
from headrace.contract.documents import RawDocument, decode_raw
from headrace.contract.errors import Coordinate, DependencyError, Rejected
from headrace.contract.settings import Settings, load
from headrace.kafka import consumer_config


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Settings that lead to a mock broker; it lives as long as its producer."""
    cluster = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1})
    broker = next(iter(cluster.list_topics(topic="text.raw", timeout=10).brokers.values()))
    yield load(assignments=[f"kafka.brokers={broker.host}:{broker.port}"], environment={}).settings
    del cluster


def published(settings: Settings, count: int) -> list[Message]:
    reader = Consumer({**consumer_config(settings.kafka.brokers), "isolation.level": "read_committed"})
    partitions = reader.list_topics("text.raw", timeout=10).topics["text.raw"].partitions
    reader.assign([TopicPartition("text.raw", partition, 0) for partition in partitions])
    messages: list[Message] = []
    while len(messages) < count:
        messages += reader.consume(count - len(messages), timeout=10)
    reader.close()
    return messages


def decoded(message: Message) -> RawDocument:
    return decode_raw(message.value(), dict(message.headers() or []), 1 << 20)


def test_what_is_published_is_what_the_clean_job_decodes(settings: Settings) -> None:
    with Publisher(settings) as publisher:
        publisher.publish('{"text": "plain, though it looks like JSON"}', source="chat", key="a")
        publisher.publish("né", id="7", source="mail", time=datetime(2026, 1, 2, tzinfo=UTC), label=1, meta={"k": 1})
        publisher.publish_raw(b"\xff raw", {"content-type": "text/plain"})
    assert publisher.delivered == 3
    plain, full, raw = sorted(published(settings, 3), key=lambda message: len(message.value() or b""), reverse=True)[:3]
    plain, full = sorted((plain, full), key=lambda message: message.key() is None)
    assert plain.key() == b"a"
    assert decoded(plain) == RawDocument('{"text": "plain, though it looks like JSON"}', source="chat")
    assert decoded(full) == RawDocument("né", "7", "mail", 1767312000000, 1)
    assert raw.value() == b"\xff raw"


def test_a_document_that_could_only_be_rejected_is_not_sent(settings: Settings) -> None:
    limit = settings.clean.max_document_bytes
    with Publisher(settings) as publisher:
        publisher.publish("x" * limit)
        for text, reason in (("x" * (limit + 1), "too_long"), ("\ud800", "invalid_utf8")):
            with pytest.raises(Rejected) as caught:
                publisher.publish(text)
            assert caught.value.reason == reason
        with pytest.raises(Rejected, match="invalid_utf8"):
            publisher.publish("\ud800", label=1)
    assert publisher.delivered == 1


def test_a_full_queue_waits_for_the_broker(settings: Settings) -> None:
    with Publisher(settings, more={"queue.buffering.max.messages": 10}) as publisher:
        for number in range(500):
            publisher.publish(f"document {number}")
    assert publisher.delivered == 500


def test_a_broker_that_never_was_there_is_named() -> None:
    settings = load(assignments=["kafka.brokers=127.0.0.1:1"], environment={}).settings
    with pytest.raises(DependencyError, match=r"127\.0\.0\.1:1"):
        Publisher(settings, connect_s=0.5)


def test_what_a_lost_broker_did_not_confirm_is_counted() -> None:
    cluster = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1})
    broker = next(iter(cluster.list_topics(topic="text.raw", timeout=10).brokers.values()))
    settings = load(assignments=[f"kafka.brokers={broker.host}:{broker.port}"], environment={}).settings
    publisher = Publisher(settings, delivery_s=4)
    publisher.publish("arrives")
    publisher.flush()
    del cluster
    publisher.publish("does not")
    publisher.publish("nor this")
    with pytest.raises(NotDelivered) as caught:
        publisher.flush()
    assert (caught.value.missing, caught.value.delivered, caught.value.exit_code) == (2, 1, 3)
    assert {document.value for document in caught.value.documents} == {b"does not", b"nor this"}
    with pytest.raises(NotDelivered):
        publisher.publish("and no more is taken")


def test_async_returns_where_the_document_stands(settings: Settings) -> None:
    async def publish() -> list[Coordinate]:
        async with AsyncPublisher(settings) as publisher:
            first = await publisher.publish("first", source="chat", id="1")
            return [first, *await asyncio.gather(*(publisher.publish(f"text {number}") for number in range(200)))]

    places = asyncio.run(publish())
    held = {(message.partition(), message.offset()): decoded(message).text for message in published(settings, 201)}
    texts = ["first", *(f"text {number}" for number in range(200))]
    assert [held[place.partition, place.offset] for place in places] == texts


def test_async_holds_so_many_and_lets_the_others_wait(settings: Settings) -> None:
    most = 0

    async def publish() -> int:
        async with AsyncPublisher(settings, in_flight=5, more={"queue.buffering.max.messages": 3}) as publisher:

            async def one(number: int) -> None:
                nonlocal most
                await publisher.publish(f"text {number}")
                most = max(most, len(publisher._waiting))

            await asyncio.gather(*(one(number) for number in range(100)))
            return publisher.delivered

    assert asyncio.run(publish()) == 100
    assert 0 < most <= 5


def test_async_raises_at_the_document_that_failed_and_the_others_go_on(settings: Settings) -> None:
    async def publish() -> list[Coordinate | BaseException]:
        async with AsyncPublisher(settings) as publisher:
            texts = ("good", "x" * (settings.clean.max_document_bytes + 1), "\ud800", "good too")
            return await asyncio.gather(*map(publisher.publish, texts), return_exceptions=True)

    good, long, surrogate, good_too = asyncio.run(publish())
    assert isinstance(good, Coordinate)
    assert isinstance(good_too, Coordinate)
    assert isinstance(long, Rejected)
    assert (long.reason, isinstance(surrogate, Rejected)) == ("too_long", True)


def test_async_names_the_document_that_a_lost_broker_did_not_confirm() -> None:
    async def publish() -> None:
        cluster = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1})
        broker = next(iter(cluster.list_topics(topic="text.raw", timeout=10).brokers.values()))
        settings = load(assignments=[f"kafka.brokers={broker.host}:{broker.port}"], environment={}).settings
        async with AsyncPublisher(settings, delivery_s=3) as publisher:
            await publisher.publish("arrives")
            del cluster
            await publisher.publish("does not", key="k")

    with pytest.raises(NotDelivered) as caught:
        asyncio.run(publish())
    (document,) = caught.value.documents
    assert (document.value, document.key) == (b"does not", b"k")


def test_async_leaves_nothing_waiting_when_the_block_fails(settings: Settings) -> None:
    async def publish() -> None:
        async with AsyncPublisher(settings) as publisher:
            waiting = asyncio.ensure_future(publisher.publish("purged or there"))
            await asyncio.sleep(0)
            raise KeyError("ours")
        assert waiting.done()

    with pytest.raises(KeyError, match="ours"):
        asyncio.run(publish())
