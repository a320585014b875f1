"""The shape of one transformer, dense or mixture-of-experts, and the counts that follow from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from planner.instance.hardware import Precision
from planner.instance.quantities import PRECISION_BYTES, Frozen


class Attention(Frozen):
    """Attention of one layer. MLA keeps one latent vector per token, GQA keeps keys and values per KV head."""

    kind: Literal["gqa", "mla"]
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1, description="Per-head width of queries and keys (MLA: nope + rope).")
    value_head_dim: int = Field(ge=1)
    query_lora_rank: int = Field(default=0, ge=0, description="0: queries are not compressed.")
    kv_lora_rank: int = Field(default=0, ge=0, description="MLA latent width.")
    rope_head_dim: int = Field(default=0, ge=0, description="MLA rotary width, shared by all heads.")
    bias: bool = Field(default=False, description="Queries, keys and values have a bias.")
    output_bias: bool = Field(default=False, description="The output projection has a bias.")
    qk_norm: bool = Field(default=False, description="Queries and keys are normalised per head.")
    sinks: bool = Field(default=False, description="One learned sink per head.")
    sliding_window_tokens: int | None = Field(default=None, ge=1)
    sliding_layers: int = Field(default=0, ge=0, description="Layers that see only the sliding window.")

    @model_validator(mode="after")
    def _consistent(self) -> Attention:
        if self.kind == "mla" and (self.kv_lora_rank == 0 or self.rope_head_dim == 0):
            raise ValueError("mla needs kv_lora_rank and rope_head_dim")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} does not divide heads {self.heads}")
        if self.sliding_layers and self.sliding_window_tokens is None:
            raise ValueError("sliding_layers needs sliding_window_tokens")
        return self

    def params(self, hidden_size: int) -> int:
        """Weights of one layer's attention: projections, biases and sinks; norms are apart."""
        if self.kind == "mla":
            nope = self.head_dim - self.rope_head_dim
            queries = (
                self.query_lora_rank * (hidden_size + self.heads * self.head_dim)
                if self.query_lora_rank
                else hidden_size * self.heads * self.head_dim
            )
            latent = hidden_size * (self.kv_lora_rank + self.rope_head_dim)
            expand = self.kv_lora_rank * self.heads * (nope + self.value_head_dim)
            return queries + latent + expand + self.heads * self.value_head_dim * hidden_size
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        value, output = self.kv_heads * self.value_head_dim, self.heads * self.value_head_dim
        total = hidden_size * (query + key + value) + output * hidden_size
        total += (query + key + value) if self.bias else 0
        total += hidden_size if self.output_bias else 0
        return total + (self.heads if self.sinks else 0)

    def norm_params(self) -> int:
        """Norm weights inside one layer's attention: of the compressed vectors (MLA) or of queries and keys."""
        if self.kind == "mla":
            return self.query_lora_rank + self.kv_lora_rank
        return 2 * self.head_dim if self.qk_norm else 0

    def kv_numbers_per_token(self) -> int:
        """Numbers kept per token and layer: the latent and rotary part (MLA) or keys and values (GQA)."""
        if self.kind == "mla":
            return self.kv_lora_rank + self.rope_head_dim
        return self.kv_heads * (self.head_dim + self.value_head_dim)

    def flop_per_context_token(self) -> int:
        """FLOP per new token, context token and layer: scores and weighted values; MLA in its absorbed form."""
        if self.kind == "mla":
            return 2 * self.heads * (2 * self.kv_lora_rank + self.rope_head_dim)
        return 2 * self.heads * (self.head_dim + self.value_head_dim)

    def prefill_flop_per_context_token(self) -> int:
        """FLOP per pair of prompt tokens and layer; MLA prefill expands the latent, so heads have their own width."""
        return 2 * self.heads * (self.head_dim + self.value_head_dim)


ActiveCounts = Literal["all", "no_input_embedding", "no_embeddings"]
"""Which embeddings a card counts as active. Cards differ: Qwen and Mixtral count both, gpt-oss and DeepSeek leave out
the input embedding (a look-up of one row), GLM leaves out both. instances/SOURCES.md has the arithmetic."""


class WeightFormats(Frozen):
    """Storage format of each part of the weights."""

    attention: Precision
    dense_ffn: Precision
    routed_experts: Precision
    embeddings: Precision = "bf16"


class MoeModel(Frozen):
    """One model. ``layers = dense_layers + moe_layers``; a dense model has no MoE layers."""

    name: str
    title: str
    aliases: tuple[str, ...] = Field(default=(), description="Other names, as hubs and benchmark files spell them.")
    layers: int = Field(ge=1)
    dense_layers: int = Field(ge=0, description="Layers with a plain feed-forward block.")
    hidden_size: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    tied_embeddings: bool = False
    attention: Attention
    dense_intermediate_size: int = Field(default=0, ge=0)
    routed_experts: int = Field(default=0, ge=0)
    experts_per_token: int = Field(default=0, ge=0)
    expert_intermediate_size: int = Field(default=0, ge=0)
    shared_intermediate_size: int = Field(default=0, ge=0, description="Width of all shared experts together.")
    router_groups: int = Field(default=1, ge=1)
    router_groups_per_token: int = Field(default=1, ge=1)
    router_bias: bool = False
    expert_bias: bool = False
    shared_expert_gate: bool = False
    ffn_matrices: Literal[2, 3] = 3
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
        if self.dense_layers and not self.dense_intermediate_size:
            problems.append("dense layers need dense_intermediate_size")
        if self.router_groups > 1 and self.routed_experts % self.router_groups:
            problems.append(f"router_groups {self.router_groups} does not divide routed_experts {self.routed_experts}")
        if self.attention.sliding_layers > self.layers:
            problems.append("attention.sliding_layers exceeds layers")
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
        matrices = self.ffn_matrices * self.hidden_size * self.expert_intermediate_size
        bias = (self.ffn_matrices - 1) * self.expert_intermediate_size + self.hidden_size if self.expert_bias else 0
        return matrices + bias

    @property
    def router_params(self) -> int:
        """Weights of one router, with its bias or correction term."""
        return self.routed_experts * (self.hidden_size + (1 if self.router_bias else 0))

    @property
    def shared_params(self) -> int:
        """Weights of the shared experts of one layer."""
        gate = self.hidden_size if self.shared_expert_gate else 0
        return self.ffn_matrices * self.hidden_size * self.shared_intermediate_size + gate

    @property
    def dense_ffn_params(self) -> int:
        """Weights of one dense feed-forward block."""
        return self.ffn_matrices * self.hidden_size * self.dense_intermediate_size

    @property
    def attention_params(self) -> int:
        """Weights of one layer's attention."""
        return self.attention.params(self.hidden_size)

    @property
    def embedding_params(self) -> int:
        """Weights of the input embedding and, unless tied, the output head."""
        return self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)

    @property
    def norm_params(self) -> int:
        """Weights of all norms of the model, those inside attention and the last one included."""
        return self.layers * (2 * self.hidden_size + self.attention.norm_params()) + self.hidden_size

    @property
    def total_params(self) -> int:
        """All weights, counted from the shape; norms included, multi-token-prediction heads not."""
        return (
            self.layers * self.attention_params
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
    def kv_layers(self) -> int:
        """Layers whose cache grows with the context; where every layer slides, all grow up to the window."""
        return self.layers - self.attention.sliding_layers or self.layers

    @property
    def kv_bytes_per_token(self) -> float:
        """KV bytes STORED per further token of context, over ``kv_layers`` [B], in the model's ``kv_format``."""
        return self.kv_layers * self.attention.kv_numbers_per_token() * PRECISION_BYTES[self.kv_format]

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights in their storage formats [B]; routers and norms are kept in bf16."""
        width = PRECISION_BYTES
        attention = self.layers * self.attention_params * width[self.weights.attention]
        dense = (self.dense_layers * self.dense_ffn_params + self.moe_layers * self.shared_params) * width[
            self.weights.dense_ffn
        ]
        unquantised = (self.moe_layers * self.router_params + self.norm_params) * width["bf16"]
        routed = self.moe_layers * self.routed_experts * self.expert_params * width[self.weights.routed_experts]
        return attention + dense + unquantised + routed + self.embedding_params * width[self.weights.embeddings]
