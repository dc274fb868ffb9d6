"""How far each input is in `text.raw`: one record of `text.bookmarks`, written in the transaction of the documents.

So what was delivered and what is remembered cannot come apart. The topic is compacted by key; the newest record counts.
"""

from __future__ import annotations

from headrace.contract.record import Record

FILE_KEY = b"file "
TOPIC_KEY = b"topic "


class FileBookmark(Record):
    """Everything before `position` of one file is in `text.raw`, or was refused by name.

    A file is what it holds, not what it is called: it is the one that is remembered if it begins with the `position`
    bytes whose hash is `digest`. Path, device and inode say only where to look.
    """

    into: str
    """Id of the topic `text.raw` that holds the documents: made anew, it holds none of them."""
    file: str
    """A random name of this file, the record's key: it stays when the file is renamed."""
    path: str
    device: int
    inode: int
    size: int
    modified_ns: int
    cut: str
    """How it is cut into documents: format and columns. Cut in another way it is another input."""
    position: int
    """Next byte, after decompression, of a file that is read by lines; else next row."""
    rows: int
    """Lines or rows before `position`, so that places are named rightly."""
    digest: str
    """xxh3-128 of the bytes before `position`; of all bytes where `position` counts rows."""
    tail: str
    """xxh3-128 of a last line without its newline that was published and lies behind `position`; else empty."""
    documents: int
    refused: int
    whole: bool
    """Read to its end at this size and time of change."""

    def key(self) -> bytes:
        """The key that its record has."""
        return FILE_KEY + self.file.encode()


class TopicBookmark(Record):
    """Every committed record below offset `position` of one partition of another topic is in `text.raw`, or refused."""

    into: str
    cluster: str
    topic_id: str
    topic: str
    partition: int
    position: int
    documents: int
    refused: int

    def key(self) -> bytes:
        """The key that its record has."""
        return TOPIC_KEY + f"{self.cluster}/{self.topic_id}/{self.partition}".encode()


Bookmark = FileBookmark | TopicBookmark
