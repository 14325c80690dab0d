#include "mock_device.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct hex {
    char text[400];
    size_t used, bytes;
};

static void hex_put(struct hex *h, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h->used += (size_t)snprintf(h->text + h->used, sizeof(h->text) - h->used, "%02x", bytes[i]);
    h->bytes += n;
}

static void put_interface(struct hex *h, uint8_t number, uint8_t class, uint8_t endpoints)
{
    hex_put(h, (const uint8_t[]){9, 4, number, 0, endpoints, class, 0, 0, 0}, 9);
}

static void put_endpoint(struct hex *h, uint8_t address, uint8_t type, uint16_t packet)
{
    hex_put(h, (const uint8_t[]){7, 5, address, type, (uint8_t)packet, (uint8_t)(packet >> 8), 4}, 7);
}

static void describe(struct hex *out, enum mock_shape shape)
{
    struct hex body = {0};
    uint8_t pid = shape == MOCK_SHAPE_OTHER_DEVICE ? 2 : 1, interfaces = shape == MOCK_SHAPE_SECOND_INTERFACE ? 2 : 1;
    uint16_t total;

    if (shape == MOCK_SHAPE_SECOND_INTERFACE)
        put_interface(&body, 0, 3, 0);
    put_interface(&body, interfaces - 1, shape == MOCK_SHAPE_NO_VENDOR_INTERFACE ? 3 : 0xff, 3);
    if (shape != MOCK_SHAPE_NO_BULK_OUT)
        put_endpoint(&body, MOCK_BULK_OUT, 2, MOCK_PACKET);
    put_endpoint(&body, MOCK_BULK_IN, 2, MOCK_PACKET);
    if (shape != MOCK_SHAPE_NO_INTERRUPT_IN)
        put_endpoint(&body, MOCK_INTERRUPT_IN, 3, shape == MOCK_SHAPE_SHORT_STATUS ? 16 : 64);
    total = (uint16_t)(9 + body.bytes);
    hex_put(out, (const uint8_t[]){18, 1, 0, 2, 0, 0, 0, 64, 0x09, 0x12, pid, 0, 0, 1, 0, 0, 0, 1}, 18);
    hex_put(out, (const uint8_t[]){9, 2, (uint8_t)total, (uint8_t)(total >> 8), interfaces, 1, 0, 0x80, 50}, 9);
    if (shape == MOCK_SHAPE_CUT_DESCRIPTOR)
        body.text[20] = '\0';
    strcat(out->text, body.text);
}

void mock_describe(char *out, size_t cap, const char *path, const char *node, unsigned address, const char *descriptors,
                   enum mock_shape shape)
{
    struct hex shaped = {0};

    describe(&shaped, shape);
    snprintf(out, cap,
             "P: %s\nN: %s\nE: SUBSYSTEM=usb\nE: DRIVER=usb\nE: BUSNUM=001\nE: DEVNUM=%03u\nE: DEVNAME=/dev/%s\n"
             "E: DEVTYPE=usb_device\nA: bConfigurationValue=%s\nA: busnum=1\\n\nA: devnum=%u\\n\nA: speed=480\\n\n"
             "A: idVendor=1209\\n\nA: idProduct=%s\\n\nH: descriptors=%s\n",
             path, node, address, node, shape == MOCK_SHAPE_UNCONFIGURED ? "" : "1\\n", address, shape == MOCK_SHAPE_OTHER_DEVICE ? "0002" : "0001", descriptors != NULL ? descriptors : shaped.text);
}

static bool is_deaf;

struct udev_monitor;
struct udev_device;
struct udev_device *udev_device_unref(struct udev_device *d);
struct udev_device *udev_monitor_receive_device(struct udev_monitor *m);

/* libusb calls this one: what udev says is lost on its way. */
__attribute__((visibility("default"))) struct udev_device *udev_monitor_receive_device(struct udev_monitor *m)
{
    static struct udev_device *(*real)(struct udev_monitor *);
    struct udev_device *d;

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "udev_monitor_receive_device");
    d = real(m);
    return is_deaf && d != NULL ? udev_device_unref(d) : d; /* NULL */
}

void mock_set_deaf(bool deaf)
{
    is_deaf = deaf;
}
