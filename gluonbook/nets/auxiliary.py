"""Auxiliary classifiers: small nets over the rows on the way, trained beside the net's answer.

Source: Szegedy et al., "Going deeper with convolutions", 2015, section 5; Szegedy et al.,
"Rethinking the Inception architecture for computer vision", 2016, section 4.
"""

from __future__ import annotations

from typing import Any, Mapping

from mxnet import gluon
from mxnet.gluon import nn


class WithAuxiliary(nn.HybridBlock):
    """A net with classifiers over some of its rows.

    The output is a tuple: the net's answer first, then the classifiers' in the order of the rows,
    each (N, num_classes). Accuracies are those of the first, and only the first is exported.
    ``net.net`` is the same net without the classifiers.

    Parameters
    ----------
    net
        The net, one layer for each row.
    heads
        For the place of a row in `net`, counted from 0, the classifier of its output.
    """

    def __init__(
        self, net: nn.HybridSequential, heads: Mapping[int, nn.HybridBlock], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.net = net
        self.heads = nn.HybridSequential(prefix="")
        self.heads.add(*heads.values())
        self._places = tuple(heads)

    def hybrid_forward(self, F: Any, x: Any) -> tuple[Any, ...]:
        heads, auxiliary = dict(zip(self._places, self.heads)), []
        for place, row in enumerate(self.net):
            x = row(x)
            if place in heads:
                auxiliary.append(heads[place](x))
        return (x, *auxiliary)


class AuxiliaryLoss(nn.HybridBlock):
    """The loss of a net's answer, plus `weight` times that of each auxiliary classifier.

    Input: the tuple of outputs (N, num_classes) that a `WithAuxiliary` gives, and labels (N,);
    output (N,).

    Parameters
    ----------
    weight
        0.3, as in the paper on GoogLeNet (section 5). The paper on Inception v3 names none, and its
        authors' code takes 0.4.
    loss
        What is applied to each output: by default the softmax cross-entropy.
    """

    def __init__(
        self, weight: float = 0.3, loss: gluon.loss.Loss | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._weight = weight
        self.loss = loss or gluon.loss.SoftmaxCrossEntropyLoss()

    def hybrid_forward(self, F: Any, outputs: Any, labels: Any) -> Any:
        answer, *auxiliary = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        total = self.loss(answer, labels)
        for output in auxiliary:
            total = total + self._weight * self.loss(output, labels)
        return total


def answer_of(outputs: Any) -> Any:
    """The answer among what a net gives: the first of several outputs, or the only one."""
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs
