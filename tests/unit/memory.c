#include "memory.h"

struct memory memory;

static bool nvm_read(void *ctx, uint32_t offset, void *bytes, size_t n)
{
    (void)ctx;
    memcpy(bytes, memory.bytes + offset, n);
    return !memory.refuses_reads;
}

static bool nvm_write(void *ctx, uint32_t offset, const void *bytes, size_t n)
{
    (void)ctx;
    if (!memory.refuses_writes)
        memcpy(memory.bytes + offset, bytes, memory.torn != 0 ? memory.torn : n);
    return memory.torn == 0 && !memory.refuses_writes;
}

int memory_begin(void **state)
{
    (void)state;
    memory = (struct memory){.bytes = calloc(1, PEN_NVM_SIZE), .port = {.serial = "", .nvm_read = nvm_read, .nvm_write = nvm_write}};
    return memory.bytes != NULL ? 0 : -1;
}

int memory_end(void **state)
{
    (void)state;
    free(memory.bytes);
    return 0;
}
