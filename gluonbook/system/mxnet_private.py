"""Every name that is private to MXNet and used here, each with the reason.

MXNet 1.9.1 is its last release, so none of them will change. Where there is a public way, it is
taken.
"""

from __future__ import annotations

from contextlib import contextmanager
import ctypes
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

import mxnet as mx
from mxnet import base, gluon, nd
from mxnet.contrib import quantization
from mxnet.gluon.data import vision
import numpy as np

# --- the library ------------------------------------------------------------------------------

#: What MXNet does as the process ends. It has to be taken off ``atexit`` to be replaced.
notify_shutdown = base._notify_shutdown


def library() -> Any:
    """MXNet's C functions. Only some of them have a Python name."""
    return base._LIB


def free_memory_of_numpy_without_a_module() -> None:
    """Let an array made by ``from_numpy`` be freed as late as Python likes.

    MXNet gives NumPy's memory back by a Python function. Python clears the module of that function
    before it frees the last objects, such as those of a ``threading.local``; an array among them
    then calls a function that is gone, and the process ends in a segmentation fault. The function
    that takes its place uses no name of a module, and is never freed.
    """
    python = ctypes.pythonapi
    decref = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("Py_DecRef", python))

    def free(tensor: Any) -> None:
        decref(tensor.contents.manager_ctx)

    deleter = nd.ndarray.DeleterFunc(free)
    python.Py_IncRef(ctypes.py_object(deleter))
    nd.ndarray.dl_managed_tensor_deleter = deleter


def amp_is_on() -> bool:
    """Whether AMP has been switched on. MXNet tells nobody, and cannot switch it off."""
    from mxnet.contrib import amp  # not for every program that imports this package

    return amp.amp._amp_initialized


def stand_before(name: str, make: Callable[[Any], Any]) -> None:
    """Replace a function that MXNet's Python code calls by ``make(function)``.

    ``mx.nd.zeros`` is imported by name in several modules, and all of them call one function.
    """
    if name == "zeros":
        nd.utils._zeros_ndarray = make(nd.utils._zeros_ndarray)
    else:
        module = mx.optimizer.optimizer
        setattr(module, name, make(getattr(module, name)))


# --- blocks and parameters --------------------------------------------------------------------


def parameters_by_place(block: gluon.Block) -> dict[str, gluon.Parameter]:
    """Each parameter by its place in the structure of `block`, as ``0.weight``.

    ``collect_params`` gives automatic names, which depend on what else the process has built.
    """
    return block._collect_params_with_prefix()


def has_values(parameter: gluon.Parameter) -> bool:
    """Whether it has been given values. The public methods raise an error where it has none."""
    return parameter._data is not None


def waits_for_its_shape(parameter: gluon.Parameter) -> bool:
    """Whether it is initialized, and its values wait for the first input to tell the shape."""
    return bool(parameter._deferred_init)


def is_initialized(parameter: gluon.Parameter) -> bool:
    """Whether ``initialize`` was called, even if the values wait for the shape."""
    return has_values(parameter) or waits_for_its_shape(parameter)


def give_values(
    parameter: gluon.Parameter, values: nd.NDArray, ctx: mx.Context | None = None
) -> None:
    """Set the values of a parameter, on `ctx` if it is not initialized; by default on the CPU.

    ``set_data`` alone refuses one that is not.
    """
    if not is_initialized(parameter):
        parameter.shape = values.shape
        parameter.initialize(mx.init.Zero(), ctx)
    parameter.set_data(values)


def stop_waiting(parameter: gluon.Parameter) -> None:
    """Give it its values now. ``set_data`` alone keeps them until the net is run."""
    if waits_for_its_shape(parameter):
        parameter._finish_deferred_init()


def mean_over_devices(parameter: gluon.Parameter) -> Any:
    """What MXNet itself saves of a parameter that is on several devices."""
    return parameter._reduce()


def is_differentiable(parameter: gluon.Parameter) -> bool:
    """Whether it can be trained at all. ``grad_req`` alone is also "null" where a net is frozen."""
    return parameter._differentiable


def is_hybridized(block: gluon.HybridBlock) -> bool:
    """Whether ``hybridize`` was called. Nothing public tells."""
    return block._active


def free_graph(block: gluon.HybridBlock) -> None:
    """Let go of the graph of a hybridized block, and with it of the memory that is planned for it.

    A later call would make it anew.
    """
    block._clear_cached_op()


def has_hooks(block: gluon.Block) -> bool:
    """Whether Python functions are to be called before or after each forward pass."""
    return bool(block._forward_hooks or block._forward_pre_hooks)


def switch_off_dropout(block: gluon.Block) -> None:
    """Set the rate of a dropout layer to 0. It has no public setter."""
    if isinstance(block, gluon.nn.Dropout):
        block._rate = 0.0


def announce_gradient(array: nd.NDArray) -> None:
    """Say that the gradient of a parameter's array is new, as autograd does of those it computes.

    A trainer refuses to update a parameter whose gradient it has seen before.
    """
    array._fresh_grad = True


def is_plain_cross_entropy(loss: object) -> bool:
    """Whether it is ``SoftmaxCrossEntropyLoss()``. What such a loss was made with is not public."""
    plain = gluon.loss.SoftmaxCrossEntropyLoss()
    if type(loss) is not type(plain):
        return False
    names = ("_weight", "_batch_axis", "_axis", "_sparse_label", "_from_logits")
    return all(getattr(loss, name) == getattr(plain, name) for name in names)


# --- the trainer ------------------------------------------------------------------------------


def parameters_of(trainer: gluon.Trainer) -> list[gluon.Parameter]:
    """The parameters that it trains, in the order in which it updates them."""
    return trainer._params


def index_of(trainer: gluon.Trainer, parameter: gluon.Parameter) -> int:
    """The number under which the optimizer knows a parameter."""
    return trainer._param2idx[parameter.name]


def move(trainer: gluon.Trainer, ctx: mx.Context) -> None:
    """Let a trainer update on `ctx`, where its parameters are now. It has no public way."""
    trainer._contexts = [ctx]
    counts = update_counts(trainer.optimizer)
    set_update_counts(trainer, {key: dict(value) for key, value in counts.items()})
    for updater in trainer._updaters:
        updater.states_synced = {index: False for index in updater.states}  # moved when used


def num_updaters(trainer: gluon.Trainer) -> int:
    """How many devices the trainer updates on."""
    return len(trainer._updaters)


def updaters_of(trainer: gluon.Trainer) -> list[Any]:
    """What holds the optimizer's state: one for each device, or one in the key-value store.

    The public way, a file of pickled states, may not come from elsewhere: reading it runs code.
    """
    if trainer._kv_initialized and trainer._update_on_kvstore:
        return [trainer._kvstore._updater]
    return list(trainer._updaters)


def add_up_in(trainer: gluon.Trainer, kvstore: Any) -> None:
    """Let a trainer that has not begun add up its gradients in this key-value store."""
    if not trainer._kv_initialized and trainer._kvstore_params["kvstore"] == "device":
        trainer._kvstore_params["kvstore"] = kvstore


def adds_up_in(trainer: gluon.Trainer, kvstore: Any) -> bool:
    """Whether it adds up its gradients in this key-value store, and updates its own parameters."""
    chosen = trainer._kvstore_params
    return chosen["kvstore"] is kvstore and not chosen["update_on_kvstore"]


def close(kvstore: Any) -> None:
    """Leave a distributed key-value store, once all workers are about to.

    MXNet does so when Python lets go of the object, of which there is no knowing when that is.
    """
    handle, kvstore.handle = kvstore.handle, base.KVStoreHandle()
    base.check_call(base._LIB.MXKVStoreFree(handle))


def begin_anew(trainer: gluon.Trainer, parameters: Sequence[gluon.Parameter]) -> None:
    """Put the parameters into this order, and their present values into a new key-value store.

    A store that several processes share is left to `fill_shared_store`, for which they all meet.
    """
    trainer._params[:] = parameters
    trainer._param2idx = {parameter.name: i for i, parameter in enumerate(parameters)}
    trainer.optimizer.param_dict = dict(enumerate(parameters))
    trainer._reset_kvstore()  # a store that has been used holds the weights of before
    if not _is_shared(trainer):
        trainer._init_kvstore()
        trainer._init_params()


def fill_shared_store(trainer: gluon.Trainer) -> None:
    """Put the parameters into a store that several processes share; each of them calls this.

    Left to itself, a trainer does so within its first step. A worker that is slow to read a
    parameter may then find the sum of the gradients there, and train on with that.
    """
    if not trainer._kv_initialized:
        trainer._init_kvstore()
    nd.waitall()
    for number, parameter in enumerate(trainer._params):
        arrays = parameter.list_data()
        # A copy: a weight that oneDNN has rearranged for an inference does not arrive.
        value = nd.array(arrays[0].copy().asnumpy(), dtype=parameter.dtype)
        trainer._kvstore.broadcast(number, value, arrays)
    trainer._params_to_init = []
    nd.waitall()


def _is_shared(trainer: gluon.Trainer) -> bool:
    kvstore = trainer._kvstore_params["kvstore"]
    return "dist" in getattr(kvstore, "type", str(kvstore))


def update_counts(optimizer: Any) -> Mapping[int, Mapping[int, int]]:
    """For each device, how often each parameter was updated: schedules and Adam go by it."""
    return optimizer._all_index_update_counts


def set_update_counts(trainer: gluon.Trainer, counts: dict[int, dict[int, int]]) -> None:
    """Set them; those of another device's number go on under that of the one it has now."""
    numbers = sorted({ctx.device_id for ctx in trainer._contexts})
    used = [counts[number] for number in sorted(counts) if counts[number]]
    if len(numbers) == len(used) and not trainer._update_on_kvstore:
        counts = dict(zip(numbers, used))
    optimizer = trainer.optimizer
    optimizer._all_index_update_counts = counts
    optimizer._index_update_count = counts.setdefault(0, {})


def scales_losses(trainer: gluon.Trainer) -> bool:
    """Whether ``amp.init_trainer`` was called for it. Nothing public tells."""
    return getattr(trainer, "_amp_loss_scaler", None) is not None


def loss_scale(trainer: gluon.Trainer) -> dict[str, float]:
    """The scale of its losses, what it will be in the next step, and the steps since it changed.

    MXNet's own files of a trainer's state leave them out.
    """
    scaler = trainer._amp_loss_scaler
    return {"now": scaler._loss_scale, "next": scaler._next_loss_scale, "steps": scaler._unskipped}


def set_loss_scale(trainer: gluon.Trainer, state: Mapping[str, float]) -> None:
    scaler = trainer._amp_loss_scaler
    scaler._loss_scale, scaler._next_loss_scale = state["now"], state["next"]
    scaler._unskipped = state["steps"]


# --- data -------------------------------------------------------------------------------------


def has_worker_processes(data_iter: object) -> bool:
    """Whether batches are made in processes, whose random numbers are their own."""
    return (
        isinstance(data_iter, gluon.data.DataLoader)
        and data_iter._num_workers > 0
        and not data_iter._thread_pool
    )


def rolls_over(loader: gluon.data.DataLoader) -> bool:
    """Whether it leaves the rest of a pass over for the next."""
    return getattr(loader._batch_sampler, "_last_batch", None) == "rollover"


def batches_of_workers(
    loader: gluon.data.DataLoader,
    sampled: Callable[[Iterable[Iterable[int]]], Iterable[Iterable[int]]],
) -> Iterator[Any]:
    """One pass over a loader with workers, its batches of indices first passed through `sampled`.

    A ``DataLoader`` takes its sampler when it is made, and this one belongs to the user.
    """
    sampler = loader._batch_sampler
    loader._batch_sampler = sampled(sampler)
    try:
        return loader._prefetch_iter()
    finally:
        loader._batch_sampler = sampler


def read_fashion_mnist_with(read: Callable[[str, bool], tuple[Any, Any]]) -> None:
    """Make MXNet's own FashionMNIST class take images and labels from ``read(root, train)``.

    Its own reader accepts one edition of the files, and writes over the others.
    """

    def _get_data(self: vision.FashionMNIST) -> None:
        self._data, self._label = read(self._root, self._train)

    vision.FashionMNIST._get_data = _get_data


# --- export -----------------------------------------------------------------------------------


@contextmanager
def calibration_freed() -> Iterator[None]:
    """Within it, ``quantize_net_v2`` also frees the arrays whose range it does not need.

    Calibration is handed every input and output of a layer, and has to free each. It forgets those
    it skips, and a single one keeps all memory of the calibration until the process ends.
    """
    collect_statistics = quantization._collect_layer_statistics

    def collect_and_free(module: Any, data: Any, collector: Any, *limits: Any) -> int:
        collect = collector.collect

        def collect_or_free(name: bytes, array: int) -> None:
            if name.decode() in collector.include_layer:
                collect(name, array)
            else:
                base.check_call(base._LIB.MXNDArrayFree(base.NDArrayHandle(array)))

        collector.collect = collect_or_free
        return collect_statistics(module, data, collector, *limits)

    quantization._collect_layer_statistics = collect_and_free
    try:
        yield
    finally:
        quantization._collect_layer_statistics = collect_statistics


def onnx_operators(operator_set: int) -> set[str]:
    """The operators that MXNet has a converter to ONNX for."""
    from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph  # imports onnx

    sets = (known for number, known in MXNetGraph.registry_.items() if number <= operator_set)
    return set().union(*sets)


def onnx_graph(
    symbol: Any,
    values: Mapping[str, nd.NDArray],
    input_shape: Sequence[int | str],
    example_shape: Sequence[int],
    operator_set: int,
) -> Any:
    """What MXNet's converters make of a symbol: an ``onnx.GraphProto``.

    `input_shape` has names for sizes that are left open, and `example_shape` numbers for them.
    The public ``mx.onnx.export_model`` declares the newest operator set of the onnx package, while
    its newest converters are for set 13, and operators have changed since. It also makes a list of
    Python's numbers of each weight, which takes gigabytes for a VGG: ``convert_variable`` does not.
    """
    from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph  # imports onnx
    from onnx import TensorProto, checker, helper, numpy_helper

    float32 = TensorProto.FLOAT
    registry, context = MXNetGraph.registry_[operator_set], checker.DEFAULT_CONTEXT

    def convert_variable(node: Mapping[str, str], **state: Any) -> tuple[list[Any], tuple[Any]]:
        name, shape = node["name"], state.get("in_shape")
        if not state["is_input"]:
            value = state["weights"][name]
            state["initializer"].append(numpy_helper.from_array(value, name))
            shape = value.shape
        return [helper.make_tensor_value_info(name, float32, shape)], (np.dtype("float32"),)

    checked_sets = context.opset_imports
    context.opset_imports = {"": operator_set}
    registry["null"] = convert_variable
    try:
        return MXNetGraph().create_onnx_graph_proto(
            *(symbol, dict(values), [tuple(example_shape)], [float32]),
            opset_version=operator_set,
            dynamic=True,
            dynamic_input_shapes=[tuple(input_shape)],
        )
    finally:
        del registry["null"]
        context.opset_imports = checked_sets
