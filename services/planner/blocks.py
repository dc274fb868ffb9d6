"""Blocks as they come: each partition in order, from where the plan ends."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Consumer, Message, TopicPartition

from headrace.contract.blocks import Block
from headrace.contract.digests import block_digest
from headrace.contract.errors import ContractError
from headrace.contract.topics import BLOCKS
from headrace.kafka import FEW_AHEAD, Cluster, brokers_of, checked, consumer_config, coordinate
from services.planner.planner import Arrival


class BlockReader:
    """Reads all partitions of `tokens.blocks`, each from its position in the plan, one that the plan lacks from 0.

    Fetches ahead into a queue of bounded size, so not reading stops it.
    """

    def __init__(self, cluster: Cluster, positions: Mapping[int, int], tokenizer: str) -> None:
        settings = cluster.settings
        self.cluster = cluster
        self.tokenizer = tokenizer
        self.topic = settings.topic(BLOCKS)
        self.consumer = Consumer(consumer_config(brokers_of(settings), settings.topic("planner-blocks"), **FEW_AHEAD))
        self.partitions = cluster.partitions([BLOCKS])[BLOCKS]
        starts = {partition: positions.get(partition, 0) for partition in range(self.partitions)}
        self.consumer.assign([TopicPartition(self.topic, *place) for place in starts.items()])

    def read(self, most: int, timeout_s: float) -> list[Arrival]:
        """Up to `most` blocks; returns when they are there or after `timeout_s`.

        Raises RecordError for a record that is no block or an offset that is gone, ContractError for a block of
        another tokenizer, DependencyError for a broker that refuses.
        """
        return [self._arrival(checked(message)) for message in self.consumer.consume(most, timeout=timeout_s)]

    def take_new_partitions(self) -> list[int]:
        """Begin to read partitions that were added since the start; returns them."""
        now = self.cluster.partitions([BLOCKS]).get(BLOCKS, self.partitions)
        added = list(range(self.partitions, now))
        if added:
            self.consumer.incremental_assign([TopicPartition(self.topic, partition, 0) for partition in added])
            self.partitions = now
        return added

    def close(self) -> None:
        self.consumer.close()

    def _arrival(self, message: Message) -> Arrival:
        at, value = coordinate(message), message.value()
        block = Block.decode(value, at)
        if block.tokenizer != self.tokenizer:
            raise ContractError(
                f"{at}: made with tokenizer {block.tokenizer}, the plan began with {self.tokenizer}: one plan has one"
                " tokenizer"
            )
        return Arrival(at.partition, at.offset, len(block.tokens), block_digest(value), message.timestamp()[1])
