"""What other systems call what this language has, and how it is said here: for hints."""

from __future__ import annotations

from collections.abc import Mapping

_MODULES = ("tf", "np", "torch", "nn", "F", "jnp", "jax", "keras", "math", "K")
_CELLS = {
    **dict.fromkeys(("RNNCell", "BasicRNNCell", "SimpleRNN", "SimpleRNNCell", "VanillaRNN"), "RNN(units)"),
    **dict.fromkeys(("LSTMCell", "BasicLSTMCell", "LSTMBlockCell", "CuDNNLSTM", "lstm_cell"), "LSTM(units)"),
    **dict.fromkeys(("GRUCell", "GRUBlockCell", "CudnnGRU", "gru_cell"), "GRU(units)"),
    "LayerNormBasicLSTMCell": "LayerNormLSTM(units)",
    "ConvLSTMCell": "ConvLSTM(filters)",
    "ConvLSTM2D": "ConvLSTM(filters)",
    **dict.fromkeys(("MultiRNNCell", "StackedRNNCells", "Sequential", "stack_cells"), "A >> B"),
    **dict.fromkeys(("DropoutWrapper", "VariationalDropout"), "DropoutAround(inner, inputs = 0.2)"),
    **dict.fromkeys(("ResidualWrapper", "RNNCellResidualWrapper"), "Residual(inner)"),
    "HighwayWrapper": "Highway(inner)",
    "OutputProjectionWrapper": "Projected(inner, units)",
    "EmbeddingWrapper": "Embedding(vocab, units)",
    **dict.fromkeys(("Linear", "FullyConnected", "fully_connected", "dense", "linear"), "Dense(units)"),
    **dict.fromkeys(("embedding_lookup", "embedding"), "Embedding(vocab, units)(ids)"),
    **dict.fromkeys(("BiLSTM", "BiRNN", "BiGRU"), "Bidirectional(LSTM(units), LSTM(units))"),
    **dict.fromkeys(("LayerNormalization", "layer_norm"), "LayerNorm()"),
    "dropout": "Dropout(0.5)(x)",
    **dict.fromkeys(("WeightDrop", "WeightDropLSTM", "WeightDroppedLSTM"), "DropConnect(inner, 0.5)"),
    "BahdanauAttention": "AdditiveAttention(inner, units)",
    "LuongAttention": "MultiplicativeAttention(inner)",
}
_LOOPS = {
    **dict.fromkeys(("static_rnn", "dynamic_rnn", "rnn", "scan", "while_loop", "map_fn", "lax"), "unroll CELL over x"),
    **dict.fromkeys(("bidirectional_dynamic_rnn", "static_bidirectional_rnn"), "Bidirectional(LSTM(8), LSTM(8))(x)"),
    "unstack": "rows(m)",
    "zero_state": "states begin as declared: `state h: [units] = 0`",
}
_FUNCTIONS = {
    **dict.fromkeys(("reverse", "reverse_sequence"), "reversed(x)"),
    **dict.fromkeys(("mse", "mean_squared_error", "MSELoss", "l2_loss", "mse_loss"), "squared_error(a, b)"),
    **dict.fromkeys(("softmax_cross_entropy", "CrossEntropyLoss", "nll", "xent"), "cross_entropy(scores, label)"),
    **dict.fromkeys(("bce", "BCEWithLogitsLoss", "sigmoid_cross_entropy"), "binary_cross_entropy(logit, target)"),
    **dict.fromkeys(("dot", "matmul", "mm", "bmm", "MatMul"), "x @ w"),
    "power": "x ** 2",
    **dict.fromkeys(("cat", "concatenate"), "[a, b]"),
    **dict.fromkeys(("reduce_sum", "add_n"), "sum(x)"),
    **dict.fromkeys(("reduce_mean", "average", "avg"), "mean(x)"),
    "reduce_max": "max(x)",
    **dict.fromkeys(("maximum", "minimum"), "max(a, b)"),
    **dict.fromkeys(("select", "cond", "ifelse", "iff"), "where(condition, a, b)"),
    **dict.fromkeys(("len", "shape"), "size(x, axis = 0)"),
    **dict.fromkeys(("arange", "linspace"), "range(n)"),
    **dict.fromkeys(("stop_gradient", "no_grad", "StopGradient"), "detach(x)"),
    **dict.fromkeys(("logistic", "sigma", "sigm", "Sigmoid"), "sigmoid(x)"),
    **dict.fromkeys(("gather", "take", "lookup", "index_select"), "table[ids]"),
    **dict.fromkeys(("expand_dims", "unsqueeze"), "x[None]"),
    **dict.fromkeys(("squeeze", "view", "flatten"), "reshape(x, [n])"),
    "ln": "log(x)",
    "pi": "3.141592653589793",
    **dict.fromkeys(("inf", "infinity"), "numbers are finite: take a large one, `1e30`"),
    **dict.fromkeys(
        ("scatter", "index_update", "scatter_update", "scatter_nd", "index_put", "index_copy", "dynamic_update_slice"),
        "a row of the state `m` is written by `m'[i] = x`",
    ),
    **dict.fromkeys(("clamp", "clip_by_value"), "clip(x, low, high)"),
    **dict.fromkeys(("random_normal", "randn"), "normal([n])"),
    **dict.fromkeys(("random_uniform", "rand"), "uniform([n])"),
    **dict.fromkeys(("timestep", "step", "time_step"), "t"),
    **dict.fromkeys(("identity_matrix", "I"), "eye(n)"),
    "swish": "silu(x)",
    "True": "true",
    "False": "false",
    "None": "an input or a setting may have a default: `input x: [n] = 0`",
    "self": "weights are named alone: `w`",
    "print": "`output x`, or `--watch x` when it is run, shows a value",
}
_WORDS = {
    "return": "results are handed out by `output`",
    "elif": "write `else if`",
    "while": "a loop over steps is `unroll CELL over x`; it ends early by `stop` in the cell",
    "let": "a value gets a name by `y = ...` alone",
    "var": "a value gets a name by `y = ...` alone",
    "const": "a value gets a name by `y = ...` alone",
    "def": "a function is a `layer`, and has inputs and outputs",
    "function": "a function is a `layer`, and has inputs and outputs",
    "class": "a network is a `cell`, a `layer` or a `model`",
    "print": "`output x`, or `--watch x` when it is run, shows a value",
    "weight": "a weight is `param w: [n, m]`",
    "parameter": "a weight is `param w: [n, m]`",
    "variable": "a weight is `param w: [n, m]`",
}
_SETTINGS = {
    **dict.fromkeys(("num_units", "hidden_size", "hidden", "size", "cell_size", "num_hidden", "n_hidden"), "units"),
    **dict.fromkeys(("num_proj", "proj_size"), "projection"),
    "proj_clip": "projection_clip",
    "use_peepholes": "peepholes",
    "unit_forget_bias": "forget_bias",
    "nonlinearity": "activation",
    **dict.fromkeys(("p", "keep_prob", "dropout"), "rate"),
    **dict.fromkeys(("num_embeddings", "input_dim", "vocab_size", "vocabulary"), "vocab"),
    **dict.fromkeys(("embedding_dim", "output_dim", "out_features", "dim"), "units"),
}
_ARGUMENTS = {
    **dict.fromkeys(("dim", "dims", "reduction_indices"), "axis"),
    **dict.fromkeys(("keepdim", "keepdims", "keep_dims"), "keep"),
    **dict.fromkeys(("labels", "target", "targets"), "label"),
}


def of_name(name: str) -> str:
    """How to say here what a name means elsewhere; "" of an unknown one."""
    if name in _MODULES:
        return "functions and cells have no prefix: `tanh(x)`, `LSTM(8)`"
    found = _ALL.get(name, "")
    return found if "`" in found or not found else f"here that is `{found}`"


def of_word(word: str) -> str:
    """The same of a word that begins a statement."""
    return _WORDS.get(word, "")


def of_setting(name: str, known: Mapping[str, object] | list[str]) -> str:
    """The same of a setting, where there is that one."""
    return _meant(_SETTINGS.get(name, ""), known)


def of_argument(name: str, known: list[str]) -> str:
    """The same of an argument of a function, where there is that one."""
    return _meant(_ARGUMENTS.get(name, ""), known)


def _meant(name: str, known: Mapping[str, object] | list[str]) -> str:
    return f"here that is `{name}`" if name in known else ""


_ALL = _CELLS | _LOOPS | _FUNCTIONS
