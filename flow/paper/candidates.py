"""The paper's networks as candidates of this package, candidates as the paper's networks, and codes of its space."""

from __future__ import annotations

import numpy as np

from flow.errors import InputError
from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import InvalidCandidate
from flow.paper.design import DENSE, Bits, PaperDesign, PaperLayer, PaperNetwork, dense
from flow.paper.model import CORRECTED, HardwareModel, Limits, evaluate
from flow.paper.solve import solve
from flow.paper.work import Choices, Ints
from flow.resources import Measurement
from flow.space.candidate import Candidate, LayerChoice
from flow.space.schema import Bits as BitChoices
from flow.space.schema import Pairs
from flow.space.space import Codes, SearchSpace

CLASSES = 10
"""Classes of CIFAR-10, on which the paper searched."""


def to_candidate(network: PaperNetwork | PaperDesign, input_format: FixedFormat | None = None) -> Candidate:
    """The candidate with the same layers, so that every backend of this package can price it.

    ``input_format``: that of the data set; without it the bits that the paper bills, ``ufixed<7,1>``. The last dense
    layer becomes the output layer. Raises InvalidCandidate for a format of no bits, which the paper's space has.
    """
    if isinstance(network, PaperDesign):
        network = network.network
    *hidden, output = network.dense
    convolutions = [
        LayerChoice(
            kind="conv2d",
            units=layer.filters,
            weight=_weight(layer.weight),
            activation=_activation(layer.activation),
            kernel=layer.kernel,
            stride=layer.stride,
            pool=layer.pool,
            concat=layer.concat,
        )
        for layer in network.layers
    ]
    denses = [
        LayerChoice("dense", layer.filters, _weight(layer.weight), _activation(layer.activation)) for layer in hidden
    ]
    return Candidate(
        input_shape=network.input_shape,
        input_format=input_format or _activation(network.input_bits),
        classes=output.filters,
        layers=(*convolutions, *denses),
        output_weight=_weight(output.weight),
    )


def from_candidate(candidate: Candidate) -> PaperNetwork:
    """The candidate as the paper's model sees it, its input billed with its own bits.

    Raises InputError for what the paper's hardware does not run: vectors as input, depthwise convolutions, residual
    connections, binary or ternary weights, global average pooling, negative bits.
    """
    convolutions, denses = [], []
    for number, choice in enumerate(candidate.layers, start=1):
        bits = (_bits(choice.activation), _fixed(choice.weight, f"layer {number}"))
        if choice.kind == "dense":
            denses.append(dense(choice.units, *bits))
        elif choice.kind == "conv2d" and not choice.residual:
            convolutions.append(
                PaperLayer(choice.kernel, choice.units, *bits, choice.pool, choice.stride, choice.concat)
            )
        else:
            kind = "a residual connection" if choice.residual else f"a {choice.kind} layer"
            raise InputError(f"layer {number}: the paper's hardware has no model of {kind}")
    shape = candidate.input_shape
    if len(shape) != 3 or candidate.head != "flatten":
        raise InputError("the paper's hardware takes images, and flattens them before dense layers")
    # As DENSE: the paper says nothing on the format of the logits.
    logits = denses[-1].activation if denses else DENSE[-1].activation
    output = dense(candidate.classes, logits, _fixed(candidate.output_weight, "output"))
    return PaperNetwork(
        tuple(convolutions), (shape[0], shape[1], shape[2]), _bits(candidate.input_format), (*denses, output)
    )


def predict_candidate(
    candidate: Candidate, limits: Limits, model: HardwareModel = CORRECTED, part: str = ""
) -> Measurement | None:
    """What the paper's hardware needs for a candidate: the design of fewest cycles under ``limits``, None if none.

    Raises InputError as :func:`from_candidate`.
    """
    design = solve(from_candidate(candidate), limits, model)
    return None if design is None else evaluate(design, model).measurement(part)


def choices_from_codes(space: SearchSpace, codes: Codes) -> Choices:
    """Codes of the paper's space or a variant of it (shape (n, decisions)) as columns; no object a candidate.

    Formats of no bits are kept, as the paper has them. The input is the paper's, 32x32x3 of (1, 6) bits. Raises
    InputError for a space of another kind.
    """
    groups = space.file.groups
    blocks = [p for p in space.positions if groups[p.group].kinds == ("conv2d",)]
    if not _suits(space):
        raise InputError(
            f"space {space.name} is not of the paper's kind: a fixed number of convolutions with integer and fraction "
            "bits, then dense layers without a choice"
        )

    def column(name: str) -> Ints:
        columns = []
        for block in blocks:
            decision = block.columns[name]
            options = np.array(space.decisions[decision].options, dtype=np.int64)
            columns.append(options[codes[:, decision]])
        return np.stack(columns, axis=1)

    def pair(name: str) -> tuple[Ints, Ints]:
        if isinstance(getattr(groups[0], name), Pairs):
            return column(f"{name}.height"), column(f"{name}.width")
        both = column(name)
        return both[..., 0], both[..., 1]

    concat = np.zeros((len(codes), len(blocks), len(blocks)), dtype=bool)
    for place, block in enumerate(blocks):
        for source in range(place):
            if f"concat.{source}" in block.columns:
                concat[:, place, source] = codes[:, block.columns[f"concat.{source}"]] == 1
    bits = [column(f"{name}.{part}") for name in ("activation", "weight") for part in ("integer", "fraction")]
    columns = [*pair("kernel"), column("units"), column("pool"), *pair("stride"), *bits]
    return Choices(*columns, concat=concat, dense=_dense_of(space))


def _dense_of(space: SearchSpace) -> tuple[PaperLayer, ...]:
    """The dense layers of a space without a choice for them, which ``_suits`` has checked."""
    layers = []
    for group in space.file.groups[1:]:
        assert not isinstance(group.activation, BitChoices)
        assert not isinstance(group.weight, BitChoices)
        layers.append(dense(group.units[0], _bits(group.activation[0]), _fixed(group.weight[0], "dense layer")))
    weight = _fixed(space.file.output_weight[0], "output")
    return (*layers, dense(CLASSES, layers[-1].activation, weight))


def _suits(space: SearchSpace) -> bool:
    """Whether a space is the paper's or like it; see ``choices_from_codes``."""
    first, *rest = space.file.groups
    bits = isinstance(first.weight, BitChoices) and isinstance(first.activation, BitChoices)
    convolutions = bits and first.kinds == ("conv2d",) and len(first.repeat) == 1 and True not in first.residual
    singles = all(
        group.kinds == ("dense",)
        and group.repeat == (1,)
        and all(not isinstance(v, BitChoices) and len(v) == 1 for v in (group.units, group.weight, group.activation))
        for group in rest
    )
    return (
        convolutions
        and singles
        and bool(rest)
        and space.file.head == ("flatten",)
        and len(space.file.output_weight) == 1
    )


def _weight(bits: Bits) -> WeightFormat:
    return WeightFormat("fixed", _width(bits), bits[0])


def _activation(bits: Bits) -> FixedFormat:
    return FixedFormat(_width(bits), bits[0], signed=False)


def _width(bits: Bits) -> int:
    if sum(bits) == 0:
        raise InvalidCandidate("format", "a format of the paper's network has no bits")
    return sum(bits)


def _bits(form: FixedFormat | WeightFormat) -> Bits:
    return form.integer, form.fraction


def _fixed(weight: WeightFormat, where: str) -> Bits:
    if weight.kind != "fixed":
        raise InputError(f"{where}: the paper's hardware has no model of {weight.kind} weights")
    return _bits(weight)
