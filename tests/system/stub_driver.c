/* An NVIDIA driver that finds no GPU: the functions that MXNet and its libraries link to. */
#define NO_DEVICE 100 /* CUDA_ERROR_NO_DEVICE */
#define ANSWERS(name) int name(void) { return NO_DEVICE; }

ANSWERS(cuInit)
ANSWERS(cuDeviceGetCount)
ANSWERS(cuDeviceGet)
ANSWERS(cuDevicePrimaryCtxRetain)
ANSWERS(cuGetErrorName)
ANSWERS(cuGetErrorString)
ANSWERS(cuGraphKernelNodeGetParams)
ANSWERS(cuGraphNodeGetType)
ANSWERS(cuLaunchKernel)
ANSWERS(cuModuleGetFunction)
ANSWERS(cuModuleLoadData)
ANSWERS(cuModuleLoadDataEx)
ANSWERS(cuModuleUnload)

int cuDriverGetVersion(int *version) {
    *version = 11020; /* CUDA 11.2 */
    return 0;
}
