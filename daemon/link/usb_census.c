#include "usb_census.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEVICES "/sys/bus/usb/devices"

/* Reads an attribute without its newline; "" if it cannot be read. */
static void read_attribute(const char *device, const char *name, char *out, size_t cap)
{
    char path[400];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof(path), "%s/%s/%s", DEVICES, device, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, out, cap - 1);
        close(fd);
    }
    out[n > 0 ? (size_t)n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

static bool has_id(const char *device, const char *name, uint16_t id)
{
    char text[8], wanted[8];

    snprintf(wanted, sizeof(wanted), "%04x", id);
    read_attribute(device, name, text, sizeof(text));
    return strcmp(text, wanted) == 0;
}

unsigned usb_census(uint16_t vid, uint16_t pid, struct usb_counted out[USB_CENSUS_MAX])
{
    DIR *all = opendir(DEVICES);
    const struct dirent *e;
    unsigned n = 0;

    while (all != NULL && n < USB_CENSUS_MAX && (e = readdir(all)) != NULL) {
        /* "1-4.2" is a device; "usb1" is a root hub, "1-4.2:1.0" an interface */
        if (e->d_name[0] == '.' || strchr(e->d_name, '-') == NULL || strchr(e->d_name, ':') != NULL || strlen(e->d_name) > USB_CENSUS_PORT - sizeof("usb "))
            continue;
        if (!has_id(e->d_name, "idVendor", vid) || !has_id(e->d_name, "idProduct", pid))
            continue;
        snprintf(out[n].port, sizeof(out[n].port), "usb %.27s", e->d_name);
        read_attribute(e->d_name, "devnum", out[n].address, sizeof(out[n].address));
        n++;
    }
    if (all != NULL)
        closedir(all);
    return n;
}
