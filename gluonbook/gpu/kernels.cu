// What MXNet 1.9.1 computes itself and has no machine code for on a GPU newer than its own: Hopper,
// Blackwell and later. Convolutions, batch norm and matrix products come from NVIDIA's libraries,
// which have. MXNet compiles this file for the GPU at hand, by mx.rtc.CudaModule.
//
// All arrays are contiguous, images are (N, C, H, W), and the last argument, n, is the number of
// elements that a kernel goes through: in strides of the whole grid, so that any grid will do. No
// result depends on the order of the threads, so it is the same in every run.

#define FOR_EACH(i)                                                             \
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; \
       i += (long long)gridDim.x * blockDim.x)

// --- images -------------------------------------------------------------------------------------

// The images of these indices, as the book's ToTensor gives them: from uint8 to [0, 1].
extern "C" __global__ void take_images(float *out, const unsigned char *images, const int *indices,
                                       long long image_size, long long n) {
  FOR_EACH(i) out[i] = images[indices[i / image_size] * image_size + i % image_size] / 255.0f;
}

// --- layers -------------------------------------------------------------------------------------

// y (N, units) += bias (units)
extern "C" __global__ void add_bias(float *y, const float *bias, long long units, long long n) {
  FOR_EACH(i) y[i] += bias[i % units];
}

// sums (n) of the columns of values (rows, n): the gradient of a bias
extern "C" __global__ void sum_columns(float *sums, const float *values, long long rows,
                                       long long n) {
  FOR_EACH(i) {
    float sum = 0;
    for (long long row = 0; row < rows; ++row) sum += values[row * n + i];
    sums[i] = sum;
  }
}

extern "C" __global__ void add(float *out, const float *a, const float *b, long long n) {
  FOR_EACH(i) out[i] = a[i] + b[i];
}

// Copies a part (N, part_width) into columns `first` and on of an array (N, width).
extern "C" __global__ void join(float *whole, const float *part, long long width,
                                long long part_width, long long first, long long n) {
  FOR_EACH(i) whole[i / part_width * width + first + i % part_width] = part[i];
}

// Copies these columns back out.
extern "C" __global__ void split(float *part, const float *whole, long long width,
                                 long long part_width, long long first, long long n) {
  FOR_EACH(i) part[i] = whole[i / part_width * width + first + i % part_width];
}

// out (N, after, before) is in (N, before, after) with its last two axes swapped.
extern "C" __global__ void swap(float *out, const float *in, long long before, long long after,
                                long long n) {
  FOR_EACH(i)
    out[i] = in[(i / before / after * before + i % before) * after + i / before % after];
}

// The windows of a convolution over x (N, channels, height, width), with zeros around it: each a
// row of (N * out_height * out_width, channels * kernel_height * kernel_width).
extern "C" __global__ void unfold(float *rows, const float *x, int channels, int height, int width,
                                  int out_height, int out_width, int kernel_height,
                                  int kernel_width, int stride_height, int stride_width,
                                  int pad_height, int pad_width, int dilation_height,
                                  int dilation_width, long long n) {
  FOR_EACH(i) {
    long long window = i / kernel_width / kernel_height / channels;
    int row = (int)(window / out_width % out_height) * stride_height - pad_height +
              (int)(i / kernel_width % kernel_height) * dilation_height;
    int column = (int)(window % out_width) * stride_width - pad_width +
                 (int)(i % kernel_width) * dilation_width;
    long long plane = window / out_width / out_height * channels +
                      i / kernel_width / kernel_height % channels;
    bool inside = row >= 0 && row < height && column >= 0 && column < width;
    rows[i] = inside ? x[(plane * height + row) * width + column] : 0;
  }
}

// Each value of x gets the gradients of its places in the windows.
extern "C" __global__ void fold(float *dx, const float *drows, int channels, int height, int width,
                                int out_height, int out_width, int kernel_height, int kernel_width,
                                int stride_height, int stride_width, int pad_height, int pad_width,
                                int dilation_height, int dilation_width, long long n) {
  FOR_EACH(i) {
    int row = (int)(i / width % height) + pad_height, column = (int)(i % width) + pad_width;
    int channel = (int)(i / width / height % channels);
    long long first = i / width / height / channels * out_height;
    float sum = 0;
    for (int y = 0; y < kernel_height; ++y)
      for (int x = 0; x < kernel_width; ++x) {
        int top = row - y * dilation_height, left = column - x * dilation_width;
        if (top < 0 || top % stride_height || top / stride_height >= out_height) continue;
        if (left < 0 || left % stride_width || left / stride_width >= out_width) continue;
        long long window = (first + top / stride_height) * out_width + left / stride_width;
        sum += drows[((window * channels + channel) * kernel_height + y) * kernel_width + x];
      }
    dx[i] = sum;
  }
}

// The greatest value of each window, and where in its plane of x it lies: the first of equal ones.
// A window that lies in the padding alone has the least float and no place, as in MXNet.
extern "C" __global__ void max_pool(float *y, int *chosen, const float *x, int height, int width,
                                    int out_height, int out_width, int kernel_height,
                                    int kernel_width, int stride_height, int stride_width,
                                    int pad_height, int pad_width, long long n) {
  FOR_EACH(i) {
    int top = (int)(i / out_width % out_height) * stride_height - pad_height;
    int left = (int)(i % out_width) * stride_width - pad_width;
    const float *plane = x + i / out_width / out_height * height * width;
    int best = -1;
    for (int row = top < 0 ? 0 : top; row < top + kernel_height && row < height; ++row)
      for (int column = left < 0 ? 0 : left; column < left + kernel_width && column < width;
           ++column) {
        float value = plane[row * width + column];
        if (best < 0 || value > plane[best] || value != value) best = row * width + column;
      }
    y[i] = best < 0 ? -3.402823466e+38f : plane[best];
    chosen[i] = best;
  }
}

// Each value of x gets the gradients of the windows that chose it.
extern "C" __global__ void max_pool_backward(float *dx, const int *chosen, const float *dy,
                                             int height, int width, int out_height, int out_width,
                                             int kernel_height, int kernel_width, int stride_height,
                                             int stride_width, int pad_height, int pad_width,
                                             long long n) {
  FOR_EACH(i) {
    int row = (int)(i / width % height) + pad_height, column = (int)(i % width) + pad_width;
    long long plane = i / width / height * out_height * out_width;
    int top = row < kernel_height ? 0 : (row - kernel_height) / stride_height + 1;
    int left = column < kernel_width ? 0 : (column - kernel_width) / stride_width + 1;
    float sum = 0;
    for (int y = top; y <= row / stride_height && y < out_height; ++y)
      for (int x = left; x <= column / stride_width && x < out_width; ++x) {
        long long window = plane + y * out_width + x;
        if (chosen[window] == i % ((long long)height * width)) sum += dy[window];
      }
    dx[i] = sum;
  }
}

// Keeps each value with a probability of 1 - rate, divided by that, and sets the others to zero.
// The same seed keeps the same ones, so that the gradient needs no mask in memory.
extern "C" __global__ void dropout(float *y, const float *x, float rate, int seed, long long n) {
  FOR_EACH(i) {
    // Both are mixed as the MurmurHash3 of 32 bits ends: each bit of the result depends on all.
    unsigned int bits = (unsigned int)seed ^ (unsigned int)(i >> 32) * 0x9e3779b9u;
    for (int round = 0; round < 2; ++round) {
      bits ^= bits >> 16;
      bits *= 0x85ebca6bu;
      bits ^= bits >> 13;
      bits *= 0xc2b2ae35u;
      bits ^= bits >> 16;
      if (round == 0) bits += (unsigned int)i;
    }
    y[i] = (bits >> 8) * (1.0f / 16777216) < rate ? 0 : x[i] / (1 - rate);
  }
}

// --- softmax cross-entropy ----------------------------------------------------------------------

// Of n rows of logits (n, classes): their losses, then the classes of their greatest logits (2, n).
extern "C" __global__ void cross_entropy(float *figures, const float *logits, const int *labels,
                                         long long classes, long long n) {
  FOR_EACH(i) {
    const float *row = logits + i * classes;
    long long answer = 0, label = labels[i];
    for (long long k = 1; k < classes; ++k)
      if (row[k] > row[answer]) answer = k;
    float sum = 0;
    for (long long k = 0; k < classes; ++k) sum += expf(row[k] - row[answer]);
    // A label that is no class is refused when the figures are read; until then it reads no memory
    // that is not the row's.
    label = label < 0 ? 0 : label >= classes ? classes - 1 : label;
    figures[i] = logf(sum) - (row[label] - row[answer]);
    figures[n + i] = answer;
  }
}

// Its gradient, the softmax less one at the label.
extern "C" __global__ void cross_entropy_backward(float *gradient, const float *logits,
                                                  const int *labels, long long classes,
                                                  long long n) {
  FOR_EACH(i) {
    const float *row = logits + i * classes;
    float greatest = row[0], sum = 0;
    for (long long k = 1; k < classes; ++k) greatest = row[k] > greatest ? row[k] : greatest;
    for (long long k = 0; k < classes; ++k) sum += expf(row[k] - greatest);
    for (long long k = 0; k < classes; ++k)
      gradient[i * classes + k] = expf(row[k] - greatest) / sum - (k == labels[i]);
  }
}

// --- optimizers ---------------------------------------------------------------------------------

// As MXNet's operators of these names do: the gradient is scaled, and clipped if clip >= 0.
__device__ float clipped(float value, float clip) {
  return clip < 0 ? value : value > clip ? clip : value < -clip ? -clip : value;
}

extern "C" __global__ void sgd(float *weight, const float *gradient, float rate, float decay,
                               float scale, float clip, long long n) {
  FOR_EACH(i)
    weight[i] -= rate * (clipped(scale * gradient[i], clip) + decay * weight[i]);
}

extern "C" __global__ void sgd_momentum(float *weight, float *velocity, const float *gradient,
                                        float momentum, float rate, float decay, float scale,
                                        float clip, long long n) {
  FOR_EACH(i) {
    velocity[i] = momentum * velocity[i] -
                  rate * (clipped(scale * gradient[i], clip) + decay * weight[i]);
    weight[i] += velocity[i];
  }
}

extern "C" __global__ void adam(float *weight, float *mean, float *variance, const float *gradient,
                                float beta1, float beta2, float epsilon, float rate, float decay,
                                float scale, float clip, long long n) {
  FOR_EACH(i) {
    float g = clipped(scale * gradient[i] + decay * weight[i], clip);
    mean[i] = beta1 * mean[i] + (1 - beta1) * g;
    variance[i] = beta2 * variance[i] + (1 - beta2) * g * g;
    weight[i] -= rate * mean[i] / (sqrtf(variance[i]) + epsilon);
  }
}
