"""GPUs that MXNet has no machine code for: Hopper, Blackwell and later.

There convolutions, batch norm and matrix products run, because NVIDIA's libraries compute them.
What is missing are seventeen small kernels. They are in ``kernels.cu``, and MXNet itself compiles
them. A net is computed by its list of operations, one after another, each by what computes it
rightly on such a GPU; an operation that was not tried there is refused by name.
"""
