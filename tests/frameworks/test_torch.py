"""A model as a module of PyTorch: numbers, gradients, and what is said where something does not fit."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.training.config import FitConfig
from rnngraph.training.fit import fit
from rnngraph.training.optimisers import Adam
from tests.support.models import over
from tests.support.running import same_bits

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

from rnngraph.torch import Module  # noqa: E402

SUMS = """
cell Leaky(units) {
  input x: [n]
  state h: [units] = 0.1
  param w: [n, units] ~ glorot_uniform
  param slow: [units] = 0.5
  frozen param scale: [] = 2
  h' = sigmoid(slow) * h + tanh(x @ w) * scale
  output h'
}
model Sums {
  input x: seq[3]
  y, final = unroll Leaky(4) over x
  output y, final
}
"""
DIGITS = """
model Reader {
  input x: seq[3]
  input label: int
  y, final = unroll LSTM(6) over x
  scores = Dense(2)(last(y))
  output scores
  loss cross_entropy(scores, label)
  metric accuracy(scores, label)
}
"""
LENGTHS = torch.tensor([3, 5, 1])


def sequence(*shape: int, **options: Any) -> Any:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1), **options)


def module(text: str, **options: Any) -> Any:
    return Module(rg.parse(text), seed=1, dtype=torch.float64, **options)


def told(call: Callable[[], Any]) -> str:
    with pytest.raises(rg.UserError) as error:
        call()
    return str(error.value)


# --- gradients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "given"),
    [
        (over("LSTM(3)"), {"lengths": LENGTHS}),
        (over("LSTM(2) >> RNN(3)"), {}),
        (over("GRU(3)"), {"final.h": sequence(3, 3)}),
        (SUMS, {"lengths": LENGTHS, "final.h": sequence(3, 4)}),
    ],
    ids=["lstm with lengths", "two layers", "gru with a first state", "an own cell"],
)
def test_gradients_are_those_of_finite_differences(text: str, given: dict[str, Any]) -> None:
    net = module(text)
    floats = {"x": sequence(3, 5, 3)} | {n: a for n, a in given.items() if a.is_floating_point()}
    rest = {n: a for n, a in given.items() if n not in floats}
    weights = dict(net.named_parameters())
    tensors = [t.detach().clone().requires_grad_() for t in (*floats.values(), *weights.values())]

    def call(*tensors: Any) -> Any:
        told = dict(zip((*floats, *weights), tensors, strict=True))
        mine = {n: told.pop(n) for n in weights}
        results = torch.func.functional_call(net, mine, (), {**told, **rest})
        return tuple(results[n] for n in results)

    assert torch.autograd.gradcheck(call, tensors, fast_mode=True)


@pytest.mark.parametrize("options", [{}, {"unroll": "static", "steps": 5}, {"kernels": "numpy"}, {"keep": "sqrt"}])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_gradients_are_those_of_the_program_to_the_bit(options: dict[str, Any], lengths: Any) -> None:
    model = rg.parse(over("LSTM(4) >> GRU(3)"))
    net = Module(model, seed=1, dtype=torch.float64, **options)
    x = sequence(3, 5, 3, requires_grad=True)
    results = net(x, lengths=lengths)
    cotangents = {n: sequence(*r.shape) for n, r in results.items()}
    torch.autograd.backward([results[n] for n in cotangents], [cotangents[n] for n in cotangents])
    data = {"x": x.detach().numpy()} | ({} if lengths is None else {"x.lengths": lengths.numpy()})
    program = model.compile(gradient=True, training=True, **options)
    weights = model.init(1)
    _, wanted = program.gradients(data, weights, {n: c.numpy() for n, c in cotangents.items()})
    assert same_bits({n: r.detach().numpy() for n, r in results.items()}, program.run(data, weights))
    found = {"x": x.grad.numpy()} | {n: w.grad.numpy() for n, w in net.weights().items()}
    assert same_bits(found, {n: wanted[n] for n in found})


def test_the_cotangent_of_a_loss_weighs_it() -> None:
    model = rg.parse(over("GRU(3)"))
    program, weights, data = model.compile(gradient=True), model.init(1), {"x": sequence(2, 4, 3).numpy()}
    _, plain = program.gradients(data, weights)
    loss, twice = program.gradients(data, weights, {"loss": 2.0})
    assert np.isclose(loss, 2 * program.run(data, weights)["loss"])
    assert all(np.allclose(twice[n], 2 * plain[n], rtol=1e-12) for n in plain)


def test_training_is_that_of_our_own_loop() -> None:
    model = rg.parse(DIGITS)
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(8, 5, 3)), "label": rng.integers(0, 2, 8)}
    losses: list[float] = []
    fit(
        model.compile(**model.training_step),
        model.init(3),
        data,
        FitConfig(Adam(rate=0.05), epochs=20, batch=8),
        progress=lambda at: losses.append(at.loss),
    )
    net = Module(model, seed=3, dtype=torch.float64)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    x, label = (torch.from_numpy(data[n]) for n in ("x", "label"))
    for wanted in losses:
        optimizer.zero_grad()
        loss = net(x, label).loss
        assert loss.item() == pytest.approx(wanted, rel=1e-6)
        loss.backward()
        optimizer.step()
    assert len(losses) == 20 and losses[-1] < losses[0] / 2


def test_calls_that_wait_do_not_disturb_each_other() -> None:
    net, (one, other) = module(over("LSTM(4)")), sequence(2, 3, 5, 3).requires_grad_()
    alone = [torch.autograd.grad(net(x).y.sum(), x)[0] for x in (one, other)]
    first, second = net(one), net(other)
    assert torch.equal(torch.autograd.grad(second.y.sum(), other)[0], alone[1])
    assert torch.equal(torch.autograd.grad(first.y.sum(), one)[0], alone[0])
    nested = net(torch.tanh(net(one).y[:, :, :3])).y.sum()
    inner = one.detach().clone().requires_grad_()
    outer = torch.tanh(net(inner).y[:, :, :3]).detach().requires_grad_()
    above = torch.autograd.grad(net(outer).y.sum(), outer)[0]
    below = torch.autograd.grad(torch.tanh(net(inner).y[:, :, :3]), inner, above)[0]
    assert torch.allclose(torch.autograd.grad(nested, one)[0], below, rtol=1e-12)


def test_arrays_are_used_again() -> None:
    net, x = module(over("GRU(4)")), sequence(3, 5, 3)
    made = []

    def arenas() -> int:
        (program,) = net._programs._made.values()
        ((spares,),) = [variant.arrays for key, variant in program._variants.items() if key.apart]
        return len(spares.free)

    for _ in range(3):
        net(x).y.sum().backward()
        made.append(arenas())
    dropped = [net(x), net(x)]
    assert made == [1, 1, 1] and arenas() == 0
    del dropped
    gc.collect()
    assert arenas() == 2


def test_a_graph_that_is_retained_gives_the_same_again() -> None:
    net, x = module(over("GRU(4)")), sequence(3, 5, 3, requires_grad=True)
    loss = net(x).y.sum()
    first = torch.autograd.grad(loss, x, retain_graph=True)[0]
    net(sequence(3, 5, 3) + 1).y.sum().backward()
    assert torch.equal(torch.autograd.grad(loss, x)[0], first)


def test_gradients_of_gradients_are_refused() -> None:
    net, x = module(over("GRU(4)")), sequence(3, 5, 3, requires_grad=True)
    assert "E744" in told(lambda: torch.autograd.grad(net(x).y.sum(), x, create_graph=True))


def test_weights_that_changed_before_the_backward_pass_are_noticed() -> None:
    net = module(over("GRU(4)"))
    loss = net(sequence(3, 5, 3)).loss
    with torch.no_grad():
        next(net.parameters()).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_pending_call_of_ours_goes_back_once() -> None:
    model = rg.parse(over("GRU(3)"))
    program, data = model.compile(gradient=True), {"x": sequence(2, 4, 3).numpy()}
    pending = program.begin(data, model.init(1))
    assert "E617" in told(lambda: pending.gradients({"y": np.ones(3)}))
    assert "`yy`" in told(lambda: pending.gradients({"yy": np.ones(3)}))
    pending.gradients({"loss": np.array(1.0)})
    assert "E741" in told(lambda: pending.gradients({"loss": np.array(1.0)}))
    assert "E740" in told(lambda: model.compile(gradient=True, keep="sqrt").begin(data, model.init(1)))


# --- a module as others are --------------------------------------------------------------------------------------


def test_weights_are_parameters_under_their_own_names() -> None:
    net = module(SUMS)
    initial = rg.parse(SUMS).init(1)
    assert net.weights().keys() == net.state_dict().keys() == initial.keys()
    assert all(np.array_equal(net.state_dict()[n].numpy(), a) for n, a in initial.items())
    assert {n for n, _ in net.named_parameters()} == {"leaky.w", "leaky.slow"}
    assert {n for n, _ in net.named_buffers()} == {"leaky.scale"}
    net.leaky.scale.requires_grad_()
    assert "E746" in told(lambda: net(sequence(1, 2, 3)))


def test_a_weight_may_be_called_as_something_of_pytorch_is() -> None:
    text = """
model Odd {
  input x: [3]
  param half: [3] = 1
  param weights: [3] = 2
  output x * half * weights
}
"""
    net = module(text)
    assert net.state_dict().keys() == {"half_", "weights_"} and net.weights().keys() == {"half", "weights"}
    assert torch.equal(net(torch.ones(1, 3, dtype=torch.float64)), torch.full((1, 3), 2.0, dtype=torch.float64))


def test_copies_and_files_give_the_same(tmp_path: Any) -> None:
    net, x = module(over("LSTM(4)")), sequence(3, 5, 3)
    wanted = net(x).y
    copied = copy.deepcopy(net)
    assert torch.equal(copied(x).y, wanted) and torch.equal(pickle.loads(pickle.dumps(net))(x).y, wanted)
    with torch.no_grad():
        for weight in copied.parameters():
            weight.zero_()
    assert torch.equal(net(x).y, wanted) and not torch.equal(copied(x).y, wanted)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    copied.load_state_dict(torch.load(tmp_path / "w.pt"))
    assert torch.equal(copied(x).y, wanted)


def test_a_weight_that_is_laid_out_anew_is_read_anew() -> None:
    net, x = module(over("RNN(3)")), sequence(2, 4, 3)
    net(x)
    kernel = net.net.kernel
    kernel.data = torch.arange(18.0, dtype=torch.float64).reshape(6, 3) / 18
    one = net(x).y
    kernel.data = kernel.data.reshape(3, 6).t()
    other = copy.deepcopy(net)
    assert torch.equal(net(x).y, other(x).y) and not torch.equal(net(x).y, one)


def test_types_of_numbers() -> None:
    net, x = module(over("LSTM(4)")), sequence(3, 5, 3)
    double = net(x).y
    single = net.float()(x.float()).y
    assert single.dtype == torch.float32 and torch.allclose(single.double(), double, atol=1e-6)
    assert "`x` is torch.float64, but the weights are torch.float32" in told(lambda: net(x))
    assert "`x` is torch.float16" in told(lambda: net(x.half()))
    assert "which is not a number type" in told(lambda: copy.deepcopy(net).half()(x.half()))
    assert "E607" in told(lambda: Module(rg.parse(SUMS), dtype=torch.int64))
    assert module(over("GRU(2)"), outputs=("y",))(x).dtype == torch.float64


def test_dropout_is_for_training_and_follows_the_seed() -> None:
    net, x = module(over("RNN(4) >> Dropout(0.5)")), sequence(3, 5, 3)
    torch.manual_seed(7)
    one, other = net(x).y, net(x).y
    torch.manual_seed(7)
    assert torch.equal(net(x).y, one) and not torch.equal(one, other)
    assert torch.equal(net(x, seed=3).y, net(x, seed=3).y)
    net.eval()
    before = torch.get_rng_state()
    assert torch.equal(net(x).y, net(x).y) and torch.equal(torch.get_rng_state(), before)


def test_no_gradients_where_none_are_asked_for() -> None:
    net, x = module(DIGITS), sequence(3, 5, 3)
    with torch.no_grad():
        scores = net(x)
    assert not scores.requires_grad
    assert {wanted.gradient for wanted in net._programs._made} == {False}


def test_results_by_name() -> None:
    net, x, label = module(DIGITS), sequence(3, 5, 3), torch.tensor([0, 1, 1])
    assert isinstance(net(x), torch.Tensor)  # all that there is without labels
    results = net(x=x, label=label)
    assert list(results) == ["scores", "loss", "accuracy"] and results["loss"] is results.loss
    assert torch.allclose(results.loss, torch.nn.functional.cross_entropy(results.scores, label))
    assert not results.accuracy.requires_grad
    with pytest.raises(AttributeError, match="there is no result `scroes`"):
        _ = results.scroes
    with torch.no_grad():
        assert pickle.loads(pickle.dumps(net(x, label))).keys() == results.keys()


def test_a_sequence_in_pieces() -> None:
    net, x = module(over("LSTM(4)")), sequence(3, 6, 3)
    whole, first = net(x), net(x[:, :4])
    rest = net(x[:, 4:], final=first.final)
    assert torch.equal(torch.cat([first.y, rest.y], 1), whole.y) and torch.equal(rest.final.c, whole.final.c)


@pytest.mark.parametrize("sort", [True, False])
def test_packed_sequences(sort: bool) -> None:
    lengths = LENGTHS if sort else LENGTHS.sort(descending=True).values
    net, x = module(over("LSTM(4)")), sequence(3, 5, 3, requires_grad=True)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=not sort)
    results, wanted = net(packed), net(x, lengths=lengths)
    assert torch.equal(pad_packed_sequence(results.y, batch_first=True)[0], wanted.y)
    assert torch.equal(results.final.h, wanted.final.h)
    found = torch.autograd.grad(results.y.data.square().sum(), x)[0]
    assert torch.allclose(found, torch.autograd.grad(wanted.y.square().sum(), x)[0], rtol=1e-12)
    assert "E745" in told(lambda: net(packed, lengths=lengths))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # Dynamo asks for it
def test_it_runs_under_torch_compile() -> None:
    net, x = module(over("GRU(4)")), sequence(3, 5, 3)
    compiled = torch.compile(lambda x: net(2 * x).y.sin(), backend="eager")
    assert torch.allclose(compiled(x), net(2 * x).y.sin())
    compiled(x).sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())


# --- what does not fit -------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_said_by_its_name() -> None:
    net, x = module(DIGITS), sequence(3, 5, 3)
    said = {
        "`x` has 2 values on axis 2, expected 3": lambda: net(x[:, :, :2]),
        "`label` should hold integers, got float64": lambda: net(x, x[:, 0, 0]),
        "the data has no `x`": lambda: net(),
        "`x` is on the device `meta`": lambda: net(x.to("meta")),
        "`x` is torch.sparse_coo": lambda: net(x.to_sparse()),
        "`x` is no tensor": lambda: net("text"),
        "`x` is given twice": lambda: net(x, x=x),
        "the model was given 3 inputs, and takes 2": lambda: net(x, x, x),
        "the model has no input `labels`": lambda: net(x, labels=x),
        "`x.lengths` should be (3,)": lambda: net(x, lengths=[1, 2]),
        "the model has no output `score`": lambda: module(DIGITS, outputs=("score",))(x),
        "a model is a path": lambda: Module(3),
        "was given `units`": lambda: Module(rg.parse(DIGITS), units=3),
    }
    for text, call in said.items():
        found = told(call)
        assert text in found, found


def test_a_tensor_that_requires_gradients_is_refused_wherever_arrays_are_given() -> None:
    """By one message with the name of what it was given for, and what mends it."""
    model = rg.parse(over("GRU(2)"))
    program, data, weights = model.compile(gradient=True, states=True), {"x": np.ones((2, 4, 3))}, model.init(0)
    name, array = next(iter(weights.items()))
    x, weight, lengths = (
        torch.tensor(a, requires_grad=True) for a in (data["x"], array, np.array([2.0, 3.0]))
    )
    begun, stepping = program.begin(data, weights), model.compile(outputs=("y",), states=True)
    doors: list[tuple[str, Callable[[], object]]] = [
        ("x", lambda: program.run({"x": x}, weights)),
        ("x", lambda: stepping.step({"x": x[:, 0]}, weights)),
        ("x", lambda: program.jvp(data, weights, {"x": x})),
        ("x.lengths", lambda: program.run({**data, "x.lengths": lengths}, weights)),
        ("y", lambda: program.gradients(data, weights, {"y": x})),
        ("y", lambda: begun.gradients({"y": x})),
        (name, lambda: program.run(data, {**weights, name: weight})),
        (name, lambda: program.begin(data, {**weights, name: weight})),
        ("x", lambda: model.fit({"x": x}, epochs=1)),
        ("x", lambda: model.fit(data, {"x": x}, epochs=1)),
        (name, lambda: model.fit(data, weights={**weights, name: weight}, epochs=1)),
        ("x", lambda: model.evaluate({"x": x}, weights)),
        ("x", lambda: model.predict({"x": x}, weights)),
        (name, lambda: model.predict(data, {**weights, name: weight})),
        (name, lambda: rg.save_weights("w.safetensors", {name: weight})),
    ]
    for told, door in doors:
        with pytest.raises(rg.UserError, match=f"`{told}` is a tensor of PyTorch that requires gradients") as error:
            door()
        assert "tensor.detach()" in str(error.value)
    half = torch.ones(2, 4, 3, dtype=torch.bfloat16)
    with pytest.raises(rg.UserError, match="`x` cannot be read as an array"):
        program.run({"x": half}, weights)
