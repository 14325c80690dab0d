#include "usb_census.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEVICES "/sys/bus/usb/devices"

/* Four hexadecimal digits in one of its files. */
static bool is(const char *device, const char *name, uint16_t id)
{
    char path[400], text[8] = "", wanted[8];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof(path), "%s/%s/%s", DEVICES, device, name);
    snprintf(wanted, sizeof(wanted), "%04x", id);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, 4);
        close(fd);
    }
    return n == 4 && strcmp(text, wanted) == 0;
}

unsigned usb_census(uint16_t vid, uint16_t pid, char ports[USB_CENSUS_MAX][USB_CENSUS_PORT])
{
    DIR *all = opendir(DEVICES);
    const struct dirent *e;
    unsigned n = 0;

    while (all != NULL && n < USB_CENSUS_MAX && (e = readdir(all)) != NULL) {
        /* "1-4.2" is a device; "usb1" is a root hub, "1-4.2:1.0" an interface */
        if (e->d_name[0] == '.' || strchr(e->d_name, '-') == NULL || strchr(e->d_name, ':') != NULL || strlen(e->d_name) > USB_CENSUS_PORT - sizeof("usb "))
            continue;
        if (is(e->d_name, "idVendor", vid) && is(e->d_name, "idProduct", pid))
            snprintf(ports[n++], USB_CENSUS_PORT, "usb %.27s", e->d_name);
    }
    if (all != NULL)
        closedir(all);
    return n;
}
