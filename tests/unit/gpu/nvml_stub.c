/* A driver of two GPUs, the second a slice that offers neither utilisation nor power. */
#include <stdio.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3 };
typedef struct { int index; } Gpu;
typedef struct { unsigned gpu, memory; } Utilisation;
typedef struct { unsigned long long total, free, used; } Memory;

static Gpu gpus[2] = {{0}, {1}};

int nvmlInitWithFlags(unsigned flags) { (void)flags; return SUCCESS; }
int nvmlInit_v2(void) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **gpu) { *gpu = &gpus[index]; return SUCCESS; }
int nvmlDeviceGetUUID(Gpu *gpu, char *text, unsigned size) { snprintf(text, size, "GPU-%d", gpu->index); return SUCCESS; }
int nvmlDeviceGetName(Gpu *gpu, char *text, unsigned size) { (void)gpu; snprintf(text, size, "NVIDIA T4"); return SUCCESS; }
int nvmlDeviceGetMemoryInfo(Gpu *gpu, Memory *memory) {
    (void)gpu;
    memory->total = 16ULL << 30;
    memory->used = 4ULL << 30;
    memory->free = 12ULL << 30;
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(Gpu *gpu, Utilisation *rates) {
    rates->gpu = 35;
    rates->memory = 20;
    return gpu->index == 0 ? SUCCESS : NOT_SUPPORTED;
}
int nvmlDeviceGetPowerUsage(Gpu *gpu, unsigned *milliwatts) {
    *milliwatts = 50500;
    return gpu->index == 0 ? SUCCESS : NOT_SUPPORTED;
}
