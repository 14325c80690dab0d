/* What the kernel and udev say of a device that is plugged in. */
#pragma once

#include <stddef.h>

#include "mock.h"

/* As umockdev reads it: path in sysfs, node under /dev, its address on bus 1, and descriptors in hexadecimal; NULL: those of a pen of this shape. */
void mock_describe(char *out, size_t cap, const char *path, const char *node, unsigned address, const char *descriptors,
                   enum mock_shape shape);
