"""float16 on a GPU, as far as a CPU can tell: where AMP casts, and the scale of the losses.

AMP cannot be switched off again, so each test has a process of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys

from gluonbook.recipes import RECIPES

#: Trains LeNet and prints what came of it. AMP casts nothing, since a CPU has no float16 layers,
#: but scales the losses.
TRAINING = """
import hashlib, json, sys
import gluonbook as gb, mxnet as mx
from gluonbook.runs.checkpoint import Checkpoint
from gluonbook.system import mxnet_private
from mxnet.contrib import amp

scale, epochs, folder, steps = json.loads(sys.argv[1])
if scale:
    amp.init("float16", target_precision_ops=[], conditional_fp32_ops=[], fp32_ops=[])
mx.random.seed(1)
net = gb.lenet()
net.initialize(mx.init.Xavier())
net(mx.nd.zeros((1, 1, 28, 28)))
train_iter, test_iter = gb.load_data_fashion_mnist(64, limit=640, limit_test=64)
train_iter.seed = 1
trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.9})
if scale:
    amp.init_trainer(trainer)
    mxnet_private.set_loss_scale(trainer, {"now": scale, "next": scale, "steps": steps})
checkpoint = Checkpoint(folder, seed=1) if folder else None
history = gb.train_ch5(
    net, train_iter, test_iter, 64, trainer, mx.cpu(), epochs, checkpoint=checkpoint
)
params = [p.data().asnumpy() for p in net.collect_params().values()]
print(json.dumps({
    "params": hashlib.sha256(b"".join(p.tobytes() for p in params)).hexdigest(),
    "losses": [row.loss for row in history],
    "scale": mxnet_private.loss_scale(trainer) if scale else None,
}))
"""

#: Prints, of each section's net in float16, the types of its parameters, and those that are cast
#: to in front of its convolutions and dense layers.
GRAPHS = """
import json, sys
import gluonbook as gb, mxnet as mx
from gluonbook.recipes import RECIPES
from gluonbook.training.precision import init_amp

init_amp("float16")
told = {}
for section, recipe in RECIPES.items():
    net = recipe.net("gluon")
    net.initialize()
    symbol = net(mx.sym.var("data"))
    nodes = json.loads(symbol.tojson(remove_amp_cast=False))["nodes"]
    types, _, _ = symbol.infer_type(data="float32")
    layers = [node for node in nodes if node["op"] in ("Convolution", "FullyConnected")]
    sources = [nodes[place[0]] for layer in layers for place in layer["inputs"]]
    told[section] = {
        "parameters": sorted({kind.__name__ for kind in types}),
        "cast": sorted({str(source.get("attrs", {}).get("dtype")) for source in sources}),
    }
print(json.dumps(told))
"""


def told(code: str, *argv: str) -> dict:
    result = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def trained(scale: float, epochs: int, folder: Path | str = "", steps: int = 0) -> dict:
    """LeNet after epochs of ten steps; it has gone `steps` without an overflow before."""
    return told(TRAINING, json.dumps([scale, epochs, str(folder), steps]))


def test_in_float16_the_inputs_of_layers_are_cast_and_the_weights_stay_float32():
    graphs = told(GRAPHS)
    assert graphs.keys() == RECIPES.keys()
    for section, found in graphs.items():
        assert found["parameters"] == ["float32"], section
        assert found["cast"] == ["float16"], section


def test_a_scale_that_is_a_power_of_two_changes_no_bit(dataset):
    plain, scaled = trained(0, 1), trained(2.0**10, 1)
    assert scaled["params"] == plain["params"] and scaled["losses"] == plain["losses"]
    assert scaled["scale"] == {"now": 2.0**10, "next": 2.0**10, "steps": 10}


def test_a_step_whose_gradients_overflow_only_halves_the_scale(dataset):
    """From 2¹²⁸ on a scale is infinite in float32, and so is every gradient."""
    untrained, skipped = trained(0, 0), trained(2.0**140, 1)
    assert skipped["params"] == untrained["params"]
    assert skipped["scale"] == {"now": 2.0**131, "next": 2.0**130, "steps": 0}  # after ten steps


def test_resumed_a_run_goes_on_with_its_scale(dataset, tmp_path):
    """MXNet doubles it after 2,000 steps."""
    whole = trained(2.0**10, 2, steps=1_995)
    assert whole["scale"] == {"now": 2.0**11, "next": 2.0**11, "steps": 15}
    trained(2.0**10, 1, tmp_path / "run", steps=1_995)
    assert trained(2.0**10, 2, tmp_path / "run") == whole
