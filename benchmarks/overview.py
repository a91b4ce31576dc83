"""Builds ``results/README.md``: every table that was measured, with what it says and how it came.

The figures are those of the files beside it; run this after a benchmark has written new ones.
"""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Part(NamedTuple):
    """A heading, what is to be said of a table, and the file that holds it."""

    heading: str
    text: str
    name: str
    picture: str | None = None
    """What the picture shows, where there is one."""


INTRODUCTION = """\
# What was measured

Each table is what a script in [`benchmarks/`](../benchmarks) measured; the line under it names the
command, the day and the machine. The JSON file of the same name holds every figure.
`python benchmarks/overview.py` builds this page.
"""

PARTS = [
    Part(
        "Full runs beside the book's figures",
        """\
Trainings on all 60,000 images, with the book's recipe where none is named, beside the figures that
the book prints. The machine was not always quiet, and sections that are missing have not been
trained in full. The losses of `tuned`, `long` and `small` are those of smoothed labels, which are
at least 0.50. NiN's first two epochs and five of `small` were suspended or slowed while other
programs ran, so the seconds are medians over the epochs; DenseNet's second seed had one core of
two. Since all trainings on an AMD EPYC but `small`, each chapter seeds its initial weights on its
own, so the same seed gives other weights today.""",
        "reproduce",
        "Test accuracy by epoch",
    ),
    Part(
        "Training speed",
        """\
Images a second in float32. Each form runs in a process of its own with the same number of threads,
and the forms take turns. Batch and image size are the recipe's, the pixels are random, and both
sides are the PyTorch edition's net. "As the book runs it" is operator by operator, on the threads
that MXNet takes by itself. Loading is the time to make a batch, as a share of the step.

A hybridized net is trained in one graph with its loss, whose memory is planned once. LeNet alone
trained slower than in PyTorch: most of its step was in convolutions of one and six channels, nearly
all of which the oneDNN inside MXNet computed as matrix products. The table is older than the
channels of zeros that spare LeNet these, and than the second of rest before each measurement,
without which LeNet's threads slept. [`operators.md`](operators.md) shows where the time went, and
[`ceiling.md`](ceiling.md) gives each speed as a share of the machine's fastest convolution.""",
        "training",
        "Training rates beside PyTorch's",
    ),
    Part(
        "Layers in training",
        """\
Where a training step's time goes, on a processor with AVX-512: once with all its instructions, once
with none later than AVX2. GoogLeNet's convolutions are quickest here either way. With AVX2 its
poolings take more than three times as long as PyTorch's with channels last, and the difference is
twice what the net falls behind by: the kernel is that of the oneDNN inside MXNet. Memory is laid
out anew because MXNet gives the gradient of a concatenation in another layout than its convolutions
take. LeNet's batches of 32 are too short for its layers to matter: most of the step is in what
oneDNN does not tell, such as the hand-over from one operator to the next.""",
        "training_layers",
    ),
    Part(
        "Inference speed",
        """\
The same for inference. A hybridized net is evaluated in a graph in which batch norm, ReLU and sum
are part of the convolution before them, and whose weights are laid out once. Beside it stand
onnxruntime with the exported net in float32, and 8-bit integers here and in PyTorch. A call of
MXNet costs most of a millisecond even for LeNet, where onnxruntime takes a twentieth of one, which
shows with single images. [`inference_layers.md`](inference_layers.md) has the layers of three nets
in both libraries. Of the 98 ms that VGG needs more than onnxruntime, 51 are in convolutions, which
run at nine tenths of onnxruntime's speed, 24 in poolings and 14 in dense layers. Those are the
kernels of the oneDNN inside MXNet; 11 ms are outside the layers. ResNet-18's and DenseNet's
convolutions take less time here than in onnxruntime, where DenseNet's batch norms count as
convolutions too.""",
        "inference",
    ),
    Part(
        "Single images",
        """\
Where the time of one image's inference goes. onnxruntime takes and gives NumPy's arrays, so that
nothing is copied. MXNet's naive engine saves less than a tenth of a millisecond.""",
        "single_images",
    ),
    Part(
        "int8",
        """\
Nets in 8-bit integers on the CPU, beside the same nets in float32: accuracy on all 10,000 test
images, and images a second at the size that the net was trained on. The nets are those of the quick
looks further down. "Naive" takes each layer's range from the least and the greatest value that it
gives for 512 training images; "entropy" cuts off what is rare, as MXNet chooses. With VGG it cuts
too much, and 29 points are lost. "Kept" is what `predict --int8` uses: the naive ranges, and
float32 for layers that would cost more than half a point on held-out training images, of which no
net had one. LeNet, whose layers are small, gains nothing. This table and the int8 rates above are
older than the check that leaves in float32 what oneDNN computes wrongly. Of the seven nets it
changed ResNet-18, whose sums of two 8-bit types were wrong: in three of its blocks the ReLU after
the sum is now an operation of its own.""",
        "int8",
        "Accuracy lost, and speed gained",
    ),
    Part(
        "Beside busy processes",
        """\
Training while other processes keep cores busy, by how OpenMP's threads wait for each other at the
end of an operator. By default libgomp spins, which is fastest as long as each thread has a core,
and slowest when it has not: a net of short operators, such as LeNet, then mostly waits.
gluonbook lets the threads sleep for as long as others use the cores. The other columns hold one way
for the whole training. Batches of 32, for LeNet of 256. The machine was not steady: one way's rates
lay a tenth apart from round to round, and further. So the last column compares within each round:
it is the median of gluonbook's rates as multiples of the default's.""",
        "contention",
        "Rates by how the threads wait",
    ),
    Part(
        "Loading",
        """\
The loader alone, beside MXNet's `DataLoader` with the transforms of the book's text. Images are
resized once and kept as bytes.""",
        "loading",
    ),
    Part(
        "bfloat16",
        """\
`--amp` computes convolutions and dense layers in bfloat16 (MXNet's AMP); the processor must have
instructions for it (AVX-512 BF16). Each net was trained in both precisions from the same weights
over the same batches until both losses had left ln 10, and a hundred steps more (NiN by
`--recipe stable`). It is allowed where it was faster and the losses then lay within a tenth of each
other, and refused with the reason elsewhere.""",
        "bfloat16",
    ),
    Part(
        "Memory",
        """\
The peak of a process that trains, above what it has before it builds the net, and what MXNet plans
for the graph, in MiB. The plan grows with the batch and with the square of the image's size; the
parameters and gradients beside it do not grow. DenseNet at 224, which the book asks about, needs
4.9 times its memory at 96.""",
        "memory",
        "Memory by batch and image size",
    ),
    Part(
        "Memory of repeated calls",
        """\
The memory of a process after each of eight calls of `train_ch5`, as where a cell of a notebook is
run again: with one net, and with a new net for each call. The graph of a call is freed at its end,
and a net that nothing refers to any more before the next one is used.""",
        "repeated_calls",
    ),
    Part(
        "NiN, and a loss that stays at ln 10",
        """\
With the book's recipe it depends on the seed whether NiN learns at all. Xavier's weights let the
output shrink to a twentieth over the twelve convolutions, and all gradients with it. Weights made
for ReLU keep the scale, but plain SGD then throws the loss back as often as it begins to fall.
Adam alone, or a smaller learning rate, does not leave ln 10 in 50 batches either (one seed each).
The two together do, from all ten seeds tried, on 6,400 images each. That is `--recipe stable`;
the book's recipe remains the default.""",
        "stability",
        "Loss of each seed",
    ),
    Part(
        "What a run survives",
        """\
Trainings that were killed at random moments and resumed, and processes that wanted the same thing
at once. A fault is a result that differs in a single bit, or an end without a sentence.""",
        "soak",
    ),
    Part(
        "Damaged files",
        """\
Files that were changed at random in one to three places: a bit flipped, bytes overwritten with
extreme numbers, noise or zeros, a part cut off, removed or repeated. What is read from each is
compared with what is read from the file as it was.

The data set's files, checkpoints, what a run leaves in its folder, torch's files and the
safetensors of `save_weights` have checksums, and must not be read with other values. A `.params`
file from elsewhere, others' safetensors and a configuration without its list of digests have none.
They are refused if their form is broken or a value is not finite. Forged checkpoints have a right
checksum over false content, and must not be taken for a state that cannot be. A fault is also an
end without a sentence, after more than 20 s, or with more than 1 GiB of memory.""",
        "fuzz",
    ),
    Part(
        "What a run by several processes survives",
        """\
One process of a run by two workers was killed at a random moment, again and again. Each time the
others had to end within 20 seconds, with a sentence that names the dead one and no process left
over. A run that was resumed to its end had to leave the lines, figures and parameters of an
unbroken one, bit for bit.""",
        "distributed_kills",
    ),
    Part(
        "Other Pythons and NumPys",
        """\
Calls of MXNet's own functions, from single operators to trainings of three steps, with what
`gluonbook.system.old_names` gives MXNet, compared by the types, shapes and bytes of what they give.
[`platforms.md`](platforms.md) names each call that differs, and why.""",
        "platforms",
    ),
    Part(
        "On a Hopper GPU",
        """\
MXNet has no machine code for this GPU, so each net was computed operation by operation, with
NVIDIA's libraries and the kernels of [`gluonbook/gpu`](../gluonbook/gpu/kernels.cu). Each chapter
trained as it stands, on all 60,000 images for five epochs, in full float32. For a part of the time
another process used the same GPU.

On an H100 each operation of a whole batch was then held against the CPU's, on the same inputs, as
it is before every training. With LeNet, AlexNet, VGG, NiN and GoogLeNet all agreed within 1e-4 of
the greatest value. In three of these cuDNN's fastest algorithm for one convolution of 5×5 gave
gradients that were off by 2e-4 to 7e-3, and the algorithm without a workspace gave right ones. With
ResNet-18 and DenseNet it was the CPU that was off, by a thousandth: MXNet's batch norm adds up
590,000 numbers in float32 there. The check now repeats such a comparison in float64 on the CPU;
this has not run on a GPU yet. From the same seed LeNet printed the same figures on the H100 as on
the CPU in all five epochs, to the last digit that is printed.""",
        "hopper",
    ),
    Part(
        "A Hopper GPU's speed beside PyTorch's",
        """\
Images a second of training, both sides in TensorFloat-32. Trainings that shared the card were
stopped while a side was timed. MXNet has no code for this GPU, and Python queues each operation by
itself. The run was stopped after four sections; their differences to the CPU, which are measured
before, were lost with it.""",
        "gpu",
    ),
    Part(
        "The quick looks of `--help`",
        """\
What a section's script reaches with the options that end its `--help`, timed as a user would time
it, from start to end.""",
        "quick_looks",
    ),
    Part(
        "Several workers on one machine",
        """\
What the exchange of gradients costs. All workers share the machine's two cores, so nothing better
can be expected than about the rate of one.
"Waiting" is the share of a step that a worker spends on the exchange, measured by steps with and
without it in turns. The bytes are those of all processes, sent within the machine.""",
        "scaling",
        "Rates and waiting by the number of workers",
    ),
    Part(
        "Several machines, by a model",
        """\
At how many machines a training by MXNet's parameter server stops scaling: where they wait longer
than they compute. Before the stroke with one server, behind it with one on each machine. The model
takes the step of the recipe's batch as measured above. It assumes that no exchange is hidden behind
the computation, and that a message costs 20 µs of a processor;
[`benchmarks/scaling_model.py`](../benchmarks/scaling_model.py) states it in full.""",
        "scaling_model",
        "Share of the time that computes, by the number of machines",
    ),
    Part(
        "Exercise: the sizes of the nets",
        """\
Parameters by the kind of layer, multiply-adds for one image, and planned memory of a training step.
[`chapters/exercises/net_sizes.py`](../chapters/exercises/net_sizes.py) says why NiN and GoogLeNet
are small.""",
        "exercises/net_sizes",
        "Parameters and work by kind of layer",
    ),
    Part(
        "Exercise: NiN with fewer 1×1 layers",
        """\
NiN's blocks with none, one and both of their 1×1 layers, from three seeds, by Adam and weights made
for ReLU. [`chapters/exercises/nin_one_conv.py`](../chapters/exercises/nin_one_conv.py) tells what
follows.""",
        "exercises/nin_one_conv",
        "Loss and accuracy from each seed",
    ),
    Part(
        "Exercise: the successors of GoogLeNet",
        """\
GoogLeNet, the nets that came after it, and their work, on 2,000 training images in the same order.
[`chapters/exercises/inception_successors.py`](../chapters/exercises/inception_successors.py) tells
what follows. BN-Inception's poolings were padded by 1 then; they now round up instead.""",
        "exercises/inception_successors",
        "Loss and accuracy of each net",
    ),
    Part(
        "Exercise: DenseNet against ResNet",
        """\
Parameters, the accuracy after a short training, and memory: planned, measured, and what a form that
computes cheap layers once more would need.
[`chapters/exercises/densenet_against_resnet.py`](../chapters/exercises/densenet_against_resnet.py)
tells what follows.""",
        "exercises/densenet_against_resnet",
        "Accuracy and memory",
    ),
    Part(
        "Exercise: DenseNet's Table 1",
        """\
The nets of the paper, with bottlenecks and compression, for 1,000 classes.
[`chapters/exercises/densenet_table1.py`](../chapters/exercises/densenet_table1.py) tells what
follows.""",
        "exercises/densenet_table1",
        "Loss and accuracy beside the section's net",
    ),
    Part(
        "Exercise: ResNet's Table 1",
        """\
ResNet-18 to ResNet-152 on 3,000 training images, with the same images in the same order.
[`chapters/exercises/resnet_table1.py`](../chapters/exercises/resnet_table1.py) tells what
follows.""",
        "exercises/resnet_table1",
        "Loss and accuracy of each depth",
    ),
    Part(
        "Exercise: the order within a residual block",
        """\
Activation after the sum, or before the convolutions, with 18 and with 152 layers, on 3,000 training
images.
[`chapters/exercises/resnet_preactivation.py`](../chapters/exercises/resnet_preactivation.py) tells
what follows.""",
        "exercises/resnet_preactivation",
        "Gradients at the start, and accuracy of each depth",
    ),
    Part(
        "Exercise: better accuracy, by tuning",
        """\
ResNet-18 on 5,000 training images, from two seeds. Each training has what the one before it has,
and one thing more. The machine was at other work, so the seconds tell nothing.
[`chapters/exercises/tuning.py`](../chapters/exercises/tuning.py) tells what follows.""",
        "exercises/tuning",
        "Loss and accuracy of each training",
    ),
    Part(
        "Exercise: when moved images pay off",
        """\
ResNet-18 by its tuned recipe, on 30,000 training images of 28 pixels as they are, and mirrored and
shifted at random. [`chapters/exercises/moved_images.py`](../chapters/exercises/moved_images.py)
tells what follows.""",
        "exercises/moved_images",
        "Loss and accuracy of both trainings",
    ),
    Part(
        "Exercise: whether small images have to be enlarged",
        """\
ResNet-18 on images of 96 and of 28 pixels, and ResNet-20, the paper's net for small images, which
is also trained for ten times the epochs: about the work of ResNet-18 on 96 pixels.
[`chapters/exercises/small_images.py`](../chapters/exercises/small_images.py) tells what
follows.""",
        "exercises/small_images",
        "Loss and accuracy of each net",
    ),
    Part(
        "Longer trainings of ResNet-18",
        """\
The PyTorch edition's net by the recipe `tuned`, as it is and with weight decay, moved images, or
both, in bfloat16 on an NVIDIA H100. The accuracy is that on the last 5,000 training images, which
are held out. Of the second seed with thirty epochs of 96 pixels only the last epoch was kept.
[`chapters/exercises/moved_images.py`](../chapters/exercises/moved_images.py) tells what
follows.""",
        "longer_training",
        "Accuracy by epoch",
    ),
    Part(
        "Nets that come trained",
        """\
What `gluonbook.predict NAME` and `gluonbook.get_model(..., pretrained="fashion_mnist")` load, and
the other trainings of the same nets. The last 5,000 training images were held out, and the training
that has most of them right is the one that ships. The PyTorch edition's form of each net was
trained, in bfloat16; what is counted here are the Gluon net's answers. A card beside the weights,
in [`gluonbook/weights/`](../gluonbook/weights), has the recipe, the machine, and the confusion of
the classes.

In the training images of the Wide ResNet rectangles were erased at random. Each of its trainings
spent 56 epochs on an H100, and the last 24 on this machine. The goal for it was 0.955. Seeds 2 and
3 learned from the labels to the end. In the place of the labels, `1-taught` had the mean of what
these two answer, in its last 24 epochs. Without teachers, seed 1 was not trained to its end.""",
        "trained_nets",
        "Loss and accuracy of each net, on the images that were held out",
    ),
    Part(
        "Beside the PyTorch edition",
        """\
Both editions' nets with the same weights and the same batches. Differences are relative and in
float64: of the outputs and gradients in one step, where 1e-8 is allowed, and of the losses of a
training. In float32 rounding flips a ReLU here and there, in PyTorch as in MXNet, and there the
gradient jumps. So gradients in float32 are reported but not judged, and a training with batch
normalisation in float32 parts from *itself* in float64 within a few steps. Speed and memory are
those of batches of 32, where the tables above have the recipes' batches.
[A picture of ResNet-18's comparison](compare/resnet.png).""",
        "compare",
    ),
]


def _is_row(line: str) -> bool:
    return line.startswith("|")


def page(results: Path = ROOT / "results") -> str:
    """The page, as Markdown."""
    chunks = [INTRODUCTION]
    for part in PARTS:
        lines = (results / f"{part.name}.md").read_text(encoding="utf-8").splitlines()
        tables = [list(group) for is_row, group in groupby(lines, _is_row) if is_row]
        table = "\n\n".join("\n".join(rows) for rows in tables)
        how = lines[-1]
        chunks.append(f"## {part.heading}\n\n{part.text}\n\n{table}\n\n{how}\n")
        if part.picture is not None:
            chunks.append(f"![{part.picture}]({part.name}.png)\n")
    return "\n".join(chunks)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    (ROOT / "results" / "README.md").write_text(page(), encoding="utf-8")
