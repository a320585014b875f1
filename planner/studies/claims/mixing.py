"""C32 to C34: what networks and ciphers share, shown by exhibits."""

from __future__ import annotations

from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.exhibits import feistel, memory_for_compute, residual

SEED = Input("seed", 20261125.0, "", "of the random weights, keys and inputs", varies=False)
WIDTH = Input("width", 64.0, "", "entries of a stream", varies=False, whole=True)
LAYERS = Input("layers", 64.0, "layers", "of the reversible stack", varies=False, whole=True)

SMOOTH_GAIN = (1.0, 1.6)
EXACT_IN_FP64 = 1e-12
MIXED = 0.02
"""How far from one half the avalanche of a cipher that mixes may lie."""


def _reversible(values: Values) -> Finding:
    """Invert a random stack from its outputs in three number formats, and a Feistel cipher exactly."""
    layers, width, seed = (int(values.number(name)) for name in ("layers", "width", "seed"))
    tries = [residual.reconstruction(kind, layers=layers, width=width, seed=seed) for kind in residual.FORMATS]
    wrong = feistel.wrong_bits_after_round_trip(layers, seed=seed)
    errors = {entry.number_format: entry.error for entry in tries}
    warned = next((entry.warning for entry in tries if entry.number_format == "fp16"), None)
    return Finding(
        computed=None,
        figures=(
            *(Figure(f"reconstruction error in {kind}", error) for kind, error in errors.items()),
            Figure("fp64 is exact to 1e-12", errors["fp64"] < EXACT_IN_FP64),
            Figure("fp32 is exact to 1e-3", errors["fp32"] < residual.ERROR_WORTH_A_WARNING),
            Figure("fp16 is warned about", warned is not None),
            Figure("warning in fp16", warned or "none"),
            Figure("wrong bits after a Feistel round trip", float(wrong), "bits"),
        ),
        holds=wrong == 0 and errors["fp64"] < EXACT_IN_FP64,
    )


def _memory_for_compute(values: Values) -> Finding:
    """Activation memory of three ways to train, their FLOP, and what a KV cache saves."""
    layers, width, tokens = (int(values.number(name)) for name in ("layers", "width", "tokens"))
    ways = memory_for_compute.training_activations(layers, width, tokens, values.number("bytes_per_entry"))
    cases = ((0, 1000), (1000, 1000), (100_000, 1000))
    return Finding(
        computed=ways["reversible"].relative_flop - 1.0,
        figures=(
            *(Figure(f"activations, {name}", way.bytes_kept / 1e9, "GB") for name, way in ways.items()),
            Figure("extra FLOP of checkpointing", ways["checkpoint"].relative_flop - 1.0),
            Figure(
                "extra FLOP of the RevNet paper's runs",
                values.number("extra_flop_in_practice"),
                source="Gomez et al. 2017: about half more computation in practice",
            ),
            Figure("reversible over checkpoint, memory", ways["checkpoint"].bytes_kept / ways["reversible"].bytes_kept),
            *(Figure(_kv_name(*case), memory_for_compute.kv_cache_factor(*case)) for case in cases),
        ),
    )


def _kv_name(prompt: int, output: int) -> str:
    return f"FLOP without over with a KV cache, {prompt:,} + {output:,} tokens"


def _opposite_ends(values: Values) -> Finding:
    """Avalanche of the cipher by rounds, beside the gain of a residual stack by depth."""
    seed, width = int(values.number("seed")), int(values.number("width"))
    spread = {rounds: feistel.avalanche(rounds, seed=seed) for rounds in (1, 2, 3, 8)}
    gains = {depth: residual.gain(depth, width=width, seed=seed) for depth in (16, 64)}
    smooth = all(SMOOTH_GAIN[0] <= gain <= SMOOTH_GAIN[1] for gain in gains.values())
    return Finding(
        computed=None,
        figures=(
            *(Figure(_rounds_name(rounds), share) for rounds, share in spread.items()),
            *(Figure(f"gain of {depth} residual layers", gain) for depth, gain in gains.items()),
            Figure("gain of 64 over 16 layers", gains[64] / gains[16]),
            Figure("gain lies between 1.0 and 1.6", smooth),
        ),
        holds=smooth and abs(spread[8] - 0.5) <= MIXED,
    )


def _rounds_name(rounds: int) -> str:
    return f"avalanche after {rounds} round{'s' if rounds > 1 else ''}"


CLAIMS = (
    Claim(
        id="C32",
        topic="mixing",
        statement="The Feistel network was carried over into neural nets as RevNets, which keep no activations.",
        equation="(x, y) -> (y + f(x), x), inverted by f again, whatever f is",
        quantity="inputs computed back from outputs",
        unit="",
        printed=None,
        inputs=(LAYERS, WIDTH, SEED),
        compute=_reversible,
        acceptance=(
            Acceptance("fp64 is exact to 1e-12", True),
            Acceptance("fp32 is exact to 1e-3", True),
            Acceptance("fp16 is warned about", True),
            Acceptance("wrong bits after a Feistel round trip", 0.0),
        ),
        why="Exact on bits, and in real arithmetic; in floating point the inputs come back as well as the format lets "
        "them: a question of precision that neither article nor talk mentions.",
        exhibit="reversible",
    ),
    Claim(
        id="C33",
        topic="mixing",
        statement="RevNets trade compute for memory; a KV cache trades memory for compute, which usually pays.",
        equation="6 N D -> 8 N D; activations O(layers) -> O(1)",
        quantity="extra training FLOP of a reversible network",
        unit="",
        printed=1.0 / 3.0,
        inputs=(
            Input("layers", 100.0, "layers", "of the network trained", varies=False, whole=True),
            Input("width", 12288.0, "", "of its residual stream", varies=False, whole=True),
            Input("tokens", 4096.0, "tokens", "of one sequence", varies=False, whole=True),
            Input("bytes_per_entry", 34.0, "B", "a layer keeps per entry of the stream (Korthikanti et al. 2022)"),
            Input("extra_flop_in_practice", 0.5, "", "of the RevNet paper's own runs (Gomez et al. 2017)"),
        ),
        compute=_memory_for_compute,
        acceptance=(
            Acceptance("activations, store", 171.1, relative=0.01),
            Acceptance("activations, checkpoint", 11.8, relative=0.01),
            Acceptance("activations, reversible", 1.9, relative=0.01),
            Acceptance("extra FLOP of checkpointing", 0.3333, absolute=1e-4),
            Acceptance(_kv_name(0, 1000), 500.5, absolute=0.1),
            Acceptance(_kv_name(1000, 1000), 750.3, absolute=0.1),
            Acceptance(_kv_name(100_000, 1000), 995.1, absolute=0.1),
        ),
        why="One more forward pass is a third more FLOP. Checkpointing the inputs of layers costs the same third and "
        "already saves 14.5 times, so reversing is left with a sixth of a small number: it stayed niche.",
        exhibit="memory",
    ),
    Claim(
        id="C34",
        topic="mixing",
        statement="Neural networks and ciphers both mix everything with everything, to opposite ends.",
        equation="cipher: one bit in, half of the bits out; network: change out / change in near 1",
        quantity="avalanche and gain",
        unit="",
        printed=None,
        inputs=(WIDTH, SEED),
        compute=_opposite_ends,
        acceptance=(
            Acceptance("avalanche after 1 round", 0.147, absolute=0.01),
            Acceptance("avalanche after 2 rounds", 0.380, absolute=0.01),
            Acceptance("avalanche after 3 rounds", 0.502, absolute=0.01),
            Acceptance("avalanche after 8 rounds", 0.50, absolute=0.02),
            Acceptance("gain lies between 1.0 and 1.6", True),
            Acceptance("gain of 64 over 16 layers", 1.0, absolute=0.05),
        ),
        why="Three rounds of a cipher flip half of the output for one flipped bit. A residual network at its start "
        "passes a small change on about as large as it came, at any depth.",
        exhibit="avalanche",
    ),
)
