"""What stands by each figure of the ledger's page, for a person who has only heard the talk."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    """What stands by a figure: heading, one sentence, equation, and what its letters mean."""

    heading: str
    sentence: str
    equation: str
    letters: str


FIGURES = {
    "batch": Said(
        "Why providers batch",
        "A token gets cheaper the more people ride along, until the chips are busy with arithmetic: from the kink on a "
        "bigger batch saves nothing.",
        "cost / floor = max(1, B*/B + L/L*)",
        "B is the batch, B* the balance batch, L the context and L* the context at which reading it takes as long as "
        "the arithmetic. The kink lies at B* / (1 - L/L*). Claims C1 to C4.",
    ),
    "menu": Said(
        "Paying for speed",
        "Six times the price buys two and a half times the speed, and a hundred times the price hardly more: a smaller "
        "batch cannot be faster than one sweep over the weights.",
        "s(c) = S - (S - 1) / c",
        "c is the price and s the speed, both over standard; S is the speed that no price exceeds. Claims C6 and C7.",
    ),
    "context": Said(
        "The step at 200,000 tokens",
        "If reading the context overtakes arithmetic at 200,000 tokens, cost climbs steadily from there, while the "
        "price climbs in one step: by half for output, by double for input.",
        "cost / floor = max(1, 1/b + L/L*)",
        "b is the batch over the balance batch. The usual batch is 2.5 of them, its kink put at the same context. "
        "Claims C18 and C23.",
    ),
    "tiers": Said(
        "Where to keep a conversation",
        "The longer a conversation pauses, the slower the memory it should wait in: GPU memory for milliseconds, CPU "
        "memory for seconds, flash for an hour, disk beyond; computing it again costs the dashed line.",
        "cost = k (p / BW + p t / C)",
        "k bytes a token, p the price of the device, BW its bandwidth, C its capacity, t the time held. KV of DeepSeek "
        "V3; memory of the GPU is read in place. Claims C21 and C22.",
    ),
    "budget": Said(
        "Why small models are trained so long",
        "The more a model will be used, the longer it pays to train a smaller one: at the talk's demand about a "
        "hundred times as long as the classic rule of 20 tokens a parameter.",
        "min 6 N D + 2 pen N I, loss(N, D) <= L",
        "N parameters, D training tokens, I tokens served, pen the price of a decode FLOP over a training FLOP (3). "
        "Each point is solved with a proven gap, at one quality. Claims C24 to C28.",
    ),
    "placement": Said(
        "Does it matter where experts live?",
        "With two racks half of all expert calls leave their rack wherever the experts live; only what is sent once "
        "for several experts depends on the placement, if experts come in groups.",
        "sends = sum over tokens of other racks touched",
        "16 experts, two a token, eight in each of two racks; two groups that keep 90 % of the tokens. The best "
        "placement is proven by a mixed-integer program. Claims C12 to C14.",
    ),
}

EXHIBITS = {
    "reconstruction": Said(
        "A network run backwards",
        "A reversible network gives back its inputs, but only as well as its number format allows: in 16 bits the "
        "error is large enough to harm training, on bits it is exactly nothing.",
        "(x, y) -> (y + tanh(W x), x)",
        "The same step as in a Feistel cipher, with addition for exclusive or. Claim C32.",
    ),
    "mixing": Said(
        "The same mixing, opposite ends",
        "In a cipher one flipped bit flips half of the output after three rounds; in a fresh network a small change "
        "stays about as small, however deep it is.",
        "x -> x + tanh(W x) / sqrt(depth)",
        "Avalanche: share of the output's bits that change. Gain: change of the output over change of the input. "
        "Claim C34.",
    ),
    "activations": Said(
        "Memory of training, three ways",
        "Running backwards keeps the least, but keeping the inputs of layers has already saved most of it at the same "
        "price of a third more arithmetic.",
        "6 N D -> 8 N D",
        "100 layers of width 12,288, one sequence of 4,096 tokens. Claim C33.",
    ),
    "kv": Said(
        "What a cache saves",
        "Without keeping keys and values every new token would compute all before it again: five hundred to a thousand "
        "times the arithmetic for a thousand tokens of output.",
        "(T S + T (T + 1) / 2) / (S + T)",
        "S tokens of prompt, T of output. Claim C33.",
    ),
}
