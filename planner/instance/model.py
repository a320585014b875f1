"""The shape of one transformer, dense or mixture-of-experts, and the counts that follow from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from planner.instance.attention import Attention, ContextLayers, LinearAttention
from planner.instance.hardware import Precision
from planner.instance.quantities import PRECISION_BYTES, Frozen

ActiveCounts = Literal["all", "no_input_embedding", "no_embeddings"]
"""Which embeddings a card counts as active. Cards differ: Qwen and Mixtral count both, gpt-oss and DeepSeek leave out
the input embedding (a look-up of one row), GLM leaves out both. instances/SOURCES.md has the arithmetic."""


class WeightFormats(Frozen):
    """Storage format of each part of the weights."""

    attention: Precision
    dense_ffn: Precision
    routed_experts: Precision
    embeddings: Precision = "bf16"
    block_size: int = Field(
        default=0, ge=0, description="Side of the blocks that share a scale wherever a part is in fp8; 0: none to mind."
    )


class MoeModel(Frozen):
    """One model. ``layers = dense_layers + moe_layers``; a dense model has no MoE layers.

    A layer is an attention or a state, then a feed-forward block; ``linear_attention`` counts the layers with a state.
    """

    name: str
    title: str
    aliases: tuple[str, ...] = Field(default=(), description="Other names, as hubs and benchmark files spell them.")
    layers: int = Field(ge=1)
    dense_layers: int = Field(ge=0, description="Layers with a plain feed-forward block.")
    dense_layers_spread: bool = Field(default=False, description="Dense layers stand between MoE layers, not first.")
    dense_layers_bare: bool = Field(default=False, description="Dense layers have no feed-forward block at all.")
    hidden_size: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    tied_embeddings: bool = False
    attention: Attention
    linear_attention: LinearAttention | None = None
    dense_intermediate_size: int = Field(default=0, ge=0)
    routed_experts: int = Field(default=0, ge=0)
    experts_per_token: int = Field(default=0, ge=0)
    expert_intermediate_size: int = Field(default=0, ge=0)
    expert_hidden_size: int = Field(default=0, ge=0, description="Width that experts work on; 0: hidden_size.")
    shared_intermediate_size: int = Field(default=0, ge=0, description="Width of all shared experts together.")
    router_groups: int = Field(default=1, ge=1)
    router_groups_per_token: int = Field(default=1, ge=1)
    router_bias: bool = False
    expert_bias: bool = False
    shared_expert_gate: bool = False
    ffn_matrices: Literal[2, 3] = 3
    residual_params: int = Field(default=0, ge=0, description="Weights of a layer's residual mixing, if it has any.")
    mtp_layers: int = Field(default=0, ge=0, description="Multi-token-prediction layers; no count includes them.")
    weights: WeightFormats
    kv_format: Precision = "bf16"
    active_counts: ActiveCounts = Field(default="all", description="Which embeddings `active_params` counts.")
    published_total_params: float = Field(gt=0, description="The model card's figure; an import has its own count.")
    published_active_params: float = Field(gt=0, description="The model card's figure; an import has its own count.")
    sources: dict[str, str] = Field(description='Key -> source; "shape" covers every key without its own.')

    @model_validator(mode="after")
    def _consistent(self) -> MoeModel:
        problems = []
        if self.dense_layers > self.layers:
            problems.append(f"dense_layers {self.dense_layers} > layers {self.layers}")
        if self.moe_layers and not (self.routed_experts and self.experts_per_token and self.expert_intermediate_size):
            problems.append("MoE layers need routed_experts, experts_per_token and expert_intermediate_size")
        if self.experts_per_token > self.routed_experts:
            problems.append(f"experts_per_token {self.experts_per_token} > routed_experts {self.routed_experts}")
        if self.dense_layers and not self.dense_intermediate_size and not self.dense_layers_bare:
            problems.append("dense layers need dense_intermediate_size")
        if self.router_groups > 1 and self.routed_experts % self.router_groups:
            problems.append(f"router_groups {self.router_groups} does not divide routed_experts {self.routed_experts}")
        if self.attention.sliding_layers > self.attention_layers or self.attention_layers < 0:
            problems.append("attention.sliding_layers and linear_attention.layers exceed layers")
        if self.attention.indexer is not None and self.attention.indexer.shared_layers >= max(1, self.attention_layers):
            problems.append("attention.indexer.shared_layers leaves no layer with an indexer")
        compressed = sum(part.layers for part in self.attention.compression)
        if compressed and compressed != self.attention_layers:
            problems.append(f"attention.compression has {compressed} layers, the model {self.attention_layers}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def moe_layers(self) -> int:
        """Layers with routed experts."""
        return self.layers - self.dense_layers

    @property
    def expert_params(self) -> int:
        """Weights of one routed expert."""
        matrices = self.ffn_matrices * (self.expert_hidden_size or self.hidden_size) * self.expert_intermediate_size
        bias = (self.ffn_matrices - 1) * self.expert_intermediate_size + self.hidden_size if self.expert_bias else 0
        return matrices + bias

    @property
    def router_params(self) -> int:
        """Weights of one router, with its bias or correction term."""
        return self.routed_experts * (self.hidden_size + (1 if self.router_bias else 0))

    @property
    def shared_params(self) -> int:
        """Weights of the shared experts of one layer, their gate, and the way into and out of narrower experts."""
        gate = self.hidden_size if self.shared_expert_gate else 0
        narrow = 2 * self.hidden_size * self.expert_hidden_size
        return self.ffn_matrices * self.hidden_size * self.shared_intermediate_size + gate + narrow

    @property
    def dense_ffn_params(self) -> int:
        """Weights of one dense feed-forward block."""
        return self.ffn_matrices * self.hidden_size * self.dense_intermediate_size

    @property
    def attention_layers(self) -> int:
        """Layers with attention; the others keep a state."""
        return self.layers - (self.linear_attention.layers if self.linear_attention else 0)

    @property
    def all_attention_params(self) -> int:
        """Weights of attention and states, all layers together."""
        attention, linear = self.attention, self.linear_attention
        if attention.kind == "compressed":
            total = sum(
                part.layers * attention.compressed_params(self.hidden_size, part) for part in attention.compression
            )
        else:
            full = self.attention_layers - attention.sliding_layers
            total = full * attention.params(self.hidden_size)
            total += attention.sliding_layers * attention.params(self.hidden_size, sliding=True)
            if attention.indexer is not None:
                index = attention.indexer.params(self.hidden_size, attention.query_lora_rank)
                total -= attention.indexer.shared_layers * index
        return total + (linear.layers * linear.params(self.hidden_size) if linear else 0)

    @property
    def attention_params(self) -> float:
        """Weights of a mean layer's attention or state."""
        return self.all_attention_params / self.layers

    @property
    def context_layers(self) -> tuple[ContextLayers, ...]:
        """What the layers keep and read of the context, one entry a kind of layer, in the model's ``kv_format``."""
        kinds = self.attention.context_layers(self.attention_layers, self.kv_format) if self.attention_layers else ()
        return kinds + ((self.linear_attention.context_layers(),) if self.linear_attention else ())

    @property
    def special_attention_layers(self) -> int:
        """Layers with a latent, compressed or linear attention, and those with an indexer: they launch more kernels."""
        index = self.attention.indexer
        special = 0
        if self.attention.kind == "compressed":
            special = sum(part.layers * (2 if part.indexed else 1) for part in self.attention.compression)
        elif self.attention.kind == "mla":
            special = self.attention_layers + (self.attention_layers - index.shared_layers if index else 0)
        return special + self.layers - self.attention_layers

    @property
    def embedding_params(self) -> int:
        """Weights of the input embedding and, unless tied, the output head."""
        return self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)

    @property
    def norm_params(self) -> int:
        """Weights of all norms of the model, those inside attention and the last one included."""
        bare = self.dense_layers if self.dense_layers_bare else 0
        return (
            (2 * self.layers - bare) * self.hidden_size
            + self.attention_layers * self.attention.norm_params()
            + self.hidden_size
        )

    @property
    def total_params(self) -> int:
        """All weights, counted from the shape; norms included, multi-token-prediction heads not."""
        return (
            self.all_attention_params
            + self.layers * self.residual_params
            + self.dense_layers * self.dense_ffn_params
            + self.moe_layers * (self.routed_experts * self.expert_params + self.shared_params + self.router_params)
            + self.embedding_params
            + self.norm_params
        )

    @property
    def active_params(self) -> int:
        """Weights a token passes through: all but the routed experts it skips and what ``active_counts`` leaves out."""
        skipped = self.moe_layers * (self.routed_experts - self.experts_per_token) * self.expert_params
        uncounted = 0
        if self.active_counts == "no_embeddings":
            uncounted = self.embedding_params
        elif self.active_counts == "no_input_embedding" and not self.tied_embeddings:
            uncounted = self.vocab_size * self.hidden_size
        return self.total_params - skipped - uncounted

    @property
    def mtp_params(self) -> int:
        """Weights of the multi-token-prediction layers: one layer each, and the matrix that joins two vectors."""
        block = (
            self.attention.params(self.hidden_size) if self.attention.kind != "compressed" else self.attention_params
        )
        if self.moe_layers:
            block += self.routed_experts * self.expert_params + self.shared_params + self.router_params
        else:
            block += self.dense_ffn_params
        return self.mtp_layers * (int(block) + 2 * self.hidden_size**2)

    @property
    def kv_layers(self) -> int:
        """Layers whose cache grows with the context; where none grows for ever, all grow up to the window."""
        return sum(kind.layers for kind in self._growing)

    @property
    def _growing(self) -> list[ContextLayers]:
        kinds = [kind for kind in self.context_layers if kind.kv_bytes_per_entry]
        return [kind for kind in kinds if kind.grows] or kinds

    @property
    def kv_bytes_per_token(self) -> float:
        """KV bytes STORED per further token of context, over ``kv_layers`` [B], in the model's ``kv_format``.

        Without the index beside a sparse cache, which has a width of its own (``index_bytes_per_token``).
        """
        return sum(kind.layers * kind.kv_bytes_per_entry / kind.tokens_per_entry for kind in self._growing)

    @property
    def index_bytes_per_token(self) -> float:
        """Bytes that the indexers of sparse attention keep per further token of context [B]."""
        return sum(kind.layers * kind.index_bytes_per_entry / kind.tokens_per_entry for kind in self._growing)

    @property
    def state_bytes(self) -> float:
        """Bytes that a sequence keeps whatever its length [B]: states of linear attention, windows beside entries."""
        return sum(kind.layers * kind.state_bytes for kind in self.context_layers)

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights in their storage formats [B]; routers and norms are kept in bf16."""
        width = PRECISION_BYTES
        attention = self.all_attention_params * width[self.weights.attention]
        dense = (self.dense_layers * self.dense_ffn_params + self.moe_layers * self.shared_params) * width[
            self.weights.dense_ffn
        ]
        unquantised = self.moe_layers * self.router_params + self.norm_params + self.layers * self.residual_params
        routed = self.moe_layers * self.routed_experts * self.expert_params * width[self.weights.routed_experts]
        return (
            attention
            + dense
            + unquantised * width["bf16"]
            + routed
            + self.embedding_params * width[self.weights.embeddings]
        )
