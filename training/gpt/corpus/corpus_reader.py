"""Reading a corpus: the documents of its files, cleaned, into a spool file, and how they are split."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from training.formats.conversation import messages_of
from training.formats.messages import Message
from training.gpt.config import CorpusConfig
from training.gpt.corpus.cleaning import CompactKeySet, normalise
from training.gpt.corpus.documents import read_documents, read_text
from training.gpt.corpus.encodings import AUTO, detect_encoding
from training.gpt.corpus.shards import Spool, split_into_pieces
from training.gpt.corpus.sources import CorpusFile, CorpusFiles
from training.gpt.corpus.splits import (
    MAX_EXACTLY_SPLIT,
    SPLITS,
    DocumentPart,
    HashSplitter,
    PositionSplitter,
    Shares,
    SplitName,
    document_key,
)
from training.gpt.errors import InputError
from training.gpt.tokenizer import write_plain_conversation

OnProgress = Callable[[str, float], None]
"""Called with the current step and its progress (0 to 1). An exception that it raises stops the
preparation."""

Splitter = Callable[[Iterable[DocumentPart]], Iterator[tuple[SplitName, DocumentPart]]]

_MIN_FILES_AS_DOCUMENTS = 10  # with at least this many text files, each is one document


@dataclass
class CorpusReader:
    """Reads a corpus once: the files to read, and counts of what was read and dropped."""

    corpus: CorpusConfig
    files: list[CorpusFile]
    shares: Shares
    write_conversation: Callable[[Sequence[Message]], str]  # used with the option ``chat``
    notes: list[str] = field(default_factory=list)
    documents: int = 0
    dropped_short: int = 0  # documents shorter than min_length
    dropped_duplicates: int = 0  # documents equal to an earlier one
    split_keys: set[int] = field(default_factory=set)  # keys of the documents to split, while there are few

    @classmethod
    def for_splits(
        cls,
        corpus: CorpusConfig,
        found: CorpusFiles,
        *,
        wanted: Iterable[str],
        write_conversation: Callable[[Sequence[Message]], str] = write_plain_conversation,
    ) -> "CorpusReader":
        """A reader of the files of the ``wanted`` splits, each with its published split if that is kept."""
        shares = corpus.split_shares
        if corpus.holdout != "auto":
            everything = [replace(file, split=None) for file in found.files + found.left_out]
            return cls(corpus, everything, shares, write_conversation)
        files, published, notes = found.files, {file.split for file in found.files}, []
        if found.left_out:
            notes.append(
                f"{len(found.left_out)} files belong to none of the published splits and were left out,"
                f" such as {found.left_out[0]}"
            )
        if "train" in published and "validation" not in published:
            train, validation, _ = shares
            shares = (train / (train + validation), validation / (train + validation), Fraction(0))
            files = [replace(file, split=None) if file.split == "train" else file for file in files]
            notes.append("no validation split was published; it was cut from the one for training")
        # Of equal documents the first is kept: read held-out splits first.
        files = sorted(files, key=lambda file: -SPLITS.index(file.split or "train"))
        files = [file for file in files if file.split in {*wanted, None}]
        return cls(corpus, files, shares, write_conversation, notes)

    def read(self, spool: Spool, on_progress: OnProgress) -> None:
        """Write every document of every file, cleaned, to the spool; ``InputError`` if there is none."""
        total, done = max(sum(file.size for file in self.files), 1), 0

        def on_bytes(count: int) -> None:
            nonlocal done
            done += count
            on_progress("reading the corpus", min(done / total, 1.0))

        seen = CompactKeySet()
        for file in self.files:
            config = self._config_of(file)
            if config.holdout == "tail" and file.format == "text" and config.documents in {"auto", "file"}:
                self.documents += 1
                whole = split_into_pieces(read_text(file, config, on_bytes=on_bytes))
                spool.add(normalise(piece, config.normalise) for piece in whole)
                continue
            for document in read_documents(file, config, on_bytes=on_bytes):
                text = self._clean(document, config)
                if not text:
                    continue
                key = document_key(text, config.seed)
                if len(text) < config.min_length:
                    self.dropped_short += 1
                elif config.drop_duplicates and not seen.add(key):
                    self.dropped_duplicates += 1
                else:
                    self.documents += 1
                    spool.add([text], key=key, split=file.split)
                    if file.split is None and len(self.split_keys) <= MAX_EXACTLY_SPLIT:
                        self.split_keys.add(key)
        if not spool.characters:
            long = " that is as long as min_length asks" if self.dropped_short else ""
            raise InputError(
                f"{self.corpus.source}: holds no text{long}; give a file or folder with something to learn"
                " from"
            )

    def _clean(self, document: str, config: CorpusConfig) -> str:
        """A document normalised; of a conversation each content, before it is written."""
        messages = messages_of(document)
        if messages is None:
            return normalise(document, config.normalise).strip()
        contents = (normalise(message["content"], config.normalise) for message in messages)
        return self.write_conversation(
            [
                {"role": message["role"], "content": content}
                for message, content in zip(messages, contents, strict=True)
            ]
        ).rstrip()

    def splitter(self, spool: Spool) -> Splitter:
        """How the documents are split; ``InputError`` for a single document."""
        if self.corpus.holdout == "tail":
            return PositionSplitter(self.shares, characters=spool.characters)
        if len(self.split_keys) == 1 and all(file.split is None for file in self.files):
            many = "one document" if self.documents == 1 else f"{self.documents} documents, all the same"
            raise InputError(
                f"{self.corpus.source}: holds {many}, and there must be another to validate on; cut it into"
                " smaller ones (documents: line, or paragraph), or hold out its end (holdout: tail)"
            )
        return HashSplitter(
            self.shares, self.split_keys if len(self.split_keys) <= MAX_EXACTLY_SPLIT else None
        )

    def _config_of(self, file: CorpusFile) -> CorpusConfig:
        """The options for one file, with ``auto`` resolved."""
        config = self.corpus
        if (
            config.documents == "auto"
            and sum(each.format == "text" for each in self.files) >= _MIN_FILES_AS_DOCUMENTS
        ):
            config = replace(config, documents="file")
        if config.encoding == AUTO and file.format in {"text", "jsonl"}:
            encoding = detect_encoding(file.chunks(), AUTO, name=str(file))
            if not encoding.startswith("utf-8"):
                self.notes.append(f"{file} was taken for {encoding}")
            config = replace(config, encoding=encoding)
        return config
