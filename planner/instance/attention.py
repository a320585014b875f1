"""Attention of every kind a served model has: what its weights are, what it keeps of the context and what it reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field, model_validator

from planner.instance.hardware import Precision
from planner.instance.quantities import PRECISION_BYTES, Frozen

AttentionKind = Literal["gqa", "mla", "compressed"]
StateKind = Literal["gated_delta", "mamba1", "mamba2", "lightning"]
INDEX_SCALE_BYTES = 4
"""Bytes of the scale beside each 8-bit index key (DeepSeek-V3.2 keeps one fp32 scale a token)."""


@dataclass(frozen=True)
class ContextLayers:
    """Layers that keep and read the context alike: what one of them keeps, reads and computes.

    Attributes
    ----------
    layers
        How many of the model's layers.
    window_tokens
        Tokens that are kept and seen at most; None for all.
    tokens_per_entry
        Context tokens behind one entry of the cache: more than 1 in compressed attention.
    kv_bytes_per_entry, kv_shards
        Bytes of one entry, and the most ways that tensor parallelism cuts them (1 for a latent).
    entries_read
        Entries that sparse attention reads at most in a step; None for all that are kept.
    index_bytes_per_entry, index_flop_per_entry
        What the indexer of sparse attention keeps beside each entry and computes on it in every step; uncut.
    flop_per_entry_decode, flop_per_entry_prefill
        FLOP per new token and entry seen.
    state_bytes, state_bytes_moved, state_shards, state_flop_per_token
        Bytes a sequence keeps whatever its length, bytes moved a step, ways they are cut, FLOP per new token.
    """

    layers: int
    window_tokens: int | None = None
    tokens_per_entry: int = 1
    kv_bytes_per_entry: float = 0.0
    kv_shards: int = 1
    entries_read: int | None = None
    index_bytes_per_entry: float = 0.0
    index_flop_per_entry: float = 0.0
    flop_per_entry_decode: float = 0.0
    flop_per_entry_prefill: float = 0.0
    state_bytes: float = 0.0
    state_bytes_moved: float = 0.0
    state_shards: int = 1
    state_flop_per_token: float = 0.0

    @property
    def grows(self) -> bool:
        """Whether a further token of context takes further bytes, however long the context is."""
        return self.window_tokens is None and self.kv_bytes_per_entry > 0


class Indexer(Frozen):
    """Indexer of sparse attention: narrow heads score every entry, and attention reads the best ``topk`` only."""

    heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    topk: int = Field(ge=1, description="Entries that attention reads in a step.")
    shared_layers: int = Field(default=0, ge=0, description="Layers that use the choice of a neighbour's indexer.")

    @property
    def bytes_per_entry(self) -> float:
        """Bytes of one entry's index key: 8 bits a number and a scale."""
        return float(self.head_dim + INDEX_SCALE_BYTES)

    def params(self, hidden_size: int, query_rank: int, *, compressor_heads: int = 0) -> int:
        """Weights: queries from the compressed query, weights of the heads, and one key or its compressor."""
        keys = 2 * compressor_heads * hidden_size * self.head_dim if compressor_heads else hidden_size * self.head_dim
        return query_rank * self.heads * self.head_dim + keys + 2 * self.head_dim + hidden_size * self.heads


class SlidingShape(Frozen):
    """Heads of the sliding layers where they differ from those of the full layers."""

    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    value_head_dim: int = Field(ge=1)


class Compression(Frozen):
    """Compressed layers: one entry for every ``tokens_per_entry`` tokens (0: the window only)."""

    layers: int = Field(ge=1)
    tokens_per_entry: int = Field(ge=0)
    indexed: bool = Field(default=False, description="The indexer picks the entries that are read.")


class Attention(Frozen):
    """Attention of one layer. MLA keeps one latent vector per token, GQA keeps keys and values per KV head.

    ``compressed`` is DeepSeek-V4's: one vector serves as key and value of all heads, one entry stands for several
    tokens, a window of plain tokens stands beside them, and the output is projected in groups.
    """

    kind: AttentionKind
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1, description="Per-head width of queries and keys (MLA: nope + rope).")
    value_head_dim: int = Field(ge=1)
    query_lora_rank: int = Field(default=0, ge=0, description="0: queries are not compressed.")
    kv_lora_rank: int = Field(default=0, ge=0, description="MLA latent width.")
    rope_head_dim: int = Field(default=0, ge=0, description="MLA rotary width, shared by all heads.")
    bias: bool = Field(default=False, description="Queries, keys and values have a bias.")
    output_bias: bool = Field(default=False, description="The output projection has a bias.")
    output_gate: bool = Field(default=False, description="Queries come with a gate of the same width.")
    value_is_key: bool = Field(default=False, description="No value projection: values are the keys.")
    qk_norm: bool = Field(default=False, description="Queries and keys are normalised.")
    qk_norm_width: Literal["head", "layer"] = Field(default="head", description="One norm a head, or over all heads.")
    sinks: bool = Field(default=False, description="One learned sink per head.")
    sliding_window_tokens: int | None = Field(default=None, ge=1)
    sliding_layers: int = Field(default=0, ge=0, description="Layers that see only the sliding window.")
    sliding_shape: SlidingShape | None = None
    indexer: Indexer | None = None
    output_groups: int = Field(default=0, ge=0, description="Groups of the output projection (compressed).")
    output_lora_rank: int = Field(default=0, ge=0, description="Width of each group's output (compressed).")
    compression: tuple[Compression, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Attention:
        if self.kind == "mla" and (self.kv_lora_rank == 0 or self.rope_head_dim == 0):
            raise ValueError("mla needs kv_lora_rank and rope_head_dim")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} does not divide heads {self.heads}")
        if self.sliding_layers and self.sliding_window_tokens is None:
            raise ValueError("sliding_layers needs sliding_window_tokens")
        if self.indexer is not None and not self.query_lora_rank:
            raise ValueError("an indexer needs query_lora_rank: its queries are made of the compressed ones")
        if self.kind == "compressed" and not (
            self.compression and self.sliding_window_tokens and self.output_lora_rank and self.output_groups
        ):
            raise ValueError("compressed needs compression, sliding_window_tokens, output_groups and output_lora_rank")
        return self

    def params(self, hidden_size: int, *, sliding: bool = False) -> int:
        """Weights of one layer's attention: projections, biases and sinks; norms are apart."""
        if self.kind == "mla":
            nope = self.head_dim - self.rope_head_dim
            latent = hidden_size * (self.kv_lora_rank + self.rope_head_dim)
            expand = self.kv_lora_rank * self.heads * (nope + self.value_head_dim)
            output = self.heads * self.value_head_dim * hidden_size
            index = self.indexer.params(hidden_size, self.query_lora_rank) if self.indexer else 0
            return self._query_params(hidden_size) + latent + expand + output + index
        shape = (self.sliding_shape if sliding else None) or self
        query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        value, output = shape.kv_heads * shape.value_head_dim, shape.heads * shape.value_head_dim
        made = query * (2 if self.output_gate else 1) + key + (0 if self.value_is_key and not sliding else value)
        total = hidden_size * made + output * hidden_size
        total += made if self.bias else 0
        total += hidden_size if self.output_bias else 0
        return total + (shape.heads if self.sinks else 0)

    def compressed_params(self, hidden_size: int, part: Compression) -> int:
        """Weights of one compressed layer: queries, the shared key-value, the compressor, grouped output, indexer."""
        width = self.heads * self.head_dim
        grouped = width * self.output_lora_rank + self.output_groups * self.output_lora_rank * hidden_size
        total = self._query_params(hidden_size) + hidden_size * self.head_dim + grouped + self.heads
        if part.tokens_per_entry:
            # Entries of few tokens overlap with their neighbours: two vectors and two gates a token instead of one.
            overlap = 2 if part.indexed else 1
            total += 2 * overlap * hidden_size * self.head_dim + part.tokens_per_entry * overlap * self.head_dim
        if part.indexed and self.indexer is not None:
            total += self.indexer.params(hidden_size, self.query_lora_rank, compressor_heads=2)
        return total

    def _query_params(self, hidden_size: int) -> int:
        if self.query_lora_rank:
            return self.query_lora_rank * (hidden_size + self.heads * self.head_dim)
        return hidden_size * self.heads * self.head_dim

    def uncut_params(self, hidden_size: int) -> int:
        """Weights that every tensor-parallel rank holds whole: the ways into the latents, and the indexer.

        Engines make them replicated linear layers, since the latent they write is on every rank.
        """
        if self.kind == "gqa":
            return 0
        width = self.head_dim if self.kind == "compressed" else self.kv_lora_rank + self.rope_head_dim
        index = self.indexer.params(hidden_size, self.query_lora_rank) if self.indexer and self.kind == "mla" else 0
        return hidden_size * (self.query_lora_rank + width) + index

    def key_value_params(self, hidden_size: int) -> int:
        """Weights of keys and values (GQA): cut as many ways as there are KV heads, and copied beyond."""
        return hidden_size * self.kv_numbers_per_token() if self.kind == "gqa" else 0

    def norm_params(self) -> int:
        """Norm weights inside one layer's attention: of the compressed vectors (MLA) or of queries and keys."""
        if self.kind == "mla":
            return self.query_lora_rank + self.kv_lora_rank
        if self.kind == "compressed":
            return self.query_lora_rank + 2 * self.head_dim
        if not self.qk_norm:
            return 0
        return (self.heads + self.kv_heads) * self.head_dim if self.qk_norm_width == "layer" else 2 * self.head_dim

    def kv_numbers_per_token(self, *, sliding: bool = False) -> int:
        """Numbers kept per entry and layer: the latent and rotary part (MLA) or keys and values (GQA)."""
        if self.kind == "mla":
            return self.kv_lora_rank + self.rope_head_dim
        if self.kind == "compressed":
            return self.head_dim
        shape = (self.sliding_shape if sliding else None) or self
        return shape.kv_heads * (shape.head_dim + shape.value_head_dim)

    def flop_per_context_token(self) -> int:
        """FLOP per new token, entry seen and layer: scores and weighted values; MLA in its absorbed form."""
        if self.kind == "mla":
            return 2 * self.heads * (2 * self.kv_lora_rank + self.rope_head_dim)
        return 2 * self.heads * (self.head_dim + self.value_head_dim)

    def prefill_flop_per_context_token(self) -> int:
        """FLOP per query-key pair of a prompt and layer.

        MLA prefill expands the latent, so heads have their own width; with an indexer it stays absorbed.
        """
        if self.kind == "mla" and self.indexer is not None:
            return self.flop_per_context_token()
        return 2 * self.heads * (self.head_dim + self.value_head_dim)

    def context_layers(self, layers: int, kv_format: Precision) -> tuple[ContextLayers, ...]:
        """Return what ``layers`` of this attention keep and read, one entry a kind of layer: full, then sliding."""
        width = PRECISION_BYTES[kv_format]
        if self.kind == "compressed":
            return tuple(self._compressed(part, width) for part in self.compression)
        index = self.indexer
        full = ContextLayers(
            layers=layers - self.sliding_layers,
            kv_bytes_per_entry=self.kv_numbers_per_token() * width,
            kv_shards=1 if self.kind == "mla" else self.kv_heads,
            entries_read=index.topk if index else None,
            index_bytes_per_entry=index.bytes_per_entry if index else 0.0,
            index_flop_per_entry=2.0 * index.heads * index.head_dim if index else 0.0,
            flop_per_entry_decode=self.flop_per_context_token(),
            flop_per_entry_prefill=self.prefill_flop_per_context_token(),
        )
        follows = replace(full, layers=0, index_bytes_per_entry=0.0, index_flop_per_entry=0.0)
        if index and index.shared_layers:
            follows = replace(follows, layers=index.shared_layers)
            full = replace(full, layers=full.layers - index.shared_layers)
        shape = self.sliding_shape or self
        flop = self.flop_per_context_token()
        if self.sliding_shape is not None:
            flop = 2 * shape.heads * (shape.head_dim + shape.value_head_dim)
        sliding = ContextLayers(
            layers=self.sliding_layers,
            window_tokens=self.sliding_window_tokens,
            kv_bytes_per_entry=self.kv_numbers_per_token(sliding=True) * width,
            kv_shards=1 if self.kind == "mla" else shape.kv_heads,
            flop_per_entry_decode=flop,
            flop_per_entry_prefill=flop if self.sliding_shape else self.prefill_flop_per_context_token(),
        )
        return tuple(kind for kind in (full, follows, sliding) if kind.layers)

    def _compressed(self, part: Compression, width: float) -> ContextLayers:
        index = self.indexer if part.indexed else None
        window = (self.sliding_window_tokens or 0) * self.head_dim * width
        return ContextLayers(
            layers=part.layers,
            window_tokens=None if part.tokens_per_entry else 0,
            tokens_per_entry=max(1, part.tokens_per_entry),
            kv_bytes_per_entry=self.head_dim * width,
            entries_read=index.topk if index else None,
            index_bytes_per_entry=index.bytes_per_entry if index else 0.0,
            index_flop_per_entry=2.0 * index.heads * index.head_dim if index else 0.0,
            flop_per_entry_decode=self.flop_per_context_token(),
            flop_per_entry_prefill=self.prefill_flop_per_context_token(),
            state_bytes=window,
            state_bytes_moved=window,
            state_flop_per_token=float(self.flop_per_context_token() * (self.sliding_window_tokens or 0)),
        )


class LinearAttention(Frozen):
    """Layers that keep one matrix per head and sequence instead of a cache, whatever the length of the context.

    ``value_heads`` heads keep a matrix ``key_head_dim`` x ``value_head_dim`` each; keys are shared by groups of heads.
    For Mamba-2 the value heads are its heads, the key heads its groups and ``key_head_dim`` its state size; Mamba-1 has
    one value head as wide as its inner vector.
    """

    kind: StateKind
    layers: int = Field(ge=1)
    key_heads: int = Field(ge=1)
    key_head_dim: int = Field(ge=1)
    value_heads: int = Field(ge=1)
    value_head_dim: int = Field(ge=1)
    conv_kernel: int = Field(default=0, ge=0, description="Tokens that the short convolution sees; 0: none.")
    time_step_rank: int = Field(default=0, ge=0, description="Mamba-1 only.")
    state_format: Precision = Field(default="fp32", description="Format of the matrices; the convolution's is bf16.")

    @property
    def _key(self) -> int:
        return self.key_heads * self.key_head_dim

    @property
    def _value(self) -> int:
        return self.value_heads * self.value_head_dim

    @property
    def _convolved(self) -> int:
        return self._value if self.kind == "mamba1" else 2 * self._key + self._value

    def params(self, hidden_size: int) -> int:
        """Weights of one layer, norms included."""
        key, value, heads = self._key, self._value, self.value_heads
        conv = self._convolved * self.conv_kernel
        output = value * hidden_size
        if self.kind == "gated_delta":
            return hidden_size * (2 * key + 2 * value + 2 * heads) + conv + 2 * heads + self.value_head_dim + output
        if self.kind == "mamba2":
            bias = self._convolved if self.conv_kernel else 0
            return hidden_size * (2 * key + 2 * value + heads) + conv + bias + 3 * heads + value + output
        if self.kind == "mamba1":
            rank, state = self.time_step_rank, self.key_head_dim
            inner = value * (rank + 2 * state) + rank * value + value + value * state + value
            return hidden_size * 2 * value + conv + value + inner + output + rank + 2 * state
        return hidden_size * (2 * key + 2 * value) + value + output

    @property
    def state_bytes(self) -> float:
        """Bytes that one layer keeps of one sequence: the matrices and the last inputs of the convolution."""
        matrices = self.value_heads * self.value_head_dim * self.key_head_dim * PRECISION_BYTES[self.state_format]
        return matrices + self._convolved * max(0, self.conv_kernel - 1) * PRECISION_BYTES["bf16"]

    def context_layers(self) -> ContextLayers:
        """Return what these layers keep: a state that is read and written in every step."""
        numbers = self.value_heads * self.value_head_dim * self.key_head_dim
        return ContextLayers(
            layers=self.layers,
            state_bytes=self.state_bytes,
            state_bytes_moved=2 * self.state_bytes,
            state_shards=self.value_heads,
            # Decay, what the state predicts, the correction and the read-out: three products with the matrix.
            state_flop_per_token=6.0 * numbers,
        )
