# Trains ResNet-18 on a part of Fashion-MNIST, on x86-64 and arm64:
#
#     docker build -t gluonbook .
#     docker run --rm -v "$PWD/runs:/gluonbook/runs" gluonbook
#
# Another command stands after the image's name:
#
#     docker run --rm -v "$PWD/runs:/gluonbook/runs" gluonbook python chapters/lenet.py --epochs 2
#
# On Linux, make the folder first, and name yourself, so that what a run leaves is yours:
#
#     mkdir -p runs
#     docker run --rm -u "$(id -u):$(id -g)" -v "$PWD/runs:/gluonbook/runs" gluonbook

FROM python:3.13-slim-trixie

# MXNet for x86-64 links to libquadmath, which arm64 has not.
RUN apt-get update \
    && apt-get install -y --no-install-recommends dataset-fashion-mnist libgomp1 \
        $(test "$(dpkg --print-architecture)" != amd64 || echo libquadmath0) \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /gluonbook
COPY . .
RUN pip install --no-cache-dir -e '.[cpu]' && install -d -m 1777 runs

# A user that `docker run -u` names has no home of its own.
ENV HOME=/tmp PYTHONUNBUFFERED=1
CMD ["python", "chapters/resnet.py", "--limit", "6000", "--epochs", "3", "--seed", "1"]
